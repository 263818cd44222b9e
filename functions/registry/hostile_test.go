package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// contents are what a key may hold that is not what it should be, by what it is.
var contents = map[string]func(context.Context, redis.UniversalClient, string) error{
	"string": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.Set(ctx, key, "\xff\x00random", 0).Err()
	},
	"huge string": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.Set(ctx, key, strings.Repeat("x", 8<<20), 0).Err()
	},
	"list": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.RPush(ctx, key, "x").Err()
	},
	"set": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.SAdd(ctx, key, "x").Err()
	},
	"hash": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.HSet(ctx, key, "x", "\xff").Err()
	},
	"stream": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: "1-1", Values: []any{"x", "\xff"}}).Err()
	},
	"full stream": func(ctx context.Context, c redis.UniversalClient, key string) error {
		last := fmt.Sprintf("%d-%d", uint64(math.MaxUint64), uint64(math.MaxUint64))
		return c.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: last, Values: []any{"x", "x"}}).Err()
	},
	"nothing": func(context.Context, redis.UniversalClient, string) error { return nil },
}

// Whatever a key of a model holds, learn and predict report it at most, and go on
// with the others. The label is done with, and never in the model twice.
func testHostileKeys(t *testing.T, s store) {
	keys := []struct {
		key  string
		fits string // the contents that learn goes on from, all if empty
	}{
		{headKey("bad"), "hash nothing"}, // without a field of ours it is a model that has learned nothing
		{idsKey("bad", "a"), "set nothing"},
		{idsKey("bad", "b"), "set nothing"},
		{lineageKey("bad"), "stream nothing"},
		{labelsKey("bad"), "stream nothing"},
		{snapshotsKey("bad"), "hash nothing"},
		{snapshotKey("bad", "3"), ""}, // it is written over
		{auditKey("bad"), ""},
		{championKey, ""},
		{championAuditKey, ""},
		{modelsKey, ""},
	}
	for _, k := range keys {
		for is, put := range contents {
			t.Run(k.key+" is a "+is, func(t *testing.T) {
				s.hostile(t, k.key, put, k.fits == "" || strings.Contains(" "+k.fits+" ", " "+is+" "))
			})
		}
	}
}

// hostile puts something in the place of a key and lets those learn and predict
// who knew the model before, and those who did not.
func (s store) hostile(t *testing.T, key string, put func(context.Context, redis.UniversalClient, string) error, fits bool) {
	ctx, client := t.Context(), s.client(t)
	s.flush(t)
	c := s.applied(t, "good", "bad")
	opts := CommitterOptions{SnapshotEvery: time.Nanosecond, MaxWait: 10 * time.Second}
	running := s.committer(t, opts)
	learnN(t, running, 0, 3)
	predicting := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	now(t, predicting)
	if err := client.Del(ctx, key).Err(); err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, client, key); err != nil {
		t.Fatal(err)
	}
	learn := func(c *Committer, n int) Outcome {
		t.Helper()
		outcomes, err := c.Learn(ctx, labelN(n))
		var state *StateError
		switch {
		case err != nil:
			t.Errorf("it holds label %d back: %v", n, err)
		case outcomes[0].Err != nil:
			t.Errorf("the other model: %v", outcomes[0].Err)
		case outcomes[1].Err != nil && (!errors.As(outcomes[1].Err, &state) || state.Model != "bad"):
			t.Errorf("error %v, want a *StateError of bad", outcomes[1].Err)
		}
		return outcomes[1]
	}
	if o := learn(s.committer(t, opts), 3); (o.Err == nil) != fits {
		t.Errorf("outcome %v, and the key fits: %t", o, fits)
	}
	learn(running, 4)
	learn(running, 5)
	for _, r := range []*Reader{predicting, s.reader(t, ReaderOptions{})} {
		models := now(t, r)
		if models.Healthy[0].Name != "good" || models.Healthy[0].Version != 6 {
			t.Errorf("models %s, want good@6 among them", names(models))
		}
		if served := len(models.Healthy) == 2; key != headKey("bad") && !served || key == headKey("bad") && served != fits {
			t.Errorf("models %s, broken %v", names(models), models.Broken)
		}
	}
	s.checkLearned(t, c.Models[0], 6)
	if key != headKey("bad") {
		s.checkOnce(t, "bad")
	}
}

