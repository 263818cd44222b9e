package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// What a Commit and an Action can be.
const (
	KindLearn    = "learn"    // a commit of labels
	KindWarmUp   = "warm-up"  // a commit of labels that were replayed, and the action of going live after the last
	KindRestart  = "restart"  // a commit of nothing learned, and the action behind it
	KindAbandon  = "abandon"  // an action: a warm-up was given up, and its model went live
	KindRollback = "rollback" // a commit of what a snapshot had, and the action behind it
	KindImport   = "import"   // a commit of what a file had, and the action behind it
	KindPromote  = "promote"  // an action: somebody named the champion
	KindApply    = "apply"    // an action: a catalogue named the champion
)

// Commit is one version of a model and how it came about.
type Commit struct {
	Version uint64    `json:"version"`
	Name    string    `json:"name"`             // random: versions count again where Redis lost its last writes
	Parent  string    `json:"parent,omitempty"` // the name of the commit before, "" of the first
	Kind    string    `json:"kind"`             // KindLearn, KindWarmUp, KindRestart, KindRollback or KindImport
	From    uint64    `json:"from,omitempty"`   // of a rollback or an import: the version whose state it is
	Of      string    `json:"of,omitempty"`     // and the name of the commit that made it; an import's need not be of this model
	Labels  int       `json:"labels"`           // how many it has learned
	First   string    `json:"first,omitempty"`  // their ids, in the order they were learned in
	Last    string    `json:"last,omitempty"`
	Count   uint64    `json:"count"` // labels behind the state
	Spec    string    `json:"spec"`  // hash of the specification
	At      time.Time `json:"at"`    // by Redis's clock
}

// Lineage returns a model's newest commits, the newest first, all that are kept
// if limit is not positive. A model that nobody knows has none.
func Lineage(ctx context.Context, client redis.UniversalClient, model string, limit int) ([]Commit, error) {
	key := lineageKey(model)
	entries, err := newestEntries(ctx, client, key, limit)
	if err != nil {
		return nil, err
	}
	commits := make([]Commit, len(entries))
	for i, entry := range entries {
		if commits[i], err = parseCommit(entry); err != nil {
			return nil, entryError(key, entry, err)
		}
	}
	return commits, nil
}

// LineageSince returns the commits after a version, the oldest first and at
// most limit of them, all if it is not positive. Whoever goes on with the last
// version that was returned follows a model; commits that have been trimmed
// meanwhile are missed, which a Parent that is not the Name before tells.
func LineageSince(ctx context.Context, client redis.UniversalClient, model string, after uint64, limit int) ([]Commit, error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	key := lineageKey(model)
	var commits []Commit
	for start := fmt.Sprintf("%d-0", after); ; {
		entries, err := client.XRangeN(ctx, key, start, "+", int64(limit)).Result()
		if err != nil {
			return nil, readError(key, err)
		}
		for _, entry := range entries {
			c, err := parseCommit(entry)
			if err != nil {
				return nil, entryError(key, entry, err)
			}
			if c.Version > after { // one may count again: see entryID
				commits = append(commits, c)
			}
			if len(commits) == limit {
				return commits, nil
			}
		}
		if len(entries) < limit {
			return commits, nil
		}
		start = "(" + entries[len(entries)-1].ID
	}
}

// queue adds a commit to the lineage, inside of the transaction that makes it.
// The lineage is trimmed to about so many commits, unless that is 0.
func (c Commit) queue(ctx context.Context, pipe redis.Pipeliner, model, id string, length int) error {
	encoded, err := json.Marshal(c)
	pipe.XAdd(ctx, &redis.XAddArgs{
		Stream: lineageKey(model), ID: id, MaxLen: int64(length), Approx: true, Values: []any{entryJSON, encoded},
	})
	return err
}

// entryID is the id of a version's entry, in a stream whose newest entry is
// last ("" if it has none). It begins with the version, so that one can be
// found, but where versions count again as the head was put back by hand: a
// stream takes no lower id than its last, and what was there is not forgotten.
func entryID(version uint64, last string) string {
	if at, n := splitID(last); at >= version {
		return fmt.Sprintf("%d-%d", at, n+1)
	}
	return fmt.Sprintf("%d-0", version)
}

// full reports whether a stream that ends with this id takes no other.
func full(last string) bool {
	_, n := splitID(last)
	return n == math.MaxUint64
}

// splitID returns the two numbers of an id of Redis's, 0 and 0 of none.
func splitID(id string) (first, second uint64) {
	a, b, _ := strings.Cut(id, "-")
	first, _ = strconv.ParseUint(a, 10, 64)
	second, _ = strconv.ParseUint(b, 10, 64)
	return first, second
}

// parseCommit reads an entry of a lineage.
func parseCommit(entry redis.XMessage) (Commit, error) {
	var c Commit
	if err := parseEntry(entry, &c); err != nil {
		return Commit{}, err
	}
	if c.Version == 0 || c.Name == "" || c.Kind == "" || c.Labels < 0 {
		return Commit{}, errors.New("is not a commit")
	}
	return c, nil
}

// entryJSON is the one field of an entry. Many fields would be as readable, and
// cost a commit more.
const entryJSON = "json"

func parseEntry(entry redis.XMessage, to any) error {
	encoded, ok := entry.Values[entryJSON].(string)
	if !ok {
		return errors.New("has no field " + entryJSON)
	}
	if err := json.Unmarshal([]byte(encoded), to); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return nil
}

// newestEntries reads a stream backwards.
func newestEntries(ctx context.Context, client redis.UniversalClient, key string, limit int) ([]redis.XMessage, error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	entries, err := client.XRevRangeN(ctx, key, "+", "-", int64(limit)).Result()
	return entries, readError(key, err)
}

func entryError(key string, entry redis.XMessage, err error) error {
	return fmt.Errorf("registry: entry %s of the key %s in Redis %w", entry.ID, key, err)
}

// readError is what an error on a key of the history means.
func readError(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case isWrongType(err):
		return fmt.Errorf("registry: the key %s in Redis: %w", key, err)
	}
	return unavailable("read "+key, err)
}

// typeError is a key that is not what it should be.
type typeError struct{ key, is string }

func (e *typeError) Error() string {
	return fmt.Sprintf("registry: the key %s in Redis is a %s and not a stream", e.key, e.is)
}

// notAStream returns a *typeError if a key can take no entry, by what TYPE says.
func notAStream(key string, is *redis.StatusCmd) error {
	if err := is.Err(); err != nil {
		return err
	}
	if is.Val() != "stream" && is.Val() != "none" {
		return &typeError{key, is.Val()}
	}
	return nil
}
