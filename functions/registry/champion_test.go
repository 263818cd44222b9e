package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

func jsonText(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustCatalogue(t testing.TB, s store) *online.Catalogue {
	t.Helper()
	c, err := Catalogue(context.Background(), s.client(t), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s store) audit(t testing.TB, limit int) []Action {
	t.Helper()
	actions, err := Audit(context.Background(), s.client(t), limit)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

// trail is the audit trail without its times, the oldest first.
func trail(actions []Action) string {
	var lines []string
	for _, a := range slices.Backward(actions) {
		lines = append(lines, fmt.Sprintf("%s %s %s>%s by %s", a.Kind, a.Model, a.From, a.To, a.By))
	}
	return strings.Join(lines, "; ")
}

// A catalogue that names the champion it named before has nothing to say about
// who was promoted since.
func testApplyKeepsPromoted(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	for _, step := range []struct {
		promote string
		apply   []string // the first is the champion
		want    string
	}{
		{apply: []string{"one", "two", "three"}, want: "one"},
		{promote: "two", apply: []string{"one", "two", "three"}, want: "two"},
		{apply: []string{"one", "three", "two"}, want: "two"}, // in another order
		{apply: []string{"three", "one", "two"}, want: "three"},
		{promote: "two", apply: []string{"three", "one"}, want: "three"}, // two has left
	} {
		if step.promote != "" {
			if _, err := Promote(ctx, client, testKinds(), step.promote, "", Actor{Name: "ann"}); err != nil {
				t.Fatal(err)
			}
		}
		s.applied(t, step.apply...)
		if got := client.Get(ctx, championKey).Val(); got != step.want {
			t.Errorf("promote %q, apply %v: the champion is %s, want %s", step.promote, step.apply, got, step.want)
		}
	}
	// An Apply that was cut short is done again as a whole.
	client.HDel(ctx, catalogueKey, catalogueChampion)
	client.Set(ctx, championKey, "one", 0)
	s.applied(t, "three", "one")
	if got := client.Get(ctx, championKey).Val(); got != "three" {
		t.Errorf("the champion is %s after an Apply that was cut short", got)
	}
}

func testPromote(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one", "two", "three")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	client.HSet(ctx, headKey("three"), fieldState, "random bytes")
	before := time.Now().Add(-time.Minute)
	action, err := Promote(ctx, client, testKinds(), "two", "one", Actor{"ann", "better"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Action{At: action.At, Kind: KindPromote, Model: "two", From: "one", To: "two", By: "ann", Reason: "better"}); action != want || action.At.Before(before) {
		t.Errorf("action %+v, want %+v", action, want)
	}
	if models := now(t, s.reader(t, ReaderOptions{})); models.Champion != "two" {
		t.Errorf("the champion served is %s", models.Champion)
	}
	if actions := s.audit(t, 1); len(actions) != 1 || actions[0] != action {
		t.Errorf("the audit trail ends with %+v, want %+v", actions, action)
	}

	// Once more, and by somebody who expects the one before: they want it to stay.
	for _, expect := range []string{"", "one", "two"} {
		again, err := Promote(ctx, client, testKinds(), "two", expect, Actor{Name: "bob"})
		if err != nil || again.From != "two" || again.To != "two" || again.At.IsZero() {
			t.Errorf("promoting the champion where %q is expected: %+v, %v", expect, again, err)
		}
	}
	const want = "apply one >one by catalogue; promote two one>two by ann" +
		"; promote two two>two by bob; promote two two>two by bob; promote two two>two by bob"
	if got := trail(s.audit(t, 0)); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}

	isState := func(err error) bool { var state *StateError; return errors.As(err, &state) }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	tests := []struct {
		name, model, expect string
		by                  Actor
		is                  func(error) bool
		says                string
	}{
		{"no such model", "four", "", Actor{Name: "ann"}, is(ErrNotFound), "its models are one, two, three"},
		{"another champion", "one", "three", Actor{Name: "ann"}, is(ErrConflict), "the champion is two by now, not three"},
		{"broken", "three", "", Actor{Name: "ann"}, isState, "model three"},
		{"nobody", "one", "", Actor{}, is(ErrActor), "no name"},
		{"promote itself", "one", "", Actor{Name: ByProposal}, is(ErrActor), "say who you are"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Promote(ctx, client, testKinds(), tt.model, tt.expect, tt.by)
			if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
	if got := trail(s.audit(t, 0)); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
}

// Of many who promote at once, every one that succeeds has replaced the
// champion that it says.
func testPromoteRaces(t *testing.T, s store) {
	const rounds, racers = 5, 6
	var all []string
	for i := range racers {
		all = append(all, fmt.Sprint("m", i))
	}
	s.applied(t, all...)
	race := func(promote func(client redis.UniversalClient, model string) error) {
		var running sync.WaitGroup
		for _, model := range all {
			client := s.client(t)
			running.Go(func() {
				if err := promote(client, model); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
	}
	for range rounds {
		race(func(client redis.UniversalClient, model string) error {
			_, err := Promote(t.Context(), client, testKinds(), model, "", Actor{Name: "any"})
			return err
		})
		champion := s.client(t).Get(t.Context(), championKey).Val()
		race(func(client redis.UniversalClient, model string) error {
			_, err := Promote(t.Context(), client, testKinds(), model, champion, Actor{Name: "guarded"})
			if errors.Is(err, ErrConflict) {
				return nil
			}
			return err
		})
	}
	guarded, champion := 0, ""
	for _, a := range slices.Backward(s.audit(t, 0)) {
		if a.From != champion {
			t.Errorf("%s replaced %q when the champion was %q", a.To, a.From, champion)
		}
		if a.By == "guarded" && a.To != champion {
			guarded++
		}
		champion = a.To
	}
	if guarded != rounds {
		t.Errorf("%d of those who expected a champion replaced it in %d rounds, want one in each", guarded, rounds)
	}
	if got := s.client(t).Get(t.Context(), championKey).Val(); got != champion {
		t.Errorf("the champion is %s, the audit trail says %s", got, champion)
	}
}

func testApplyIsAudited(t *testing.T, s store) {
	s.applied(t, "one", "two")
	s.applied(t, "one", "two", "three") // the same champion
	if _, err := Promote(t.Context(), s.client(t), testKinds(), "two", "one", Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	if _, err := Rollback(t.Context(), s.client(t), testKinds(), "two", 1, 1, Actor{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	s.applied(t, "three") // the others leave, what was done to them is known
	want := "apply one >one by catalogue; promote two one>two by ann; rollback two 1>1 by bob; apply three two>three by catalogue"
	if got := trail(s.audit(t, 0)); got != want {
		t.Errorf("audit trail %q, want %q", got, want)
	}
	if got := trail(s.audit(t, 2)); !strings.HasSuffix(want, got) || strings.Count(got, ";") != 1 {
		t.Errorf("the newest two of the audit trail are %q", got)
	}
}

func TestActor(t *testing.T) {
	tests := []struct {
		name string
		by   Actor
		says string // "" if it is fine
	}{
		{"name", Actor{Name: "ann"}, ""},
		{"reason", Actor{"ann", "MAE fell to 200 s, see the dashboard"}, ""},
		{"another script", Actor{"Łucja Żak", "می\u200cخواهم"}, ""},
		{"longest", Actor{strings.Repeat("ä", 100), strings.Repeat("ä", 500)}, ""},
		{"nobody", Actor{}, "has no name"},
		{"a proposal", Actor{Name: " Best Model"}, "say who you are"},
		{"blank", Actor{Name: " \t"}, "has no name"},
		{"long name", Actor{Name: strings.Repeat("a", 101)}, "its name has 101 characters, at most 100"},
		{"long reason", Actor{"ann", strings.Repeat("a", 501)}, "its reason has 501 characters, at most 500"},
		{"escape", Actor{Name: "ann\x1b[31m"}, "its name"},
		{"lines", Actor{"ann", "one\ntwo"}, "its reason"},
		{"line separator", Actor{"ann", "one\u2028two"}, "its reason"},
		{"direction", Actor{Name: "ann\u202e"}, "its name"},
		{"no text", Actor{Name: "\xff"}, "its name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.by.check()
			if (err == nil) != (tt.says == "") || err != nil && (!errors.Is(err, ErrActor) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
}

func testHeads(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "sound", "undecodable", "empty", "other", "typed", "new")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	client.Del(ctx, championKey) // then the catalogue's counts
	client.HSet(ctx, headKey("undecodable"), fieldState, "random bytes")
	client.HDel(ctx, headKey("empty"), fieldState)
	client.HSet(ctx, headKey("other"), fieldSpec, "another")
	client.Del(ctx, headKey("typed"), headKey("new"))
	client.Set(ctx, headKey("typed"), "x", 0)
	heads, err := Heads(ctx, client, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	list, err := List(ctx, client, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	for i, head := range heads {
		shows := head.Name == "empty" || head.Name == "other" || head.Name == "typed"
		if (head.Broken != "") != shows {
			t.Errorf("%s: broken %q", head.Name, head.Broken)
		}
		if head.Name == "undecodable" {
			if list[i].Broken == "" {
				t.Error("List takes random bytes for a state")
			}
			list[i].Broken = ""
		}
		head.Broken, list[i].Broken = "", ""
		if head != list[i] {
			t.Errorf("head %+v, List says %+v", head, list[i])
		}
	}
	if !heads[0].Champion || heads[0].StateBytes != len(s.head(t, "sound").state) || heads[1].StateBytes != len("random bytes") {
		t.Errorf("heads %+v", heads)
	}
}

// What is in the keys of the history may be anything: it is an error that names
// the key, and nobody who learns or serves is in the way of it, nor it of them.
func testHostileHistory(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, SnapshotCount: 3})
	learnN(t, committer, 0, 2)
	reads := map[string]func() error{
		lineageKey("one"):   func() error { _, err := Lineage(ctx, client, "one", 0); return err },
		snapshotsKey("one"): func() error { _, err := Snapshots(ctx, client, "one"); return err },
		auditKey("one"):     func() error { _, err := Audit(ctx, client, 0); return err },
		championAuditKey:    func() error { _, err := Audit(ctx, client, 0); return err },
	}
	mustName := func(t *testing.T, key string) {
		t.Helper()
		if err := reads[key](); err == nil || !strings.Contains(err.Error(), key) || errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v, want one that names %s", err, key)
		}
	}
	for _, text := range []string{"", "x", "null", "[]", "{}", `{"version":-1}`, `{"at":"9999999"}`} {
		t.Run(text, func(t *testing.T) {
			for _, key := range []string{lineageKey("one"), auditKey("one"), championAuditKey} {
				for _, field := range []string{entryJSON, "another"} {
					id := client.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: "*", Values: []any{field, text}}).Val()
					mustName(t, key)
					client.XDel(ctx, key, id)
				}
			}
			client.HSet(ctx, snapshotsKey("one"), "1", text)
			mustName(t, snapshotsKey("one"))
		})
	}
	client.Del(ctx, lineageKey("one")) // a stream takes no id below one that it had
	client.HSet(ctx, snapshotsKey("one"), "x", "{}", "-1", "{}", "18446744073709551615", "{}", "01", "{}")
	learnN(t, committer, 2, 4)
	s.checkLearned(t, c.Models[0], 4)
	if got := versionsOf(s.snapshots(t, "one")); got != "[4 3 2]" {
		t.Errorf("snapshots %s, want those that can be read", got)
	}

	// Keys of another type: the model is left out until somebody has a look, as
	// with its other keys, and the champion stays what it is.
	for key := range reads {
		client.Del(ctx, key)
		client.Set(ctx, key, "x", 0)
		mustName(t, key)
		client.Del(ctx, key)
	}
	for key := range reads {
		client.Del(ctx, key)
		client.Set(ctx, key, "x", 0)
	}
	if _, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(4)); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v, want ErrNoModels", err)
	}
	s.applied(t, "one") // the same champion is no change
	if err := Apply(ctx, client, catalogueOf(t, "two", "one")); err == nil || !strings.Contains(err.Error(), championAuditKey) {
		t.Errorf("error %v, want one that names %s", err, championAuditKey)
	}
	var state *StateError
	if _, err := Rollback(ctx, client, testKinds(), "one", 4, 0, Actor{Name: "ann"}); !errors.As(err, &state) {
		t.Errorf("error %v, want a *StateError", err)
	}
	if champion := client.Get(ctx, championKey).Val(); champion != "one" {
		t.Errorf("the champion is %q", champion)
	}
	s.checkLearned(t, c.Models[0], 4)
	for key := range reads {
		client.Del(ctx, key)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 4, 5)
	s.checkLearned(t, c.Models[0], 5)
}

func FuzzHistory(f *testing.F) {
	f.Add("1-0", "7", jsonText(f, Commit{Version: 7, Name: "x", Kind: KindLearn, Labels: 1, At: time.Unix(1, 0)}))
	f.Add("1700000000000-3", "1", jsonText(f, Snapshot{Version: 1, Commit: "x", At: time.Unix(1, 0)}))
	f.Add("99999999999999999999", "", jsonText(f, Action{Kind: KindPromote, Model: "one", At: time.Unix(1, 0)}))
	f.Add("-", "-1", `{"version":1,"at":"9999-12-31T23:59:59-23:59"}`)
	f.Fuzz(func(t *testing.T, id, version, text string) {
		entry := redis.XMessage{ID: id, Values: map[string]any{entryJSON: text}}
		// What can be read can be told as JSON again.
		if c, err := parseCommit(entry); err == nil {
			jsonText(t, c)
		}
		if s, err := parseSnapshot(version, text); err == nil {
			jsonText(t, s)
			if s.Version == 0 {
				t.Errorf("a snapshot of no version: %+v", s)
			}
		}
		if a, err := parseAction(entry); err == nil {
			jsonText(t, a)
		}
		index := map[string]string{version: text}
		if drop := dropped(index, 1, 1, time.Hour, time.Now()); len(drop) > 1 {
			t.Errorf("%q of one are dropped", drop)
		}
		versions(index)
		a, b := splitID(id)
		if n, _ := splitID(entryID(3, id)); n < 3 && a < 3 {
			t.Errorf("the entry of version 3 after %s (%d, %d) begins with %d", id, a, b, n)
		}
	})
}
