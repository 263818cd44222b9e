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
	p := newProxy(t, s.addr)
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
			if _, err := j.Rebuild(labelled(labels)); err != nil {
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

// What a model has learned before its history is kept, or from programs that
// kept less of it, is not made up.
func testTravelNotKept(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, SnapshotCount: 2, LineageLength: 10})
	const commits = 450 // a real Redis drops many at a time
	learnN(t, committer, 0, commits)
	wrong := func(to Destination, fromNothing bool, is error, says ...string) {
		t.Helper()
		_, err := Travel(ctx, client, testKinds(), "one", to, fromNothing)
		if err == nil || is != nil && !errors.Is(err, is) {
			t.Errorf("to %+v from nothing %t: error %v, want %v", to, fromNothing, err, is)
			return
		}
		for _, say := range says {
			if !strings.Contains(err.Error(), say) {
				t.Errorf("to %+v from nothing %t: error %q, want %q in it", to, fromNothing, err, say)
			}
		}
	}
	kept := s.lineage(t, "one", 0)
	oldest := kept[len(kept)-1].Version
	if n := client.XLen(ctx, labelsKey("one")).Val(); n < 10 || n > 400 {
		t.Errorf("the labels of %d commits are kept", n)
	}
	goes := fmt.Sprintf("it goes from version %d to version 450", oldest)
	wrong(Destination{}, true, ErrNotFound, goes, "beginning at the nearest snapshot may be")
	wrong(Destination{Version: oldest + 2}, false, ErrNotFound, goes, "no snapshot before it is kept")
	wrong(Destination{Version: 1}, false, ErrNotFound, "no version 1 in its lineage", goes)
	wrong(Destination{Label: "trip-0"}, false, ErrNotFound, "has learned the label", "known from version")
	wrong(Destination{Label: "trip-1000"}, false, ErrNotFound, "has not learned the label")
	wrong(Destination{Label: "trip-1", Version: 1}, false, nil, "one of them")
	if r := rebuild(t, s.travel(t, "one", Destination{}, false), labelled(commits)); fmt.Sprint(r.From, r.Version, r.Checked) != "449 450 [450]" {
		t.Errorf("rebuilt %d from %d, compared %v", r.Version, r.From, r.Checked)
	}

	// An earlier program commits: a version with a lineage, and none of its labels.
	rare := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnN(t, rare, commits, commits+3)
	client.XDel(ctx, labelsKey("one"), entryID(451, ""))
	for _, to := range []Destination{{Version: 451}, {}} {
		wrong(to, false, ErrNotFound, "the labels of version 451", "an earlier program", "a later snapshot is the way out")
	}
	wrong(Destination{Label: "trip-450"}, false, ErrNotFound, "has learned the label")
	learnN(t, committer, commits+3, commits+4) // that snapshot
	learnN(t, rare, commits+4, commits+5)
	if r := rebuild(t, s.travel(t, "one", Destination{}, false), labelled(commits+5)); r.From != 454 || r.Version != 455 {
		t.Errorf("rebuilt %d from %d", r.Version, r.From)
	}
	// And one that keeps no lineage either.
	h := s.head(t, "one")
	client.HSet(ctx, headKey("one"), fieldVersion, h.version+1, fieldCommit, "another")
	wrong(Destination{}, false, ErrNotFound, "version 456 of model one, where it is now, is not in its lineage")
	learnN(t, rare, commits+5, commits+6)
	wrong(Destination{}, false, ErrNotFound, "the commit before version 457 of model one is not in its lineage")
}

// A rollback of an earlier program has not written down whose state it went
// back to. Its version is enough where that is one commit's only.
func testTravelRollbackFromBefore(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 0, 3)
	restore := s.keep(t, "one")
	learnN(t, committer, 3, 5)
	s.rollback(t, "one", 2) // 6
	learnN(t, committer, 5, 6)
	s.forgetTargets(t, "one")
	s.checkTravel(t, "one", labelled(6))
	client.HDel(ctx, snapshotsKey("one"), "2", "6")
	if got := fmt.Sprint(s.travel(t, "one", Destination{}, true).Labels()); got != "[trip-0 trip-1 trip-5]" {
		t.Errorf("labels %s", got)
	}
	restore()
	learnN(t, committer, 6, 8)
	s.rollback(t, "one", 4) // 4 is there twice, of as many labels
	s.forgetTargets(t, "one")
	_, err := Travel(ctx, client, testKinds(), "one", Destination{}, true)
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "2 commits in its lineage can be that") {
		t.Errorf("error %v, want one that says it may be either", err)
	}
}

