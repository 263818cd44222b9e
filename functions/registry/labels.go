package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// queueLabels adds the ids of the labels of a commit, in the order they were
// learned in, inside of the transaction that makes it and with the id of its
// entry in the lineage. They are trimmed to about so many commits, as that is.
func queueLabels(ctx context.Context, pipe redis.Pipeliner, model, id string, ids []any, length int) error {
	encoded, err := json.Marshal(ids)
	pipe.XAdd(ctx, &redis.XAddArgs{
		Stream: labelsKey(model), ID: id, MaxLen: int64(length), Approx: true, Values: []any{entryJSON, encoded},
	})
	return err
}

// parseLabels reads an entry of the labels that commits have learned.
func parseLabels(entry redis.XMessage) ([]string, error) {
	var ids []*string
	if err := parseEntry(entry, &ids); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("has no labels")
	}
	labels := make([]string, len(ids))
	for i, id := range ids {
		if id == nil {
			return nil, errors.New("has a label without an id")
		}
		labels[i] = *id
	}
	return labels, nil
}

// laterID is the one of two ids of entries that came later; "" is none.
func laterID(a, b string) string {
	if a1, a2 := splitID(a); a != "" {
		if b1, b2 := splitID(b); b1 > a1 || b1 == a1 && b2 > a2 {
			return b
		}
		return a
	}
	return b
}

// labelsPage is how many commits' labels are read at a time: a commit has as
// many as fit into a batch.
const labelsPage = 200

// findLabel returns the id of the entry of the newest commit that has learned a
// label.
func findLabel(ctx context.Context, client redis.UniversalClient, model, label string) (string, error) {
	key := labelsKey(model)
	encoded, err := json.Marshal(label)
	if err != nil {
		return "", fmt.Errorf("registry: the label %.100q: %w", label, err)
	}
	for end := "+"; ; {
		entries, err := client.XRevRangeN(ctx, key, end, "-", labelsPage).Result()
		if err != nil {
			return "", readError(key, err)
		}
		for _, entry := range entries {
			if text, _ := entry.Values[entryJSON].(string); !strings.Contains(text, string(encoded)) {
				continue
			}
			ids, err := parseLabels(entry)
			if err != nil {
				return "", entryError(key, entry, err)
			}
			if slices.Contains(ids, label) {
				return entry.ID, nil
			}
		}
		if len(entries) < labelsPage {
			return "", notLearned(ctx, client, model, label)
		}
		end = "(" + entries[len(entries)-1].ID
	}
}

// notLearned is why a label is in none of the commits that are kept.
func notLearned(ctx context.Context, client redis.UniversalClient, model, label string) error {
	var a, b *redis.BoolCmd
	var first *redis.XMessageSliceCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) {
		a, b = pipe.SIsMember(ctx, idsKey(model, "a"), label), pipe.SIsMember(ctx, idsKey(model, "b"), label)
		first = pipe.XRangeN(ctx, labelsKey(model), "-", "+", 1)
	}); err != nil {
		return unavailable("look for a label of model "+model, err)
	}
	if !a.Val() && !b.Val() {
		return fmt.Errorf("%w: model %s has not learned the label %.100q, or too long ago to remember", ErrNotFound, model, label)
	}
	return fmt.Errorf("%w: model %s has learned the label %.100q, but the order of labels is %s: before, it was trimmed, or an earlier program learned, which kept none",
		ErrNotFound, model, label, keptFrom(first.Val()))
}

// keptFrom says which versions' labels are known, by the oldest entry.
func keptFrom(entries []redis.XMessage) string {
	if len(entries) == 0 {
		return "known of no version"
	}
	version, _ := splitID(entries[0].ID)
	return "known from version " + strconv.FormatUint(version, 10) + " on"
}

// readLabels returns what the commits of these entries have learned, by the
// entry. They are in the order of the stream.
func readLabels(ctx context.Context, client redis.UniversalClient, model string, entries []string) (map[string][]string, error) {
	learned := make(map[string][]string, len(entries))
	if len(entries) == 0 {
		return learned, nil
	}
	wanted := make(map[string]bool, len(entries))
	for _, id := range entries {
		wanted[id] = true
	}
	key := labelsKey(model)
	for start := entries[0]; ; {
		page, err := client.XRangeN(ctx, key, start, entries[len(entries)-1], labelsPage).Result()
		if err != nil {
			return nil, readError(key, err)
		}
		for _, entry := range page {
			if !wanted[entry.ID] {
				continue
			}
			if learned[entry.ID], err = parseLabels(entry); err != nil {
				return nil, entryError(key, entry, err)
			}
		}
		if len(page) < labelsPage {
			return learned, nil
		}
		start = "(" + page[len(page)-1].ID
	}
}
