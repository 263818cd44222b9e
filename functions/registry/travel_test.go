package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// labelled are the labels of labelN up to a number, by their ids.
func labelled(n int) map[string]Label {
	labels := map[string]Label{}
	for _, l := range labelsN(0, n) {
		labels[l.ID] = l
	}
	return labels
}

func (s store) travel(t testing.TB, model string, to Destination, fromNothing bool) *Journey {
	t.Helper()
	j, err := Travel(context.Background(), s.client(t), testKinds(), model, to, fromNothing)
	if err != nil {
		t.Fatalf("%s to %+v, from nothing %t: %v", model, to, fromNothing, err)
	}
	return j
}

func rebuild(t testing.TB, j *Journey, labels map[string]Label) *Rebuilt {
	t.Helper()
	r, err := j.Rebuild(labels)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkTravel rebuilds every state of a model that is kept, from nothing and
// from the nearest snapshot, and holds each to what is kept.
func (s store) checkTravel(t *testing.T, model string, labels map[string]Label) {
	t.Helper()
	kept := map[uint64]string{s.head(t, model).version: s.head(t, model).state}
	for _, snapshot := range s.snapshots(t, model) {
		state, err := s.client(t).Get(t.Context(), snapshotKey(model, strconv.FormatUint(snapshot.Version, 10))).Result()
		if err != nil {
			t.Fatal(err)
		}
		kept[snapshot.Version] = state
	}
	for version, state := range kept {
		for _, fromNothing := range []bool{true, false} {
			r := rebuild(t, s.travel(t, model, Destination{Version: version}, fromNothing), labels)
			if string(r.State) != state || r.Version != version || r.Partial || fromNothing && r.From != 0 {
				t.Errorf("%s, version %d from nothing %t: rebuilt %d from %d, not bit for bit", model, version, fromNothing, r.Version, r.From)
			}
			if !slices.Contains(r.Checked, version) || !slices.IsSorted(r.Checked) {
				t.Errorf("%s, version %d from nothing %t: compared %v", model, version, fromNothing, r.Checked)
			}
		}
	}
	if r, h := rebuild(t, s.travel(t, model, Destination{}, true), labels), s.head(t, model); r.Version != h.version || r.Count != h.count {
		t.Errorf("%s: rebuilt version %d of %d labels, the head is version %d of %d", model, r.Version, r.Count, h.version, h.count)
	}
}

func testTravel(t *testing.T, s store) {
	const labels = 60
	c := s.applied(t, "one", "two")
	for i, size := range []int{1, 7, 256} {
		committer := s.committer(t, CommitterOptions{MaxBatch: size, SnapshotEvery: 3 * time.Millisecond, SnapshotCount: 4})
		for from := labels * i; from < labels*(i+1); {
			n := min(1+rand.N(12), labels*(i+1)-from)
			for _, r := range committer.LearnAll(t.Context(), append(labelsN(from, from+n), labelsN(max(0, from-3), from)...)) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			from += n
		}
	}
	for _, spec := range c.Models {
		s.checkTravel(t, spec.Name, labelled(3*labels))
	}
	j := s.travel(t, "one", Destination{}, true)
	var want []string
	for _, y := range tracedOrder(t, c.Models[0], s.head(t, "one").state) {
		want = append(want, fmt.Sprint("trip-", y))
	}
	if !slices.Equal(j.Labels(), want) {
		t.Errorf("the way is %v, what was learned %v", j.Labels(), want)
	}
}