// forgetTargets makes the rollbacks in a lineage those of an earlier program.
func (s store) forgetTargets(t *testing.T, model string) {
	t.Helper()
	ctx, client := t.Context(), s.client(t)
	entries := client.XRange(ctx, lineageKey(model), "-", "+").Val()
	client.Del(ctx, lineageKey(model))
	for _, entry := range entries {
		c, err := parseCommit(entry)
		if err != nil {
			t.Fatal(err)
		}
		c.Of = ""
		if err := client.XAdd(ctx, &redis.XAddArgs{Stream: lineageKey(model), ID: entry.ID, Values: []any{entryJSON, jsonText(t, c)}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// A snapshot that a learner drops between two looks is not what a journey
// begins at, or compares with.
func testTravelSnapshotDropped(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), 0, 6)
	for _, tt := range []struct {
		fromNothing bool
		from        uint64
		checked     string
	}{{false, 4, "[6]"}, {true, 0, "[1 2 3 4 6]"}} {
		client, other := s.client(t), s.client(t)
		restore := other.HGet(t.Context(), snapshotsKey("one"), "5").Val()
		looks := 0
		client.AddHook(atExec(func() {
			if looks++; looks == 2 {
				other.HDel(context.Background(), snapshotsKey("one"), "5")
			}
		}))
		j, err := Travel(t.Context(), client, testKinds(), "one", Destination{}, tt.fromNothing)
		if err != nil {
			t.Fatal(err)
		}
		if r := rebuild(t, j, labelled(6)); r.From != tt.from || fmt.Sprint(r.Checked) != tt.checked {
			t.Errorf("from %d, compared %v, want %d and %s", r.From, r.Checked, tt.from, tt.checked)
		}
		other.HSet(t.Context(), snapshotsKey("one"), "5", restore)
	}
	// Each time: in the end the caller hears of it.
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), 6, 15)
	client, other := s.client(t), s.client(t)
	looks := 0
	client.AddHook(atExec(func() {
		if looks++; looks%2 == 0 {
			other.HDel(context.Background(), snapshotsKey("one"), strconv.Itoa(15-looks/2))
		}
	}))
	if _, err := Travel(t.Context(), client, testKinds(), "one", Destination{}, false); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
}

