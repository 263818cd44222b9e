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
// is an ErrConflict, as it is where a catalogue without the model is applied
// meanwhile.
//
// To promote the champion is no conflict, whoever made it that: it is written that
// somebody wants it to be, and the Action's From is its To. Succeed holds on to it
// from then on, and forgets what it has judged.
func Promote(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model, expect string, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	if _, err := served(ctx, client, c, model); err != nil {
		return Action{}, err
	}
	action, err := replaceChampion(ctx, client, replacement{
		Action: Action{Kind: KindPromote, Model: model, To: model, By: by.Name, Reason: by.Reason},
		served: func(named string) string { return leader(c, named) }, expect: expect,
	})
	if err != nil {
		return Action{}, err
	}
	// The catalogue and the model are in other slots than the champion, and may be
	// others by now. Who restarts a model looks whether it is the champion as well.
	if c, _, err = readCatalogue(ctx, client, kinds); err != nil {
		return Action{}, err
	}
	switch _, err := served(ctx, client, c, model); {
	case errors.Is(err, ErrNotFound):
		return Action{}, fmt.Errorf("%w: a catalogue without model %s was applied meanwhile, and %s is served", ErrConflict, model, leader(c, model))
	case errors.Is(err, ErrWarming):
		return Action{}, fmt.Errorf("%w: model %s is the champion, and was restarted meanwhile: promote another one", ErrConflict, model)
	case errors.Is(err, ErrUnavailable):
		return Action{}, err
	}
	return action, nil
}

// leader is who is served where the champion's key names a model: that one, or
// the catalogue's champion where the catalogue does not have it.
func leader(c *online.Catalogue, named string) string {
	if _, ok := c.Find(named); ok {
		return named
	}
	return c.Champion
}

// namedChampion is what the champion's key holds, "" for nothing.
func namedChampion(ctx context.Context, client redis.Cmdable) (string, error) {
	named, err := client.Get(ctx, championKey).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return named, readError(championKey, err)
}

// served returns the head of a model that can be, or why it cannot.
func served(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, model string) (head, error) {
	spec, err := find(c, model)
	if err != nil {
		return head{}, err
	}
	var cmd *redis.SliceCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) {
		cmd = readHead(ctx, pipe, model, true)
	}); err != nil {
		return head{}, unavailable("read model "+model, err)
	}
	h, err := headOf(model, cmd)
	if err != nil {
		return head{}, err
	}
	if h.warming != nil {
		return head{}, fmt.Errorf("%w: model %s is behind the labels, and is promoted once it is live", ErrWarming, model)
	}
	if _, err = load(spec, h); err != nil {
		return head{}, err
	}
	return h, nil
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

// replacement is an action that makes action.To the champion.
type replacement struct {
	Action
	served func(named string) string // who is the champion where the key names this one
	expect string                    // who it has to be, if not ""
}

// replaceChampion does it, with an entry in the audit trail.
func replaceChampion(ctx context.Context, client redis.UniversalClient, r replacement) (Action, error) {
	for attempt := 0; ; attempt++ {
		var done Action
		err := watch(ctx, client, "set champion", func(tx *redis.Tx) (err error) {
			done, err = r.do(ctx, tx)
			return err
		})
		switch {
		case err == nil:
			return done, nil
		case !errors.Is(err, redis.TxFailedErr):
			return Action{}, err
		}
		if err := sleep(ctx, attempt); err != nil { // somebody else did: look again
			return Action{}, fmt.Errorf("%w: set champion: others were faster each time: %w", ErrBusy, err)
		}
	}
}

// do replaces the champion in a transaction.
func (r replacement) do(ctx context.Context, tx *redis.Tx) (Action, error) {
	named, err := namedChampion(ctx, tx)
	if err != nil {
		return Action{}, err
	}
	action := r.Action
	action.From = r.served(named)
	if r.expect != "" && action.From != r.expect && action.From != action.To {
		return Action{}, fmt.Errorf("%w: the champion is %s by now, not %s", ErrConflict, action.From, r.expect)
	}
	newest, err := newestAction(ctx, tx)
	if err != nil {
		return Action{}, err
	}
	// A catalogue that is applied once more, as it was cut short, says nothing new.
	if action.Kind == KindApply && action.From == action.To && newest.By != ByProposal {
		return action, nil
	}
	var entry *redis.StringCmd
	if _, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) (err error) {
		pipe.Set(ctx, championKey, action.To, 0)
		// From here on candidates are judged as if none had been before: the way out
		// where one was that is of the future.
		pipe.Del(ctx, successionKey)
		entry, err = action.queue(ctx, pipe, championAuditKey)
		return err
	}); err != nil {
		return Action{}, err
	}
	action.At = entryTime(entry.Val())
	return action, nil
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
