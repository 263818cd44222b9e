package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// ReaderOptions configure a Reader. Zero values mean the defaults.
type ReaderOptions struct {
	// MaxAge bounds how far models may be behind Redis while it answers.
	// Default 1 s.
	MaxAge time.Duration
	// MaxStale bounds how long the last good models are served while Redis does
	// not answer. Default 10 min.
	MaxStale time.Duration
	// MaxWait bounds how long a request waits for models newer than MaxAge.
	// Default 1 s.
	MaxWait time.Duration
	Logger  *slog.Logger
}

// Model is a model as it was at one version. It does not change and may be
// used by many goroutines, to predict.
type Model struct {
	Name     string
	Version  uint64 // commits it has seen
	Count    uint64 // labels it has learned
	Pipeline *online.Pipeline

	commit string // the name of the last one
}

// Models are the models at one moment. They do not change.
type Models struct {
	// Champion is the name of the model that is served, which may be broken.
	Champion string
	// Healthy models, in the order of the catalogue.
	Healthy []Model
	// Broken models and why, mostly *StateErrors.
	Broken map[string]error

	catalogue *online.Catalogue
	etag      string
	asOf      time.Time // Redis was asked no earlier than this
}

// Reader gives out the newest models. It asks Redis in the background whenever
// they are used, costs one round trip when nothing has changed, and makes a
// request wait only when what it has is older than MaxAge. It has no goroutine
// of its own while it is not used.
type Reader struct {
	client  redis.UniversalClient
	kinds   online.Kinds
	opts    ReaderOptions
	current atomic.Pointer[Models]

	mu       sync.Mutex
	flight   *flight // the refresh under way, if any
	failedAt time.Time
	lastErr  string
}

// flight is a refresh that many may wait for.
type flight struct {
	done chan struct{}
	err  error
}

// NewReader returns a reader of the models of this Redis. It does not connect yet.
func NewReader(client redis.UniversalClient, kinds online.Kinds, opts ReaderOptions) *Reader {
	if opts.MaxAge <= 0 {
		opts.MaxAge = time.Second
	}
	if opts.MaxStale <= 0 {
		opts.MaxStale = 10 * time.Minute
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{client: client, kinds: kinds, opts: opts}
}

// Models returns the models, at most MaxAge behind Redis while it answers and
// at most MaxStale while it does not. Errors are ErrUnavailable, ErrNoModels,
// or that of a catalogue that cannot be read.
func (r *Reader) Models(ctx context.Context) (*Models, error) {
	models := r.current.Load()
	if models != nil {
		age := time.Since(models.asOf)
		if age < r.opts.MaxAge/8 {
			return models, nil
		}
		if age < r.opts.MaxAge || (age < r.opts.MaxStale && r.failedLately()) {
			r.refresh()
			return models, nil
		}
	}
	err := r.wait(ctx, r.refresh())
	models = r.current.Load()
	if models == nil || (err != nil && time.Since(models.asOf) >= r.opts.MaxStale) {
		return nil, err
	}
	return models, nil
}

// Ready reports whether there is a model to predict with. While Redis is away
// that is so as long as Models serves the last good ones.
func (r *Reader) Ready(ctx context.Context) error {
	models, err := r.Models(ctx)
	if err != nil {
		return err
	}
	if len(models.Healthy) == 0 {
		return fmt.Errorf("%w: all %d are broken", ErrNoModels, len(models.Broken))
	}
	return nil
}

// failedLately reports whether the last refresh failed just now, so that
// requests need not wait for the next one to fail as well.
func (r *Reader) failedLately() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.failedAt.IsZero() && time.Since(r.failedAt) < r.opts.MaxAge
}

// refresh returns the refresh under way, and starts one if there is none.
func (r *Reader) refresh() *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight != nil {
		return r.flight
	}
	f := &flight{done: make(chan struct{})}
	r.flight = f
	go func() {
		// Not a request's context: others wait for the same refresh.
		ctx, cancel := context.WithTimeout(context.Background(), 10*r.opts.MaxWait)
		defer cancel()
		f.err = r.read(ctx)
		r.mu.Lock()
		r.flight, r.failedAt = nil, time.Time{}
		if f.err != nil {
			r.failedAt = time.Now()
		}
		r.report(f.err)
		r.mu.Unlock()
		close(f.done)
	}()
	return f
}

