package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// Actor is who does something to a model, and why.
type Actor struct {
	Name   string // at most 100 characters, not empty
	Reason string // at most 500 characters, may be empty
}

const (
	maxName   = 100
	maxReason = 500
)

// check refuses what does not belong into a line of the audit trail, and the name of
// what is nobody.
func (a Actor) check() error {
	if strings.EqualFold(strings.TrimSpace(a.Name), ByProposal) {
		return fmt.Errorf("%w: %q is what the audit trail calls a proposal: say who you are", ErrActor, a.Name)
	}
	return a.checkText()
}

func (a Actor) checkText() error {
	if strings.TrimSpace(a.Name) == "" {
		return fmt.Errorf("%w: it has no name", ErrActor)
	}
	for _, part := range []struct {
		what, text string
		longest    int
	}{{"name", a.Name, maxName}, {"reason", a.Reason, maxReason}} {
		if n := utf8.RuneCountInString(part.text); n > part.longest {
			return fmt.Errorf("%w: its %s has %d characters, at most %d may be", ErrActor, part.what, n, part.longest)
		}
		if !utf8.ValidString(part.text) || strings.ContainsFunc(part.text, unprintable) {
			return fmt.Errorf("%w: its %s %.100q has characters that are not text of one line", ErrActor, part.what, part.text)
		}
	}
	return nil
}

// unprintable characters end a line or change how the rest of it is shown.
func unprintable(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Action is an entry of the audit trail: something that was done to the models
// by hand or by a catalogue.
type Action struct {
	At     time.Time `json:"at,omitzero"` // by Redis's clock
	Kind   string    `json:"kind"`        // KindPromote, KindApply, KindRollback, KindImport, KindRestart, KindWarmUp or KindAbandon
	Model  string    `json:"model"`
	From   string    `json:"from"` // the champion or version that was replaced, or the champion that somebody wants to stay
	To     string    `json:"to"`   // the champion now, the version gone back to, or that an import became
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

// auditLength bounds each part of the audit trail.
const auditLength = 10_000

// Audit returns the newest actions, the newest first, all that are kept if
// limit is not positive: of the champion, and of every model that has ever been
// in the catalogue.
func Audit(ctx context.Context, client redis.UniversalClient, limit int) ([]Action, error) {
	names, err := everyModel(ctx, client)
	if err != nil {
		return nil, err
	}
	keys := []string{championAuditKey}
	for _, name := range names {
		keys = append(keys, auditKey(name))
	}
	actions := []Action{}
	for _, key := range keys {
		entries, err := newestEntries(ctx, client, key, limit)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			a, err := parseAction(entry)
			if err != nil {
				return nil, entryError(key, entry, err)
			}
			actions = append(actions, a)
		}
	}
	slices.SortStableFunc(actions, func(a, b Action) int { return b.At.Compare(a.At) })
	if limit > 0 && len(actions) > limit {
		actions = actions[:limit]
	}
	return actions, nil
}

// everyModel returns the names of the models that are, or have been, in the catalogue.
func everyModel(ctx context.Context, client redis.UniversalClient) ([]string, error) {
	var members *redis.StringSliceCmd
	var encoded *redis.StringCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) {
		members = pipe.SMembers(ctx, modelsKey)
		encoded = pipe.HGet(ctx, catalogueKey, catalogueJSON)
	}); err != nil {
		return nil, unavailable("read the names of the models", err)
	}
	if err := members.Err(); err != nil {
		return nil, readError(modelsKey, err)
	}
	names := members.Val()
	if err := encoded.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, readError(catalogueKey, err)
	} else if err == nil { // one that was applied before there was a set of names
		var catalogue struct{ Models []struct{ Name string } }
		if err := json.Unmarshal([]byte(encoded.Val()), &catalogue); err != nil {
			return nil, fmt.Errorf("registry: the catalogue in Redis: %w", err)
		}
		for _, m := range catalogue.Models {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// queue adds an action to the audit trail, inside of the transaction that does
// it. When it was is in the id that Redis gives it.
func (a Action) queue(ctx context.Context, pipe redis.Pipeliner, key string) (*redis.StringCmd, error) {
	encoded, err := json.Marshal(a)
	return pipe.XAdd(ctx, &redis.XAddArgs{
		Stream: key, MaxLen: auditLength, Approx: true, Values: []any{entryJSON, encoded},
	}), err
}

// parseAction reads an entry of the audit trail.
func parseAction(entry redis.XMessage) (Action, error) {
	var a Action
	if err := parseEntry(entry, &a); err != nil {
		return Action{}, err
	}
	if a.Kind == "" || a.Model == "" {
		return Action{}, errors.New("is not an action")
	}
	a.At = entryTime(entry.ID)
	return a, nil
}

// entryTime is when Redis gave an entry its id.
func entryTime(id string) time.Time {
	ms, _ := splitID(id)
	return time.UnixMilli(int64(min(ms, lastMillisecond))).UTC()
}
