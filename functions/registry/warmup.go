package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Log is where labels are written down before anybody learns them, as in a topic
// of Kafka. One that is a Log need not be safe for concurrent use.
type Log interface {
	// End returns where the log ends: after every label that learners can have been
	// given by now.
	End(ctx context.Context) (Position, error)
	// Next returns the labels that follow a position, at most so many and none from
	// end on, and the position after them. It may go on without labels, where there
	// are none, but it always goes on while from is before end. The same position
	// and end give the same labels, in the same order, as long as they are kept. A
	// position that is after the end is an error: it is one of another log.
	Next(ctx context.Context, from, end Position, most int) ([]Label, Position, error)
}

// WarmUpOptions configure a WarmUp.
type WarmUpOptions struct {
	// Commits are the options of the learners of the model. MaxWait bounds how long
	// a commit is tried for, and CatalogueAge is how long the model has to be in the
	// catalogue before it joins.
	Commits CommitterOptions
	// FromNothing has the model forget what it has learned first.
	FromNothing bool
	// JoinWithin bounds how long live labels are held back at a time, at the end.
	// It must be shorter than those who deliver labels try for. Default 5 s.
	JoinWithin time.Duration
	// By is who does this: it goes into the audit trail.
	By Actor
	// Progress, if it is set, is told now and then how far the replay is.
	Progress func(WarmedUp)
	// Skipped, if it is set, is told of labels that are not learned, each a *PanicError.
	Skipped func(error)
}

// WarmedUp is how far a replay has come.
type WarmedUp struct {
	Model      string `json:"model"`
	Version    uint64 `json:"version"`
	Count      uint64 `json:"count"`      // labels behind the state
	Taught     int    `json:"taught"`     // by this replay; others may have begun
	Duplicates int    `json:"duplicates"` // labels that the log had, and the model had learned
	Panicked   int    `json:"panicked"`   // labels that it cannot learn
	Left       int64  `json:"left"`       // offsets of the log, where it ended when it was asked last
	Joins      int    `json:"joins"`      // how often live labels were held back
	Restarted  bool   `json:"restarted"`  // it began from nothing, or else where another had stopped
	Live       bool   `json:"live"`       // it is done
}

// maxJoins is how often a replay tries to join.
const maxJoins = 10

// WarmUp teaches a model the labels of the log, from its start, and lets it go on
// with live labels exactly where the replay has ended: no gap, no overlap. It is
// for a model that has learned nothing, and goes on where another replay of it has
// stopped, however that was. A model that has learned is an ErrConflict, unless it
// is FromNothing: what it was is kept as a snapshot. So is the champion, which is
// never warmed up: predictions would be served that are behind.
//
// Learners leave live labels to the replay, which finds them in the log: from the
// first on that comes to them once they follow a catalogue that has the model. When
// all do, and it has come near the end, it has learners hold labels back
// (Learn is an ErrBusy after MaxWait), asks once more where the log ends, teaches
// what is before that, and makes the model live in a transaction that fails if a
// learner has ceased to wait: then it is tried again, up to ten times, and an
// ErrBusy after that. A label that was held back is learned live, or found to be a
// duplicate where the replay has had it: those who deliver labels must not be
// Commits.Window labels behind.
//
// Every commit is one as learners make them, with the position in the log, so that
// WarmUp may be cancelled or killed at any instant and be called again. Of two that
// run at once the one that began first is an ErrConflict. Labels on which the model
// panics are skipped. Other errors are ErrUnavailable, ErrNotFound, ErrActor, a
// *StateError, those of the log, or the context's.
//
// Learners of a program that knows no warming up would teach the model live labels
// meanwhile: bring them up to date before.
func WarmUp(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model string, log Log, opts WarmUpOptions) (WarmedUp, error) {
	if err := opts.By.check(); err != nil {
		return WarmedUp{}, err
	}
	if opts.JoinWithin <= 0 {
		opts.JoinWithin = 5 * time.Second
	}
	opts.Commits = opts.Commits.orDefaults()
	c, etag, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return WarmedUp{}, err
	}
	spec, err := find(c, model)
	if err != nil {
		return WarmedUp{}, err
	}
	if err := notChampion(ctx, client, c, model); err != nil {
		return WarmedUp{}, err
	}
	u := &warmUp{
		replay: &replay{worker: newWorker(client, kinds, spec, opts.Commits), token: randomName()},
		log:    log, opts: opts, done: WarmedUp{Model: model}, catalogue: c, etag: etag, since: time.Now(),
	}
	err = u.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("registry: warm up model %s: %w", model, context.Cause(ctx))
	}
	return u.done, err
}

// notChampion returns an ErrConflict if a model is the one that is served.
func notChampion(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, model string) error {
	named, err := namedChampion(ctx, client)
	if err != nil {
		return err
	}
	if leader(c, named) == model {
		return fmt.Errorf("%w: model %s is the champion, which is neither restarted nor warmed up: promote another one first", ErrConflict, model)
	}
	return nil
}

// warmUp is one that is under way.
type warmUp struct {
	*replay
	log  Log
	opts WarmUpOptions
	done WarmedUp

	catalogue *online.Catalogue // as it was at first
	etag      string            // of the catalogue as it is
	since     time.Time         // it is that, at least
}

func (u *warmUp) run(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	began := u.done.Version
	for u.done.Joins < maxJoins {
		end, err := u.end(ctx)
		if err != nil {
			return err
		}
		if u.position.left(end) > int64(u.opts.Commits.MaxBatch) {
			if err := u.through(ctx, end); err != nil {
				return err
			}
			continue // more have come meanwhile
		}
		if err := u.known(ctx); err != nil {
			return err
		}
		u.done.Joins++
		err = u.join(ctx, began)
		if !errors.Is(err, errNotJoined) {
			return err
		}
	}
	return fmt.Errorf("%w: model %s has not come to the end of the log within %s, %d times: warm it up again, which goes on from here",
		ErrBusy, u.worker.spec.Name, u.opts.JoinWithin, maxJoins)
}

