package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func testLearns(t *testing.T, s store) {
	c := s.applied(t, "one", "two")
	committer := s.committer(t, CommitterOptions{})
	for n := range 20 {
		outcomes, err := committer.Learn(t.Context(), labelN(n))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint([]Outcome{{Model: "one", Version: uint64(n + 1)}, {Model: "two", Version: uint64(n + 1)}})
		if got := fmt.Sprint(outcomes); got != want {
			t.Errorf("label %d: outcomes %s, want %s", n, got, want)
		}
	}
	for _, spec := range c.Models {
		s.checkLearned(t, spec, 20)
	}
	// Another process goes on where this one stopped.
	other := s.committer(t, CommitterOptions{})
	learnN(t, other, 20, 30)
	learnN(t, committer, 30, 40)
	s.checkLearned(t, c.Models[0], 40)
}

func testDuplicates(t *testing.T, s store) {
	c := s.applied(t, "one")
	committer, other := s.committer(t, CommitterOptions{}), s.committer(t, CommitterOptions{})
	learnN(t, committer, 0, 5)
	for _, from := range []*Committer{committer, other} {
		outcomes, err := from.Learn(t.Context(), labelN(3))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := outcomes[0], (Outcome{Model: "one", Version: 5, Duplicate: true}); got != want {
			t.Errorf("outcome %v, want %v", got, want)
		}
	}
	s.checkLearned(t, c.Models[0], 5)
}

// holdFirstCommit returns a committer whose first EXEC waits until released.
func holdFirstCommit(t *testing.T, s store) (c *Committer, held <-chan struct{}, release func()) {
	client := s.client(t)
	first, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hooked(t, client, atExec(func() {
		once.Do(func() { close(first); <-gate })
	}))
	return committerOn(t, client, CommitterOptions{}), first, sync.OnceFunc(func() { close(gate) })
}

// waitQueued waits until n labels wait for the first model's next commit.
func waitQueued(c *Committer, n int) {
	for len(c.followed.workers[0].jobs) < n {
		time.Sleep(time.Millisecond)
	}
}

func testGroupCommit(t *testing.T, s store) {
	const labels = 201
	c := s.applied(t, "one")
	committer, held, release := holdFirstCommit(t, s)
	defer release()
	var learners sync.WaitGroup
	learn := func(n int) {
		learners.Go(func() {
			if _, err := committer.Learn(t.Context(), labelN(n)); err != nil {
				t.Error(err)
			}
		})
	}
	learn(0)
	<-held
	for n := 1; n < labels; n++ {
		learn(n)
	}
	waitQueued(committer, labels-1)
	release()
	learners.Wait()
	if v := s.head(t, "one").version; v != 2 {
		t.Errorf("%d commits for %d labels, want 2", v, labels)
	}
	s.checkLearned(t, c.Models[0], labels)
}

func testDuplicatesInBatch(t *testing.T, s store) {
	c := s.applied(t, "one")
	committer, held, release := holdFirstCommit(t, s)
	defer release()
	results := make(chan Outcome, 3)
	learn := func(n int) {
		outcomes, err := committer.Learn(context.WithoutCancel(t.Context()), labelN(n))
		if err != nil {
			t.Error(err)
		}
		results <- outcomes[0]
	}
	go learn(0)
	<-held
	go learn(1)
	go learn(1)
	waitQueued(committer, 2)
	release()
	duplicates := 0
	for range 3 {
		if (<-results).Duplicate {
			duplicates++
		}
	}
	if duplicates != 1 {
		t.Errorf("%d of two equal labels in one batch were duplicates, want 1", duplicates)
	}
	s.checkLearned(t, c.Models[0], 2)
}

// Learners race for the same models, and every label comes to two of them.
func testContention(t *testing.T, s store) {
	const labels, processes = 300, 4
	c := s.applied(t, "one", "two")
	committers := make([]*Committer, processes)
	for i := range committers {
		committers[i] = s.committer(t, CommitterOptions{MaxWait: time.Minute, MaxBatch: 16})
	}
	var learners sync.WaitGroup
	var mu sync.Mutex
	duplicates := 0
	for i := range processes {
		for _, half := range []int{0, 1} {
			learners.Go(func() {
				for n := range labels {
					if n%processes != (i+half)%processes {
						continue
					}
					outcomes, err := committers[i].Learn(t.Context(), labelN(n))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if outcomes[0].Duplicate {
						duplicates++
					}
					mu.Unlock()
				}
			})
		}
	}
	learners.Wait()
	if duplicates != labels {
		t.Errorf("%d duplicates of %d labels that came twice", duplicates, labels)
	}
	for _, spec := range c.Models {
		s.checkLearned(t, spec, labels)
	}
}

