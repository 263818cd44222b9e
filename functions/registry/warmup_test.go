package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// written is a log of partitions in memory, which many may write to.
type written struct {
	mu         sync.Mutex
	partitions [][]writtenLabel // a gap, as of a marker, has no label
	clock      int

	// What is called before each, without the lock.
	atEnd, atNext func()
}

type writtenLabel struct {
	label *Label
	at    int
}

func writtenTo(partitions int, labels ...Label) *written {
	l := &written{partitions: make([][]writtenLabel, partitions)}
	for _, label := range labels {
		l.write(label)
	}
	return l
}

// write appends a label to a partition at random, and a gap now and then.
func (l *written) write(label Label) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	p := rand.N(len(l.partitions))
	l.partitions[p] = append(l.partitions[p], writtenLabel{&label, l.clock})
	if rand.N(4) == 0 {
		l.partitions[p] = append(l.partitions[p], writtenLabel{})
	}
}

func (l *written) End(ctx context.Context) (Position, error) {
	if l.atEnd != nil {
		l.atEnd()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	end := make(Position, len(l.partitions))
	for i, p := range l.partitions {
		end[i] = int64(len(p))
	}
	return end, ctx.Err()
}

func (l *written) Next(ctx context.Context, from, end Position, most int) ([]Label, Position, error) {
	if l.atNext != nil {
		l.atNext()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if from.after(end) {
		return nil, nil, errors.New("it is another log")
	}
	at := append(slices.Clone(from), make(Position, len(end)-len(from))...)
	var labels []Label
	for len(labels) < most {
		next := -1
		for i, p := range l.partitions {
			for at[i] < end[i] && p[at[i]].label == nil {
				at[i]++
			}
			if at[i] < end[i] && (next < 0 || p[at[i]].at < l.partitions[next][at[next]].at) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		labels = append(labels, *l.partitions[next][at[next]].label)
		at[next]++
	}
	return labels, at, ctx.Err()
}

var ann = Actor{Name: "ann"}

// soon has no learner to wait for: each knows the model from its first label on.
func soon(opts WarmUpOptions) WarmUpOptions {
	opts.Commits.CatalogueAge = time.Nanosecond
	return opts
}

func (s store) warmUp(t testing.TB, model string, log Log, opts WarmUpOptions) WarmedUp {
	t.Helper()
	opts.By = ann
	if opts.Commits.CatalogueAge == 0 {
		opts = soon(opts)
	}
	done, err := WarmUp(context.Background(), s.client(t), testKinds(), model, log, opts)
	if err != nil {
		t.Fatal(err)
	}
	if !done.Live || s.head(t, model).warming != nil {
		t.Fatalf("%+v, want the model to be live", done)
	}
	return done
}

// toWarmUp applies a catalogue whose shadows wait for their warm-up.
func (s store) toWarmUp(t testing.TB, models ...string) {
	t.Helper()
	if _, err := ApplyWith(context.Background(), s.client(t), catalogueOf(t, models...), ApplyOptions{WarmUp: true, By: ann}); err != nil {
		t.Fatal(err)
	}
}

// checkOrder holds what a model has learned since it was restarted: first by
// replay, in the order that labels were written in as labelN counts, then live.
func (s store) checkOrder(t *testing.T, model string) {
	t.Helper()
	live, last := false, -1.0
	for _, c := range slices.Backward(s.lineage(t, model, 0)) {
		switch {
		case c.Kind == KindRestart:
			live, last = false, -1
		case c.Kind == KindLearn:
			live = true
		case live:
			t.Errorf("version %d was replayed after the model was live", c.Version)
		default:
			var first, end float64
			fmt.Sscanf(c.First+" "+c.Last, "trip-%g trip-%g", &first, &end)
			if first <= last || end < first {
				t.Errorf("version %d has labels %s to %s after %g", c.Version, c.First, c.Last, last)
			}
			last = end
		}
	}
}

// A model that is new is taught what was written before, leaves live labels to
// that meanwhile, and goes on with them.
func testWarmUp(t *testing.T, s store) {
	const past, all = 40, 60
	s.toWarmUp(t, "old", "new")
	spec := mustCatalogue(t, s).Models[1]
	log := writtenTo(3, labelsN(0, past)...)
	committer := s.committer(t, CommitterOptions{})
	for n := past - 5; n < past; n++ {
		outcomes, err := committer.Learn(t.Context(), labelN(n))
		if err != nil || outcomes[0].Warming || !outcomes[1].Warming || outcomes[1].Duplicate || outcomes[1].Err != nil {
			t.Fatalf("outcomes %+v, %v: the new model is not left to its warm-up", outcomes, err)
		}
	}
	infos, err := List(t.Context(), s.client(t), testKinds())
	if err != nil || infos[0].Warming || !infos[1].Warming || infos[1].Broken != "" || infos[1].Count != 0 {
		t.Errorf("models %+v, %v", infos, err)
	}
	if got := names(now(t, s.reader(t, ReaderOptions{}))); got != "[old@5 new@1]" {
		t.Errorf("models %s are served", got)
	}
	told := 0
	done := s.warmUp(t, "new", log, WarmUpOptions{Commits: CommitterOptions{MaxBatch: 7}, Progress: func(WarmedUp) { told++ }})
	want := WarmedUp{Model: "new", Version: done.Version, Count: past, Taught: past, Joins: 1, Live: true}
	if done != want || told == 0 {
		t.Errorf("%+v, want %+v, told %d times", done, want, told)
	}
	for n := past; n < all; n++ {
		log.write(labelN(n))
	}
	learnN(t, committer, 0, all)
	s.checkLearned(t, spec, all)
	s.checkOrder(t, "new")
	s.checkTravel(t, "new", labelled(all))
	if got := trail(s.audit(t, 0)); !strings.Contains(got, KindWarmUp) || !strings.Contains(got, KindRestart) {
		t.Errorf("audit trail %s", got)
	}
	if _, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", log, soon(WarmUpOptions{By: ann})); !errors.Is(err, ErrConflict) {
		t.Errorf("error %v where it is live, want ErrConflict", err)
	}
}

// While the replay joins, learners hold labels back; those that it has had are
// duplicates afterwards, others are learned live.
func testWarmUpHolds(t *testing.T, s store) {
	s.toWarmUp(t, "old", "new")
	spec := mustCatalogue(t, s).Models[1]
	log := writtenTo(2, labelsN(0, 5)...)
	impatient := s.committer(t, CommitterOptions{MaxWait: 300 * time.Millisecond})
	if err := impatient.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	held := func(n int) {
		if h := s.head(t, "new"); h.warming == nil || !h.warming.isJoining() {
			return
		}
		log.write(labelN(n))
		if _, err := impatient.Learn(t.Context(), labelN(n)); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "joins") {
			t.Errorf("label %d: error %v, want it held back", n, err)
		}
	}
	before, after := sync.OnceFunc(func() { held(5) }), sync.OnceFunc(func() { held(6) })
	ends := 0
	log.atEnd = func() {
		if ends++; ends > 1 { // the first has not joined yet
			before()
		}
	}
	log.atNext = func() {
		if ends > 1 {
			after()
		}
	}
	// All of the log is replayed while it joins.
	s.warmUp(t, "new", log, WarmUpOptions{JoinWithin: time.Minute})
	committer := s.committer(t, CommitterOptions{})
	for n, duplicate := range map[int]bool{5: true, 6: false} {
		outcomes, err := committer.Learn(t.Context(), labelN(n))
		if err != nil || outcomes[1].Duplicate != duplicate {
			t.Errorf("label %d: %+v, %v, want a duplicate: %t", n, outcomes, err, duplicate)
		}
	}
	s.checkLearned(t, spec, 7)
	s.checkOrder(t, "new")
}

// hurry makes the time until which labels are held back one that is over.
func (s store) hurry(t testing.TB, model string) {
	t.Helper()
	w := *s.head(t, model).warming
	w.JoiningMS = 1
	if err := s.client(t).HSet(context.Background(), headKey(model), fieldWarming, w.encode()).Err(); err != nil {
		t.Fatal(err)
	}
}

// Learners wait for a replay no longer than it said: the label is left to it, and
// it finds out and joins anew, wherever it was.
func testWarmUpTooLate(t *testing.T, s store) {
	tests := []struct {
		name string
		spot func(log *written, do func())
		new  bool // the labels that come too late are not in the log before
		most int  // labels in a commit: there is something left to read if it holds all
	}{
		{"asking for the end", func(log *written, do func()) { log.atEnd = do }, true, 256},
		{"reading on", func(log *written, do func()) { log.atNext = do }, true, 256},
		{"with nothing to read", func(log *written, do func()) { log.atEnd = do }, false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.flush(t)
			s.toWarmUp(t, "old", "new")
			spec := mustCatalogue(t, s).Models[1]
			log := writtenTo(2, labelsN(0, 5)...)
			committer := s.committer(t, CommitterOptions{})
			late := 0
			tt.spot(log, func() {
				if h := s.head(t, "new"); late == 3 || h.warming == nil || !h.warming.isJoining() {
					return
				}
				s.hurry(t, "new")
				n := late
				if tt.new {
					n = 5 + late
					log.write(labelN(n))
				}
				outcomes, err := committer.Learn(t.Context(), labelN(n))
				if err != nil || !outcomes[1].Warming {
					t.Errorf("label %d: %+v, %v, want it left to the replay", n, outcomes, err)
				}
				late++
			})
			done := s.warmUp(t, "new", log, WarmUpOptions{JoinWithin: time.Minute, Commits: CommitterOptions{MaxBatch: tt.most}})
			labels := 5
			if tt.new {
				labels = 8
			}
			if late != 3 || done.Joins != 4 || done.Count != uint64(labels) {
				t.Errorf("%+v after %d labels that came too late, want 3 and then one join", done, late)
			}
			s.checkLearned(t, spec, labels)
			s.checkTravel(t, "new", labelled(labels))
		})
	}
}

