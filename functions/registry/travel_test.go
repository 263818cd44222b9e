package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/registry/redistest"
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
	r, err := j.Rebuild(t.Context(), labels)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s store) rollback(t testing.TB, model string, to uint64) {
	t.Helper()
	if _, err := Rollback(context.Background(), s.client(t), testKinds(), model, to, 0, Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
}

// learnAll teaches labels together, as few commits as hold them.
func learnAll(t testing.TB, c *Committer, labels []Label) {
	t.Helper()
	for _, r := range c.LearnAll(context.Background(), labels) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// checkTravel rebuilds every state of a model that is kept, from nothing and
// from the nearest snapshot, and holds each to what is kept.
func (s store) checkTravel(t *testing.T, model string, labels map[string]Label) {
	t.Helper()
	h := s.head(t, model)
	kept := map[uint64]string{h.version: h.state}
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
			if !slices.Contains(r.Checked, version) {
				t.Errorf("%s, version %d from nothing %t: compared %v", model, version, fromNothing, r.Checked)
			}
		}
	}
	if r := rebuild(t, s.travel(t, model, Destination{}, true), labels); r.Version != h.version || r.Count != h.count {
		t.Errorf("%s: rebuilt version %d of %d labels, the head is version %d of %d", model, r.Version, r.Count, h.version, h.count)
	}
}

func testTravel(t *testing.T, s store) {
	const labels = 60
	c := s.applied(t, "one", "two")
	for i, size := range []int{1, 7, 256} {
		committer := s.committer(t, CommitterOptions{MaxBatch: size, SnapshotEvery: 3 * time.Millisecond, SnapshotCount: 4})
		for from, end := labels*i, labels*(i+1); from < end; {
			n := min(1+rand.N(12), end-from)
			learnAll(t, committer, append(labelsN(from, from+n), labelsN(max(0, from-3), from+1)...)) // some once more
			from += n
		}
	}
	for _, spec := range c.Models {
		s.checkTravel(t, spec.Name, labelled(3*labels))
	}
	var want []string
	for _, y := range tracedOrder(t, c.Models[0], s.head(t, "one").state) {
		want = append(want, fmt.Sprint("trip-", y))
	}
	if got := s.travel(t, "one", Destination{}, true).Labels(); !slices.Equal(got, want) {
		t.Errorf("the way is %v, what was learned %v", got, want)
	}
}

// Where there are rollbacks, and rollbacks of these, a journey goes the way of
// the state, and what was rolled back can still be seen again.
func testTravelRollbacks(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 0, 6)
	s.rollback(t, "one", 3)      // 7
	s.rollback(t, "one", 6)      // 8, what was before
	learnN(t, committer, 6, 8)   // 9, 10
	s.rollback(t, "one", 7)      // 11, which is a rollback
	s.rollback(t, "one", 3)      // 12
	s.rollback(t, "one", 11)     // 13, which is a rollback to one
	learnN(t, committer, 8, 10)  // 14, 15
	s.rollback(t, "one", 15)     // 16, itself
	learnN(t, committer, 10, 11) // 17
	s.checkTravel(t, "one", labelled(11))
	for _, tt := range []struct {
		to      Destination
		labels  string
		checked string
	}{
		{Destination{}, "[trip-0 trip-1 trip-2 trip-8 trip-9 trip-10]", "[1 2 3 7 11 14 15 17]"},
		{Destination{Version: 6}, "[trip-0 trip-1 trip-2 trip-3 trip-4 trip-5]", "[1 2 3 4 5 6]"},
		{Destination{Version: 8}, "[trip-0 trip-1 trip-2 trip-3 trip-4 trip-5]", "[1 2 3 4 5 6]"},
		{Destination{Label: "trip-7"}, "[trip-0 trip-1 trip-2 trip-3 trip-4 trip-5 trip-6 trip-7]", "[1 2 3 4 5 6 9 10]"},
		{Destination{Version: 12}, "[trip-0 trip-1 trip-2]", "[1 2 3 12]"},
		{Destination{Version: 13}, "[trip-0 trip-1 trip-2]", "[1 2 3 7 11]"},
	} {
		j := s.travel(t, "one", tt.to, true)
		if got := fmt.Sprint(j.Labels()); got != tt.labels {
			t.Errorf("to %+v: labels %s, want %s", tt.to, got, tt.labels)
		}
		if got := fmt.Sprint(rebuild(t, j, labelled(11)).Checked); got != tt.checked {
			t.Errorf("to %+v: compared %s, want %s", tt.to, got, tt.checked)
		}
	}
	// The snapshots of 3, 7 and 11 are of the state that 14 came from.
	if j := s.travel(t, "one", Destination{Version: 14}, false); j.From() != 11 || fmt.Sprint(j.Labels()) != "[trip-8]" {
		t.Errorf("from %d: %v", j.From(), j.Labels())
	}
	// A rollback's own state is not proved by what it went back to.
	if j := s.travel(t, "one", Destination{Version: 12}, false); j.From() != 2 {
		t.Errorf("from %d, want from before", j.From())
	}
}

