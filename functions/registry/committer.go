package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"tripcast.dev/functions/online"
)

// CommitterOptions configure a Committer. Zero values mean the defaults.
type CommitterOptions struct {
	// MaxBatch is the largest number of labels in one commit. Default 256.
	MaxBatch int
	// MaxWait bounds how long a label waits for its commit. Default 5 s.
	MaxWait time.Duration
	// Window is how many ids of labels are remembered at least. Default 1,000,000.
	Window int
	// CatalogueAge bounds how far the catalogue may be behind Redis when a label
	// comes. A WarmUp lets as long go by, and has to be told of the longest that any
	// learner has. Default 1 s.
	CatalogueAge time.Duration
	// SnapshotEvery is how often the state of a model is kept, to roll back to,
	// while it learns. Default 1 min.
	SnapshotEvery time.Duration
	// SnapshotCount is how many snapshots of a model are kept at most: Redis
	// holds so many times its state. Default 20.
	SnapshotCount int
	// SnapshotAge is how old a snapshot becomes, but for the newest ones: the one
	// before the last is kept however old it is. Default 24 h.
	SnapshotAge time.Duration
	// LineageLength is about how many commits of a model are remembered, with the
	// labels they have learned. Default 10,000.
	LineageLength int
	Logger        *slog.Logger
}

const defaultSnapshots = 20

func (o CommitterOptions) orDefaults() CommitterOptions {
	if o.MaxBatch <= 0 {
		o.MaxBatch = 256
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 5 * time.Second
	}
	if o.Window <= 0 {
		o.Window = 1_000_000
	}
	if o.CatalogueAge <= 0 {
		o.CatalogueAge = time.Second
	}
	if o.SnapshotEvery <= 0 {
		o.SnapshotEvery = time.Minute
	}
	if o.SnapshotCount <= 0 {
		o.SnapshotCount = defaultSnapshots
	}
	if o.SnapshotAge <= 0 {
		o.SnapshotAge = 24 * time.Hour
	}
	if o.LineageLength <= 0 {
		o.LineageLength = 10_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Label is what models learn from.
type Label struct {
	ID       string // what makes it the same label when it comes again
	Features map[string]float64
	Y        float64
}

// Outcome is what became of a label in one model.
type Outcome struct {
	Model     string
	Version   uint64 // the model's version once it had learned the label, or that found it learned
	Duplicate bool   // the model had learned the label before
	Warming   bool   // a WarmUp teaches the model, which comes to the label in its topic
	Err       error  // the label is not learned: see Learn
}

// Committer teaches labels to every model of the catalogue, each label once.
// Labels that arrive while a commit is under way share the next one.
type Committer struct {
	client redis.UniversalClient
	kinds  online.Kinds
	opts   CommitterOptions

	following singleflight.Group

	mu       sync.Mutex
	closed   bool
	etag     string
	followed followed // a worker for each model of the catalogue, in its order
	running  sync.WaitGroup
}

// NewCommitter returns a committer to the models of this Redis. It does not
// connect yet. Close it, to finish what it has accepted.
func NewCommitter(client redis.UniversalClient, kinds online.Kinds, opts CommitterOptions) *Committer {
	return &Committer{client: client, kinds: kinds, opts: opts.orDefaults()}
}

// Learn teaches a label to every model at once and returns when each has
// committed it, or has not within MaxWait. The outcomes are in the order of the
// catalogue.
//
// Without an error the label may be acknowledged: every model that can learn
// has learned it. With one it must come again, and models that have learned it
// will find it a duplicate: errors are ErrUnavailable, ErrBusy, ErrNoModels,
// ErrClosed, a *PanicError, a *StateError that is Newer, or the context's.
//
// A model whose state is broken (any other *StateError) does not hold the label
// back: waiting would stop every model until a human comes, and give up in the
// end. Its outcome has the error, the error is logged, and the labels it misses
// stay in their topic, from which a repaired model can be taught. A state in a
// newer format is different: it is sound, and a learner that is up to date will
// take the label when it comes again.
//
// Nor does a model that is being warmed up hold it back, which is taught the
// label from its topic; but for the moment in which it joins live traffic.
func (c *Committer) Learn(ctx context.Context, label Label) ([]Outcome, error) {
	r := c.LearnAll(ctx, []Label{label})[0]
	return r.Outcomes, r.Err
}

// Result is what became of one of many labels: what Learn would have returned.
type Result struct {
	Outcomes []Outcome
	Err      error
}

// LearnAll teaches labels that came together, as Learn would each of them: a
// result is in the place of its label. Every model is given them in one piece,
// so that up to MaxBatch of them are one commit and one version; more are as
// few commits as hold them. All of them together have MaxWait.
func (c *Committer) LearnAll(ctx context.Context, labels []Label) []Result {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.MaxWait, errWaitedTooLong)
	defer cancel()
	results := make([]Result, len(labels))
	workers, err := c.follow(ctx)
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	waiting := make([]waiter, len(labels))
	for i, label := range labels {
		waiting[i] = newWaiter(ctx, label, workers)
	}
	for group := range slices.Chunk(waiting, c.opts.MaxBatch) {
		handOver(ctx, group, workers)
	}
	for i := range waiting {
		results[i].Outcomes = waiting[i].outcomes(ctx)
		results[i].Err = verdict(results[i].Outcomes)
	}
	return results
}

// waiter waits for what becomes of one label in every model.
type waiter struct {
	job     job
	results chan Outcome // never blocks a worker
	workers []*worker
}

func newWaiter(ctx context.Context, label Label, workers []*worker) waiter {
	results := make(chan Outcome, len(workers))
	return waiter{job{ctx: ctx, label: label, results: results}, results, workers}
}

// handOver gives every model the labels of a group, of which those that it does
// not take have their outcome at once.
func handOver(ctx context.Context, group []waiter, workers []*worker) {
	for _, w := range workers {
		jobs := make([]job, len(group))
		for i := range group {
			jobs[i] = group[i].job
		}
		if err := w.enqueue(ctx, jobs); err != nil {
			for i := range group {
				group[i].results <- Outcome{Model: w.spec.Name, Err: err}
			}
		}
	}
}

// outcomes returns when every model has answered, or ctx is done.
func (w *waiter) outcomes(ctx context.Context) []Outcome {
	outcomes := make([]Outcome, len(w.workers))
	place := make(map[string]int, len(w.workers))
	for i, worker := range w.workers {
		place[worker.spec.Name] = i
	}
	for len(place) > 0 {
		o, ok := w.next(ctx)
		if !ok {
			break
		}
		outcomes[place[o.Model]] = o
		delete(place, o.Model)
	}
	for name, i := range place {
		outcomes[i] = Outcome{Model: name, Err: w.workers[i].late(ctx)}
	}
	return outcomes
}

// next returns what a model has answered, or false once ctx is done and none
// has: whoever waits for many labels has not been looking all the time.
func (w *waiter) next(ctx context.Context) (Outcome, bool) {
	select {
	case o := <-w.results:
		return o, true
	case <-ctx.Done():
	}
	select { // of two that are ready it is chance which one is taken
	case o := <-w.results:
		return o, true
	default:
		return Outcome{}, false
	}
}

var errWaitedTooLong = errors.New("waited too long for a commit")

// verdict says whether a label may be acknowledged.
func verdict(outcomes []Outcome) error {
	var broken, errs []error
	for _, o := range outcomes {
		var state *StateError
		switch {
		case o.Err == nil:
		case errors.As(o.Err, &state) && !state.Newer:
			broken = append(broken, o.Err)
		default:
			errs = append(errs, o.Err)
		}
	}
	if len(broken) == len(outcomes) {
		return fmt.Errorf("%w: every model is broken: %w", ErrNoModels, errors.Join(broken...))
	}
	return errors.Join(errs...)
}

// Ready reports whether labels can be learned: Redis answers and has a catalogue.
func (c *Committer) Ready(ctx context.Context) error {
	if err := Ping(ctx, c.client); err != nil {
		return err
	}
	_, err := c.follow(ctx)
	return err
}

// Close refuses new labels, finishes those that were accepted, and waits for
// that until ctx is done.
func (c *Committer) Close(ctx context.Context) error {
	c.mu.Lock()
	workers := c.followed.workers
	c.closed, c.followed = true, followed{}
	c.mu.Unlock()
	for _, w := range workers {
		w.stop()
	}
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("registry: close committer: %w", ctx.Err())
	}
}

