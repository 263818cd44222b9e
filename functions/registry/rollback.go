package registry

import (
	"context"
	"fmt"

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
// they are delivered again. What was there is kept as a snapshot of its own,
// sound or not. A model whose state is broken, or whose head is, is whole again.
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
	i := install{client: client, spec: spec, kind: KindRollback, from: to, expect: expect, by: by}
	return i.do(ctx)
}

// RollbackRebuilt is a Rollback to a version of which no snapshot need be kept:
// what Rebuild has made of its labels becomes the next version of its model, just
// as a snapshot of it would. What was rebuilt to right after a label within a
// commit was never a version, and is an error.
func RollbackRebuilt(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, r *Rebuilt, expect uint64, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	if r.Partial {
		return Action{}, fmt.Errorf("registry: roll back %s to what it was within the commit of version %d: only whole versions can be gone back to", r.model, r.Version)
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	spec, err := find(c, r.model)
	if err != nil {
		return Action{}, err
	}
	i := install{
		client: client, spec: spec, kind: KindRollback, from: r.Version, expect: expect, by: by,
		given: &given{Snapshot: r.of, state: string(r.State)},
	}
	return i.do(ctx)
}
