package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// replay teaches a model that is being warmed up. It commits as learners do, with
// its position in the log in the same transaction.
type replay struct {
	worker   *worker // not run: what it commits is given to it here
	token    string
	position Position // as the head has it
	holding  bool     // live labels are held back
	unsure   bool     // it may have made the model live: the answer to that was lost
}

// taught is what became of some labels.
type taught struct {
	version, count    uint64
	fresh, duplicates int
	panicked          []error // *PanicErrors, whose labels were skipped
}

// errLive is a model that is not being warmed up.
var errLive = fmt.Errorf("%w: it is not being warmed up by now: it was made live or rolled back meanwhile", ErrConflict)

// check returns why a head is not one that this replay may go on with.
func (r *replay) check(h head) error {
	switch {
	case h.warming == nil:
		return fmt.Errorf("model %s: %w", r.worker.spec.Name, errLive)
	case h.warming.Token != r.token:
		return fmt.Errorf("%w: model %s is warmed up by somebody else by now", ErrConflict, r.worker.spec.Name)
	case r.holding && !h.warming.isJoining():
		return errNotJoined
	}
	return nil
}

// claim makes this replay the one that teaches the model, in place of another.
func (r *replay) claim(ctx context.Context) (head, error) {
	return r.amend(ctx, nil, func(h head, _ time.Time) (*warming, error) {
		if h.warming == nil {
			return nil, errLive
		}
		if err := r.worker.following(ctx, h); err != nil {
			return nil, err
		}
		if err := fits(r.worker.spec, h); err != nil {
			return nil, err
		}
		return &warming{Token: r.token, Position: h.warming.Position}, nil
	})
}

// amend changes what the head says of the warm-up. It tries for MaxWait: a change is
// one that may be made twice, or fails the second time.
func (r *replay) amend(ctx context.Context, action *Action, change func(head, time.Time) (*warming, error)) (head, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.worker.opts.MaxWait, errWaitedTooLong)
	defer cancel()
	a := amendment{client: r.worker.client, model: r.worker.spec.Name, action: action, change: change}
	for attempt := 0; ; attempt++ {
		h, err := a.make(ctx)
		if !errors.Is(err, ErrUnavailable) {
			return h, err
		}
		r.unsure = r.unsure || action != nil // it is goLive that is audited
		if sleep(ctx, attempt) != nil {
			return h, err
		}
	}
}

// hold has learners hold back labels for a while.
func (r *replay) hold(ctx context.Context, within time.Duration) error {
	_, err := r.amend(ctx, nil, func(h head, now time.Time) (*warming, error) {
		if err := r.check(h); err != nil {
			return nil, err
		}
		return h.warming.joining(now.Add(within)), nil
	})
	r.holding = err == nil
	return err
}

// goLive ends the replay, if labels are held back all the while.
func (r *replay) goLive(ctx context.Context, action Action) error {
	_, err := r.amend(ctx, &action, func(h head, _ time.Time) (*warming, error) { return nil, r.check(h) })
	return err
}

// wentLive reports whether an error says that the model is live, as this replay has
// made it and has not been told.
func (r *replay) wentLive(err error) bool { return r.unsure && errors.Is(err, errLive) }

// teach commits the labels between the position and the next. It tries for MaxWait.
func (r *replay) teach(ctx context.Context, labels []Label, next Position) (taught, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.worker.opts.MaxWait, errWaitedTooLong)
	defer cancel()
	var t taught
	for attempt := 0; ; attempt++ {
		err := r.try(ctx, labels, next, &t)
		if err == nil {
			r.position = next
			return t, nil
		}
		r.worker.pipeline = nil // it may have learned what was not committed
		var panicked *PanicError
		switch {
		case errors.As(err, &panicked):
			t.panicked = append(t.panicked, err)
			labels = slices.DeleteFunc(slices.Clone(labels), func(l Label) bool { return l.ID == panicked.Label })
			continue
		case errors.Is(err, redis.TxFailedErr):
			err = fmt.Errorf("%w: warm up model %s: others were faster each time", ErrBusy, r.worker.spec.Name)
		case !errors.Is(err, ErrUnavailable):
			return taught{}, err
		}
		if sleep(ctx, attempt) != nil {
			return taught{}, err
		}
	}
}

// try commits once. On an ErrUnavailable nobody knows whether it has: the position
// tells the next time.
func (r *replay) try(ctx context.Context, labels []Label, next Position, t *taught) error {
	w := r.worker
	batch := make([]job, len(labels))
	for i, label := range labels {
		batch[i].label = label
	}
	err := w.transaction(ctx, func(tx *redis.Tx) error {
		h, learned, err := w.look(ctx, tx, batch)
		if err != nil {
			return err
		}
		if err := r.check(h); err != nil {
			return err
		}
		if slices.Equal(h.warming.Position, next) { // it has
			t.version, t.count = h.version, h.count
			return nil
		}
		if !slices.Equal(h.warming.Position, r.position) {
			return fmt.Errorf("%w: model %s was replayed to %d, and is at %d by now", ErrConflict, w.spec.Name, r.position, h.warming.Position)
		}
		h.warming = h.warming.at(next)
		_, fresh := sift(batch, w.spec.Name, h.version, learned)
		t.fresh, t.duplicates = len(fresh), len(batch)-len(fresh)
		if len(fresh) == 0 {
			t.version, t.count = h.version, h.count
			return r.move(ctx, tx, h.warming)
		}
		if err := w.catchUp(ctx, tx, h); err != nil {
			return err
		}
		for _, i := range fresh {
			if err := w.learn(batch[i].label); err != nil {
				return err
			}
		}
		t.version, t.count = h.version+1, h.count+uint64(len(fresh))
		return w.exec(ctx, tx, h, batch, fresh)
	})
	if err == nil || isOurs(err) || errors.Is(err, errNotJoined) || errors.Is(err, redis.TxFailedErr) {
		return err
	}
	return unavailable("warm up model "+w.spec.Name, err)
}

// move writes the position where there was nothing to learn.
func (r *replay) move(ctx context.Context, tx *redis.Tx, to *warming) error {
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		to.queue(ctx, pipe, r.worker.spec.Name)
		return nil
	})
	if err == nil {
		r.worker.watching = false
	}
	return err
}
