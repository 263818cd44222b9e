package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Labels in another order are noticed where a state is kept, and not before;
// so are other labels, and a state that is damaged.
func testTravelDiffers(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnAll(t, committer, labelsN(0, 3)) // 1, with a snapshot
	learnAll(t, committer, labelsN(3, 9))
	learnAll(t, committer, labelsN(9, 12))
	forced := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnAll(t, forced, labelsN(12, 20)) // 4, with a snapshot
	learnAll(t, committer, labelsN(20, 24))
	swap := func(step, a, b int) func(*Journey, map[string]Label) {
		return func(j *Journey, _ map[string]Label) {
			labels := j.steps[step].labels
			labels[a], labels[b] = labels[b], labels[a]
		}
	}
	tests := []struct {
		name  string
		spoil func(*Journey, map[string]Label)
		want  DifferenceError
	}{
		{"in the first commit", swap(0, 0, 1), DifferenceError{Version: 1, Labels: 3, First: "trip-1", Last: "trip-2"}},
		{"in the second", swap(1, 2, 4), DifferenceError{Version: 4, Since: 1, Labels: 17, First: "trip-3", Last: "trip-19"}},
		{"in the last", swap(4, 0, 3), DifferenceError{Version: 5, Since: 4, Labels: 4, First: "trip-23", Last: "trip-20"}},
		{"another feature", func(_ *Journey, labels map[string]Label) {
			l := labels["trip-10"]
			l.Features = map[string]float64{"a": l.Features["a"], "b": l.Features["b"] + 1e-9}
			labels["trip-10"] = l
		}, DifferenceError{Version: 4, Since: 1, Labels: 17, First: "trip-3", Last: "trip-19"}},
		{"damaged", func(j *Journey, _ map[string]Label) { j.steps[3].stored[0].state += "x" }, DifferenceError{Version: 4, Since: 1, Labels: 17, First: "trip-3", Last: "trip-19"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, labels := s.travel(t, "one", Destination{}, true), labelled(24)
			tt.spoil(j, labels)
			_, err := j.Rebuild(t.Context(), labels)
			var differs *DifferenceError
			if !errors.As(err, &differs) {
				t.Fatalf("error %v, want a *DifferenceError", err)
			}
			tt.want.Model, tt.want.At = "one", differs.At
			if *differs != tt.want || differs.At == 0 {
				t.Errorf("%+v, want %+v", *differs, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	j := s.travel(t, "one", Destination{}, true)
	var taught []int
	j.Progress = func(n int) {
		if taught = append(taught, n); len(taught) == 2 {
			cancel(errStopped)
		}
	}
	if r, err := j.Rebuild(ctx, labelled(24)); r != nil || !errors.Is(err, errStopped) || fmt.Sprint(taught) != "[3 9]" {
		t.Errorf("rebuilt %v, error %v after %d labels, want none after the second commit", r, err, taught)
	}
	labels := labelled(24)
	delete(labels, "trip-11")
	delete(labels, "trip-5")
	_, err := s.travel(t, "one", Destination{Version: 4}, true).Rebuild(t.Context(), labels)
	var missing *MissingError
	if !errors.As(err, &missing) || fmt.Sprint(missing.IDs) != "[trip-5 trip-11]" || missing.Labels != 20 {
		t.Errorf("error %v, want the labels that are missing", err)
	}
}

var errStopped = errors.New("stopped")

// A model that panics on a label has not learned it, and does not when it is
// rebuilt; one that panics only then is told of.
func testTravelPanic(t *testing.T, s store) {
	s.applied(t, "fragile=Fragile")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	for _, r := range committer.LearnAll(t.Context(), labelsN(0, 20)) {
		var panicked *PanicError
		if r.Err != nil && !errors.As(r.Err, &panicked) {
			t.Fatal(r.Err)
		}
	}
	s.checkTravel(t, "fragile", labelled(20))
	labels := labelled(20)
	labels["trip-12"] = labelN(13)
	_, err := s.travel(t, "fragile", Destination{}, true).Rebuild(t.Context(), labels)
	var panicked *online.PanicError
	if !errors.As(err, &panicked) || !strings.Contains(err.Error(), "trip-12") {
		t.Errorf("error %v, want a panic on trip-12", err)
	}
}

// The models that are shipped, each of which several learners have taken turns
// to teach, from what they read and from what they had in memory.
func testTravelShipped(t *testing.T, s store) {
	data, err := os.ReadFile("../../infra/models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := online.ParseCatalogue(data, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(t.Context(), s.client(t), c); err != nil {
		t.Fatal(err)
	}
	const trips = 900
	labels := shippedLabels(t, c, trips)
	byID := map[string]Label{}
	for _, l := range labels {
		byID[l.ID] = l
	}
	var learners sync.WaitGroup
	next := make(chan []Label)
	for i := range 3 {
		committer := s.committer(t, CommitterOptions{MaxWait: time.Minute, MaxBatch: 1 << (3 * i), SnapshotEvery: 5 * time.Millisecond, SnapshotCount: 3})
		learners.Go(func() {
			for together := range next {
				learnAll(t, committer, together)
			}
		})
	}
	for from := 0; from < trips; {
		n := min(1+rand.IntN(40), trips-from)
		next <- labels[from : from+n]
		from += n
	}
	close(next)
	learners.Wait()
	for _, spec := range c.Models {
		s.checkTravel(t, spec.Name, byID)
	}
}

// shippedLabels are labels with every feature that models of a catalogue take.
func shippedLabels(t testing.TB, c *online.Catalogue, n int) []Label {
	t.Helper()
	names := map[string]bool{}
	for _, spec := range c.Models {
		p, err := spec.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Features() {
			names[name] = true
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	labels := make([]Label, n)
	for i := range labels {
		f := map[string]float64{}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			f[name] = r.NormFloat64()
		}
		labels[i] = Label{ID: fmt.Sprint("trip-", i), Features: f, Y: 300 + 200*math.Abs(f["distance_km"]+r.NormFloat64())}
	}
	return labels
}

// What Redis says of a model's past may be anything: the answer is an error, or
// a journey, and it ends.
func FuzzTravel(f *testing.F) {
	good := Commit{Version: 1, Name: "x", Kind: KindLearn, Labels: 1, First: "t", Last: "t", Count: 1}
	child := Commit{Version: 2, Name: "y", Parent: "x", Kind: KindLearn, Labels: 1, First: "u", Last: "u", Count: 2}
	back := Commit{Version: 3, Name: "z", Parent: "y", Kind: KindRollback, From: 1, Of: "x", Count: 1}
	self := Commit{Version: 3, Name: "z", Parent: "z", Kind: KindRollback, From: 3, Of: "z"}
	f.Add(jsonText(f, good), jsonText(f, child), jsonText(f, back), `["t"]`, uint64(0))
	f.Add(jsonText(f, good), jsonText(f, child), jsonText(f, self), `["t","u"]`, uint64(3))
	f.Add(jsonText(f, back), jsonText(f, back), jsonText(f, back), `[null]`, uint64(3))
	f.Add("", "{}", "null", "[]", uint64(1))
	f.Fuzz(func(t *testing.T, one, two, three, labels string, version uint64) {
		p := &past{spec: mustSpec(t), named: map[string]int{}, snapshots: map[string]Snapshot{}}
		for i, text := range []string{three, two, one} {
			entry := redis.XMessage{ID: fmt.Sprintf("%d-0", 3-i), Values: map[string]any{entryJSON: text}}
			if c, err := parseCommit(entry); err == nil {
				c.Spec = p.spec.Hash()
				p.add(entered{c, entry.ID})
				p.head.version, p.head.commit = c.Version, c.Name
			}
		}
		if ids, err := parseLabels(redis.XMessage{Values: map[string]any{entryJSON: labels}}); err == nil && len(ids) == 0 {
			t.Error("no labels are labels")
		}
		to, err := p.destination(Destination{Version: version}, "")
		if err != nil {
			return
		}
		places, _, err := p.way(to, true)
		if err == nil && (len(places) == 0 || len(places) > 3) {
			t.Errorf("%d places of 3 commits", len(places))
		}
	})
}

func mustSpec(t testing.TB) online.Spec {
	t.Helper()
	return catalogueOf(t, "one").Models[0]
}