// Somebody changes the model before every EXEC: the label is given back in the
// end, and learned when it comes again.
func testConflictsWithoutEnd(t *testing.T, s store) {
	c := s.applied(t, "one")
	client, meddler := s.client(t), s.client(t)
	hooked(t, client, atExec(func() { meddler.SAdd(context.Background(), idsKey("one", "b"), rand.Int()) }))
	busy := committerOn(t, client, CommitterOptions{MaxWait: 500 * time.Millisecond})
	if err := busy.Ready(t.Context()); err != nil { // it has the catalogue
		t.Fatal(err)
	}
	if _, err := busy.Learn(t.Context(), labelN(0)); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	s.checkLearned(t, c.Models[0], 1)
}

// Whoever posted a label hangs up while it is committed and posts it again.
func testCancelled(t *testing.T, s store) {
	c := s.applied(t, "one")
	committer, held, release := holdFirstCommit(t, s)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()
	if _, err := committer.Learn(ctx, labelN(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	release()
	learnN(t, committer, 0, 3)
	s.checkLearned(t, c.Models[0], 3)
}

func testCloseFinishes(t *testing.T, s store) {
	c := s.applied(t, "one")
	committer, held, release := holdFirstCommit(t, s)
	defer release()
	errs := make(chan error, 2)
	learn := func(n int) {
		_, err := committer.Learn(context.Background(), labelN(n))
		errs <- err
	}
	go learn(0)
	<-held
	go learn(1)
	waitQueued(committer, 1)
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := committer.Close(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("Close while a commit is under way: %v, want context.Canceled", err)
	}
	release()
	if err := committer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("a label that was accepted: %v", err)
		}
	}
	s.checkLearned(t, c.Models[0], 2)
	if _, err := committer.Learn(t.Context(), labelN(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v after Close, want ErrClosed", err)
	}
}

// The last Window ids are recognised at any time, and memory is bounded.
func testRotation(t *testing.T, s store) {
	const window = 10
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{Window: window})
	client := s.client(t)
	turns := map[string]bool{}
	for n := range 5 * window {
		learnN(t, committer, n, n+1)
		turns[s.head(t, "one").ids] = true
		for back := range min(window, n+1) {
			outcomes, err := committer.Learn(t.Context(), labelN(n-back))
			if err != nil {
				t.Fatal(err)
			}
			if !outcomes[0].Duplicate {
				t.Fatalf("after %d labels, the one %d back is not recognised", n+1, back)
			}
		}
		for _, set := range []string{"a", "b"} {
			if ids := client.SCard(t.Context(), idsKey("one", set)).Val(); ids > window {
				t.Fatalf("set %s holds %d ids, want at most %d", set, ids, window)
			}
		}
	}
	if len(turns) != 2 {
		t.Error("the sets of ids did not take turns")
	}
	// The first label is long forgotten.
	outcomes, err := committer.Learn(t.Context(), labelN(0))
	if err != nil {
		t.Fatal(err)
	}
	if outcomes[0].Duplicate {
		t.Error("an id beyond two windows is still remembered")
	}
}

// breakages are what a head may hold that no committer writes.
func breakages(good head) map[string]func(context.Context, redis.UniversalClient, string) {
	set := func(field string, value any) func(context.Context, redis.UniversalClient, string) {
		return func(ctx context.Context, client redis.UniversalClient, model string) {
			client.HSet(ctx, headKey(model), field, value)
		}
	}
	return map[string]func(context.Context, redis.UniversalClient, string){
		"truncated": set(fieldState, good.state[:len(good.state)/2]),
		"empty":     set(fieldState, ""),
		"random":    set(fieldState, "\x07\xff\x00random bytes"),
		"huge":      set(fieldState, good.state+string(make([]byte, 8<<20))),
		"spec":      set(fieldSpec, "another"),
		"version":   set(fieldVersion, "-1"),
		"ids":       set(fieldIDs, "c"),
		"no version": func(ctx context.Context, client redis.UniversalClient, model string) {
			client.HDel(ctx, headKey(model), fieldVersion)
		},
		"no hash": func(ctx context.Context, client redis.UniversalClient, model string) {
			client.Del(ctx, headKey(model))
			client.Set(ctx, headKey(model), "x", 0)
		},
	}
}