func testWarmUpNeverJoins(t *testing.T, s store) {
	s.toWarmUp(t, "old", "new")
	spec := mustCatalogue(t, s).Models[1]
	log := writtenTo(1, labelsN(0, 5)...)
	joining := false
	log.atEnd = func() {
		if h := s.head(t, "new"); h.warming.isJoining() && joining { // it takes longer than it said
			time.Sleep(5 * time.Millisecond)
		}
		joining = true
	}
	_, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", log, soon(WarmUpOptions{By: ann, JoinWithin: time.Nanosecond}))
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "warm it up again") {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if s.head(t, "new").warming == nil {
		t.Error("the model is live")
	}
	log.atEnd = nil
	s.warmUp(t, "new", log, WarmUpOptions{})
	s.checkLearned(t, spec, 5)
}

// Somebody does something to the model while it is replayed: the replay does not
// go on with what is not its own.
func testWarmUpDisturbed(t *testing.T, s store) {
	const labels = 20
	tests := []struct {
		name string
		do   func(*testing.T, redis.UniversalClient, *written)
		says string
		live bool // the model is, afterwards
	}{
		{"another replay", func(t *testing.T, _ redis.UniversalClient, log *written) { s.warmUp(t, "new", log, WarmUpOptions{}) }, "it is not being warmed up by now", true},
		{"another replay, killed", func(t *testing.T, client redis.UniversalClient, log *written) {
			ctx, cancel := context.WithCancel(t.Context())
			opts := soon(WarmUpOptions{By: ann, Commits: CommitterOptions{MaxBatch: 3}, Progress: func(WarmedUp) { cancel() }})
			if _, err := WarmUp(ctx, client, testKinds(), "new", log, opts); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
		}, "by somebody else by now", false},
		{"a restart", func(t *testing.T, client redis.UniversalClient, _ *written) {
			if _, err := ApplyWith(t.Context(), client, catalogueOf(t, "old", "new"), ApplyOptions{Restart: []string{"new"}, By: ann}); err != nil {
				t.Error(err)
			}
		}, "by somebody else by now", false},
		{"abandoned", func(t *testing.T, client redis.UniversalClient, _ *written) {
			if _, err := Abandon(t.Context(), client, testKinds(), "new", ann); err != nil {
				t.Error(err)
			}
		}, "it is not being warmed up by now", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.flush(t)
			s.toWarmUp(t, "old", "new")
			log := writtenTo(2, labelsN(0, labels)...)
			calls := 0
			log.atNext = func() {
				if calls++; calls == 2 {
					log.atNext = nil
					tt.do(t, s.client(t), log)
				}
			}
			opts := soon(WarmUpOptions{By: ann, Commits: CommitterOptions{MaxBatch: 3}})
			_, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", log, opts)
			if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if live := s.head(t, "new").warming == nil; live != tt.live {
				t.Errorf("the model is live: %t, want %t", live, tt.live)
			}
			if !tt.live {
				s.warmUp(t, "new", log, WarmUpOptions{})
				s.checkLearned(t, mustCatalogue(t, s).Models[1], labels)
			}
			s.checkTravel(t, "new", labelled(labels))
		})
	}
}
