package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Learners and readers go on from a rollback by themselves, and it can be undone.
func testRollback(t *testing.T, s store) {
	c := s.applied(t, "one", "two")
	ctx, client := t.Context(), s.client(t)
	reader := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, SnapshotCount: 2})
	learnN(t, committer, 0, 5)
	later := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour}) // no more snapshots
	learnN(t, later, 5, 8)
	now(t, reader)

	action, err := Rollback(ctx, client, testKinds(), "one", 5, 8, Actor{"ann", "bad labels"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Action{At: action.At, Kind: KindRollback, Model: "one", From: "8", To: "5", By: "ann", Reason: "bad labels"}); action != want || action.At.IsZero() {
		t.Errorf("action %+v, want %+v", action, want)
	}
	if got := names(now(t, reader)); got != "[one@9 two@8]" {
		t.Errorf("models %s after the rollback", got)
	}
	if m := now(t, reader).Healthy[0]; m.Count != 5 {
		t.Errorf("count %d, want that of the snapshot", m.Count)
	}
	// Labels go on where the state ends, and those it is rid of do not come back.
	outcomes, err := later.Learn(ctx, labelN(6))
	if err != nil || !outcomes[0].Duplicate {
		t.Errorf("a label from before the rollback: %v, %v, want a duplicate", outcomes, err)
	}
	learnN(t, later, 8, 10)
	learnN(t, committer, 10, 11)
	if got := fmt.Sprint(tracedOrder(t, c.Models[0], s.head(t, "one").state)); got != "[0 1 2 3 4 8 9 10]" {
		t.Errorf("the state has learned %s", got)
	}
	s.checkLearned(t, c.Models[1], 11)
	commits := s.checkLineage(t, "one")
	if r := commits[8]; r.Kind != KindRollback || r.From != 5 || r.Labels != 0 || r.Count != 5 {
		t.Errorf("the rollback is the commit %+v", r)
	}

	// It can be rolled back itself: what it replaced is a snapshot.
	if _, err := Rollback(ctx, client, testKinds(), "one", 8, 0, Actor{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tracedOrder(t, c.Models[0], s.head(t, "one").state)); got != "[0 1 2 3 4 5 6 7]" {
		t.Errorf("the state has learned %s", got)
	}
	actions, err := Audit(ctx, client, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(actions) != 2 || actions[0].By != "bob" || actions[1] != action {
		t.Errorf("the audit trail is %+v", actions)
	}
}

func testRollbackRefuses(t *testing.T, s store) {
	s.applied(t, "one", "two")
	ctx, client := t.Context(), s.client(t)
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 0, 4)
	if err := client.Set(ctx, snapshotKey("one", "2"), "random bytes", 0).Err(); err != nil {
		t.Fatal(err)
	}
	other := s.snapshots(t, "one")[1] // version 3
	other.Spec = "another"
	client.HSet(ctx, snapshotsKey("one"), 3, jsonText(t, other))
	client.Del(ctx, snapshotKey("one", "1"))
	isState := func(err error) bool {
		var state *StateError
		return errors.As(err, &state) && state.Model == "one"
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	tests := []struct {
		name, model string
		to, expect  uint64
		by          Actor
		is          func(error) bool
		says        string
	}{
		{"no such model", "three", 1, 0, Actor{Name: "ann"}, is(ErrNotFound), "its models are one, two"},
		{"no such version", "one", 9, 0, Actor{Name: "ann"}, is(ErrNotFound), "there are [4 3 2 1]"},
		{"another version", "one", 4, 3, Actor{Name: "ann"}, is(ErrConflict), "at version 4 by now, not at 3"},
		{"nobody", "one", 4, 0, Actor{}, is(ErrActor), "no name"},
		{"random state", "one", 2, 0, Actor{Name: "ann"}, isState, "one"},
		{"another specification", "one", 3, 0, Actor{Name: "ann"}, isState, "belongs to specification another"},
		{"no state", "one", 1, 0, Actor{Name: "ann"}, isState, "one"},
	}
	before := s.raw(t, "one")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Rollback(ctx, client, testKinds(), tt.model, tt.to, tt.expect, tt.by)
			if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
	if s.raw(t, "one") != before || len(s.lineage(t, "one", 0)) != 4 {
		t.Error("a rollback that was refused has left something behind")
	}
}

// A model that is neither served nor taught is whole again, whatever was wrong,
// and what it has learned before is not learned again.
func testRollbackRepairs(t *testing.T, s store) {
	c := s.applied(t, "one")
	ctx, client := t.Context(), s.client(t)
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, Window: 3}), 0, 5)
	restore := s.keep(t, "one")
	breaks := breakages(s.head(t, "one"))
	breaks["nothing"] = func(ctx context.Context, client redis.UniversalClient, model string) {
		client.Del(ctx, headKey(model))
	}
	n := 5
	for name, breakIt := range breaks {
		t.Run(name, func(t *testing.T) {
			before := s.lineage(t, "one", 1)[0].Version
			breakIt(ctx, client, "one")
			if _, err := Rollback(ctx, client, testKinds(), "one", 5, 0, Actor{Name: "ann"}); err != nil {
				t.Fatal(err)
			}
			h := s.head(t, "one")
			if h.version != before+1 || h.count != 5 {
				t.Errorf("version %d and count %d after version %d", h.version, h.count, before)
			}
			if ids := client.SCard(ctx, idsKey("one", h.ids)).Val(); ids == 0 || uint64(ids) != h.idsN {
				t.Errorf("the set %s has %d ids, the head says %d", h.ids, ids, h.idsN)
			}
			committer := s.committer(t, CommitterOptions{})
			outcomes, err := committer.Learn(ctx, labelN(4))
			if err != nil || !outcomes[0].Duplicate {
				t.Errorf("a label that was learned: %v, %v, want a duplicate", outcomes, err)
			}
			learnN(t, committer, n, n+1)
			if got, want := fmt.Sprint(tracedOrder(t, c.Models[0], s.head(t, "one").state)), fmt.Sprint([]int{0, 1, 2, 3, 4, n}); got != want {
				t.Errorf("the state has learned %s, want %s", got, want)
			}
			n++
		})
	}
	restore() // nothing is left to do for the next
}

