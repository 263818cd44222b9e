package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// transaction runs fn on a connection of its own, to the server that has the
// model. It is look that watches the keys, in the round trip that it needs anyway.
func (w *worker) transaction(ctx context.Context, fn func(*redis.Tx) error) error {
	switch client := w.client.(type) {
	case *redis.Client:
		return w.unwatched(ctx, client, fn)
	case *redis.ClusterClient:
		server, err := client.MasterForKey(ctx, headKey(w.spec.Name))
		if err != nil {
			return err
		}
		if err = w.unwatched(ctx, server, fn); err != nil && !errors.Is(err, redis.TxFailedErr) {
			client.ReloadState(ctx) // another server may have it by now
		}
		return err
	}
	return w.client.Watch(ctx, fn, headKey(w.spec.Name))
}

// unwatched runs fn and leaves the connection without keys that are watched.
func (w *worker) unwatched(ctx context.Context, server *redis.Client, fn func(*redis.Tx) error) error {
	w.watching = false
	return server.Watch(ctx, func(tx *redis.Tx) error {
		err := fn(tx)
		if w.watching { // the client does not know of it, and gives the connection to others
			_ = tx.Unwatch(ctx).Err()
		}
		return err
	})
}

// again makes a change in a transaction, as often as somebody else is faster. On an
// ErrUnavailable it may have been made.
func again(ctx context.Context, doing string, try func() error) error {
	for attempt := 0; ; attempt++ {
		err := try()
		var typed *typeError
		switch {
		case err == nil || isOurs(err) || errors.As(err, &typed):
			return err
		case errors.Is(err, redis.TxFailedErr):
			if err := sleep(ctx, attempt); err != nil {
				return fmt.Errorf("%w: %s: others were faster each time: %w", ErrBusy, doing, context.Cause(ctx))
			}
		case errors.Is(ctx.Err(), context.Canceled): // nobody has waited for Redis
			return fmt.Errorf("registry: %s: %w", doing, context.Cause(ctx))
		default:
			return unavailable(doing, err)
		}
	}
}

// isOurs tells the errors of this package from those of the client.
func isOurs(err error) bool {
	var state *StateError
	var panicked *PanicError
	return errors.As(err, &state) || errors.As(err, &panicked) ||
		errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBusy) || errors.Is(err, ErrConflict) || errors.Is(err, ErrWarming) ||
		errors.Is(err, ErrNotFound) || errors.Is(err, errNotJoined)
}
