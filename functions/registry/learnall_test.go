package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// labelsN are the labels from one number to another.
func labelsN(from, to int) []Label {
	var labels []Label
	for n := from; n < to; n++ {
		labels = append(labels, labelN(n))
	}
	return labels
}

// Labels that come together are as few versions as hold them, and the same
// labels once more are none.
func testLearnAll(t *testing.T, s store) {
	c := s.applied(t, "one", "two")
	committer := s.committer(t, CommitterOptions{MaxBatch: 100})
	learned, version := 0, uint64(0)
	for _, labels := range []int{1, 99, 100, 101, 350} {
		commits := uint64((labels + 99) / 100)
		for _, again := range []bool{false, true} {
			results := committer.LearnAll(t.Context(), labelsN(learned, learned+labels))
			if len(results) != labels {
				t.Fatalf("%d results for %d labels", len(results), labels)
			}
			for i, r := range results {
				if r.Err != nil {
					t.Fatalf("label %d of %d: %v", i, labels, r.Err)
				}
				want := version + uint64(i/100) + 1
				if again {
					want = version + commits
				}
				for m, o := range r.Outcomes {
					if o.Model != c.Models[m].Name || o.Version != want || o.Duplicate != again || o.Err != nil {
						t.Errorf("label %d of %d: outcome %v, want version %d, duplicate %t", i, labels, o, want, again)
					}
				}
			}
		}
		learned, version = learned+labels, version+commits
		for _, spec := range c.Models {
			if v := s.head(t, spec.Name).version; v != version {
				t.Errorf("%s is at version %d after %d labels more, want %d", spec.Name, v, labels, version)
			}
		}
	}
	for _, spec := range c.Models {
		s.checkLearned(t, spec, learned)
	}
}

// What was handed over together is not torn apart to fill a commit.
func testLearnAllStaysTogether(t *testing.T, s store) {
	c := s.applied(t, "one")
	client := s.client(t)
	first, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hooked(t, client, atExec(func() { once.Do(func() { close(first); <-gate }) }))
	committer := committerOn(t, client, CommitterOptions{MaxBatch: 100})
	var learners sync.WaitGroup
	versions := make(chan map[uint64]bool, 3)
	learn := func(from, to int) {
		learners.Go(func() {
			seen := map[uint64]bool{}
			for _, r := range committer.LearnAll(context.Background(), labelsN(from, to)) {
				if r.Err != nil {
					t.Error(r.Err)
					return
				}
				seen[r.Outcomes[0].Version] = true
			}
			versions <- seen
		})
	}
	learn(0, 1)
	<-first
	learn(1, 61)
	waitQueued(committer, 1)
	learn(61, 121)
	waitQueued(committer, 2)
	close(gate)
	learners.Wait()
	close(versions)
	for seen := range versions {
		if len(seen) != 1 {
			t.Errorf("labels that came together are in the versions %v", seen)
		}
	}
	if v := s.head(t, "one").version; v != 3 {
		t.Errorf("version %d, want 3", v)
	}
	s.checkLearned(t, c.Models[0], 121)
}

// A label that nothing can be done with costs only itself.
func testLearnAllFailsAlone(t *testing.T, s store) {
	c := s.applied(t, "steady", "fragile=Fragile")
	committer := s.committer(t, CommitterOptions{})
	for i, r := range committer.LearnAll(t.Context(), append(labelsN(0, 20), labelN(3))) {
		var panicked *PanicError
		if errors.As(r.Err, &panicked) != (i == 13) {
			t.Errorf("label %d: %v", i, r.Err)
		}
		if r.Outcomes[0].Duplicate != (i == 20) {
			t.Errorf("label %d: outcome %v, want a duplicate only of what came twice", i, r.Outcomes[0])
		}
	}
	s.checkLearned(t, c.Models[0], 20)
	if n := s.head(t, "fragile").count; n != 19 {
		t.Errorf("the fragile model has learned %d labels, want 19", n)
	}
}

// Learners that race with batches of one and the same labels learn each once.
func testLearnAllContention(t *testing.T, s store) {
	const labels = 300
	c := s.applied(t, "one", "two")
	var learners sync.WaitGroup
	for range 3 {
		committer := s.committer(t, CommitterOptions{MaxWait: time.Minute, MaxBatch: 32})
		learners.Go(func() {
			for from := 0; from < labels; from += 50 {
				for _, r := range committer.LearnAll(context.Background(), labelsN(from, from+50)) {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
			}
		})
	}
	learners.Wait()
	for _, spec := range c.Models {
		s.checkLearned(t, spec, labels)
	}
}

func TestLearnAllUnavailable(t *testing.T) {
	s := storeAt("127.0.0.1:1") // nobody listens there
	committer := s.committer(t, CommitterOptions{MaxWait: 200 * time.Millisecond})
	results := committer.LearnAll(t.Context(), labelsN(0, 3))
	if len(results) != 3 {
		t.Fatalf("%d results for 3 labels", len(results))
	}
	for i, r := range results {
		if !errors.Is(r.Err, ErrUnavailable) {
			t.Errorf("label %d: error %v, want ErrUnavailable", i, r.Err)
		}
	}
	if results := committer.LearnAll(t.Context(), nil); len(results) != 0 {
		t.Errorf("%d results for no label", len(results))
	}
}

// What was committed before the time was up is reported as such, though nobody
// was looking at it then.
func TestWaiterPrefersResults(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWaiter(ctx, labelN(0), make([]*worker, 1))
	for range 100 {
		w.results <- Outcome{Model: "one"}
		if _, ok := w.next(ctx); !ok {
			t.Fatal("an outcome that was there is not seen")
		}
	}
	if o, ok := w.next(ctx); ok {
		t.Errorf("outcome %v out of nothing", o)
	}
}

// The time is up between two commits: what the first held is done, what comes
// again is learned once.
func testLearnAllTooLate(t *testing.T, s store) {
	c := s.applied(t, "one")
	client := s.client(t)
	second, gate := make(chan struct{}), make(chan struct{})
	commits := 0
	hooked(t, client, atExec(func() {
		if commits++; commits == 2 {
			close(second)
			<-gate
		}
	}))
	committer := committerOn(t, client, CommitterOptions{MaxBatch: 10, MaxWait: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-second
		cancel()
	}()
	for i, r := range committer.LearnAll(ctx, labelsN(0, 20)) {
		if (r.Err != nil) != (i >= 10) || i >= 10 && !errors.Is(r.Err, context.Canceled) {
			t.Errorf("label %d: error %v", i, r.Err)
		}
	}
	close(gate)
	for i, r := range committer.LearnAll(t.Context(), labelsN(0, 20)) {
		if r.Err != nil {
			t.Errorf("label %d, redelivered: %v", i, r.Err)
		}
	}
	s.checkLearned(t, c.Models[0], 20)
}
