package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// found is what Redis holds of a model that is to get a state.
type found struct {
	head   head
	broken error // why the head cannot be read, if it cannot
	index  map[string]string
	target given
	last   string // id of the newest entry of the lineage
	now    time.Time
}

// lookAt reads that, and in the same round trip what is queued to be read before the
// index of snapshots: learners go on meanwhile. The target is not looked for.
func lookAt(ctx context.Context, tx *redis.Tx, model string, before func(redis.Pipeliner)) (found, error) {
	var headCmd *redis.SliceCmd
	var index *redis.MapStringStringCmd
	var lineage *redis.XMessageSliceCmd
	var audit *redis.StatusCmd
	var clock *redis.TimeCmd
	_, _ = tx.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each says what became of it
		headCmd = readHead(ctx, pipe, model, true)
		before(pipe)
		index = pipe.HGetAll(ctx, snapshotsKey(model))
		lineage = pipe.XRevRangeN(ctx, lineageKey(model), "+", "-", 1)
		audit = pipe.Type(ctx, auditKey(model))
		clock = pipe.Time(ctx)
		return nil
	})
	if err := cmp.Or(
		foundError(model, snapshotsKey(model), index.Err()), foundError(model, lineageKey(model), lineage.Err()),
		clock.Err(), notAStream(auditKey(model), audit),
	); err != nil {
		return found{}, err
	}
	f := found{index: index.Val(), now: date(clock.Val())}
	if len(lineage.Val()) > 0 {
		f.last = lineage.Val()[0].ID
	}
	if f.head, f.broken = headOf(model, headCmd); errors.Is(f.broken, ErrUnavailable) {
		return found{}, f.broken
	}
	return f, nil
}

// foundError is what an error on a key of a model means that need not be there.
func foundError(model, key string, err error) error {
	switch {
	case isWrongType(err):
		return &StateError{Model: model, Reason: fmt.Sprintf("the key %s in Redis: %v", key, err)}
	case errors.Is(err, redis.Nil):
		return nil
	}
	return err
}

// newest is the newest version that the lineage or a snapshot tells of, but for what
// no model has come to, after which there would soon be none.
func (f found) newest() uint64 {
	const most = math.MaxInt64 / 2
	version, _ := splitID(f.last)
	if version > most {
		version = 0
	}
	for field, entry := range f.index {
		if s, err := parseSnapshot(field, entry); err == nil && s.Version <= most {
			version = max(version, s.Version)
		}
	}
	return version
}