// followed are the workers of a catalogue, as of when it began to be read.
type followed struct {
	workers []*worker
	asOf    time.Time
}

// follow returns the workers of a catalogue that is not older than CatalogueAge,
// counted from now: WarmUp relies on it.
func (c *Committer) follow(ctx context.Context) ([]*worker, error) {
	now := time.Now()
	for {
		c.mu.Lock()
		f, closed := c.followed, c.closed
		c.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if c.fresh(f, now) {
			return f.workers, nil
		}
		result := c.following.DoChan("", func() (any, error) {
			// Not a request's context: others wait for the same answer.
			ctx, cancel := context.WithTimeout(context.Background(), c.opts.MaxWait)
			defer cancel()
			return nil, c.refresh(ctx)
		})
		select {
		case r := <-result:
			if r.Err != nil {
				return nil, r.Err
			}
		case <-ctx.Done():
			return nil, unavailable("read catalogue", context.Cause(ctx))
		}
		// Others may have asked for it too long ago, as Redis was slow: once more.
	}
}

// fresh reports whether a catalogue was young enough at a time. Both clocks have to
// say so: the monotonic one may stand still while a machine is suspended or a
// function is frozen, and the other one may be put back.
func (c *Committer) fresh(f followed, at time.Time) bool {
	age := max(at.Sub(f.asOf), at.Round(0).Sub(f.asOf.Round(0)))
	return age < c.opts.CatalogueAge
}

// refresh starts workers for new models and stops those of models that are gone.
func (c *Committer) refresh(ctx context.Context) error {
	asOf := time.Now()
	etag, err := c.client.HGet(ctx, catalogueKey, catalogueEtag).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return readError(catalogueKey, err)
	}
	c.mu.Lock()
	if etag != "" && etag == c.etag && !c.closed {
		defer c.mu.Unlock()
		c.followed.asOf = asOf
		return nil
	}
	c.mu.Unlock()
	catalogue, etag, err := readCatalogue(ctx, c.client, c.kinds)
	if err != nil {
		return err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	running := map[string]*worker{}
	for _, w := range c.followed.workers {
		running[w.spec.Name+" "+w.spec.Hash()] = w
	}
	workers := make([]*worker, len(catalogue.Models)) // a new slice: others hold the old one
	for i, spec := range catalogue.Models {
		key := spec.Name + " " + spec.Hash()
		if w, ok := running[key]; ok {
			workers[i] = w
			delete(running, key)
			continue
		}
		w := newWorker(c.client, c.kinds, spec, c.opts)
		workers[i] = w
		c.running.Go(w.run)
	}
	for _, w := range running {
		go w.stop() // it waits for labels that are being handed over
	}
	c.followed, c.etag = followed{workers, asOf}, etag
	return nil
}
