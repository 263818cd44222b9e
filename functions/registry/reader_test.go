package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func (s store) reader(t testing.TB, opts ReaderOptions) *Reader {
	return NewReader(s.client(t), testKinds(), opts)
}

// now returns the models no older than the call.
func now(t *testing.T, r *Reader) *Models {
	t.Helper()
	called := time.Now()
	for {
		models, err := r.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if models.asOf.After(called) {
			return models
		}
		time.Sleep(time.Millisecond)
	}
}

func names(models *Models) string {
	var s []string
	for _, m := range models.Healthy {
		s = append(s, fmt.Sprint(m.Name, "@", m.Version))
	}
	return fmt.Sprint(s)
}

func testApply(t *testing.T, s store) {
	s.applied(t, "one", "two")
	committer := s.committer(t, CommitterOptions{CatalogueAge: time.Nanosecond})
	reader := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	learnN(t, committer, 0, 2)
	if got := names(now(t, reader)); got != "[one@2 two@2]" {
		t.Errorf("models %s", got)
	}
	// One leaves, one comes, and the champion changes: nobody restarts.
	c := s.applied(t, "three", "one")
	learnN(t, committer, 2, 3)
	models := now(t, reader)
	if got := names(models); got != "[three@1 one@3]" || models.Champion != "three" {
		t.Errorf("models %s, champion %s, want [three@1 one@3] and three", got, models.Champion)
	}
	s.checkLearned(t, c.Models[1], 3)
	if h := s.head(t, "two"); h.count != 2 {
		t.Errorf("the model that left has learned %d labels, want 2 still", h.count)
	}
	// It comes back, to where it was.
	s.applied(t, "two", "one", "three")
	learnN(t, committer, 3, 4)
	if got := names(now(t, reader)); got != "[two@3 one@4 three@2]" {
		t.Errorf("models %s", got)
	}
}

func testApplyRefusesChange(t *testing.T, s store) {
	s.applied(t, "one", "two")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	var changed *StateError
	err := Apply(t.Context(), s.client(t), catalogueOf(t, "one=LinearRegression", "two"))
	if !errors.As(err, &changed) || changed.Model != "one" {
		t.Errorf("error %v, want a *StateError of one", err)
	}
	if got := names(now(t, s.reader(t, ReaderOptions{}))); got != "[one@1 two@1]" {
		t.Errorf("models %s after a refused apply", got)
	}
}

func testList(t *testing.T, s store) {
	s.applied(t, "one", "two", "three")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	s.client(t).HSet(t.Context(), headKey("two"), fieldState, "x")
	s.client(t).Del(t.Context(), headKey("three"))
	infos, err := List(t.Context(), s.client(t), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != 3 {
		t.Fatalf("%d models, want 3", len(infos))
	}
	if i := infos[0]; !i.Champion || i.Version != 3 || i.Count != 3 || i.Broken != "" || i.StateBytes == 0 || i.Committed.IsZero() {
		t.Errorf("one: %+v", i)
	}
	if i := infos[1]; i.Champion || i.Broken == "" {
		t.Errorf("two: %+v", i)
	}
	if i := infos[2]; i.Version != 0 || i.Count != 0 || i.Broken != "" {
		t.Errorf("three: %+v", i)
	}
}

func testReaderFollows(t *testing.T, s store) {
	reader := s.reader(t, ReaderOptions{MaxAge: 20 * time.Millisecond})
	if _, err := reader.Models(t.Context()); !errors.Is(err, ErrNoModels) {
		t.Errorf("error %v before a catalogue was applied, want ErrNoModels", err)
	}
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{})
	for n := range 10 {
		learnN(t, committer, n, n+1)
		m := now(t, reader).Healthy[0]
		if m.Version != uint64(n+1) || m.Count != uint64(n+1) {
			t.Errorf("version %d and count %d after %d commits", m.Version, m.Count, n+1)
		}
	}
	before := now(t, reader).Healthy[0].Pipeline
	if now(t, reader).Healthy[0].Pipeline != before {
		t.Error("a model that has not changed was read again")
	}
	if models, err := reader.Models(t.Context()); err != nil || time.Since(models.asOf) > time.Second {
		t.Errorf("models of %v, error %v", models.asOf, err)
	}
}