// What this program cannot decode is not lost: it may be another's that is newer.
func testRollbackKeepsNewer(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Hour}), 0, 3)
	newer(t, s, "one")
	was := s.head(t, "one")
	s.rollback(t, "one", 1)
	if kept := s.states(t, "one")["3"]; kept != was.state || kept == "" {
		t.Errorf("the snapshots are %v, want one of version 3 with what was there", versionsOf(s.snapshots(t, "one")))
	}
}

// A learner may drop a snapshot between any two commands: one that is in the index
// has to have been read before.
func testRollbackReadsInOrder(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), 0, 3)
	client, order := s.client(t), &commandOrder{}
	hooked(t, client, order)
	if _, err := Rollback(t.Context(), client, testKinds(), "one", 1, 0, ann); err != nil {
		t.Fatal(err)
	}
	state := slices.Index(order.all, "get "+snapshotKey("one", "1"))
	if index := slices.Index(order.all, "hgetall "+snapshotsKey("one")); state < 0 || index < state {
		t.Errorf("it asked for %q, want the snapshot before the index", order.all)
	}
}

// commandOrder is a hook that notes commands with their first argument.
type commandOrder struct{ all []string }

func (o *commandOrder) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (o *commandOrder) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (o *commandOrder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			if args := c.Args(); len(args) > 1 {
				o.all = append(o.all, fmt.Sprint(c.Name(), " ", args[1]))
			}
		}
		return next(ctx, cmds)
	}
}

