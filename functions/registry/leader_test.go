package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// serves fails unless all agree on who is served.
func (s store) serves(t *testing.T, want string) {
	t.Helper()
	if models := now(t, s.reader(t, ReaderOptions{})); models.Champion != want {
		t.Errorf("a reader serves %q, want %s", models.Champion, want)
	}
	infos, err := List(t.Context(), s.client(t), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if i.Champion != (i.Name == want) {
			t.Errorf("List has %s as champion %t, want %s", i.Name, i.Champion, want)
		}
	}
}

// A champion that is not in the catalogue counts as none: it is the catalogue's then.
func testChampionHasLeft(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two", "three")
	for i, named := range []string{"gone", "", "two\nlines"} {
		client.Set(ctx, championKey, named, 0)
		s.serves(t, "one")
		if _, text := s.judged(t, Candidates{Models: []string{"two"}, At: clock(i)}, Verdict{}); !strings.HasPrefix(text, "two against one, 0") {
			t.Errorf("%q: judged %q", named, text)
		}
		if _, err := Promote(ctx, client, testKinds(), "two", "gone", Actor{Name: "ann"}); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "the champion is one") {
			t.Errorf("%q: %v", named, err)
		}
	}
	// It was made the champion by a person: its successor was not.
	client.Set(ctx, championKey, "two", 0)
	if _, err := Promote(ctx, client, testKinds(), "three", "two", Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	client.Set(ctx, championKey, "gone", 0)
	if _, err := Succeed(ctx, client, testKinds(), Candidates{Models: []string{"two"}, At: clock(9)}, func(r Reign) Verdict {
		if r.ByHand || r.Champion != "one" {
			t.Errorf("the reign is %+v", r)
		}
		return Verdict{Promote: true}
	}); err != nil {
		t.Fatal(err)
	}
	s.serves(t, "two")
	client.Set(ctx, championKey, "gone", 0)
	if action, err := Promote(ctx, client, testKinds(), "three", "one", Actor{Name: "ann"}); err != nil || action.From != "one" {
		t.Errorf("promoted %+v, %v", action, err)
	}
	s.serves(t, "three")
}

// Between the catalogue and its champion an Apply may end. The next is whole.
func testApplyCutShort(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two")
	if _, err := Promote(ctx, client, testKinds(), "two", "", Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{
		"key":   client.Get(ctx, championKey).Val(),
		"named": client.HGet(ctx, catalogueKey, catalogueChampion).Val(),
	}
	s.applied(t, "three", "one")
	client.Set(ctx, championKey, before["key"], 0)
	client.HSet(ctx, catalogueKey, catalogueChampion, before["named"])
	s.serves(t, "three")
	s.applied(t, "three", "one")
	if got := client.Get(ctx, championKey).Val(); got != "three" {
		t.Errorf("the champion is %s", got)
	}
	// After the champion, before it is noted which one was named: nothing is new.
	client.HSet(ctx, catalogueKey, catalogueChampion, before["named"])
	trailed := trail(s.audit(t, 0))
	s.applied(t, "three", "one")
	if got := trail(s.audit(t, 0)); got != trailed {
		t.Errorf("audit trail %q, want %q", got, trailed)
	}
	// Nor is it where the first of all was cut short.
	client.Del(ctx, championKey, championAuditKey)
	for range 2 {
		client.HDel(ctx, catalogueKey, catalogueChampion)
		s.applied(t, "three", "one")
	}
	if got := trail(s.audit(t, 0)); got != "apply three >three by catalogue" {
		t.Errorf("audit trail %q", got)
	}
}

// A catalogue without the candidate is applied while it is judged.
func testCandidateLeaves(t *testing.T, s store) {
	s.applied(t, "one", "two")
	got := s.succeed(t, "two", 9, func(Reign) Verdict {
		s.applied(t, "one")
		return Verdict{Promote: true, Reason: "less error"}
	})
	if got.Promote || got.Champion != "one" || !strings.Contains(got.Reason, "without it") {
		t.Errorf("it fared %+v", got)
	}
	s.serves(t, "one")
	// One that is there again by the next round is read again.
	s.applied(t, "one", "two")
	if got := s.succeed(t, "two", 10, crown); got.Champion != "two" {
		t.Errorf("it fared %+v", got)
	}
}

// With every promotion by hand people say who is to stay, also of one that is it.
func testPromoteHoldsOn(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	byHand := func(hour int) (is bool) {
		t.Helper()
		if got := s.succeed(t, "one", hour, func(r Reign) Verdict {
			is = r.ByHand && r.Since.Equal(clock(hour))
			return Verdict{}
		}); got.Stale {
			t.Errorf("what is of %d o'clock is stale", hour)
		}
		return is
	}
	s.applied(t, "one", "two")
	if byHand(1) {
		t.Error("a catalogue's first champion is held as one that somebody has promoted")
	}
	s.succeed(t, "two", 9, crown)
	if byHand(10) {
		t.Error("a proposal is a person")
	}
	action, err := Promote(ctx, client, testKinds(), "two", "", Actor{"ann", "it is good"})
	if want := (Action{At: action.At, Kind: KindPromote, Model: "two", From: "two", To: "two", By: "ann", Reason: "it is good"}); err != nil || action != want || action.At.IsZero() {
		t.Errorf("action %+v, %v, want %+v", action, err, want)
	}
	// What was judged before is forgotten, were it of the future.
	if !byHand(3) {
		t.Error("one that somebody wants to stay is not held on to")
	}
	s.succeed(t, "one", 11, crown)
	s.applied(t, "two", "one")
	if !byHand(12) {
		t.Error("one that a file names anew is not held on to")
	}
	s.succeed(t, "one", 13, crown)
	s.applied(t, "one", "two") // which it is already
	if !byHand(14) {
		t.Error("one that a file names, and a proposal has made, is not held on to")
	}
	const want = "apply one >one by catalogue; promote two one>two by best model; promote two two>two by ann" +
		"; promote one two>one by best model; apply two one>two by catalogue; promote one two>one by best model; apply one one>one by catalogue"
	if got := trail(s.audit(t, 0)); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
}

// beforeExec calls fn once before the first transaction is sent.
type beforeExec struct {
	once sync.Once
	fn   func()
}

func (b *beforeExec) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *beforeExec) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b *beforeExec) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "multi" {
			b.once.Do(b.fn)
		}
		return next(ctx, cmds)
	}
}

// A catalogue without the model is applied while it is promoted: who asked for it is
// told, and the catalogue's champion is served.
func TestPromotedLeaves(t *testing.T) {
	s := storeAt(miniredis.RunT(t).Addr())
	s.applied(t, "one", "two")
	client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(s.url, "redis://")})
	defer client.Close()
	hook := &beforeExec{fn: func() { s.applied(t, "one") }}
	client.AddHook(hook)
	_, err := Promote(t.Context(), client, testKinds(), "two", "", Actor{Name: "ann"})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "one is served") {
		t.Errorf("error %v", err)
	}
	s.serves(t, "one")
}
