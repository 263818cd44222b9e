package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// A model that has learned live begins anew: its ids are forgotten, its versions
// count on, and each of them can still be rebuilt.
func testRestart(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "old", "new")
	spec := mustCatalogue(t, s).Models[1]
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	for n := range 6 { // in another order than the log's
		learnN(t, committer, 5-n, 6-n)
	}
	was := s.head(t, "new")
	log := writtenTo(2, labelsN(0, 10)...)
	done := s.warmUp(t, "new", log, WarmUpOptions{FromNothing: true, Commits: CommitterOptions{MaxBatch: 3, SnapshotEvery: time.Nanosecond}})
	if done.Taught != 10 || done.Duplicates != 0 || !done.Restarted || done.Version <= 7 {
		t.Errorf("%+v", done)
	}
	learnN(t, committer, 0, 12)
	s.checkLearned(t, spec, 12)
	s.checkOrder(t, "new")
	s.checkTravel(t, "new", labelled(12))

	commits := s.lineage(t, "new", 0)
	if c := commits[len(commits)-7]; c.Kind != KindRestart || c.Version != 7 || c.Parent != was.commit || c.Count != 0 {
		t.Errorf("the restart is the commit %+v", c)
	}
	if _, err := Travel(ctx, client, testKinds(), "new", Destination{Version: 7}, true); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("error %v on the way to the restart, want ErrNotFound", err)
	}
	// What it was before is there, and what it has learned since stays learned.
	s.rollback(t, "new", 6)
	if h := s.head(t, "new"); h.state != was.state || h.count != 6 {
		t.Errorf("version %d of %d labels is not what it was", h.version, h.count)
	}
	outcomes, err := committer.Learn(ctx, labelN(11))
	if err != nil || !outcomes[1].Duplicate {
		t.Errorf("%+v, %v, want a duplicate", outcomes, err)
	}
	s.checkTravel(t, "new", labelled(12))
}

// A model that changes is refused, restarted, and warmed up; what it was is kept,
// and cannot be gone back to. Learners that have the catalogue from before give
// its labels back, and go on with the next one.
func testRestartChanged(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "old", "new")
	behind := s.committer(t, CommitterOptions{CatalogueAge: time.Hour})
	learnN(t, behind, 0, 5)
	was := s.head(t, "new")
	changed := catalogueOf(t, "old", "new=Heavy")
	err := Apply(ctx, client, changed)
	var state *StateError
	if !errors.As(err, &state) || !strings.Contains(err.Error(), "models apply FILE --restart new") {
		t.Errorf("error %v, want a *StateError that says the way out", err)
	}
	applied, err := ApplyWith(ctx, client, changed, ApplyOptions{Restart: []string{"new"}, By: Actor{"ann", "heavier"}})
	if err != nil {
		t.Fatal(err)
	}
	want := Action{At: applied.Restarted[0].At, Kind: KindRestart, Model: "new", From: "5", To: "6", By: "ann", Reason: "heavier"}
	if fmt.Sprint(applied.Warming) != "[new]" || applied.Restarted[0] != want || !slices.Contains(s.audit(t, 0), want) {
		t.Errorf("%+v, want %+v", applied, want)
	}
	kept := s.snapshots(t, "new")[0]
	if kept.Version != 5 || kept.Spec != was.spec || kept.StateBytes != len(was.state) ||
		client.Get(ctx, snapshotKey("new", "5")).Val() != was.state {
		t.Errorf("snapshot %+v is not what the model was", kept)
	}
	outcomes, err := behind.Learn(ctx, labelN(5))
	if err != nil || !outcomes[1].Warming {
		t.Errorf("%+v, %v: want the label left to the warm-up", outcomes, err)
	}
	s.warmUp(t, "new", writtenTo(2, labelsN(0, 6)...), WarmUpOptions{})
	_, err = behind.Learn(ctx, labelN(6))
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "another specification") {
		t.Errorf("error %v of a learner with the catalogue from before, want ErrBusy", err)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 0, 7)
	if h := s.head(t, "new"); h.count != 7 || h.spec != changed.Models[1].Hash() {
		t.Errorf("head %+v", h)
	}
	s.checkTravel(t, "old", labelled(7))
	if _, err := Rollback(ctx, client, testKinds(), "new", 5, 0, ann); !errors.As(err, &state) || !strings.Contains(err.Error(), "under the one it was learned under only") {
		t.Errorf("error %v, want a *StateError", err)
	}
	rebuild(t, s.travel(t, "new", Destination{}, true), labelled(7))
	if _, err := Travel(ctx, client, testKinds(), "new", Destination{Version: 4}, true); !errors.As(err, &state) {
		t.Errorf("error %v on the way to what was before, want a *StateError", err)
	}
}