// Learners race with rollbacks and with one another, while connections break:
// every label is learned once, on top of what the last rollback went back to.
func testRollbackRaces(t *testing.T, s store) {
	const labels, processes = 250, 3
	c := s.applied(t, "one")
	p := newProxy(t, s)
	committers := make([]*Committer, processes)
	for i := range committers {
		committers[i] = p.store().committer(t, CommitterOptions{
			MaxWait: time.Minute, MaxBatch: 8, SnapshotEvery: 3 * time.Millisecond, SnapshotCount: 4,
		})
	}
	next := make(chan int)
	var learners sync.WaitGroup
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
	var meddlers sync.WaitGroup
	rollbacks := 0
	meddlers.Go(func() {
		client := s.client(t)
		for {
			select {
			case <-done:
				return
			case <-time.After(rand.N(20 * time.Millisecond)):
				p.loseAnswer.Store(1)
				p.cut()
			}
			snapshots := s.snapshots(t, "one")
			if len(snapshots) == 0 {
				continue
			}
			_, err := Rollback(t.Context(), client, testKinds(), "one", snapshots[rand.N(len(snapshots))].Version, 0, Actor{Name: "ann"})
			if err == nil {
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
	if rollbacks == 0 {
		t.Error("nothing was rolled back: the test has tested nothing")
	}
	commits := s.checkLineage(t, "one")
	s.checkReplay(t, c.Models[0].Name, commits, labels)
	s.checkNoSnapshotsLeftOver(t, "one")
}

// checkReplay holds the state to what the lineage says it has learned.
func (s store) checkReplay(t *testing.T, model string, commits []Commit, labels int) {
	t.Helper()
	learned := 0
	for _, c := range commits {
		learned += c.Labels
	}
	if learned != labels {
		t.Errorf("%d labels were committed, want each of the %d once", learned, labels)
	}
	lengths := map[uint64]int{}
	length := 0
	for _, c := range commits {
		if c.Kind == KindRollback {
			length = lengths[c.From]
		}
		length += c.Labels
		lengths[c.Version] = length
	}
	spec, _ := mustCatalogue(t, s).Find(model)
	order := tracedOrder(t, spec, s.head(t, model).state)
	if len(order) != length {
		t.Errorf("the state has learned %d labels, the lineage says %d", len(order), length)
	}
	seen := map[float64]bool{}
	for _, y := range order {
		if seen[y] {
			t.Errorf("label %v was learned twice", y)
		}
		seen[y] = true
	}
	at := len(order)
	for _, c := range slices.Backward(commits) {
		if c.Kind == KindRollback {
			break
		}
		first, last := order[at-c.Labels], order[at-1]
		if c.First != "trip-"+strconv.Itoa(int(first)) || c.Last != "trip-"+strconv.Itoa(int(last)) {
			t.Errorf("version %d has learned %v to %v, its commit says %s to %s", c.Version, first, last, c.First, c.Last)
		}
		at -= c.Labels
	}
}

// A rollback that was executed and whose answer was lost may be asked for again
// with the version it was to replace, and is not done twice.
func testRollbackAnswerLost(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	p := newProxy(t, s)
	client := p.store().client(t)
	p.loseAnswer.Store(1)
	_, err := Rollback(t.Context(), client, testKinds(), "one", 1, 3, Actor{Name: "ann"})
	if !errors.Is(err, ErrUnavailable) || p.lost.Load() != 1 {
		t.Fatalf("error %v after %d lost answers, want ErrUnavailable", err, p.lost.Load())
	}
	_, err = Rollback(t.Context(), client, testKinds(), "one", 1, 3, Actor{Name: "ann"})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "at version 4 by now") {
		t.Errorf("error %v, want ErrConflict", err)
	}
	s.checkLineage(t, "one")
}

// Without learners, snapshots do not become more and more.
func testRollbacksAreBounded(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	for range 2 * defaultSnapshots {
		if _, err := Rollback(t.Context(), s.client(t), testKinds(), "one", 1, 0, Actor{Name: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.snapshots(t, "one")); n != defaultSnapshots {
		t.Errorf("%d snapshots, want %d", n, defaultSnapshots)
	}
	s.checkNoSnapshotsLeftOver(t, "one")
}