// Several learners race with one another and with rollbacks, on connections that
// break, while others travel: whatever is kept can be rebuilt at any time.
func testTravelRaces(t *testing.T, s store) {
	const labels, processes = 250, 3
	s.applied(t, "one")
	p := newProxy(t, s)
	committers := make([]*Committer, processes)
	for i := range committers {
		committers[i] = p.store().committer(t, CommitterOptions{
			MaxWait: time.Minute, MaxBatch: 1 << (2 * i), SnapshotEvery: 2 * time.Millisecond, SnapshotCount: 6,
		})
	}
	next := make(chan int)
	var learners, meddlers sync.WaitGroup
	for i := range 2 * processes {
		learners.Go(func() {
			for n := range next {
				for again := 1 + n%2; again > 0; {
					if _, err := committers[(i+again)%processes].Learn(context.Background(), labelN(n)); err == nil {
						again--
					}
				}
			}
		})
	}
	done := make(chan struct{})
	client := s.client(t)
	journeys, rollbacks := 0, 0
	meddlers.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(rand.N(10 * time.Millisecond)):
				p.loseAnswer.Store(1)
				p.cut()
			}
			j, err := Travel(t.Context(), client, testKinds(), "one", Destination{}, rollbacks%2 == 0)
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrBusy) { // nothing yet, or too much
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := j.Rebuild(t.Context(), labelled(labels)); err != nil {
				t.Error(err)
			}
			journeys++
			kept := s.snapshots(t, "one")
			if _, err := Rollback(t.Context(), client, testKinds(), "one", kept[rand.N(len(kept))].Version, 0, Actor{Name: "ann"}); err == nil {
				rollbacks++
			} else if !errors.Is(err, ErrNotFound) { // a learner has dropped it
				t.Error(err)
			}
		}
	})
	for n := range labels {
		next <- n
	}
	close(next)
	learners.Wait()
	close(done)
	meddlers.Wait()
	if journeys == 0 || rollbacks == 0 || p.lost.Load() == 0 {
		t.Errorf("%d journeys, %d rollbacks and %d lost answers: the test has tested nothing", journeys, rollbacks, p.lost.Load())
	}
	s.checkLineage(t, "one")
	s.checkTravel(t, "one", labelled(labels))
}

// A head that was put back by hand counts versions again.
func testTravelCountsAgain(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 0, 3)
	restore := s.keep(t, "one")
	learnN(t, committer, 3, 6)
	first := s.keep(t, "one")
	restore()
	learnN(t, committer, 6, 8) // versions 4 and 5 again
	s.checkTravel(t, "one", labelled(8))
	for to, want := range map[Destination]string{
		{Version: 5}:      "[trip-0 trip-1 trip-2 trip-6 trip-7]",
		{Version: 6}:      "[trip-0 trip-1 trip-2 trip-3 trip-4 trip-5]", // that is there only once
		{Label: "trip-4"}: "[trip-0 trip-1 trip-2 trip-3 trip-4]",
	} {
		if got := fmt.Sprint(s.travel(t, "one", to, true).Labels()); got != want {
			t.Errorf("to %+v: %s, want %s", to, got, want)
		}
	}
	first() // what led to the head counts, not what is newer
	if got := fmt.Sprint(s.travel(t, "one", Destination{Version: 5}, true).Labels()); got != "[trip-0 trip-1 trip-2 trip-3 trip-4]" {
		t.Errorf("version 5 of the first line is %s", got)
	}
}

// A destination within a commit is the state of a process that learns the same
// labels in the same order, alone.
func testTravelToLabel(t *testing.T, s store) {
	c := s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: 2 * time.Millisecond})
	alone, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{1, 3, 8, 2, 20}
	labels := labelsN(0, 34)
	for from := 0; len(sizes) > 0; sizes = sizes[1:] {
		learnAll(t, committer, labels[from:from+sizes[0]])
		from += sizes[0]
	}
	for n, l := range labels {
		alone.Learn(alone.Vector(nil, l.Features), l.Y)
		want, err := alone.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		whole := slices.Contains([]int{1, 4, 12, 14, 34}, n+1)
		for _, fromNothing := range []bool{true, false} {
			r := rebuild(t, s.travel(t, "one", Destination{Label: l.ID}, fromNothing), labelled(34))
			if string(r.State) != string(want) || r.Count != uint64(n+1) || r.Partial == whole {
				t.Errorf("right after label %d: %d labels, partial %t, not bit for bit", n, r.Count, r.Partial)
			}
		}
	}
}

// A Redis that has lost its last writes in a crash counts versions again, and
// has forgotten the labels with the state.
func TestTravelAfterCrash(t *testing.T) {
	folder := t.TempDir()
	before := store{url: redistest.Start(t, "--dir", folder).URL()}
	before.applied(t, "one")
	committer := before.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, MaxBatch: 4})
	learnAll(t, committer, labelsN(0, 10))
	client := before.client(t)
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	learnAll(t, committer, labelsN(10, 22))
	lost := before.head(t, "one")
	client.ShutdownNoSave(t.Context())

	after := store{url: redistest.Start(t, "--dir", folder).URL()}
	if h := after.head(t, "one"); h.version != 3 || h.count != 10 {
		t.Fatalf("version %d of %d labels after the crash", h.version, h.count)
	}
	learnAll(t, after.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, MaxBatch: 4}), append(labelsN(16, 22), labelsN(8, 16)...))
	if h := after.head(t, "one"); h.version < lost.version || h.count != lost.count {
		t.Fatalf("version %d of %d labels, before the crash version %d of %d", h.version, h.count, lost.version, lost.count)
	}
	after.checkTravel(t, "one", labelled(22))
}
