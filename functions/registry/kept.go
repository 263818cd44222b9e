package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Kept is a version of a model whose state is at hand: where the model is now, a
// snapshot, or what a file has.
type Kept struct {
	Spec     online.Spec // that the state belongs to
	Snapshot Snapshot    // which version it is; version 0 has learned nothing
	State    []byte      // what has been learned; not to be changed
}

// Read returns a version of a model: where it is now, which is version 0, or one
// that there is a snapshot of. A model or a version that is not there is an
// ErrNotFound. The state is what Redis has: Pipeline says whether it is sound.
func Read(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model string, version uint64) (*Kept, error) {
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return nil, err
	}
	spec, err := find(c, model)
	if err != nil {
		return nil, err
	}
	field := strconv.FormatUint(version, 10)
	var headCmd *redis.SliceCmd
	var index *redis.MapStringStringCmd
	var state *redis.StringCmd
	_, failed := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error { // each says what became of it
		headCmd = readHead(ctx, pipe, model, true)
		index = pipe.HGetAll(ctx, snapshotsKey(model))
		state = pipe.Get(ctx, snapshotKey(model, field))
		return nil
	})
	h, broken := headOf(model, headCmd)
	switch {
	case failed != nil && !isWrongType(failed) && !errors.Is(failed, redis.Nil):
		return nil, unavailable("read model "+model, failed)
	case broken != nil && version == 0:
		return nil, broken
	case broken == nil && (version == 0 || version == h.version):
		k := &Kept{Spec: spec, Snapshot: h.snapshotted(), State: []byte(h.state)}
		if h.version == 0 {
			k.Snapshot.Spec = spec.Hash()
		}
		k.Snapshot.StateBytes = len(k.State)
		return k, nil
	}
	if err := readError(snapshotsKey(model), index.Err()); err != nil {
		return nil, err
	}
	entry, ok := index.Val()[field]
	if !ok {
		return nil, fmt.Errorf("%w: model %s is at version %d, and has no snapshot of version %s: %s", ErrNotFound, model, h.version, field, versions(index.Val()))
	}
	s, err := parseSnapshot(field, entry)
	if err != nil {
		return nil, &StateError{Model: model, Reason: "the key " + snapshotsKey(model) + " in Redis: " + err.Error()}
	}
	if err := state.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, readError(snapshotKey(model, field), err)
	}
	return &Kept{Spec: spec, Snapshot: s, State: []byte(state.Val())}, nil
}

// Pipeline returns the model with what it has learned. A state that does not
// decode, or that belongs to another specification, is a *StateError.
func (k *Kept) Pipeline() (*online.Pipeline, error) {
	return load(k.Spec, head{version: k.Snapshot.Version, spec: k.Snapshot.Spec, state: string(k.State)})
}
