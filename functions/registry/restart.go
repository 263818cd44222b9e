package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// restart makes a model one that has learned nothing, as a version that is to be
// warmed up: its count is 0 and the ids that it had learned are forgotten. What
// was there, sound or not, is kept as a snapshot.
type restart struct {
	client redis.UniversalClient
	spec   online.Spec
	by     Actor
	// forget is set where the model may have learned. If not it is an ErrConflict.
	forget bool
}

// do returns an ErrConflict, with the action that was taken, where somebody has made
// the model the champion of this catalogue in the meantime.
func (r restart) do(ctx context.Context, c *online.Catalogue) (action Action, err error) {
	p, err := r.spec.New()
	if err != nil {
		return Action{}, fmt.Errorf("registry: build model %s: %w", r.spec.Name, err)
	}
	nothing, err := p.AppendBinary(nil)
	if err != nil {
		return Action{}, &StateError{Model: r.spec.Name, Reason: "cannot be encoded: " + err.Error()}
	}
	err = again(ctx, "restart "+r.spec.Name, func() error {
		action, err = r.try(ctx, nothing)
		return err
	})
	if err != nil {
		return Action{}, err
	}
	// Whoever promotes looks whether a model can be served, and no transaction has
	// both: they are in different slots.
	if err := notChampion(ctx, r.client, c, r.spec.Name); err != nil {
		return action, fmt.Errorf("%w; it was promoted while it was restarted, and is served with nothing learned", err)
	}
	return action, nil
}

func (r restart) try(ctx context.Context, nothing []byte) (action Action, err error) {
	err = r.client.Watch(ctx, func(tx *redis.Tx) error {
		f, err := r.look(ctx, tx)
		if err != nil {
			return err
		}
		if !r.forget && f.broken != nil {
			return f.broken
		}
		if !r.forget && f.head.count > 0 {
			return fmt.Errorf("%w: model %s has learned %d labels: to restart it is to have it forget them", ErrConflict, r.spec.Name, f.head.count)
		}
		action, err = r.exec(ctx, tx, f, nothing)
		return err
	}, headKey(r.spec.Name))
	return action, err
}

// look reads what there is of a model. The head is that of a model which was
// there, with a version that it may have had, even if it is broken.
func (r restart) look(ctx context.Context, tx *redis.Tx) (found, error) {
	f, err := lookAt(ctx, tx, r.spec.Name, func(redis.Pipeliner) {})
	if err != nil {
		return found{}, err
	}
	if f.broken == nil {
		if f.head.version == 0 { // as nobody has taught it, or its head is lost
			f.head.version = f.newest()
		}
		return f, nil
	}
	// A version of its own: that of the newest snapshot is another state's.
	f.head = head{version: f.newest() + 1, committed: f.now}
	raw, err := tx.HMGet(ctx, headKey(r.spec.Name), fieldCommit, fieldSpec, fieldLast, fieldState).Result()
	switch {
	case isWrongType(err): // there is nothing to keep
	case err != nil:
		return found{}, err
	default:
		for i, to := range []*string{&f.head.commit, &f.head.spec, &f.head.last, &f.head.state} {
			*to, _ = raw[i].(string)
		}
	}
	return f, nil
}

// exec makes a model that has learned nothing the head.
func (r restart) exec(ctx context.Context, tx *redis.Tx, f found, nothing []byte) (Action, error) {
	name, before := r.spec.Name, f.head
	after := head{
		version: before.version + 1, spec: r.spec.Hash(), ids: "a", committed: f.now, commit: randomName(),
		warming: &warming{Token: randomName()},
	}
	commit := Commit{
		Version: after.version, Name: after.commit, Parent: before.commit, Kind: KindRestart, Spec: after.spec, At: after.committed,
	}
	action := Action{
		Kind: KindRestart, Model: name, By: r.by.Name, Reason: r.by.Reason,
		From: strconv.FormatUint(before.version, 10), To: strconv.FormatUint(after.version, 10),
	}
	var entry *redis.StringCmd
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		pipe.Unlink(ctx, headKey(name), idsKey(name, "a"), idsKey(name, "b")) // of whatever type they are
		after.write(ctx, pipe, name, nothing)
		entry, err = action.queue(ctx, pipe, auditKey(name))
		return errors.Join(err, r.keep(ctx, pipe, f), commit.queue(ctx, pipe, name, entryID(after.version, f.last), 0))
	})
	if err == nil {
		action.At = entryTime(entry.Val())
	}
	return action, err
}

// keep queues a snapshot of what is replaced: also of what this program cannot
// decode, as another may. Where there is one of that commit, it is that which is
// sound if only one of the two is.
func (r restart) keep(ctx context.Context, pipe redis.Pipeliner, f found) error {
	h := f.head
	if h.version == 0 || h.state == "" || h.count == 0 && f.broken == nil {
		return nil
	}
	version := strconv.FormatUint(h.version, 10)
	if s, err := parseSnapshot(version, f.index[version]); err == nil && s.Commit == h.commit {
		return nil
	}
	if h.commit == "" {
		h.commit = randomName()
	}
	drop := dropped(f.index, h.version, max(len(f.index), defaultSnapshots), math.MaxInt64, f.now)
	return h.snapshotted().queue(ctx, pipe, r.spec.Name, []byte(h.state), drop)
}