func (r *Reader) wait(ctx context.Context, f *flight) error {
	timeout := time.NewTimer(r.opts.MaxWait)
	defer timeout.Stop()
	select {
	case <-f.done:
		return f.err
	case <-timeout.C:
		return fmt.Errorf("%w: no answer within %s", ErrUnavailable, r.opts.MaxWait)
	case <-ctx.Done():
		return fmt.Errorf("registry: read models: %w", ctx.Err())
	}
}

// report logs a failure when it begins and when it ends. r.mu is held.
func (r *Reader) report(err error) {
	switch {
	case err != nil && r.lastErr == "":
		r.opts.Logger.Error("models cannot be refreshed, the last ones are served", "err", err)
		r.lastErr = err.Error()
	case err == nil && r.lastErr != "":
		r.opts.Logger.Info("models are refreshed again")
		r.lastErr = ""
	}
}

// read asks Redis what has changed, reads that, and makes it current.
func (r *Reader) read(ctx context.Context) error {
	old := r.current.Load()
	if old == nil {
		old = &Models{}
	}
	asOf := time.Now()
	changed, champion, etag, err := r.check(ctx, old)
	if err != nil {
		return err
	}
	catalogue := old.catalogue
	if catalogue == nil || etag != old.etag {
		if catalogue, etag, err = readCatalogue(ctx, r.client, r.kinds); err != nil {
			return err
		}
		changed = catalogue.Models
	}
	models := &Models{Champion: leader(catalogue, champion), Broken: map[string]error{}, catalogue: catalogue, etag: etag, asOf: asOf}
	read, err := r.readModels(ctx, changed)
	if err != nil {
		return err
	}
	kept := map[string]Model{}
	for _, m := range old.Healthy {
		kept[m.Name] = m
	}
	for _, spec := range catalogue.Models {
		m, err := kept[spec.Name], old.Broken[spec.Name]
		if now, ok := read[spec.Name]; ok {
			m, err = now.model, now.err
		}
		if err != nil {
			models.Broken[spec.Name] = err
			r.reportBroken(old.Broken[spec.Name], err)
			continue
		}
		models.Healthy = append(models.Healthy, m)
	}
	r.current.Store(models)
	return nil
}

// reportBroken logs what is wrong with a model, once.
func (r *Reader) reportBroken(before, now error) {
	if before == nil || before.Error() != now.Error() {
		r.opts.Logger.Error("model is not served", "err", now)
	}
}

// check asks, in one round trip, for everything that tells whether something
// has changed, and returns the models that have.
func (r *Reader) check(ctx context.Context, old *Models) (changed []online.Spec, champion, etag string, err error) {
	var specs []online.Spec
	if old.catalogue != nil {
		specs = old.catalogue.Models
	}
	var championCmd, etagCmd *redis.StringCmd
	commits := make([]*redis.StringCmd, len(specs))
	if err := pipelined(ctx, r.client, func(pipe redis.Pipeliner) {
		etagCmd = pipe.HGet(ctx, catalogueKey, catalogueEtag)
		championCmd = pipe.Get(ctx, championKey)
		for i, spec := range specs {
			commits[i] = pipe.HGet(ctx, headKey(spec.Name), fieldCommit)
		}
	}); err != nil {
		return nil, "", "", unavailable("check models", err)
	}
	known := map[string]string{}
	for _, m := range old.Healthy {
		known[m.Name] = m.commit
	}
	for i, spec := range specs {
		commit, err := commits[i].Result()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		have, healthy := known[spec.Name]
		if err != nil || !healthy || commit != have { // broken ones are read again each time
			changed = append(changed, spec)
		}
	}
	return changed, championCmd.Val(), etagCmd.Val(), nil
}

// reading is a model that was read, or why it could not be.
type reading struct {
	model Model
	err   error
}

func (r *Reader) readModels(ctx context.Context, specs []online.Spec) (map[string]reading, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	heads := make([]*redis.SliceCmd, len(specs))
	if err := pipelined(ctx, r.client, func(pipe redis.Pipeliner) {
		for i, spec := range specs {
			heads[i] = readHead(ctx, pipe, spec.Name, true)
		}
	}); err != nil {
		return nil, unavailable("read models", err)
	}
	read := map[string]reading{}
	for i, spec := range specs {
		m := Model{Name: spec.Name}
		h, err := headOf(spec.Name, heads[i])
		if errors.Is(err, ErrUnavailable) {
			return nil, err // the model is not broken, Redis is
		}
		if err == nil {
			m.Version, m.Count, m.commit = h.version, h.count, h.commit
			m.Pipeline, err = load(spec, h)
		}
		read[spec.Name] = reading{m, err}
	}
	return read, nil
}
