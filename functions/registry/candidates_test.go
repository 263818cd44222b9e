package registry

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// judged are the reigns that candidates were judged in, as text.
func (s store) judged(t testing.TB, c Candidates, v Verdict) (Succession, string) {
	t.Helper()
	var got string
	succession, err := Succeed(t.Context(), s.client(t), testKinds(), c, func(r Reign) Verdict {
		got = fmt.Sprintf("%s against %s", r.Candidate, r.Champion)
		for _, unfit := range []struct {
			who string
			err error
		}{{"", r.Unfit}, {"champion ", r.ChampionUnfit}} {
			var state *StateError
			switch {
			case errors.As(unfit.err, &state):
				got += ", " + unfit.who + "broken"
			case errors.Is(unfit.err, ErrWarming):
				got += ", " + unfit.who + "warming"
			case errors.Is(unfit.err, ErrNotFound):
				got += ", " + unfit.who + "unknown"
			case unfit.err != nil:
				got += ", " + unfit.err.Error()
			}
		}
		got += fmt.Sprintf(", %d labels, streak %d", r.Count, r.Streak)
		return v
	})
	if err != nil {
		t.Fatal(err)
	}
	return succession, got
}

// One that leads and cannot be the champion is in nobody's way.
func testCandidates(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two", "broken", "warming")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	client.HSet(ctx, headKey("broken"), fieldState, "random bytes")
	if _, err := ApplyWith(ctx, client, catalogueOf(t, "one", "two", "broken", "warming", "young"), ApplyOptions{Restart: []string{"warming"}, By: Actor{Name: "ann"}}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		models, want string
	}{
		{"two one", "two against one, 3 labels, streak 0"},
		{"one two", "one against one, 3 labels, streak 0"},
		{"broken two", "two against one, 3 labels, streak 0"},
		{"warming two one", "two against one, 3 labels, streak 0"},
		{"gone young broken one two", "one against one, 3 labels, streak 0"},
		{"young", "young against one, 0 labels, streak 0"},
		{"gone", "gone against one, unknown, 0 labels, streak 0"},
		{"warming gone", "warming against one, warming, 0 labels, streak 0"},
		{"broken young", "broken against one, broken, 0 labels, streak 0"},
		{"", " against one, unknown, 0 labels, streak 0"},
	} {
		at := clock(0).Add(time.Duration(i) * time.Hour)
		got, text := s.judged(t, Candidates{strings.Fields(c.models), 2, at}, Verdict{})
		if text != c.want || got.Champion != "one" || !got.Newest.Equal(at) {
			t.Errorf("%s: judged %q, want %q: %+v", c.models, text, c.want, got)
		}
	}
	// No verdict makes one the champion that cannot be served.
	if got, _ := s.judged(t, Candidates{[]string{"broken"}, 0, clock(20)}, Verdict{Promote: true}); got.Promote || got.Champion != "one" {
		t.Errorf("a broken one is promoted: %+v", got)
	}
	// The champion needs no labels.
	if _, text := s.judged(t, Candidates{[]string{"one", "two"}, 100, clock(21)}, Verdict{}); !strings.HasPrefix(text, "one against one") {
		t.Errorf("judged %q", text)
	}
}

// Verdicts count in a row: of one candidate that is better than one champion.
func testStreaks(t *testing.T, s store) {
	s.applied(t, "one", "two", "three")
	better, worse := Verdict{Better: true}, Verdict{}
	for i, step := range []struct {
		model   string
		verdict Verdict
		streak  int // that judge is told
	}{
		{"two", better, 0},
		{"two", better, 1},
		{"two", better, 2},
		{"two", worse, 3},
		{"two", better, 0}, // any other verdict
		{"three", better, 0},
		{"three", better, 1},
		{"two", better, 0}, // another candidate
		{"one", better, 0}, // the champion
		{"two", better, 0},
		{"two", Verdict{Promote: true, Better: true}, 1},
		{"one", better, 0}, // another champion
		{"one", better, 1},
	} {
		c := Candidates{Models: []string{step.model}, At: clock(0).Add(time.Duration(i) * time.Hour)}
		if _, text := s.judged(t, c, step.verdict); !strings.HasSuffix(text, fmt.Sprintf("streak %d", step.streak)) {
			t.Errorf("%d: judged %q, want a streak of %d", i, text, step.streak)
		}
		// What comes again does not count.
		if again, text := s.judged(t, c, better); !again.Stale || text != "" {
			t.Errorf("%d: judged once more, %q: %+v", i, text, again)
		}
	}
}

// Nor does a race count twice, and what people do ends it.
func testStreakEnds(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two")
	var all sync.WaitGroup
	for range 4 {
		client := s.client(t)
		all.Go(func() {
			for hour := range 5 {
				_, err := Succeed(ctx, client, testKinds(), Candidates{Models: []string{"two"}, At: clock(hour)}, func(Reign) Verdict { return Verdict{Better: true} })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	// Who was faster may have judged a later one first.
	_, text := s.judged(t, Candidates{Models: []string{"two"}, At: clock(5)}, Verdict{Better: true})
	var streak int
	if _, err := fmt.Sscanf(text[strings.LastIndex(text, "streak"):], "streak %d", &streak); err != nil || streak < 1 || streak > 5 {
		t.Errorf("of five that came four times each: %q", text)
	}
	for i, end := range []func() error{
		func() error {
			_, err := Promote(ctx, client, testKinds(), "one", "", Actor{Name: "ann"})
			return err
		},
		func() error { return client.Set(ctx, championKey, "two", 0).Err() }, // by other means
	} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		for again, want := range []string{"streak 0", "streak 1"} {
			c := Candidates{Models: []string{[]string{"two", "one"}[i]}, At: clock(6 + 2*i + again)}
			if _, text := s.judged(t, c, Verdict{Better: true}); !strings.HasSuffix(text, want) {
				t.Errorf("%d: judged %q, want %s", i, text, want)
			}
		}
	}
}

func testChampionUnfit(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	sound := client.HGet(ctx, headKey("one"), fieldState).Val()
	for i, step := range []struct{ state, want string }{
		{sound, "two against one, 3 labels"},
		{"random bytes", "two against one, champion broken, 3 labels"},
		{sound, "two against one, 3 labels"},
	} {
		client.HSet(ctx, headKey("one"), fieldState, step.state)
		if _, text := s.judged(t, Candidates{[]string{"one", "two"}[1:], 1, clock(i)}, Verdict{}); !strings.HasPrefix(text, step.want) {
			t.Errorf("judged %q, want %q", text, step.want)
		}
	}
	// One that leads, and broke since, is passed over.
	client.HSet(ctx, headKey("one"), fieldState, "random bytes")
	if _, text := s.judged(t, Candidates{[]string{"one", "two"}, 1, clock(5)}, Verdict{}); !strings.HasPrefix(text, "two against one, champion broken") {
		t.Errorf("judged %q", text)
	}
}
