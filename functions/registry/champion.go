package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Promote makes a model the champion in place of the one that is expected, or
// of whichever it is where expect is "". The model must be in the catalogue, or
// it is an ErrNotFound, and fit to be served, or it is a *StateError. One that is
// being warmed up is an ErrWarming. Where the champion is another than expected it
// is an ErrConflict.
//
// To promote the champion is no conflict, whoever made it that: nothing is
// written, and the Action's From is its To and its At is zero.
func Promote(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model, expect string, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	if err := served(ctx, client, c, model); err != nil {
		return Action{}, err
	}
	action := Action{Kind: KindPromote, Model: model, To: model, By: by.Name, Reason: by.Reason}
	return replaceChampion(ctx, client, c.Champion, expect, action)
}

// served returns why a model cannot be, if it cannot.
func served(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, model string) error {
	spec, err := find(c, model)
	if err != nil {
		return err
	}
	var cmd *redis.SliceCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) {
		cmd = readHead(ctx, pipe, model, true)
	}); err != nil {
		return unavailable("read model "+model, err)
	}
	h, err := headOf(model, cmd)
	if err != nil {
		return err
	}
	if h.warming != nil {
		return fmt.Errorf("%w: model %s is behind the labels, and is promoted once it is live", ErrWarming, model)
	}
	_, err = load(spec, h)
	return err
}

// find returns a model of the catalogue, or an ErrNotFound that lists them.
func find(c *online.Catalogue, model string) (online.Spec, error) {
	spec, ok := c.Find(model)
	if !ok {
		var names []string
		for _, spec := range c.Models {
			names = append(names, spec.Name)
		}
		return online.Spec{}, fmt.Errorf("%w: the catalogue has no model %.100q, its models are %s", ErrNotFound, model, strings.Join(names, ", "))
	}
	return spec, nil
}

// replaceChampion makes action.To the champion, with an entry in the audit
// trail, unless it is that. Nobody has named one where Redis has none: then it
// is fallback.
func replaceChampion(ctx context.Context, client redis.UniversalClient, fallback, expect string, action Action) (Action, error) {
	for attempt := 0; ; attempt++ {
		done, err := tryReplaceChampion(ctx, client, fallback, expect, action)
		var typed *typeError
		switch {
		case errors.Is(err, redis.TxFailedErr): // somebody else did: look again
			if err := sleep(ctx, attempt); err != nil {
				return Action{}, fmt.Errorf("%w: set champion: others were faster each time: %w", ErrBusy, err)
			}
			continue
		case err == nil:
			return done, nil
		case errors.Is(err, ErrConflict) || errors.As(err, &typed):
			return Action{}, err
		case isWrongType(err):
			return Action{}, readError(championKey, err)
		}
		return Action{}, unavailable("set champion", err)
	}
}

func tryReplaceChampion(ctx context.Context, client redis.UniversalClient, fallback, expect string, action Action) (Action, error) {
	err := client.Watch(ctx, func(tx *redis.Tx) error {
		champion, err := tx.Get(ctx, championKey).Result()
		if errors.Is(err, redis.Nil) {
			champion, err = fallback, nil
		}
		if err != nil {
			return err
		}
		action.From = champion
		if champion == action.To {
			return nil
		}
		if expect != "" && champion != expect {
			return fmt.Errorf("%w: the champion is %s by now, not %s", ErrConflict, champion, expect)
		}
		if err := notAStream(championAuditKey, tx.Type(ctx, championAuditKey)); err != nil {
			return err
		}
		var entry *redis.StringCmd
		_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
			pipe.Set(ctx, championKey, action.To, 0)
			entry, err = action.queue(ctx, pipe, championAuditKey)
			return err
		})
		if err == nil {
			action.At = entryTime(entry.Val())
		}
		return err
	}, championKey)
	return action, err
}

// sleep waits a random while, longer with every attempt, unless ctx is done.
func sleep(ctx context.Context, attempt int) error {
	select {
	case <-time.After(pause(attempt)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