// A broken model is left as it is and reported; the other learns, and the label
// is done with.
func testBrokenStates(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "good", "bad")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	restore := s.keep(t, "bad")
	n := 3
	for name, breakIt := range breakages(s.head(t, "bad")) {
		t.Run(name, func(t *testing.T) {
			breakIt(ctx, client, "bad")
			before := s.raw(t, "bad")
			// A fresh committer, as its own would not read the state again.
			outcomes, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(n))
			n++
			if err != nil {
				t.Fatalf("a broken model holds the label back: %v", err)
			}
			var broken *StateError
			if !errors.As(outcomes[1].Err, &broken) || broken.Model != "bad" {
				t.Errorf("outcome %v, want a *StateError of bad", outcomes[1])
			}
			if outcomes[0].Err != nil || outcomes[0].Version != uint64(n) {
				t.Errorf("outcome %v, want version %d", outcomes[0], n)
			}
			if s.raw(t, "bad") != before {
				t.Error("the broken state was written to")
			}
			restore()
		})
	}
	s.checkLearned(t, c.Models[0], n)
	s.checkLearned(t, c.Models[1], 3)
}

// newer rewrites a head's state as one of a format that is still to come.
func newer(t *testing.T, s store, model string) {
	t.Helper()
	future := []byte("\x08Pipeline\x63")
	if err := s.client(t).HSet(t.Context(), headKey(model), fieldState, future).Err(); err != nil {
		t.Fatal(err)
	}
}

// A state from the future is sound: the label must come again, to a learner
// that can read it.
func testNewerState(t *testing.T, s store) {
	c := s.applied(t, "good", "new")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	newer(t, s, "new")
	_, err := s.committer(t, CommitterOptions{}).Learn(t.Context(), labelN(1))
	var broken *StateError
	if !errors.As(err, &broken) || !broken.Newer {
		t.Errorf("error %v, want a *StateError that is Newer", err)
	}
	s.checkLearned(t, c.Models[0], 2)
}

func testAllBroken(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	s.client(t).HSet(t.Context(), headKey("one"), fieldState, "x")
	if _, err := s.committer(t, CommitterOptions{}).Learn(t.Context(), labelN(1)); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v where nothing can learn, want ErrNoModels", err)
	}
}

// A label that one model panics on is not acknowledged, costs no other label,
// and leaves no trace in the model.
func testPanic(t *testing.T, s store) {
	c := s.applied(t, "steady", "fragile=Fragile")
	committer := s.committer(t, CommitterOptions{})
	for n := range 20 {
		_, err := committer.Learn(t.Context(), labelN(n))
		var panicked *PanicError
		if errors.As(err, &panicked) != (n == 13) {
			t.Errorf("label %d: error %v", n, err)
		}
	}
	s.checkLearned(t, c.Models[0], 20)
	if n := s.head(t, "fragile").count; n != 19 {
		t.Errorf("the fragile model has learned %d labels, want 19", n)
	}
}

// Redis lost its last writes in a crash and another learner has counted the
// same versions again: the state in memory is not that of Redis, though its
// version is.
func testLostWrites(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{})
	learnN(t, committer, 0, 3)
	restore := s.keep(t, "one")
	learnN(t, committer, 3, 4)
	restore()
	client.SRem(ctx, idsKey("one", "a"), labelN(3).ID)
	learnN(t, s.committer(t, CommitterOptions{}), 4, 5)
	if v := s.head(t, "one").version; v != 4 {
		t.Fatalf("version %d, want 4 again", v)
	}
	learnN(t, committer, 3, 4)
	s.checkLearned(t, c.Models[0], 5)
}

func testNoCatalogue(t *testing.T, s store) {
	committer := s.committer(t, CommitterOptions{})
	if _, err := committer.Learn(t.Context(), labelN(0)); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v, want ErrNoModels", err)
	}
	if err := committer.Ready(t.Context()); !errors.Is(err, ErrNoModels) {
		t.Errorf("ready: %v, want ErrNoModels", err)
	}
	s.applied(t, "one")
	if err := committer.Ready(t.Context()); err != nil {
		t.Errorf("not ready after a catalogue was applied: %v", err)
	}
	learnN(t, committer, 0, 1)
}

func TestUnavailable(t *testing.T) {
	s := storeAt("127.0.0.1:1") // nobody listens there
	committer := s.committer(t, CommitterOptions{MaxWait: 200 * time.Millisecond})
	if _, err := committer.Learn(t.Context(), labelN(0)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if err := committer.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ready: %v, want ErrUnavailable", err)
	}
}