// Keys that hold what no committer writes are named, and what becomes of the
// labels' is what becomes of the lineage's.
func testTravelHostile(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Hour}), 0, 4)
	learned := client.XRange(ctx, labelsKey("one"), "-", "+").Val()
	commits := client.XRange(ctx, lineageKey("one"), "-", "+").Val()
	snapshots, state := client.HGetAll(ctx, snapshotsKey("one")).Val(), client.Get(ctx, snapshotKey("one", "1")).Val()
	stream := func(key string, entries []redis.XMessage) {
		client.Del(ctx, key)
		for _, entry := range entries {
			if err := client.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: entry.ID, Values: entry.Values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	restore := func() {
		stream(labelsKey("one"), learned)
		stream(lineageKey("one"), commits)
		client.Del(ctx, snapshotsKey("one"), snapshotKey("one", "1"))
		client.HSet(ctx, snapshotsKey("one"), snapshots)
		client.Set(ctx, snapshotKey("one", "1"), state, 0)
	}
	// entry puts another text in the place of an entry's.
	entry := func(key string, entries []redis.XMessage, text string) func() {
		return func() {
			other := slices.Clone(entries)
			other[2].Values = map[string]any{entryJSON: text}
			stream(key, other)
		}
	}
	text := func(key string) func() {
		return func() { client.Del(ctx, key); client.Set(ctx, key, "x", 0) }
	}
	third, err := parseCommit(commits[2])
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*Commit)) string {
		c := third
		change(&c)
		return jsonText(t, c)
	}
	for name, tt := range map[string]struct {
		spoil func()
		says  string
	}{
		"labels of another type":    {text(labelsKey("one")), labelsKey("one")},
		"lineage of another type":   {text(lineageKey("one")), lineageKey("one")},
		"index of another type":     {text(snapshotsKey("one")), snapshotsKey("one")},
		"labels lost":               {func() { client.Del(ctx, labelsKey("one")) }, "known of no version"},
		"lineage lost":              {func() { client.Del(ctx, lineageKey("one")) }, "not in its lineage: it is empty"},
		"labels that are no list":   {entry(labelsKey("one"), learned, "{}"), "entry 3-0 of the key " + labelsKey("one")},
		"labels without ids":        {entry(labelsKey("one"), learned, "[null]"), "without an id"},
		"no labels":                 {entry(labelsKey("one"), learned, "[]"), "has no labels"},
		"other labels":              {entry(labelsKey("one"), learned, `["a"]`), "version 3 has learned 1 from"},
		"more labels":               {entry(labelsKey("one"), learned, `["trip-2","a"]`), "has 2 labels"},
		"no commit":                 {entry(lineageKey("one"), commits, "{}"), "entry 3-0 of the key " + lineageKey("one")},
		"a commit of another kind":  {entry(lineageKey("one"), commits, changed(func(c *Commit) { c.Kind = "magic" })), "came about by a \"magic\""},
		"a commit of another count": {entry(lineageKey("one"), commits, changed(func(c *Commit) { c.Count = 7 })), "does not add up"},
		"a commit of another spec":  {entry(lineageKey("one"), commits, changed(func(c *Commit) { c.Spec = "x" })), "under specification x"},
		"a circle":                  {entry(lineageKey("one"), commits, changed(func(c *Commit) { c.Parent = c.Name })), "comes after itself"},
		"a circle of rollbacks":     {entry(lineageKey("one"), commits, changed(func(c *Commit) { c.Kind, c.Of = KindRollback, c.Name })), "comes after itself"},
	} {
		t.Run(name, func(t *testing.T) {
			defer restore()
			tt.spoil()
			_, err := Travel(ctx, client, testKinds(), "one", Destination{}, true)
			if err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, ErrUnavailable) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
	// Learners go on without a stream that is lost, and it begins again.
	for _, key := range []string{labelsKey("one"), lineageKey("one")} {
		n := int(s.head(t, "one").count)
		client.Del(ctx, key)
		learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), n, n+2)
		s.checkLearned(t, c.Models[0], n+2)
		if j := s.travel(t, "one", Destination{}, false); fmt.Sprint(j.Labels()) != fmt.Sprintf("[trip-%d]", n+1) {
			t.Errorf("without %s: %v", key, j.Labels())
		}
	}
	text(labelsKey("one"))()
	if _, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(8)); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v where no label can be written down, want ErrNoModels", err)
	}
	s.checkLearned(t, c.Models[0], 8)
}

// A broken head can be made again from its labels, up to a version before.
func testTravelBrokenHead(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), 0, 4)
	h := s.head(t, "one")
	restore := s.keep(t, "one")
	for name, breakIt := range breakages(h) {
		t.Run(name, func(t *testing.T) {
			defer restore()
			breakIt(ctx, client, "one")
			client.HDel(ctx, snapshotsKey("one"), "4")
			r, err := s.travel(t, "one", Destination{Label: "trip-3"}, true).Rebuild(labelled(4))
			var differs *DifferenceError
			if errors.As(err, &differs) && differs.Version == 4 { // it is compared with what is broken
				r, err = s.travel(t, "one", Destination{Version: 3}, true).Rebuild(labelled(4))
			} else if err == nil && string(r.State) != h.state {
				t.Error("not bit for bit")
			}
			if err != nil || !slices.Contains(r.Checked, 3) {
				t.Errorf("compared %v, error %v", r, err)
			}
		})
	}
}

// A Redis that has lost its last writes in a crash counts versions again, and
// has forgotten the labels with the state.
func TestTravelAfterCrash(t *testing.T) {
	folder := t.TempDir()
	before := store{startRedisServer(t, "--dir", folder)}
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

	after := store{startRedisServer(t, "--dir", folder)}
	if h := after.head(t, "one"); h.version != 3 || h.count != 10 {
		t.Fatalf("version %d of %d labels after the crash", h.version, h.count)
	}
	learnAll(t, after.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond, MaxBatch: 4}), append(labelsN(16, 22), labelsN(8, 16)...))
	if h := after.head(t, "one"); h.version < lost.version || h.count != lost.count {
		t.Fatalf("version %d of %d labels, before the crash version %d of %d", h.version, h.count, lost.version, lost.count)
	}
	after.checkTravel(t, "one", labelled(22))
}
