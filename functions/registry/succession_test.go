package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// clock is that of the events, in hours.
func clock(hour int) time.Time { return time.Date(2016, 1, 4, hour, 0, 0, 0, time.UTC) }

func crown(Reign) Verdict { return Verdict{Promote: true, Reason: "less error"} }

func (s store) succeed(t testing.TB, model string, hour int, judge func(Reign) Verdict) Succession {
	t.Helper()
	got, err := Succeed(t.Context(), s.client(t), testKinds(), Candidates{Models: []string{model}, At: clock(hour)}, judge)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A candidate is judged once, and none after a later one.
func testSucceed(t *testing.T, s store) {
	s.applied(t, "one", "two", "three")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	if got := s.succeed(t, "two", 9, crown); !got.Promote || got.Champion != "two" || got.Stale {
		t.Errorf("a candidate that is promoted: %+v", got)
	}
	never := func(r Reign) Verdict {
		t.Errorf("a candidate is judged again: %+v", r)
		return Verdict{}
	}
	for _, c := range []struct {
		model string
		hour  int
	}{{"two", 9}, {"three", 9}, {"one", 8}} {
		if got := s.succeed(t, c.model, c.hour, never); !got.Stale || got.Promote || got.Champion != "two" {
			t.Errorf("%s of %d o'clock: %+v, want it stale", c.model, c.hour, got)
		}
	}
	// One that is refused is judged, too, and so is the champion.
	s.succeed(t, "three", 10, func(Reign) Verdict { return Verdict{Reason: "no better"} })
	s.succeed(t, "three", 10, never)
	if got := s.succeed(t, "two", 11, crown); got.Promote || got.Champion != "two" {
		t.Errorf("the champion is promoted: %+v", got)
	}
	if models := now(t, s.reader(t, ReaderOptions{})); models.Champion != "two" {
		t.Errorf("the champion served is %s", models.Champion)
	}
	const want = "apply one >one by catalogue; promote two one>two by best model"
	actions := s.audit(t, 0)
	if got := trail(actions); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
	if actions[0].Reason != "less error" || actions[0].At.IsZero() {
		t.Errorf("the action is %+v", actions[0])
	}
}

// What judge is told: since when the champion is met, who made it, what the
// candidate is like.
func testReign(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two", "three")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	client.HSet(ctx, headKey("three"), fieldState, "random bytes")
	hand := func(model string) func() {
		return func() {
			if _, err := Promote(ctx, client, testKinds(), model, "", Actor{Name: "ann"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		before func()
		model  string
		hour   int
		judge  bool
		want   string // champion, since, by hand, count
	}{
		{nil, "two", 9, false, "one since 9 false 3"},
		{nil, "two", 10, false, "one since 9 false 3"},
		{nil, "two", 11, true, "one since 9 false 3"},
		{nil, "one", 12, false, "two since 11 false 3"},
		{hand("one"), "two", 13, false, "one since 13 true 3"},
		{nil, "two", 14, false, "one since 13 true 3"},
		{hand("two"), "one", 15, false, "two since 15 true 3"},
		{func() { hand("one")(); hand("two")() }, "one", 16, true, "two since 16 true 3"},
		{nil, "three", 17, false, "one since 16 false 0 unfit state"},
		{nil, "four", 18, false, "one since 16 false 0 unfit unknown"},
		{func() { s.applied(t, "two", "one") }, "one", 19, false, "two since 19 true 3"},
	} {
		if step.before != nil {
			step.before()
		}
		var got string
		s.succeed(t, step.model, step.hour, func(r Reign) Verdict {
			got = fmt.Sprintf("%s since %d %t %d", r.Champion, r.Since.Hour(), r.ByHand, r.Count)
			var state *StateError
			switch {
			case errors.As(r.Unfit, &state):
				got += " unfit state"
			case errors.Is(r.Unfit, ErrNotFound):
				got += " unfit unknown"
			}
			if r.Promotion != online.PromotionManual {
				t.Errorf("the catalogue's promotion is %q", r.Promotion)
			}
			return Verdict{Promote: step.judge}
		})
		if got != step.want {
			t.Errorf("%s at %d: judged %q, want %q", step.model, step.hour, got, step.want)
		}
	}
}

// However many judge the same candidates at once, each is judged once.
func testSucceedRaces(t *testing.T, s store) {
	s.applied(t, "one", "two", "three")
	var all sync.WaitGroup
	for range 4 {
		client := s.client(t)
		all.Go(func() {
			for hour := range 20 {
				model := []string{"one", "two", "three"}[hour%3]
				if _, err := Succeed(t.Context(), client, testKinds(), Candidates{Models: []string{model}, At: clock(hour)}, crown); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	promoted := 0
	for _, a := range s.audit(t, 0) {
		if a.By == ByProposal {
			promoted++
		}
	}
	if got := s.client(t).Get(t.Context(), championKey).Val(); got != []string{"one", "two", "three"}[19%3] {
		t.Errorf("the champion is %s", got)
	}
	// Who was faster may have judged a later one first, but none twice.
	if promoted == 0 || promoted > 20 {
		t.Errorf("%d were promoted, of 20 that came four times", promoted)
	}
}

// Somebody promotes while a candidate is judged: it is judged anew.
func testSucceedConflict(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two", "three")
	var met []string
	got := s.succeed(t, "three", 9, func(r Reign) Verdict {
		if met = append(met, r.Champion); len(met) == 1 {
			if _, err := Promote(ctx, client, testKinds(), "two", "", Actor{Name: "ann"}); err != nil {
				t.Error(err)
			}
		}
		return Verdict{Promote: !r.ByHand}
	})
	if strings.Join(met, " ") != "one two" || got.Promote || got.Champion != "two" {
		t.Errorf("it met %v as the champion, and then %+v", met, got)
	}
}

func testSucceedFails(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	try := func(reason string) error {
		_, err := Succeed(ctx, client, testKinds(), Candidates{Models: []string{"two"}, At: clock(9)}, func(Reign) Verdict { return Verdict{Promote: true, Reason: reason} })
		return err
	}
	if err := try(""); !errors.Is(err, ErrNoModels) {
		t.Errorf("without a catalogue: %v", err)
	}
	s.applied(t, "one", "two")
	if err := try("two\nlines"); !errors.Is(err, ErrActor) {
		t.Errorf("a reason of two lines: %v", err)
	}
	var typed *typeError
	const aside = "aside:{" + championKey + "}" // in the slot of the others
	client.Rename(ctx, championAuditKey, aside)
	client.Set(ctx, championAuditKey, "x", 0)
	if err := try(""); !errors.As(err, &typed) {
		t.Errorf("no audit trail: %v", err)
	}
	client.Rename(ctx, aside, championAuditKey)
	client.Set(ctx, successionKey, "x", 0)
	if err := try(""); !isWrongType(err) || !strings.Contains(err.Error(), successionKey) {
		t.Errorf("no hash: %v", err)
	}
	client.Rename(ctx, championKey, aside)
	client.LPush(ctx, championKey, "x")
	if err := try(""); !isWrongType(err) || !strings.Contains(err.Error(), championKey+" ") {
		t.Errorf("no string: %v", err)
	}
	client.Rename(ctx, aside, championKey)
	// What was tried is not judged, and hostile values are none.
	client.Del(ctx, successionKey)
	client.HSet(ctx, successionKey, fieldJudged, "99999999999999999999", fieldSince, "-1", fieldEntry, "?", fieldStreak, "many")
	if got := s.succeed(t, "two", 9, crown); !got.Promote {
		t.Errorf("after all that: %+v", got)
	}
}

func TestSucceedWithoutRedis(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer client.Close()
	_, err := Succeed(context.Background(), client, testKinds(), Candidates{Models: []string{"two"}, At: clock(9)}, crown)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
