package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

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
	s.checkTravel(t, "one", labelled(8))
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
		hooked(t, client, atExec(func() {
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
	hooked(t, client, atExec(func() {
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
	s.applied(t, "one")
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
}

// Learners go on without a stream that is lost, and it begins again: also where
// versions count again, and what is left has had the ids to come.
func testTravelStreamLost(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	c := s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 4)
	n := 4
	for _, key := range []string{labelsKey("one"), lineageKey("one")} {
		back := s.keep(t, "one")
		learnN(t, s.committer(t, CommitterOptions{}), n, n+3)
		back()
		client.Del(ctx, key)
		outcomes, err := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}).Learn(ctx, labelN(n+3))
		if err != nil || outcomes[0].Duplicate {
			t.Errorf("without %s: %v, %v", key, outcomes, err)
		}
		learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond}), n+4, n+5)
		if j := s.travel(t, "one", Destination{}, false); fmt.Sprint(j.Labels()) != fmt.Sprintf("[trip-%d]", n+4) {
			t.Errorf("without %s: %v", key, j.Labels())
		}
		n += 5
	}
	client.Del(ctx, labelsKey("one"))
	client.Set(ctx, labelsKey("one"), "x", 0)
	if _, err := s.committer(t, CommitterOptions{}).Learn(ctx, labelN(n)); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v where no label can be written down, want ErrNoModels", err)
	}
	if got := fmt.Sprint(tracedOrder(t, c.Models[0], s.head(t, "one").state)); got != "[0 1 2 3 7 8 12 13]" {
		t.Errorf("the state has learned %s", got)
	}
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
			r, err := s.travel(t, "one", Destination{Label: "trip-3"}, true).Rebuild(t.Context(), labelled(4))
			var differs *DifferenceError
			if errors.As(err, &differs) && differs.Version == 4 { // it is compared with what is broken
				r, err = s.travel(t, "one", Destination{Version: 3}, true).Rebuild(t.Context(), labelled(4))
			} else if err == nil && string(r.State) != h.state {
				t.Error("not bit for bit")
			}
			if err != nil || !slices.Contains(r.Checked, 3) {
				t.Errorf("compared %v, error %v", r, err)
			}
		})
	}
}