// end returns where the log ends, or an error where that is before what was replayed.
func (u *warmUp) end(ctx context.Context) (Position, error) {
	end, err := u.log.End(ctx)
	if err != nil || !u.position.after(end) {
		return end, err
	}
	if _, _, err := u.log.Next(ctx, u.position, end, 1); err != nil { // it says why
		return nil, err
	}
	return nil, fmt.Errorf("registry: warm up model %s: it was replayed to %d of a log that ends at %d", u.worker.spec.Name, u.position, end)
}

// begin makes the model one that is taught by this replay, and finds out from where.
func (u *warmUp) begin(ctx context.Context) error {
	restarted := false
	if u.opts.FromNothing {
		if err := u.restart(ctx, true); err != nil {
			return err
		}
		restarted = true
	}
	h, err := u.claim(ctx)
	if errors.Is(err, errLive) && !restarted {
		if err := u.restart(ctx, false); err != nil {
			return err
		}
		restarted = true
		h, err = u.claim(ctx)
	}
	if err != nil {
		return err
	}
	u.position = h.warming.Position
	u.done.Restarted, u.done.Version, u.done.Count = restarted, h.version, h.count
	return nil
}

// restart makes the model one that has learned nothing.
func (u *warmUp) restart(ctx context.Context, forget bool) error {
	r := restart{client: u.worker.client, spec: u.worker.spec, by: u.opts.By, forget: forget}
	_, err := r.do(ctx, u.catalogue)
	if !forget && errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w; it learns from live labels, and can be warmed up from nothing only; models audit says whether it was warmed up before", err)
	}
	return err
}

// through teaches what the log has from where the replay is up to an end.
func (u *warmUp) through(ctx context.Context, end Position) error {
	for u.position.left(end) > 0 {
		labels, next, err := u.log.Next(ctx, u.position, end, u.opts.Commits.MaxBatch)
		if err != nil {
			return err
		}
		if next.left(end) >= u.position.left(end) {
			return fmt.Errorf("registry: warm up model %s: the log does not go on from %d", u.worker.spec.Name, u.position)
		}
		t, err := u.teach(ctx, labels, next)
		if err != nil {
			return err
		}
		u.account(t, end)
	}
	return nil
}

// account tells of what was taught.
func (u *warmUp) account(t taught, end Position) {
	u.done.Taught += t.fresh
	u.done.Duplicates += t.duplicates
	u.done.Panicked += len(t.panicked)
	u.done.Version, u.done.Count, u.done.Left = t.version, t.count, u.position.left(end)
	if u.opts.Skipped != nil {
		for _, err := range t.panicked {
			u.opts.Skipped(err)
		}
	}
	if u.opts.Progress != nil {
		u.opts.Progress(u.done)
	}
}

// known returns once every learner follows a catalogue that has the model. One that
// does not acknowledges labels without leaving them to the replay: those that came
// to it are in the log before what comes there from now on.
func (u *warmUp) known(ctx context.Context) error {
	for {
		c, etag, err := readCatalogue(ctx, u.worker.client, u.worker.kinds)
		if err != nil {
			return err
		}
		spec, err := find(c, u.worker.spec.Name)
		if err != nil {
			return err
		}
		if spec.Hash() != u.worker.spec.Hash() {
			return fmt.Errorf("%w: model %s has another specification in the catalogue by now", ErrConflict, spec.Name)
		}
		if etag != u.etag {
			u.etag, u.since = etag, time.Now()
		}
		left := u.opts.Commits.CatalogueAge - time.Since(u.since)
		if left <= 0 {
			return nil
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errNotJoined is a replay that has not come to the end of the log in time.
var errNotJoined = errors.New("registry: not joined")

// join has learners hold labels back until the model is live.
func (u *warmUp) join(ctx context.Context, began uint64) error {
	within, cancel := context.WithTimeoutCause(ctx, u.opts.JoinWithin, errNotJoined)
	defer cancel()
	err := u.hold(within, u.opts.JoinWithin)
	defer func() { u.holding = false }()
	var end Position
	if err == nil {
		end, err = u.end(within) // not a moment earlier
	}
	if err == nil {
		err = u.through(within, end)
	}
	if err == nil {
		action := Action{Kind: KindWarmUp, Model: u.worker.spec.Name, From: strconv.FormatUint(began, 10), By: u.opts.By.Name, Reason: u.opts.By.Reason}
		err = u.goLive(ctx, action) // which finds out by itself whether it is late
	}
	switch {
	case err == nil || u.wentLive(err):
		u.done.Live, u.done.Left = true, 0
		return nil
	case ctx.Err() == nil && within.Err() != nil:
		return errNotJoined
	}
	return err
}

// Abandon makes a model that is being warmed up live from where the replay is: it
// keeps what it has learned, and does not learn the labels between that and the
// live ones that come from now on. A model that is not being warmed up is an
// ErrConflict.
func Abandon(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model string, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	if _, err := find(c, model); err != nil {
		return Action{}, err
	}
	action := Action{Kind: KindAbandon, Model: model, By: by.Name, Reason: by.Reason}
	_, err = amendment{client: client, model: model, action: &action, change: func(h head, _ time.Time) (*warming, error) {
		if h.warming == nil {
			return nil, fmt.Errorf("model %s: %w", model, errLive)
		}
		return nil, nil
	}}.make(ctx)
	if err != nil {
		return Action{}, err
	}
	return action, nil
}
