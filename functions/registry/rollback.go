package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Rollback goes back to the state of a snapshot: it becomes a new version of
// its model, in place of the version that is expected, or of whichever it is
// where expect is 0. Learners and readers go on from there by themselves.
//
// The model has then learned as many labels as its state has: Count is that of
// the snapshot. Their ids stay learned, and so do those of the labels that were
// learned since: they are what one wants to be rid of, and do not come back when
// they are delivered again. What was there is kept as a snapshot of its own, if
// it is sound. A model whose state is broken, or whose head is, is whole again.
//
// A model or a snapshot that is not there is an ErrNotFound, another version
// than expected an ErrConflict, a model that is being warmed up an ErrWarming. A
// snapshot that does not decode, or belongs to another specification than the
// catalogue's, is a *StateError, and nothing is changed.
//
// Going back to before a restart brings back the state and not the ids, which the
// restart has forgotten: a label that it has learned, and that is delivered again,
// is learned again, unless a WarmUp has come to it since.
func Rollback(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model string, to, expect uint64, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	spec, err := find(c, model)
	if err != nil {
		return Action{}, err
	}
	r := rollback{client: client, spec: spec, to: to, expect: expect, by: by}
	for attempt := 0; ; attempt++ {
		action, err := r.try(ctx)
		var typed *typeError
		switch {
		case errors.Is(err, redis.TxFailedErr): // a learner was faster
			if err := sleep(ctx, attempt); err != nil {
				return Action{}, fmt.Errorf("%w: roll back %s: learners were faster each time: %w", ErrBusy, model, err)
			}
			continue
		case err == nil:
			return action, nil
		case isOurs(err) || errors.As(err, &typed) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict):
			return Action{}, err
		}
		return Action{}, unavailable("roll back "+model, err)
	}
}

// rollback is one that is to be done.
type rollback struct {
	client     redis.UniversalClient
	spec       online.Spec
	to, expect uint64
	by         Actor
}

// found is what Redis holds of a model that is to be rolled back.
type found struct {
	head   head
	broken error // why the head cannot be loaded, if it cannot
	index  map[string]string
	target Snapshot
	state  string // of the target
	last   string // id of the newest entry of the lineage
	now    time.Time
}

func (r rollback) try(ctx context.Context) (Action, error) {
	action := Action{
		Kind: KindRollback, Model: r.spec.Name, To: strconv.FormatUint(r.to, 10), By: r.by.Name, Reason: r.by.Reason,
	}
	err := r.client.Watch(ctx, func(tx *redis.Tx) error {
		f, err := r.look(ctx, tx)
		if err != nil {
			return err
		}
		if r.expect != 0 && f.head.version != r.expect {
			return fmt.Errorf("%w: model %s is at version %d by now, not at %d", ErrConflict, r.spec.Name, f.head.version, r.expect)
		}
		action.From = strconv.FormatUint(f.head.version, 10)
		entry, err := r.exec(ctx, tx, f, action)
		if err == nil {
			action.At = entryTime(entry)
		}
		return err
	}, headKey(r.spec.Name))
	return action, err
}

// look reads what a rollback needs and whether it may be.
func (r rollback) look(ctx context.Context, tx *redis.Tx) (found, error) {
	name, version := r.spec.Name, strconv.FormatUint(r.to, 10)
	var headCmd *redis.SliceCmd
	var index *redis.MapStringStringCmd
	var state *redis.StringCmd
	var lineage *redis.XMessageSliceCmd
	var audit *redis.StatusCmd
	var clock *redis.TimeCmd
	_, _ = tx.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each says what became of it
		headCmd = readHead(ctx, pipe, name, true)
		// Should a learner drop the snapshot in between, it is not in the index.
		state = pipe.Get(ctx, snapshotKey(name, version))
		index = pipe.HGetAll(ctx, snapshotsKey(name))
		lineage = pipe.XRevRangeN(ctx, lineageKey(name), "+", "-", 1)
		audit = pipe.Type(ctx, auditKey(name))
		clock = pipe.Time(ctx)
		return nil
	})
	for key, cmd := range map[string]redis.Cmder{
		snapshotsKey(name): index, snapshotKey(name, version): state, lineageKey(name): lineage, "": clock,
	} {
		switch err := cmd.Err(); {
		case isWrongType(err):
			return found{}, &StateError{Model: name, Reason: fmt.Sprintf("the key %s in Redis: %v", key, err)}
		case err != nil && !errors.Is(err, redis.Nil):
			return found{}, err
		}
	}
	if err := notAStream(auditKey(name), audit); err != nil {
		return found{}, err
	}
	f := found{index: index.Val(), state: state.Val(), now: date(clock.Val())}
	if len(lineage.Val()) > 0 {
		f.last = lineage.Val()[0].ID
	}
	var err error
	if f.target, err = r.target(f, version); err != nil {
		return found{}, err
	}
	f.head, f.broken = headOf(name, headCmd)
	switch {
	case errors.Is(f.broken, ErrUnavailable):
		return found{}, f.broken
	case f.broken != nil || f.head.version == 0:
		err = salvage(ctx, tx, name, &f)
		return f, err
	}
	if f.head.warming != nil {
		return found{}, fmt.Errorf("%w: model %s can be rolled back once that has ended, or was abandoned", ErrWarming, name)
	}
	_, f.broken = load(r.spec, f.head)
	return f, nil
}