func testReaderBroken(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	s.applied(t, "bad", "good")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 3)
	restore := s.keep(t, "bad")
	running := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	for name, breakIt := range breakages(s.head(t, "bad")) {
		t.Run(name, func(t *testing.T) {
			breakIt(ctx, client, "bad")
			client.HSet(ctx, headKey("bad"), fieldCommit, "changed")
			for _, r := range []*Reader{running, s.reader(t, ReaderOptions{})} {
				models := now(t, r)
				var broken *StateError
				if !errors.As(models.Broken["bad"], &broken) || names(models) != "[good@3]" || models.Champion != "bad" {
					t.Errorf("models %s, broken %v, champion %s", names(models), models.Broken, models.Champion)
				}
			}
			restore()
			if got := names(now(t, running)); got != "[bad@3 good@3]" {
				t.Errorf("models %s once the state is sound again", got)
			}
		})
	}
}

func testReaderWithoutRedis(t *testing.T, s store) {
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	p := newProxy(t, s)
	const maxStale = 300 * time.Millisecond
	reader := p.store().reader(t, ReaderOptions{MaxAge: time.Millisecond, MaxWait: 50 * time.Millisecond, MaxStale: maxStale})
	first := now(t, reader)
	p.close()
	for {
		models, err := reader.Models(t.Context())
		if age := time.Since(first.asOf); err != nil {
			if age < maxStale {
				t.Errorf("error %v only %s after Redis was last read, want models for %s", err, age, maxStale)
			}
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
			return
		}
		if models.Healthy[0].Version != 1 {
			t.Errorf("version %d without Redis, want 1", models.Healthy[0].Version)
		}
		time.Sleep(time.Millisecond)
	}
}

// Models that were handed out do not change while learners commit.
func testModelsDoNotChange(t *testing.T, s store) {
	s.applied(t, "one")
	committer := s.committer(t, CommitterOptions{})
	learnN(t, committer, 0, 10)
	reader := s.reader(t, ReaderOptions{MaxAge: time.Millisecond})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				models, err := reader.Models(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				m := models.Healthy[0]
				x := m.Pipeline.Vector(nil, labelN(3).Features)
				first := m.Pipeline.Predict(x)
				for range 100 {
					if got := m.Pipeline.Predict(x); got != first {
						t.Errorf("version %d predicts %v and %v", m.Version, first, got)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	learnN(t, committer, 10, 200)
	close(done)
	readers.Wait()
}

// A Redis that loads, or has no master, breaks no model.
func TestErrorReplyBreaksNoModel(t *testing.T) {
	m := miniredis.RunT(t)
	s := storeAt(m.Addr())
	s.applied(t, "one")
	learnN(t, s.committer(t, CommitterOptions{}), 0, 1)
	committer := s.committer(t, CommitterOptions{MaxWait: 100 * time.Millisecond})
	if err := committer.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.SetError("LOADING Redis is loading the dataset in memory")
	outcomes, err := committer.Learn(t.Context(), labelN(1))
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("outcomes %v, error %v, want ErrUnavailable", outcomes, err)
	}
	if _, err := s.reader(t, ReaderOptions{MaxWait: 100 * time.Millisecond}).Models(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("reader: error %v, want ErrUnavailable", err)
	}
	m.SetError("")
	learnN(t, committer, 1, 2)
	if got := names(now(t, s.reader(t, ReaderOptions{}))); got != "[one@2]" {
		t.Errorf("models %s", got)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add("1", "2", "spec", "a", "3", "1700000000000", "x1", "1700000000000", "trip-1", `{"token":"t","position":[3]}`, "state")
	f.Add("1", "2", "spec", "a", "3", "1700000000000", "x1", "", "", "", "state")
	f.Add("", "", "", "", "", "", "", "", "", "", "")
	f.Add("18446744073709551615", "-1", "", "c", "1e3", "", "", "-5", "", "null", "")
	spec := catalogueOf(f, "one").Models[0]
	f.Fuzz(func(t *testing.T, version, count, hash, ids, n, committed, commit, snapshot, last, warming, state string) {
		h, err := parseHead("one", []any{version, count, hash, ids, n, committed, commit, snapshot, last, warming, state})
		var broken *StateError
		if err != nil && !errors.As(err, &broken) {
			t.Fatalf("error %v, want a *StateError", err)
		}
		if err == nil {
			if _, err := load(spec, h); err != nil && !errors.As(err, &broken) {
				t.Fatalf("error %v, want a *StateError", err)
			}
		}
	})
}
