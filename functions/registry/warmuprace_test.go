package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Labels are written and delivered, each at least twice and by several learners,
// while a model comes into the catalogue and is warmed up: none is missed, none is
// learned twice, and up to where the replay has ended their order is the log's.
func testWarmUpRaces(t *testing.T, s store) {
	for round := range 8 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			s.flush(t)
			s.applied(t, "old")
			age := time.Nanosecond
			if round%2 == 0 { // learners find out late
				age = 10*time.Millisecond + rand.N(20*time.Millisecond)
			}
			r := race{store: s, labels: 240, begun: rand.N(120), age: age}
			r.log = writtenTo(1+rand.N(4), labelsN(0, r.begun)...)
			var all sync.WaitGroup
			all.Go(func() { r.run(t) })
			if age > time.Nanosecond {
				time.Sleep(rand.N(age)) // somewhere among the labels
			}
			s.toWarmUp(t, "old", "new")
			done := s.warmUp(t, "new", r.log, WarmUpOptions{Commits: CommitterOptions{MaxBatch: 1 + rand.N(20), CatalogueAge: age}})
			all.Wait()
			t.Logf("%d of %d replayed, %d written before, %d joins", done.Taught, r.labels, r.begun, done.Joins)
			s.checkLearned(t, mustCatalogue(t, s).Models[1], r.labels)
			s.checkOrder(t, "new")
			s.checkTravel(t, "new", labelled(r.labels))
		})
	}
}

// race is labels on their way to several learners.
type race struct {
	store  store
	log    *written
	labels int
	begun  int           // are in the log before
	age    time.Duration // how late learners may follow the catalogue
}

// run writes labels and delivers them until all are learned.
func (r race) run(t *testing.T) {
	const processes = 3
	var all sync.WaitGroup
	defer all.Wait()
	deliver := make([]chan int, processes)
	for i := range deliver {
		deliver[i] = make(chan int, 2*r.labels)
		committer := r.store.committer(t, CommitterOptions{MaxBatch: 1 + rand.N(20), SnapshotEvery: 5 * time.Millisecond, CatalogueAge: r.age})
		for range 3 {
			all.Go(func() {
				for n := range deliver[i] {
					for {
						if _, err := committer.Learn(context.Background(), labelN(n)); err == nil {
							break
						} else if !errors.Is(err, ErrBusy) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
	}
	for n := range r.labels {
		if n >= r.begun {
			r.log.write(labelN(n))
		}
		deliver[n%processes] <- n
		deliver[(n+1)%processes] <- max(0, n-rand.N(5))
		deliver[(n+1)%processes] <- n
	}
	for _, d := range deliver {
		close(d)
	}
}

// A learner that has not seen the catalogue that has the model does not leave
// labels to the replay: it may go on for CatalogueAge, and so long nothing joins.
func testWarmUpNotKnown(t *testing.T, s store) {
	const age = 300 * time.Millisecond
	s.applied(t, "old")
	log := writtenTo(2, labelsN(0, 5)...)
	committer := s.committer(t, CommitterOptions{CatalogueAge: age})
	learnN(t, committer, 0, 5)
	s.toWarmUp(t, "old", "new")
	ends := 0
	log.atEnd = func() {
		if ends++; ends == 1 { // it is told where the log ends, and these come later
			log.write(labelN(5))
			learnN(t, committer, 5, 6)
		}
	}
	s.warmUp(t, "new", log, WarmUpOptions{Commits: CommitterOptions{CatalogueAge: age}})
	log.write(labelN(6))
	learnN(t, committer, 6, 7)
	s.checkLearned(t, mustCatalogue(t, s).Models[1], 7)
}

// A model that leaves the catalogue, or changes in it, does not join.
func testWarmUpGone(t *testing.T, s store) {
	for name, tt := range map[string]struct {
		models []string
		opts   ApplyOptions
		err    error
	}{
		"gone":    {[]string{"old", "other"}, ApplyOptions{}, ErrNotFound},
		"changed": {[]string{"old", "new=Heavy"}, ApplyOptions{Restart: []string{"new"}, By: ann}, ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			s.flush(t)
			s.toWarmUp(t, "old", "new")
			log := writtenTo(1, labelsN(0, 5)...)
			log.atEnd = sync.OnceFunc(func() {
				if _, err := ApplyWith(t.Context(), s.client(t), catalogueOf(t, tt.models...), tt.opts); err != nil {
					t.Error(err)
				}
			})
			done, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", log, soon(WarmUpOptions{By: ann}))
			if !errors.Is(err, tt.err) || done.Live || s.head(t, "new").warming == nil {
				t.Errorf("%+v, %v, want %v", done, err, tt.err)
			}
		})
	}
}

// A log that is shorter than what was replayed is another one: the model does not
// join at its end, also where that has nothing to read.
func testWarmUpOtherLog(t *testing.T, s store) {
	for name, other := range map[string]*written{
		"nothing in it":    writtenTo(2),
		"fewer partitions": writtenTo(1, labelsN(0, 9)...),
		"less in it":       writtenTo(2, labelsN(0, 2)...),
	} {
		t.Run(name, func(t *testing.T) {
			s.flush(t)
			s.toWarmUp(t, "old", "new")
			ctx, stop := context.WithCancel(t.Context())
			opts := soon(WarmUpOptions{By: ann, Commits: CommitterOptions{MaxBatch: 6}, Progress: func(WarmedUp) { stop() }})
			if _, err := WarmUp(ctx, s.client(t), testKinds(), "new", writtenTo(2, labelsN(0, 9)...), opts); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			done, err := WarmUp(t.Context(), s.client(t), testKinds(), "new", other, soon(WarmUpOptions{By: ann}))
			if err == nil || done.Live || s.head(t, "new").warming == nil {
				t.Errorf("%+v, %v, want an error and no joining", done, err)
			}
		})
	}
}

// Where Redis is slow, and a catalogue comes that was asked for long ago, it is no
// answer for a label that has come since.
func testFollowSlowly(t *testing.T, s store) {
	const age = 30 * time.Millisecond
	s.applied(t, "old")
	client := s.client(t)
	slow := &slowEtag{asked: make(chan struct{}), answer: make(chan struct{})}
	client.AddHook(slow)
	committer := committerOn(t, client, CommitterOptions{CatalogueAge: age})
	learnN(t, committer, 0, 1)
	time.Sleep(age)
	slow.on.Store(true)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { learnN(t, committer, 1, 2) })
	<-slow.asked
	s.applied(t, "old", "new")
	time.Sleep(2 * age)
	all.Go(func() {
		outcomes, err := committer.Learn(t.Context(), labelN(2))
		if err != nil || len(outcomes) != 2 {
			t.Errorf("outcomes %+v, %v: want one of the model that has come since", outcomes, err)
		}
	})
	time.Sleep(age) // so that it waits for the answer
	close(slow.answer)
}

// slowEtag is a hook that keeps the answer back, once, to what the etag of the
// catalogue is.
type slowEtag struct {
	on            atomic.Bool
	asked, answer chan struct{}
}

func (h *slowEtag) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *slowEtag) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "hget" && h.on.CompareAndSwap(true, false) {
			close(h.asked)
			<-h.answer
		}
		return err
	}
}

func (h *slowEtag) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
