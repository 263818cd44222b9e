package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

func (s store) read(t testing.TB, model string, version uint64) *Kept {
	t.Helper()
	k, err := Read(context.Background(), s.client(t), testKinds(), model, version)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// exported is a version after its way through a file.
func (s store) exported(t testing.TB, model string, version uint64) *Kept {
	t.Helper()
	data, err := s.read(t, model, version).AppendFile(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseFile(data, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// elsewhere is another Redis, in which a model has learned labels 0 to n-1.
func elsewhere(t *testing.T, model string, n int) store {
	t.Helper()
	s := storeAt(miniredis.RunT(t).Addr())
	s.applied(t, model)
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Hour}), 0, n)
	return s
}

// order is what the model one has learned, by what it traced.
func (s store) order(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(tracedOrder(t, catalogueOf(t, "one").Models[0], s.head(t, "one").state))
}

func (s store) importKept(t testing.TB, k *Kept) Action {
	t.Helper()
	action, err := Import(context.Background(), s.client(t), testKinds(), k, "", 0, Actor{Name: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	return action
}

// A version can be read where the model is, and where there is a snapshot.
func testRead(t *testing.T, s store) {
	s.applied(t, "one", "two")
	k := s.read(t, "one", 0)
	if p, err := k.Pipeline(); err != nil || k.Snapshot.Version != 0 || p.Width() != 2 {
		t.Errorf("a model that has learned nothing is %+v (%v)", k, err)
	}
	if _, err := k.AppendFile(nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("it was exported: %v", err)
	}
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnN(t, committer, 0, 3)
	h := s.head(t, "one")
	for version, want := range map[uint64]uint64{0: 3, 3: 3, 1: 1} {
		k := s.read(t, "one", version)
		if _, err := k.Pipeline(); err != nil || k.Snapshot.Version != want || k.Snapshot.Count != want || k.Snapshot.StateBytes != len(k.State) {
			t.Errorf("version %d is %+v (%v)", version, k.Snapshot, err)
		}
		if want == 3 && (string(k.State) != h.state || k.Snapshot.Commit != h.commit || k.Snapshot.Last != "trip-2") {
			t.Errorf("version %d is %+v, not the head", version, k.Snapshot)
		}
	}
	ctx, client := t.Context(), s.client(t)
	for _, tt := range []struct {
		model   string
		version uint64
		says    string
	}{
		{"one", 2, "at version 3, and has no snapshot of version 2: there are [1]"},
		{"three", 0, "its models are one, two"},
	} {
		if _, err := Read(ctx, client, testKinds(), tt.model, tt.version); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s@%d: error %v, want %q in it", tt.model, tt.version, err, tt.says)
		}
	}
	// What is broken can be looked at where it is not.
	client.HSet(ctx, headKey("one"), fieldVersion, "many")
	var broken *StateError
	if _, err := Read(ctx, client, testKinds(), "one", 0); !errors.As(err, &broken) {
		t.Errorf("error %v, want a *StateError", err)
	}
	if k := s.read(t, "one", 1); k.Snapshot.Count != 1 {
		t.Errorf("the snapshot is %+v", k.Snapshot)
	}
	client.HSet(ctx, snapshotsKey("one"), "1", "no snapshot")
	if _, err := Read(ctx, client, testKinds(), "one", 1); !errors.As(err, &broken) {
		t.Errorf("error %v, want a *StateError", err)
	}
	client.Set(ctx, snapshotKey("two", "1"), "random bytes", 0)
	k = s.read(t, "two", 1)
	if _, err := k.Pipeline(); !errors.As(err, &broken) {
		t.Errorf("error %v, want a *StateError", err)
	}
	if _, err := k.AppendFile(nil); !errors.As(err, &broken) {
		t.Errorf("a state that does not decode was exported: %v", err)
	}
}

// What was learned elsewhere is the next version here, and what was learned here
// stays learned, and can be gone back to.
func testImport(t *testing.T, s store) {
	k := elsewhere(t, "one", 5).exported(t, "one", 0)
	s.applied(t, "one", "two")
	ctx, client := t.Context(), s.client(t)
	reader := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnN(t, committer, 100, 103)
	now(t, reader)
	before := s.head(t, "one")

	action, err := Import(ctx, client, testKinds(), k, "", 3, Actor{"ann", "from the other city"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Action{At: action.At, Kind: KindImport, Model: "one", From: "3", To: "4", By: "ann", Reason: "from the other city"}); action != want || action.At.IsZero() {
		t.Errorf("action %+v, want %+v", action, want)
	}
	if actions, err := Audit(ctx, client, 1); err != nil || len(actions) != 1 || actions[0] != action {
		t.Errorf("the audit trail is %+v (%v)", actions, err)
	}
	if got := names(now(t, reader)); got != "[one@4 two@3]" {
		t.Errorf("models %s after the import", got)
	}
	h := s.head(t, "one")
	if h.state != string(k.State) || h.count != 5 || h.last != "trip-4" || h.ids != before.ids || h.idsN != before.idsN || h.spec != k.Spec.Hash() {
		t.Errorf("the head is %+v", h)
	}
	want := Commit{Version: 4, Name: h.commit, Parent: before.commit, Kind: KindImport, From: 5, Of: k.Snapshot.Commit, Count: 5, Spec: h.spec, At: h.committed}
	if c := s.lineage(t, "one", 1)[0]; c != want {
		t.Errorf("the commit is %+v, want %+v", c, want)
	}
	if got := versionsOf(s.snapshots(t, "one")); got != "[4 3 1]" {
		t.Errorf("snapshots %s", got)
	}

	outcomes, err := committer.Learn(ctx, labelN(101))
	if err != nil || !outcomes[0].Duplicate {
		t.Errorf("a label that was learned here: %v, %v, want a duplicate", outcomes, err)
	}
	learnN(t, committer, 103, 105)
	if got := s.order(t); got != "[0 1 2 3 4 103 104]" {
		t.Errorf("the state has learned %s", got)
	}
	s.rollback(t, "one", 3)
	if got := s.order(t); got != "[100 101 102]" {
		t.Errorf("the state has learned %s", got)
	}
}

// A model that has learned nothing begins with the import, under another name if
// that has the specification.
func testImportIntoNothing(t *testing.T, s store) {
	k := elsewhere(t, "one", 5).exported(t, "one", 0)
	s.applied(t, "two", "one")
	action, err := Import(t.Context(), s.client(t), testKinds(), k, "two", 0, Actor{Name: "ann"})
	if err != nil || action.Model != "two" || action.From != "0" || action.To != "1" {
		t.Errorf("action %+v (%v)", action, err)
	}
	if h := s.head(t, "one"); h.version != 0 {
		t.Errorf("the model of the file's name is at version %d", h.version)
	}
	learnN(t, s.committer(t, CommitterOptions{}), 5, 7)
	h, commits := s.head(t, "two"), s.lineage(t, "two", 0)
	if h.version != 3 || h.count != 7 || h.idsN != 2 || len(commits) != 3 || commits[2].Parent != "" || commits[1].Parent != commits[2].Name {
		t.Errorf("the head is %+v, the lineage %+v", h, commits)
	}
	if got := versionsOf(s.snapshots(t, "two")); got != "[1]" {
		t.Errorf("snapshots %s: the import's counts as the first", got)
	}
}

func testImportRefuses(t *testing.T, s store) {
	there := elsewhere(t, "one", 5)
	k := there.exported(t, "one", 0)
	s.applied(t, "one", "linear=LinearRegression")
	ctx, client := t.Context(), s.client(t)
	learnN(t, s.committer(t, CommitterOptions{}), 0, 2)
	broken := *k
	broken.State = k.State[:len(k.State)-1]
	tests := []struct {
		name   string
		k      *Kept
		as     string
		expect uint64
		by     Actor
		is     func(error) bool
		says   string
	}{
		{"no such model", k, "three", 0, Actor{Name: "ann"}, is(ErrNotFound), "its models are one, linear: to import one, put its specification"},
		{"another specification", k, "linear", 0, Actor{Name: "ann"}, as[*SpecDiffersError], "model.LinearRegression is not in the file"},
		{"another version", k, "", 3, Actor{Name: "ann"}, is(ErrConflict), "at version 2 by now, not at 3"},
		{"nobody", k, "", 0, Actor{}, is(ErrActor), "no name"},
		{"truncated state", &broken, "", 0, Actor{Name: "ann"}, as[*StateError], "one"},
	}
	before := s.raw(t, "one") + s.raw(t, "linear")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Import(ctx, client, testKinds(), tt.k, tt.as, tt.expect, tt.by)
			if err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
	if s.raw(t, "one")+s.raw(t, "linear") != before || len(s.lineage(t, "one", 0)) != 2 || len(s.snapshots(t, "one")) != 1 {
		t.Error("an import that was refused has left something behind")
	}
	client.Set(ctx, auditKey("one"), "no stream", 0)
	if _, err := Import(ctx, client, testKinds(), k, "", 0, Actor{Name: "ann"}); err == nil || !strings.Contains(err.Error(), auditKey("one")) {
		t.Errorf("an import without a place in the audit trail: %v", err)
	}
}

// is and as tell which error it is.
func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// An import repairs whatever is wrong with a model.
func testImportRepairs(t *testing.T, s store) {
	k := elsewhere(t, "one", 3).exported(t, "one", 0)
	s.applied(t, "one")
	ctx, client := t.Context(), s.client(t)
	learnN(t, s.committer(t, CommitterOptions{}), 0, 5)
	for name, breakIt := range breakages(s.head(t, "one")) {
		t.Run(name, func(t *testing.T) {
			before := s.lineage(t, "one", 1)[0].Version
			breakIt(ctx, client, "one")
			s.importKept(t, k)
			if h := s.head(t, "one"); h.version != before+1 || h.count != 3 || h.idsN != 5 {
				t.Errorf("version %d, count %d and %d ids after version %d", h.version, h.count, h.idsN, before)
			}
		})
	}
}

// While learners go on, each import is a version of its own, and what they
// learn afterwards comes on top of it.
func testImportRaces(t *testing.T, s store) {
	k := elsewhere(t, "one", 5).exported(t, "one", 0)
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Nanosecond})
	learnN(t, committer, 100, 101)
	var learners sync.WaitGroup
	var done atomic.Bool
	var learned atomic.Int64
	learners.Go(func() {
		for n := 101; !done.Load(); n++ {
			if _, err := committer.Learn(context.Background(), labelN(n)); err != nil {
				t.Error(err)
				return
			}
			learned.Add(1)
		}
	})
	const imports = 5
	for range imports {
		s.importKept(t, k)
		for was := learned.Load(); learned.Load() < was+3; { // and some are learned
			if t.Failed() {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	done.Store(true)
	learners.Wait()
	commits := s.lineage(t, "one", 0)
	slices.Reverse(commits)
	parent, count, imported := "", uint64(0), 0
	for i, c := range commits {
		if count += uint64(c.Labels); c.Kind == KindImport {
			count, imported = 5, imported+1
		}
		if c.Version != uint64(i+1) || c.Parent != parent || c.Count != count {
			t.Fatalf("commit %d is %+v, its parent should be %q and its count %d", i+1, c, parent, count)
		}
		parent = c.Name
	}
	if imported != imports || int64(len(commits)) != 1+learned.Load()+imports {
		t.Errorf("%d imports among %d commits, want %d of %d", imported, len(commits), imports, 1+learned.Load()+imports)
	}
}

func testImportsAreBounded(t *testing.T, s store) {
	k := elsewhere(t, "one", 2).exported(t, "one", 0)
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{SnapshotEvery: time.Hour}), 0, 2)
	for range defaultSnapshots + 3 {
		s.importKept(t, k)
	}
	snapshots := s.snapshots(t, "one")
	if len(snapshots) != defaultSnapshots || snapshots[0].Version != s.head(t, "one").version {
		t.Errorf("snapshots %s", versionsOf(snapshots))
	}
	keys, err := s.client(t).Keys(t.Context(), snapshotKey("one", "*")).Result()
	if err != nil || len(keys) != defaultSnapshots {
		t.Errorf("%d states of snapshots are kept (%v), want %d", len(keys), err, defaultSnapshots)
	}
}

// A way begins at an import, and none goes through it from before.
func testTravelImport(t *testing.T, s store) {
	k := elsewhere(t, "one", 5).exported(t, "one", 0)
	s.applied(t, "one")
	ctx, client := t.Context(), s.client(t)
	committer := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnN(t, committer, 100, 102) // 1, 2
	s.importKept(t, k)             // 3
	learnN(t, committer, 102, 104) // 4, 5
	s.rollback(t, "one", 3)        // 6
	learnN(t, committer, 104, 105) // 7
	for _, tt := range []struct {
		version, from, count uint64
		labels               string
	}{
		{2, 1, 2, "[trip-101]"},
		{3, 3, 5, "[]"},
		{5, 3, 7, "[trip-102 trip-103]"},
		{6, 3, 5, "[]"},
		{7, 3, 6, "[trip-104]"},
		{0, 3, 6, "[trip-104]"},
	} {
		j := s.travel(t, "one", Destination{Version: tt.version}, false)
		r := rebuild(t, j, labelled(105))
		if r.From != tt.from || r.Count != tt.count || fmt.Sprint(j.Labels()) != tt.labels {
			t.Errorf("to version %d: from %d, %d labels, of them %v", tt.version, r.From, r.Count, j.Labels())
		}
	}
	if r := rebuild(t, s.travel(t, "one", Destination{}, false), labelled(105)); string(r.State) != s.head(t, "one").state {
		t.Error("rebuilt from an import, the model is another")
	}
	fails := func(to Destination, fromNothing bool, says string) {
		t.Helper()
		if _, err := Travel(ctx, client, testKinds(), "one", to, fromNothing); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), says) {
			t.Errorf("to %+v, from nothing %t: error %v, want %q in it", to, fromNothing, err, says)
		}
	}
	fails(Destination{}, true, "version 3 of model one was imported, and what had led to it is not in its lineage: beginning at the nearest")
	if _, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HDel(ctx, snapshotsKey("one"), "3")
		return pipe.Del(ctx, snapshotKey("one", "3")).Err()
	}); err != nil {
		t.Fatal(err)
	}
	fails(Destination{Version: 4}, false, "its snapshot is not kept any more: a later one is the way out")
	fails(Destination{Version: 3}, false, "its snapshot is not kept any more")
}

