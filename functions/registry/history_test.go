package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func (s store) lineage(t testing.TB, model string, limit int) []Commit {
	t.Helper()
	commits, err := Lineage(context.Background(), s.client(t), model, limit)
	if err != nil {
		t.Fatal(err)
	}
	return commits
}

func (s store) snapshots(t testing.TB, model string) []Snapshot {
	t.Helper()
	snapshots, err := Snapshots(context.Background(), s.client(t), model)
	if err != nil {
		t.Fatal(err)
	}
	return snapshots
}

func versionsOf(snapshots []Snapshot) string {
	var versions []uint64
	for _, s := range snapshots {
		versions = append(versions, s.Version)
	}
	return fmt.Sprint(versions)
}

// checkLineage holds a model's lineage to its head: every version once, each
// the child of the one before, with as many labels as there are in the end.
func (s store) checkLineage(t *testing.T, model string) []Commit {
	t.Helper()
	h, commits := s.head(t, model), s.lineage(t, model, 0)
	if uint64(len(commits)) != h.version {
		t.Fatalf("%s: %d commits in the lineage of version %d", model, len(commits), h.version)
	}
	slices.Reverse(commits)
	parent, count := "", uint64(0)
	counts := map[uint64]uint64{}
	for i, c := range commits {
		count += uint64(c.Labels)
		if c.Kind == KindRollback {
			count = counts[c.From]
		}
		counts[c.Version] = count
		if c.Version != uint64(i+1) || c.Parent != parent || c.Count != count || c.Spec != h.spec || c.At.IsZero() {
			t.Fatalf("%s: commit %d is %+v, its parent should be %q and its count %d", model, i+1, c, parent, count)
		}
		parent = c.Name
	}
	if parent != h.commit || count != h.count {
		t.Errorf("%s: the lineage ends with commit %q and count %d, the head has %q and %d", model, parent, count, h.commit, h.count)
	}
	return commits
}

func testLineage(t *testing.T, s store) {
	s.applied(t, "one", "two")
	if commits := s.lineage(t, "one", 0); len(commits) != 0 {
		t.Errorf("%d commits of a model that has learned nothing", len(commits))
	}
	committer := s.committer(t, CommitterOptions{MaxBatch: 4})
	for n, size := range []int{1, 3, 4, 2} {
		for _, r := range committer.LearnAll(t.Context(), labelsN(4*n, 4*n+size)) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	for _, model := range []string{"one", "two"} {
		commits := s.checkLineage(t, model)
		c := commits[2]
		if c.Kind != KindLearn || c.Labels != 4 || c.First != "trip-8" || c.Last != "trip-11" || c.From != 0 {
			t.Errorf("%s: the third commit is %+v", model, c)
		}
		if h := s.head(t, model); !h.committed.Equal(commits[3].At) || h.last != "trip-13" {
			t.Errorf("%s: the head is of %s and its last label %q, the commit of %s", model, h.committed, h.last, commits[3].At)
		}
	}
	if commits := s.lineage(t, "one", 2); len(commits) != 2 || commits[0].Version != 4 || commits[1].Version != 3 {
		t.Errorf("the newest two are %+v", commits)
	}
	s.checkSince(t, "one", 4)
}

// checkSince reads a lineage of so many versions from every one of them, in
// pages of every size.
func (s store) checkSince(t *testing.T, model string, version uint64) {
	t.Helper()
	all := s.lineage(t, model, 0)
	slices.Reverse(all)
	for limit := range len(all) + 2 {
		for after := range version + 2 {
			at, got := after, []Commit{}
			for {
				page, err := LineageSince(t.Context(), s.client(t), model, at, limit)
				if err != nil {
					t.Fatal(err)
				}
				if limit > 0 && len(page) > limit {
					t.Fatalf("%d commits where %d were asked for", len(page), limit)
				}
				got = append(got, page...)
				if len(page) == 0 {
					break
				}
				at = page[len(page)-1].Version
			}
			want := slices.DeleteFunc(slices.Clone(all), func(c Commit) bool { return c.Version <= after })
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("after version %d in pages of %d: %+v, want %+v", after, limit, got, want)
			}
		}
	}
}

func testLineageTrimmed(t *testing.T, s store) {
	const length, commits = 10, 450
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{LineageLength: length}), 0, commits)
	kept := s.lineage(t, "one", 0)
	// A real Redis drops a hundred entries at a time.
	if len(kept) < length || len(kept) > length+100 || kept[0].Version != commits {
		t.Fatalf("%d commits are kept, the newest of version %d", len(kept), kept[0].Version)
	}
	since, err := LineageSince(t.Context(), s.client(t), "one", 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(since) != len(kept) || since[0].Parent == "" {
		t.Errorf("%d commits since version 3, want the %d that are kept", len(since), len(kept))
	}
}

