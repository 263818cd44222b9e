package registry

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
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

// states are those of the snapshots of a model, by their versions.
func (s store) states(t testing.TB, model string) map[string]string {
	t.Helper()
	states := map[string]string{}
	for _, snapshot := range s.snapshots(t, model) {
		version := strconv.FormatUint(snapshot.Version, 10)
		states[version] = s.client(t).Get(context.Background(), snapshotKey(model, version)).Val()
	}
	return states
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
