package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// install makes a state the next version of a model, in place of what is there:
// that of a snapshot, or one that is given. It is what Rollback and Import do.
type install struct {
	client redis.UniversalClient
	spec   online.Spec
	kind   string // of the commit and of the action: KindRollback or KindImport
	from   uint64 // the version whose state it is
	given  *given // nil where it is that of from's snapshot
	expect uint64 // the version that is to be replaced, 0 is whichever
	by     Actor
}

// given is a state that Redis need not have.
type given struct {
	Snapshot // which version it is
	state    string
}

// doing is what an error says that was being done.
func (i install) doing() string {
	if i.kind == KindImport {
		return "import into " + i.spec.Name
	}
	return "roll back " + i.spec.Name
}

// do tries until no learner is faster.
func (i install) do(ctx context.Context) (action Action, err error) {
	err = again(ctx, i.doing(), func() error {
		action, err = i.try(ctx)
		return err
	})
	if err != nil {
		return Action{}, err
	}
	return action, nil
}

func (i install) try(ctx context.Context) (Action, error) {
	action := Action{Kind: i.kind, Model: i.spec.Name, By: i.by.Name, Reason: i.by.Reason}
	err := i.client.Watch(ctx, func(tx *redis.Tx) error {
		f, err := i.look(ctx, tx)
		if err != nil {
			return err
		}
		if i.expect != 0 && f.head.version != i.expect {
			return fmt.Errorf("%w: model %s is at version %d by now, not at %d", ErrConflict, i.spec.Name, f.head.version, i.expect)
		}
		action.From, action.To = strconv.FormatUint(f.head.version, 10), strconv.FormatUint(i.from, 10)
		if i.kind == KindImport {
			action.To = strconv.FormatUint(f.head.version+1, 10)
		}
		entry, err := i.exec(ctx, tx, f, action)
		if err == nil {
			action.At = entryTime(entry)
		}
		return err
	}, headKey(i.spec.Name))
	return action, err
}

// look reads what is needed and whether it may be.
func (i install) look(ctx context.Context, tx *redis.Tx) (found, error) {
	name, version := i.spec.Name, strconv.FormatUint(i.from, 10)
	state := redis.NewStringCmd(ctx) // that of the snapshot, if it is to be one
	f, err := lookAt(ctx, tx, name, func(pipe redis.Pipeliner) {
		if i.given == nil {
			// Should a learner drop the snapshot in between, it is not in the index.
			state = pipe.Get(ctx, snapshotKey(name, version))
		}
	})
	if err != nil {
		return found{}, err
	}
	if err := foundError(name, snapshotKey(name, version), state.Err()); err != nil {
		return found{}, err
	}
	if f.target, err = i.target(f.index, version, state.Val()); err != nil {
		return found{}, err
	}
	switch {
	case f.broken != nil || f.head.version == 0:
		err = i.salvage(ctx, tx, &f)
		return f, err
	case f.head.warming != nil:
		return found{}, fmt.Errorf("%w: model %s can get another state once that has ended, or was abandoned", ErrWarming, name)
	}
	return f, nil
}

// target returns the state, if it can be that of the model.
func (i install) target(index map[string]string, version, state string) (given, error) {
	t := given{state: state}
	if i.given != nil {
		t = *i.given
	} else {
		entry, ok := index[version]
		if !ok {
			return given{}, fmt.Errorf("%w: model %s has no snapshot of version %s: %s", ErrNotFound, i.spec.Name, version, versions(index))
		}
		var err error
		if t.Snapshot, err = parseSnapshot(version, entry); err != nil {
			return given{}, &StateError{Model: i.spec.Name, Reason: "the key " + snapshotsKey(i.spec.Name) + " in Redis: " + err.Error()}
		}
	}
	if t.Spec != i.spec.Hash() {
		return given{}, &StateError{Model: i.spec.Name, Reason: fmt.Sprintf(
			"version %d belongs to specification %.12s, not to %.12s of the catalogue: it can be gone back to under the one it was learned under only", t.Version, t.Spec, i.spec.Hash(),
		)}
	}
	_, err := load(i.spec, head{version: t.Version, spec: t.Spec, state: t.state})
	return t, err
}

// salvage finds out what a head that is lost would say of the version and the
// ids: the newest of which something is known, and the set that takes ids, which is
// full in the one that does not.
func (i install) salvage(ctx context.Context, tx *redis.Tx, f *found) error {
	var a, b *redis.IntCmd
	if _, err := tx.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		a, b = pipe.SCard(ctx, idsKey(i.spec.Name, "a")), pipe.SCard(ctx, idsKey(i.spec.Name, "b"))
		return nil
	}); err != nil {
		return keyError(i.spec.Name, err)
	}
	f.head = head{version: f.newest(), ids: "a", idsN: uint64(a.Val())}
	if i.kind == KindRollback { // versions of another Redis mean nothing in this one
		f.head.version = max(f.head.version, f.target.Version)
	}
	if b.Val() > 0 && (a.Val() == 0 || b.Val() < a.Val()) {
		f.head.ids, f.head.idsN = "b", uint64(b.Val())
	}
	return nil
}

// exec makes the target the head, and returns the id of its audit entry.
func (i install) exec(ctx context.Context, tx *redis.Tx, f found, action Action) (string, error) {
	name, before := i.spec.Name, f.head
	after := head{
		version: before.version + 1, count: f.target.Count, spec: f.target.Spec, ids: before.ids, idsN: before.idsN,
		committed: f.now, commit: randomName(), snapshot: before.snapshot, last: f.target.Last, state: f.target.state,
	}
	if i.kind == KindImport {
		after.snapshot = f.now
	}
	commit := Commit{
		Version: after.version, Name: after.commit, Parent: before.commit, Kind: i.kind, From: i.from,
		Of: f.target.Commit, Count: after.count, Spec: after.spec, At: after.committed,
	}
	var entry *redis.StringCmd
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		pipe.Unlink(ctx, headKey(name)) // of whatever type it is
		after.write(ctx, pipe, name, []byte(after.state))
		entry, err = action.queue(ctx, pipe, auditKey(name))
		return errors.Join(err, i.keep(ctx, pipe, f, after), commit.queue(ctx, pipe, name, entryID(after.version, f.last), 0))
	})
	if err != nil {
		return "", err
	}
	return entry.Val(), nil
}

// keep queues a snapshot of what is replaced, so that it can be gone back to, and
// of what is imported, as no labels here lead to it. What is replaced is kept
// whether or not this program can decode it, as another may. There are no more
// snapshots than before, or a learner keeps by default.
func (i install) keep(ctx context.Context, pipe redis.Pipeliner, f found, after head) error {
	var fresh []head
	if _, kept := f.index[strconv.FormatUint(f.head.version, 10)]; !kept && f.head.state != "" {
		fresh = append(fresh, f.head)
	}
	if i.kind == KindImport {
		fresh = append(fresh, after)
	}
	if len(fresh) == 0 {
		return nil
	}
	others, reserved := maps.Clone(f.index), len(fresh)
	if i.given == nil { // what was gone back to stays
		delete(others, strconv.FormatUint(i.from, 10))
		reserved++
	}
	count := max(len(f.index), defaultSnapshots) - reserved + 1
	drop := dropped(others, fresh[len(fresh)-1].version, count, math.MaxInt64, f.now)
	for n, h := range fresh {
		if n > 0 {
			drop = nil
		}
		if err := h.snapshotted().queue(ctx, pipe, i.spec.Name, []byte(h.state), drop); err != nil {
			return err
		}
	}
	return nil
}