// A version of which there is no snapshot is gone back to as if there was one.
func testRollbackRebuilt(t *testing.T, s store) {
	s.applied(t, "one", "two")
	ctx, client := t.Context(), s.client(t)
	every := s.committer(t, CommitterOptions{SnapshotEvery: time.Hour})
	learnN(t, every, 0, 8)
	learnAll(t, every, labelsN(8, 11)) // 9
	rebuilt := func(to Destination) *Rebuilt {
		return rebuild(t, s.travel(t, "one", to, false), labelled(11))
	}
	action, err := RollbackRebuilt(ctx, client, testKinds(), rebuilt(Destination{Version: 4}), 9, Actor{"ann", "bad labels"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Action{At: action.At, Kind: KindRollback, Model: "one", From: "9", To: "4", By: "ann", Reason: "bad labels"}); action != want {
		t.Errorf("action %+v, want %+v", action, want)
	}
	if h := s.head(t, "one"); h.version != 10 || h.count != 4 || h.last != "trip-3" || s.order(t) != "[0 1 2 3]" {
		t.Errorf("the head is %+v, and has learned %s", h, s.order(t))
	}
	commits := s.checkLineage(t, "one")
	if r := commits[9]; r.From != 4 || r.Of != commits[3].Name || r.Kind != KindRollback {
		t.Errorf("the rollback is %+v", r)
	}
	if got := versionsOf(s.snapshots(t, "one")); got != "[9 1]" {
		t.Errorf("snapshots %s: what was there is to be kept", got)
	}
	learnN(t, every, 11, 13)
	s.checkTravel(t, "one", labelled(13))
	// Of a rollback, too.
	if _, err := RollbackRebuilt(ctx, client, testKinds(), rebuild(t, s.travel(t, "one", Destination{Version: 10}, true), labelled(13)), 0, Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	if h := s.head(t, "one"); h.version != 13 || h.last != "trip-3" || s.order(t) != "[0 1 2 3]" {
		t.Errorf("the head is %+v, and has learned %s", h, s.order(t))
	}
	s.checkTravel(t, "one", labelled(13))

	before := s.raw(t, "one")
	for name, tt := range map[string]struct {
		to     Destination
		expect uint64
		by     Actor
		says   string
	}{
		"within a commit": {Destination{Label: "trip-9"}, 0, Actor{Name: "ann"}, "within the commit of version 9"},
		"conflict":        {Destination{Version: 4}, 9, Actor{Name: "ann"}, "at version 13 by now, not at 9"},
		"nobody":          {Destination{Version: 4}, 0, Actor{}, "no name"},
	} {
		if _, err := RollbackRebuilt(ctx, client, testKinds(), rebuilt(tt.to), tt.expect, tt.by); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %q in it", name, err, tt.says)
		}
	}
	r := rebuilt(Destination{Version: 4})
	s.applied(t, "two")
	if _, err := RollbackRebuilt(ctx, client, testKinds(), r, 0, Actor{Name: "ann"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a model that has left the catalogue: %v", err)
	}
	if s.raw(t, "one") != before {
		t.Error("a rollback that was refused has changed something")
	}
}