// checkOnce holds a model to its count, and to no label twice.
func (s store) checkOnce(t *testing.T, model string) {
	t.Helper()
	h := s.head(t, model)
	order := tracedOrder(t, catalogueOf(t, model).Models[0], h.state)
	seen := map[float64]bool{}
	for _, y := range order {
		seen[y] = true
	}
	if len(seen) != len(order) || uint64(len(order)) != h.count {
		t.Errorf("%s has learned %v and counts %d", model, order, h.count)
	}
}

// A catalogue that cannot be read is an error that names it. Who has read one
// before goes on with that as long as with any Redis that does not answer.
func testHostileCatalogue(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	texts := map[string]string{"empty": "", "random": "\xff\x00random", "huge": strings.Repeat("[", 1<<20), "truncated": "", "another version": `{"models":{"one":1}}`}
	s.applied(t, "one")
	text := client.HGet(ctx, catalogueKey, catalogueJSON).Val()
	texts["truncated"] = text[:len(text)/2]
	spoil := map[string]func() error{
		"another type": func() error {
			client.Del(ctx, catalogueKey)
			return client.Set(ctx, catalogueKey, "x", 0).Err()
		},
	}
	for name, text := range texts {
		spoil[name] = func() error { return client.HSet(ctx, catalogueKey, catalogueEtag, name, catalogueJSON, text).Err() }
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			client.Del(ctx, catalogueKey)
			s.applied(t, "one")
			learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
			running := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
			now(t, running)
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond) // it has to look again
			if models, err := running.Models(ctx); err != nil || names(models) != "[one@1]" {
				t.Errorf("models %+v, error %v, want the last ones", models, err)
			}
			_, learned := s.committer(t, CommitterOptions{MaxWait: time.Second}).Learn(ctx, labelN(1))
			_, read := s.reader(t, ReaderOptions{}).Models(ctx)
			_, listed := List(ctx, client, testKinds())
			for _, err := range []error{learned, read, listed} {
				if err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "catalogue") {
					t.Errorf("error %v, want one that names the catalogue", err)
				}
			}
		})
	}
}

// What a model's keys may hold is read without a panic, and what is read is what
// a committer can go on from.
func FuzzDropped(f *testing.F) {
	f.Add("1", jsonText(f, Snapshot{Version: 1, Commit: "x", At: time.Unix(1, 0)}), "2", jsonText(f, Snapshot{Version: 2, Commit: "y", At: time.Unix(2, 0)}), uint64(3), 2)
	f.Add("1", "{", "18446744073709551615", "null", uint64(0), -1)
	f.Add("", "", "2", `{"version":2,"commit":"x","at":"0001-01-01T00:00:00Z"}`, uint64(2), 0)
	f.Fuzz(func(t *testing.T, a, textA, b, textB string, version uint64, count int) {
		index := map[string]string{a: textA, b: textB}
		drop := dropped(index, version, count, time.Hour, time.Unix(10, 0))
		seen := map[string]bool{}
		for _, v := range drop {
			if seen[v] {
				t.Errorf("%q is dropped twice", v)
			}
			if _, ok := index[v]; !ok {
				t.Errorf("%q is dropped and is not there", v)
			}
			seen[v] = true
		}
		for v, text := range index {
			if s, err := parseSnapshot(v, text); !seen[v] && (err != nil || s.Version > version) {
				t.Errorf("%q is kept: %v", v, err)
			}
		}
	})
}

func FuzzParseLabels(f *testing.F) {
	for _, text := range []string{`["a","b"]`, `[]`, `[null]`, `{}`, `["a",1]`, "\xff", `[["a"]]`, ``} {
		f.Add(text, "5-1")
	}
	f.Fuzz(func(t *testing.T, text, id string) {
		labels, err := parseLabels(redis.XMessage{ID: id, Values: map[string]any{entryJSON: text}})
		if (err == nil) != (len(labels) > 0) {
			t.Errorf("labels %q, error %v", labels, err)
		}
		version, _ := splitID(id)
		if next := entryID(version, id); laterID(id, next) != next && !full(id) {
			t.Errorf("%s does not come after %s", next, id)
		}
	})
}
