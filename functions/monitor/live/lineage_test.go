package live

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// learn commits labels with every model, one version each.
func (w *world) learn(from, to int) {
	w.t.Helper()
	c := registry.NewCommitter(w.client(), kinds.All(), registry.CommitterOptions{})
	ctx := context.Background()
	for n := from; n < to; n++ {
		label := registry.Label{ID: fmt.Sprintf("l%d", n), Features: map[string]float64{"a": float64(n)}, Y: 100}
		if _, err := c.Learn(ctx, label); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := c.Close(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func TestModelsFollowRedis(t *testing.T) {
	w := newWorld(t)
	w.live()
	w.learn(0, 3)
	n := w.await("three versions", func(n Now) bool { return n.Models.Models[0].Version == 3 })
	good := n.Models.Models[0]
	if good.Labels != 3 || good.StateBytes == 0 || good.CommittedAt == 0 {
		t.Errorf("the champion is %+v", good)
	}
	if n.Models.Champion.Model != "good" || n.Models.Champion.Since == 0 {
		t.Errorf("the champion is %+v", n.Models.Champion)
	}
	// A prediction by the version before.
	predicted := time.Now().Add(time.Minute)
	row := startedBy(1, predicted, `{"good":{"duration_s":1,"version":2},"bad":{"duration_s":1,"version":4}}`)
	w.db.commit(w.db.add(viewStarts, row...))
	n = w.await("the staleness", func(n Now) bool { return n.Summary.Staleness.N == 1 && n.Models.Models[0].ServedVersion == 2 })
	if n.Models.Models[0].Version != 3 || n.Models.Models[1].ServedVersion != 4 || n.Models.Models[1].Version != 4 {
		t.Errorf("models are %+v", n.Models.Models)
	}
	if want := float64(predicted.UnixMilli() - good.CommittedAt); n.Summary.Staleness.P50 != want {
		t.Errorf("staleness is %+v, want %v", n.Summary.Staleness, want)
	}
	promoted, err := registry.Promote(t.Context(), w.client(), kinds.All(), "bad", "", registry.Actor{Name: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	n = w.await("another champion", func(n Now) bool { return n.Models.Champion.Model == "bad" })
	if n.Models.Champion.Since != promoted.At.UnixMilli() || !n.Models.Models[1].Champion || n.Models.Models[0].Champion {
		t.Errorf("models are %+v", n.Models)
	}
}

func TestLineageIsFollowed(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	read := func(before lineage, head uint64) lineage {
		t.Helper()
		l, err := w.feed.readLineage(ctx, before, "good", head, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	versions := func(l lineage) string {
		var all []string
		for _, c := range l.commits {
			all = append(all, fmt.Sprint(c.version))
		}
		return strings.Join(all, " ")
	}
	none := read(lineage{}, 0)
	if none.newest() != 0 || versions(none) != "" {
		t.Errorf("of a model that has learned nothing: %s", versions(none))
	}
	w.learn(0, 3)
	three := read(none, 3)
	w.learn(3, 5)
	five := read(three, 5)
	if versions(three) != "1 2 3" || versions(five) != "1 2 3 4 5" {
		t.Errorf("the lineage is %s, then %s", versions(three), versions(five))
	}
	if again := read(five, 5); versions(again) != "1 2 3 4 5" || again.commit != five.commit {
		t.Errorf("without a commit it is %s", versions(again))
	}
	// Another Redis, or one that was put back: nothing goes on from before.
	w.redis.FlushAll()
	w.apply(catalogue)
	w.learn(10, 12)
	if anew := read(five, 2); versions(anew) != "1 2" {
		t.Errorf("put back it is %s", versions(anew))
	}
	w.learn(12, 18)
	if anew := read(five, 8); versions(anew) != "1 2 3 4 5 6 7 8" {
		t.Errorf("put back, and further by now, it is %s", versions(anew))
	}
}

// Where versions count again, what was lost does not count.
func TestLineageThatCountsAgain(t *testing.T) {
	at := func(n int) time.Time { return start0.Add(time.Duration(n) * time.Second) }
	var l lineage
	l.replace([]registry.Commit{
		{Version: 3, Name: "f", At: at(6)},
		{Version: 2, Name: "e", At: at(5)},
		{Version: 3, Name: "c", At: at(3)},
		{Version: 2, Name: "b", At: at(2)},
		{Version: 1, Name: "a", At: at(1)},
	})
	if got := fmt.Sprint(l.commits); got != fmt.Sprintf("[{1 %d} {2 %d} {3 %d}]", at(1).UnixMilli(), at(5).UnixMilli(), at(6).UnixMilli()) || l.commit != "f" {
		t.Errorf("the lineage is %s, %s", got, l.commit)
	}
	for name, commits := range map[string][]registry.Commit{
		"another parent":   {{Version: 4, Name: "x", Parent: "c"}},
		"a missing commit": {{Version: 5, Name: "x", Parent: "y"}},
	} {
		other := l
		if other.extend(commits) {
			t.Errorf("%s: it goes on", name)
		}
	}
}

func TestLineageIsBounded(t *testing.T) {
	var l lineage
	parent := ""
	for n := range uint64(10 * keptCommits) {
		name := fmt.Sprint(n)
		if !l.extend([]registry.Commit{{Version: n + 1, Name: name, Parent: parent, At: start0}}) {
			t.Fatalf("version %d does not go on", n+1)
		}
		parent = name
	}
	if len(l.commits) < keptCommits || len(l.commits) > 2*keptCommits || l.newest() != 10*keptCommits {
		t.Errorf("%d commits are kept, up to %d", len(l.commits), l.newest())
	}
}