// A head that was put back by hand counts again: nothing that was there is
// forgotten, and nobody who follows is stuck.
func testLineageCountsAgain(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 0, 3)
	restore := s.keep(t, "one")
	learnN(t, committer, 3, 6)
	restore()
	learnN(t, committer, 6, 8) // versions 4 and 5 again
	if got := versionsOf(s.snapshots(t, "one")); got != "[5 4 3 2 1]" {
		t.Errorf("snapshots %s: those of versions that are still to come are in the way", got)
	}
	learnN(t, committer, 8, 10)
	var versions []uint64
	commits := s.lineage(t, "one", 0)
	for _, c := range slices.Backward(commits) {
		versions = append(versions, c.Version)
	}
	if got, want := fmt.Sprint(versions), "[1 2 3 4 5 6 4 5 6 7]"; got != want {
		t.Fatalf("versions %s, want %s", got, want)
	}
	if h := s.head(t, "one"); commits[0].Name != h.commit || commits[3].Parent != commits[6].Parent {
		t.Error("the second version 4 does not go on from version 3")
	}
	for limit := range 12 {
		var at uint64
		for range 20 {
			page, err := LineageSince(t.Context(), s.client(t), "one", at, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if last := page[len(page)-1].Version; last <= at {
				t.Fatalf("version %d comes after %d", last, at)
			}
			at = page[len(page)-1].Version
		}
		if at != 7 {
			t.Errorf("whoever follows in pages of %d is stuck at version %d", limit, at)
		}
	}
}

func testSnapshotsByCount(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, SnapshotCount: 3})
	client := s.client(t)
	for n := range 7 {
		time.Sleep(2 * time.Millisecond) // by Redis's clock, which is in ms
		learnN(t, committer, n, n+1)
		h, snapshots := s.head(t, "one"), s.snapshots(t, "one")
		got := snapshots[0]
		want := Snapshot{
			Version: h.version, Count: h.count, Commit: h.commit, Spec: h.spec, At: h.committed,
			StateBytes: len(h.state), Last: labelN(n).ID,
		}
		if got != want {
			t.Errorf("the newest snapshot is %+v, want %+v", got, want)
		}
		if state := client.Get(t.Context(), snapshotKey("one", fmt.Sprint(h.version))).Val(); state != h.state {
			t.Error("its state is not that of the head")
		}
	}
	if got := versionsOf(s.snapshots(t, "one")); got != "[7 6 5]" {
		t.Errorf("snapshots %s, want the newest three", got)
	}
	s.checkNoSnapshotsLeftOver(t, "one")
}

// checkNoSnapshotsLeftOver looks for states that no snapshot has.
func (s store) checkNoSnapshotsLeftOver(t *testing.T, model string) {
	t.Helper()
	var want []string
	for _, snapshot := range s.snapshots(t, model) {
		want = append(want, snapshotKey(model, fmt.Sprint(snapshot.Version)))
	}
	got, err := s.client(t).Keys(t.Context(), snapshotKey(model, "*")).Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the states kept are %q, want %q", got, want)
	}
}

// backdate makes a model's newest snapshot so much older.
func (s store) backdate(t *testing.T, model string, by time.Duration) {
	t.Helper()
	client, newest := s.client(t), s.snapshots(t, model)[0]
	newest.At = newest.At.Add(-by)
	_, err := client.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.HSet(t.Context(), headKey(model), fieldSnapshot, newest.At.UnixMilli())
		return pipe.HSet(t.Context(), snapshotsKey(model), newest.Version, jsonText(t, newest)).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testSnapshotsByAge(t *testing.T, s store) {
	s.applied(t, "one")
	// Two learners whose snapshots are one another's.
	opts := CommitterOptions{SnapshotEvery: time.Hour, SnapshotAge: 24 * time.Hour}
	learners := []*Committer{s.committer(t, opts), s.committer(t, opts)}
	n := 0
	steps := []struct {
		older time.Duration // the newest snapshot, before three labels more
		want  string
	}{
		{0, "[1]"},
		{59 * time.Minute, "[1]"},
		{2 * time.Minute, "[7 1]"},
		{2 * time.Hour, "[10 7 1]"},
		{25 * time.Hour, "[13 10 7 1]"}, // the one before is kept, and those are young
		{-30 * time.Minute, "[13 10 7 1]"},
		{-2 * time.Hour, "[19 13 7 1]"}, // the clock was put back
	}
	for i, step := range steps {
		if i > 0 {
			s.backdate(t, "one", step.older)
		}
		for range 3 {
			learnN(t, learners[n%2], n, n+1)
			n++
		}
		if got := versionsOf(s.snapshots(t, "one")); got != step.want {
			t.Errorf("step %d: snapshots %s, want %s", i, got, step.want)
		}
	}
	s.checkNoSnapshotsLeftOver(t, "one")
}

// What was there before rollbacks and learners: each sees the other's work.
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

// Learners race with rollbacks and with one another, while connections break:
// every label is learned once, on top of what the last rollback went back to.
func testRollbackRaces(t *testing.T, s store) {
	const labels, processes = 250, 3
	c := s.applied(t, "one")
	p := newProxy(t, s.addr)
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
	p := newProxy(t, s.addr)
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