// salvage finds out what a head that is lost would say of the version and the
// ids: the newest in the lineage, and the set that takes ids, which is full in
// the one that does not.
func salvage(ctx context.Context, tx *redis.Tx, model string, f *found) error {
	var a, b *redis.IntCmd
	if _, err := tx.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		a, b = pipe.SCard(ctx, idsKey(model, "a")), pipe.SCard(ctx, idsKey(model, "b"))
		return nil
	}); err != nil {
		return keyError(model, err)
	}
	version, _ := splitID(f.last)
	f.head = head{version: max(version, f.target.Version), ids: "a", idsN: uint64(a.Val())}
	if b.Val() > 0 && (a.Val() == 0 || b.Val() < a.Val()) {
		f.head.ids, f.head.idsN = "b", uint64(b.Val())
	}
	return nil
}

// target returns the snapshot, if its state can be that of the model.
func (r rollback) target(f found, version string) (Snapshot, error) {
	entry, ok := f.index[version]
	if !ok {
		return Snapshot{}, fmt.Errorf("%w: model %s has no snapshot of version %s: %s", ErrNotFound, r.spec.Name, version, versions(f.index))
	}
	s, err := parseSnapshot(version, entry)
	if err != nil {
		return Snapshot{}, &StateError{Model: r.spec.Name, Reason: "the key " + snapshotsKey(r.spec.Name) + " in Redis: " + err.Error()}
	}
	if s.Spec != r.spec.Hash() {
		return Snapshot{}, &StateError{Model: r.spec.Name, Reason: fmt.Sprintf(
			"the snapshot of version %s belongs to specification %.12s, not to %.12s of the catalogue: it can be gone back to under the one it was learned under only", version, s.Spec, r.spec.Hash(),
		)}
	}
	_, err = load(r.spec, head{version: s.Version, spec: s.Spec, state: f.state})
	return s, err
}

// exec makes the target the head, and returns the id of its audit entry.
func (r rollback) exec(ctx context.Context, tx *redis.Tx, f found, action Action) (string, error) {
	name, before := r.spec.Name, f.head
	after := head{
		version: before.version + 1, count: f.target.Count, spec: f.target.Spec, ids: before.ids, idsN: before.idsN,
		committed: f.now, commit: randomName(), snapshot: before.snapshot, last: f.target.Last,
	}
	commit := Commit{
		Version: after.version, Name: after.commit, Parent: before.commit, Kind: KindRollback, From: r.to,
		Of: f.target.Commit, Count: after.count, Spec: after.spec, At: after.committed,
	}
	var entry *redis.StringCmd
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		pipe.Unlink(ctx, headKey(name)) // of whatever type it is
		after.write(ctx, pipe, name, []byte(f.state))
		entry, err = action.queue(ctx, pipe, auditKey(name))
		return errors.Join(err, r.keep(ctx, pipe, f), commit.queue(ctx, pipe, name, entryID(after.version, f.last), 0))
	})
	if err != nil {
		return "", err
	}
	return entry.Val(), nil
}

// keep queues a snapshot of what is replaced, so that a rollback can be rolled
// back. There are no more snapshots than before it, or a learner would keep.
func (r rollback) keep(ctx context.Context, pipe redis.Pipeliner, f found) error {
	h := f.head
	if _, kept := f.index[strconv.FormatUint(h.version, 10)]; kept || f.broken != nil || h.commit == "" {
		return nil
	}
	others := maps.Clone(f.index)
	delete(others, strconv.FormatUint(r.to, 10))
	room := max(len(f.index), defaultSnapshots) - 1
	drop := dropped(others, h.version, room, math.MaxInt64, f.now)
	return h.snapshotted().queue(ctx, pipe, r.spec.Name, []byte(h.state), drop)
}
