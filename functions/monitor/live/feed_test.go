package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// world is a feed and what it reads, all of it under the test's control.
type world struct {
	t     testing.TB
	db    *fakeDatabase
	redis *miniredis.Miniredis
	log   *logged
	feed  *Feed
	end   func() // ends the feed
}

const catalogue = `
champion: good
models:
  - name: good
    features: [a]
    model: {LinearRegression: {}}
  - name: bad
    features: [a]
    model: {LinearRegression: {}}
`

// hasty is as patient as a test: what can be awaited in no time is not waited for.
var hasty = timing{
	connect: 5 * time.Second, answer: 10 * time.Second, fetch: 5 * time.Millisecond, load: 30 * time.Second,
	look: 2 * time.Second, poll: 10 * time.Millisecond, polled: 10 * time.Second, publish: 5 * time.Millisecond, slowly: 10 * time.Millisecond,
	retryMin: 5 * time.Millisecond, retryMax: 20 * time.Millisecond,
}

// TestMain keeps the Redis client from logging outages that are meant.
func TestMain(m *testing.M) {
	registry.Silence()
	os.Exit(m.Run())
}

// newWorld has everything but a running feed.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, db: newDatabase(t), redis: miniredis.RunT(t), log: &logged{}}
	w.apply(catalogue)
	w.make(w.db.dsn())
	return w
}

// make makes the feed.
func (w *world) make(dsn string, with ...func(*Config)) {
	c := Config{Database: dsn, Redis: w.client(), Kinds: kinds.All(), Log: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, set := range with {
		set(&c)
	}
	w.feed = New(c)
	w.feed.timing = hasty
}

func (w *world) client() redis.UniversalClient {
	client, err := registry.Open("redis://" + w.redis.Addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	return client
}

func (w *world) apply(text string) {
	w.t.Helper()
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := registry.Apply(context.Background(), w.client(), c); err != nil {
		w.t.Fatal(err)
	}
}

// run runs the feed until the test ends, or end is called.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.feed.Run(ctx) }()
	stopped := false
	w.end = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the feed has ended with: %v", err)
		}
	}
	w.t.Cleanup(w.end)
}

// live runs the feed and waits until it has read everything.
func (w *world) live() {
	w.t.Helper()
	w.run()
	w.await("the database and Redis", func(n Now) bool {
		return n.Summary.Database.State == Live && n.Summary.Redis.State == Live
	})
}

// patience is how long anything may take that has to happen.
const patience = 20 * time.Second

// await waits for a state of the views.
func (w *world) await(what string, met func(Now) bool) Now {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		e := w.feed.hub.current.Load()
		if met(e.now) {
			return e.now
		}
		select {
		case <-e.next:
		case <-time.After(time.Until(deadline)):
			text, _ := json.MarshalIndent(e.now, "", " ")
			w.t.Fatalf("waited in vain for %s:\n%s\n%s", what, text, w.log.all())
		}
	}
}

// until waits for anything else.
func (w *world) until(what string, met func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s\n%s", what, w.log.all())
		}
	}
}

// at is a time of the city.
func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

var noon = at("2016-01-04 12:00")

// started is a row of trip_starts.
func started(n int, guess float64) []any {
	return startedBy(n, time.Now(), fmt.Sprintf(`{"good":{"duration_s":%g,"version":7},"bad":{"duration_s":1e3,"version":3}}`, guess))
}

func startedBy(n int, predicted time.Time, predictions string) []any {
	return []any{
		fmt.Sprintf("t%d", n), noon.Add(time.Duration(n) * time.Second), -73.9812345, 40.75, -73.95, 40.7812345,
		[]byte(predictions), "good", int64(n), predicted.UTC(),
	}
}

// ended is a row of trip_ends.
func ended(n int, duration float64) []any {
	return []any{fmt.Sprintf("t%d", n), noon.Add(time.Hour), duration, time.Now().UTC()}
}

func TestTables(t *testing.T) {
	w := newWorld(t)
	db := w.db
	db.commit(
		db.add(viewCounts, int64(10), int64(9), int64(4), int64(6), int64(3), int64(1)),
		db.add(viewLag, int64(9), 12.5, int64(11), int64(40)),
		db.add(viewErrors, "good", int64(4), 100.12345, 150.5, -3.25),
		db.add(viewHours, "good", int64(8), int64(4), int64(400_000)),
		db.add(viewDistances, "good", int64(2), int64(4), int64(400_500)),
		db.add(viewBuckets, "good", at("2016-01-04 11:55"), int64(4), int64(400_000)),
	)
	w.live()
	n := w.await("the errors", func(n Now) bool {
		return len(n.Errors.Buckets) == 1 && len(n.Models.Models) == 2 && n.Segments.Hours.Models["good"] != nil && n.Segments.Distances.Models["good"] != nil
	})
	if want := (Counts{PickUps: 10, Predictions: 9, InProgress: 6, Completed: 4, Labels: 3, UnmatchedDropOffs: 1}); n.Summary.Trips != want {
		t.Errorf("counts are %+v, want %+v", n.Summary.Trips, want)
	}
	if want := (Quantile{N: 9, P50: 11, P99: 40}); n.Summary.LagAll != want {
		t.Errorf("lag is %+v, want %+v", n.Summary.LagAll, want)
	}
	if m := n.Models.Models[0]; m.Name != "good" || !m.Champion || m.Trips != 4 || m.MAE != 100.123 || m.RMSE != 150.5 || m.Bias != -3.25 {
		t.Errorf("the champion is %+v", m)
	}
	if m := n.Models.Models[1]; m.Name != "bad" || m.Champion || m.Trips != 0 || m.MAE != 0 {
		t.Errorf("the other model is %+v", m)
	}
	if mae := n.Segments.Hours.Models["good"][8]; n.Segments.Hours.Trips[8] != 4 || mae == nil || *mae != 100 || n.Segments.Hours.Labels[8] != "08" {
		t.Errorf("hours are %+v", n.Segments.Hours)
	}
	if mae := n.Segments.Distances.Models["good"][2]; mae == nil || *mae != 100.13 || n.Segments.Distances.Labels[2] != "2–5 km" {
		t.Errorf("distances are %+v", n.Segments.Distances)
	}

	// One row takes the place of another, one goes, one comes.
	db.commit(
		db.add(viewErrors, "good", int64(5), 90.0, 140.0, 1.0), db.remove(viewErrors, "good", int64(4), 100.12345, 150.5, -3.25),
		db.add(viewErrors, "bad", int64(5), 1.0, 2.0, 0.0),
		db.remove(viewHours, "good", int64(8), int64(4), int64(400_000)),
	)
	n = w.await("the changes", func(n Now) bool {
		return n.Models.Models[0].Trips == 5 && n.Models.Models[1].Trips == 5 && n.Segments.Hours.Trips[8] == 0
	})
	if m := n.Models.Models[0]; m.MAE != 90 {
		t.Errorf("the champion is %+v", m)
	}
	if n.Segments.Hours.Models["good"] != nil {
		t.Errorf("hours are %+v", n.Segments.Hours)
	}
}

func TestNothingIsNull(t *testing.T) {
	w := newWorld(t)
	text, err := json.Marshal(w.feed.Now())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("before anything was read: %s", text)
	}
	w.live()
	w.db.commit(w.db.add(viewLag, nil, nil, nil, nil))
	text, err = json.Marshal(w.feed.Now())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("of views without rows: %s", text)
	}
}