// Whatever is wrong with a model, its bytes are kept and it can begin anew.
func testRestartBroken(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "old", "new")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 5)
	breaks := breakages(s.head(t, "new"))
	maps.Copy(breaks, map[string]func(context.Context, redis.UniversalClient, string){
		"lost": func(ctx context.Context, client redis.UniversalClient, model string) { client.Del(ctx, headKey(model)) },
		"ids of another type": func(ctx context.Context, client redis.UniversalClient, model string) {
			client.Del(ctx, idsKey(model, "a"))
			client.Set(ctx, idsKey(model, "a"), "x", 0)
		},
	})
	breaks["all that tells the version"] = func(ctx context.Context, client redis.UniversalClient, model string) {
		client.HSet(ctx, headKey(model), fieldVersion, "-1")
		client.Del(ctx, lineageKey(model))
	}
	breaks["versions without end"] = func(ctx context.Context, client redis.UniversalClient, model string) {
		client.HSet(ctx, headKey(model), fieldVersion, "-1")
		last := fmt.Sprint(math.MaxInt64 - 1)
		client.HSet(ctx, snapshotsKey(model), last, strings.Replace(client.HGet(ctx, snapshotsKey(model), "1").Val(), `"version":1`, `"version":`+last, 1))
	}
	type tried struct {
		name  string
		every time.Duration // of snapshots
		spoil func(context.Context, redis.UniversalClient, string)
	}
	var tests []tried
	for name, breakIt := range breaks {
		tests = append(tests, tried{name, time.Hour, breakIt}, tried{name + ", each version kept", time.Nanosecond, breakIt})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.flush(t)
			s.applied(t, "old", "new")
			learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: tt.every}), 0, 5)
			tt.spoil(ctx, client, "new")
			state := client.HGet(ctx, headKey("new"), fieldState).Val()
			before := s.states(t, "new")
			applied, err := ApplyWith(ctx, client, c, ApplyOptions{Restart: []string{"new"}, By: ann})
			if err != nil {
				t.Fatal(err)
			}
			after := s.states(t, "new")
			for version, sound := range before {
				if after[version] != sound {
					t.Errorf("the snapshot of version %s is not what it was", version)
				}
			}
			from := applied.Restarted[0].From
			if _, kept := before[from]; !kept && after[from] != state {
				t.Errorf("the snapshot of version %s is not what was there", from)
			}
			s.warmUp(t, "new", writtenTo(2, labelsN(0, 7)...), WarmUpOptions{})
			s.checkLearned(t, c.Models[1], 7)
			rebuild(t, s.travel(t, "new", Destination{}, true), labelled(7))
		})
	}
}

func testRestartRefuses(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "old", "new", "wrong")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 2)
	client.Del(ctx, auditKey("wrong"))
	client.Set(ctx, auditKey("wrong"), "x", 0)
	before := client.HGetAll(ctx, catalogueKey).Val()
	changed := catalogueOf(t, "old", "new=Heavy", "wrong", "more")
	tests := []struct {
		name string
		opts ApplyOptions
		says string
	}{
		{"nobody", ApplyOptions{Restart: []string{"new"}}, "it has no name"},
		{"not in the catalogue", ApplyOptions{Restart: []string{"new", "none"}, By: ann}, `has no model "none"`},
		{"the champion", ApplyOptions{Restart: []string{"new", "old"}, By: ann}, "promote another one first"},
		{"another one", ApplyOptions{Restart: []string{"wrong"}, By: ann, WarmUp: true}, "--restart new"},
	}
	for _, tt := range tests {
		if _, err := ApplyWith(ctx, client, changed, tt.opts); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.says)
		}
	}
	if _, err := ApplyWith(ctx, client, catalogueOf(t, "new=Heavy", "old"), ApplyOptions{Restart: []string{"new"}, By: ann}); !errors.Is(err, ErrConflict) {
		t.Errorf("error %v where the catalogue names it champion, want ErrConflict", err)
	}
	_, err := ApplyWith(ctx, client, catalogueOf(t, "old", "new", "wrong"), ApplyOptions{Restart: []string{"wrong"}, By: ann})
	var typed *typeError
	if !errors.As(err, &typed) {
		t.Errorf("error %v of an audit trail that is none, want a *typeError", err)
	}
	for _, name := range []string{"old", "new", "wrong"} {
		if h := s.head(t, name); h.version != 2 || h.warming != nil {
			t.Errorf("%s was changed: %+v", name, h)
		}
	}
	if after := client.HGetAll(ctx, catalogueKey).Val(); !maps.Equal(before, after) {
		t.Errorf("the catalogue is %v", after)
	}
}

// Models that have learned nothing wait, from before learners know of them, and
// the champion does not; cut short, it is done again as a whole.
func testApplyWarmUp(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "old")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	more := catalogueOf(t, "old", "new", "other")
	opts := ApplyOptions{WarmUp: true, By: ann}
	for step, finished := 1, false; !finished; step++ {
		dying, kill := context.WithCancel(ctx)
		mortal := s.client(t)
		hooked(t, mortal, &unanswered{at: step, sent: true, dead: kill})
		applied, err := ApplyWith(dying, mortal, more, opts)
		kill()
		finished = err == nil
		if finished && fmt.Sprint(applied.Warming) != "[new other]" {
			t.Errorf("%+v, want two models that wait", applied)
		}
		outcomes, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(2))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outcomes[1:] {
			if !o.Warming {
				t.Errorf("cut short at command %d, a learner has taught %+v", step, o)
			}
		}
		if len(s.audit(t, 0)) > 3 {
			t.Errorf("cut short at command %d, a model was restarted twice: %+v", step, s.audit(t, 0))
		}
	}
	if h := s.head(t, "old"); h.warming != nil || h.count != 3 {
		t.Errorf("the champion is %+v", h)
	}
	if _, err := ApplyWith(ctx, client, catalogueOf(t, "new", "old", "other"), opts); !errors.Is(err, ErrWarming) {
		t.Errorf("error %v where a model that waits is named champion, want ErrWarming", err)
	}
	// On a Redis with nothing the champion is live, and has nothing to wait for.
	s.flush(t)
	applied, err := ApplyWith(ctx, client, more, opts)
	if err != nil || fmt.Sprint(applied.Warming) != "[new other]" {
		t.Errorf("%+v, %v", applied, err)
	}
}

// A model that is promoted in the moment in which it is restarted is served with
// nothing learned: whoever restarts it is told.
func testRestartPromoted(t *testing.T, s store) {
	for name, restart := range map[string]func(redis.UniversalClient, *online.Catalogue) error{
		"apply": func(client redis.UniversalClient, c *online.Catalogue) error {
			applied, err := ApplyWith(t.Context(), client, c, ApplyOptions{Restart: []string{"new"}, By: ann})
			if len(applied.Restarted) != 1 {
				t.Errorf("%+v, want what was restarted", applied)
			}
			return err
		},
		"warm-up": func(client redis.UniversalClient, _ *online.Catalogue) error {
			_, err := WarmUp(t.Context(), client, testKinds(), "new", writtenTo(1), soon(WarmUpOptions{By: ann, FromNothing: true}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.flush(t)
			c := s.applied(t, "old", "new")
			learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
			client, other := s.client(t), s.client(t)
			hooked(t, client, atExec(sync.OnceFunc(func() { other.Set(t.Context(), championKey, "new", 0) })))
			if err := restart(client, c); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "promoted while it was restarted") {
				t.Errorf("error %v, want an ErrConflict", err)
			}
		})
	}
}

// And whoever promotes a model in the moment in which it is restarted.
func testPromotedRestarted(t *testing.T, s store) {
	c := s.applied(t, "old", "new")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	client := s.client(t)
	hooked(t, client, atExec(sync.OnceFunc(func() {
		if _, err := ApplyWith(t.Context(), s.client(t), c, ApplyOptions{Restart: []string{"new"}, By: ann}); err != nil {
			t.Error(err)
		}
	})))
	if _, err := Promote(t.Context(), client, testKinds(), "new", "", ann); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "restarted meanwhile") {
		t.Errorf("error %v, want an ErrConflict", err)
	}
}
