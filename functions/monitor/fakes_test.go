package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

const (
	token    = "a-token-of-the-tests-0123"
	aTrip    = "id2875421"
	someText = `<script>alert("&")</script>`
)

// noon is when the tests are, by the real clock.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fakeFeed has what a test says, and visitors that get what is published.
type fakeFeed struct {
	mu       sync.Mutex
	now      live.Now
	trip     live.Trip
	err      error // of Trip
	asked    []string
	wanted   []string // the events that the last visitor wants
	visitors map[*fakeVisitor]bool
}

func (f *fakeFeed) Now() live.Now {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeFeed) Trip(_ context.Context, id string) (live.Trip, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, id)
	return f.trip, f.err
}

func (f *fakeFeed) visit(_ context.Context, events []string) visitor {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = events
	v := &fakeVisitor{messages: make(chan []live.Message, 100)}
	if f.visitors == nil {
		f.visitors = map[*fakeVisitor]bool{}
	}
	f.visitors[v] = true
	return v
}

// publish gives all visitors a message.
func (f *fakeFeed) publish(messages ...live.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range f.visitors {
		v.messages <- messages
	}
}

// awaitVisitors returns when there are as many.
func (f *fakeFeed) awaitVisitors(t testing.TB, n int) {
	t.Helper()
	await(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.visitors) >= n
	})
}

type fakeVisitor struct{ messages chan []live.Message }

func (v *fakeVisitor) Next(ctx context.Context) ([]live.Message, error) {
	select {
	case m := <-v.messages:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type fakeEvents struct {
	found     trail.Found
	letters   []trail.Letter
	err       error
	trip      string
	stretches []trail.Stretch
}

func (f *fakeEvents) Of(_ context.Context, trip string, stretches ...trail.Stretch) (trail.Found, error) {
	f.trip, f.stretches = trip, stretches
	return f.found, f.err
}

func (f *fakeEvents) DeadLetters(context.Context, int) ([]trail.Letter, int64, error) {
	return f.letters, int64(len(f.letters)), f.err
}

type fakeModels struct {
	catalogue *online.Catalogue
	lineage   []registry.Commit
	snapshots []registry.Snapshot
	audit     []registry.Action
	err       error // of all that reads
	actErr    error // of all that acts
	did       []any
}

func (f *fakeModels) Catalogue(context.Context) (*online.Catalogue, error) {
	return f.catalogue, f.err
}

func (f *fakeModels) Lineage(context.Context, string, int) ([]registry.Commit, error) {
	return f.lineage, f.err
}

func (f *fakeModels) Snapshots(context.Context, string) ([]registry.Snapshot, error) {
	return f.snapshots, f.err
}

func (f *fakeModels) Audit(context.Context, int) ([]registry.Action, error) { return f.audit, f.err }

func (f *fakeModels) Promote(_ context.Context, model, expect string, by registry.Actor) (registry.Action, error) {
	f.did = append(f.did, "promote", model, expect, by)
	return registry.Action{At: noon, Kind: "promote", Model: model, From: expect, To: model, By: by.Name, Reason: by.Reason}, f.actErr
}

func (f *fakeModels) Rollback(_ context.Context, model string, to, expect uint64, by registry.Actor) (registry.Action, error) {
	f.did = append(f.did, "rollback", model, to, expect, by)
	return registry.Action{At: noon, Kind: "rollback", Model: model, From: "9", To: "7", By: by.Name, Reason: by.Reason}, f.actErr
}

const catalogueYAML = `
champion: city-grid
models:
  - {name: city-grid, features: [a, b], transformers: [StandardScaler], model: LinearRegression}
  - name: trees
    features: [a]
    model: {TargetTransformRegressor: {transform: log1p, model: {BaggingRegressor: {n_models: 3, model: HoeffdingTreeRegressor}}}}
    seed: 7
`

func testCatalogue(t testing.TB) *online.Catalogue {
	t.Helper()
	c, err := online.ParseCatalogue([]byte(catalogueYAML), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dashboard is a monitor on fakes, with something to see on every page.
type dashboard struct {
	*Monitor
	feed   *fakeFeed
	events *fakeEvents
	models *fakeModels
	logs   *logs
}

func newDashboard(t testing.TB, token string) *dashboard {
	t.Helper()
	off := -12.5
	d := &dashboard{
		feed: &fakeFeed{
			now: live.Now{
				Summary: live.Summary{
					At: noon.UnixMilli(), Clock: time.Date(2016, 1, 4, 8, 59, 0, 0, time.UTC).UnixMilli(),
					Database: live.Source{State: live.Live}, Redis: live.Source{State: live.Live}, Kafka: live.Source{State: live.Live},
					Trips: live.Counts{PickUps: 12345, Completed: 2489, InProgress: 681}, DeadLetters: 1,
				},
				Models: live.Models{
					Champion: live.Leader{Model: "city-grid", Since: noon.UnixMilli()}, Best: live.Leader{Model: "trees", MAE: 300},
					Models: []live.Model{{Name: "city-grid", Champion: true, Trips: 2489, MAE: 349.6, Version: 17}, {Name: "trees", Best: true}},
				},
			},
			trip: live.Trip{
				ID: aTrip, PickedUpAt: time.Date(2016, 1, 4, 8, 30, 0, 0, time.UTC), PassengerCount: 2,
				ArrivedAt: noon.Add(-time.Hour - 13*time.Millisecond), Predicted: true, PredictedAt: noon.Add(-time.Hour), LagMS: 13, Champion: "city-grid",
				Features:    []live.Feature{{Name: "distance_km", Value: 3.25}},
				Predictions: []live.Prediction{{Model: "city-grid", DurationS: 750, Version: 17, Champion: true, ErrorS: &off}, {Model: "trees", DurationS: 800, Version: 3}},
				Ended:       true, DroppedOffAt: time.Date(2016, 1, 4, 8, 42, 42, 500e6, time.UTC), DurationS: 762.5,
			},
		},
		events: &fakeEvents{
			found: trail.Found{Complete: true, Events: []trail.Event{{
				Topic: "pick_ups", Timestamp: noon.Add(-time.Hour), Data: []byte(`{"trip_id":"id2875421"}`),
				Attributes: []trail.Attribute{{Name: "id", Value: aTrip}, {Name: "type", Value: "dev.tripcast.trip.picked-up.v1"}},
			}}},
			letters: []trail.Letter{{
				Event: trail.Event{Topic: "dead_letters", Offset: 4, Timestamp: noon, Data: []byte("no JSON " + someText)},
				Error: "field x: " + someText, Code: "400", Destination: "http://predict",
			}},
		},
		models: &fakeModels{
			catalogue: testCatalogue(t),
			lineage:   []registry.Commit{{Version: 17, Name: "commit-of-17", Parent: "commit-of-16", Kind: "learn", Labels: 4, First: "id1", Last: "id4", Count: 99, At: noon}},
			snapshots: []registry.Snapshot{{Version: 12, Count: 80, Commit: "commit-of-12", At: noon, StateBytes: 25487, Last: "id0"}},
			audit:     []registry.Action{{At: noon, Kind: "promote", Model: "city-grid", From: "trees", To: "city-grid", By: "ada", Reason: someText}},
		},
		logs: &logs{},
	}
	log := slog.New(slog.NewJSONHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.Monitor = newMonitor(d.feed, d.events, d.models, token, log)
	t.Cleanup(d.stop)
	return d
}

// ask answers one request without a network. header is in pairs.
func (d *dashboard) ask(t testing.TB, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func (d *dashboard) get(t testing.TB, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return d.ask(t, http.MethodGet, path, "", header...)
}

// logs are the lines of a log.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines are those with a message.
func (l *logs) lines(t testing.TB, message string) (found []map[string]any) {
	t.Helper()
	for text := range strings.Lines(l.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("the log has %q: %v", text, err)
		}
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// await returns once something is so.
func await(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

func wantIn(t *testing.T, body string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(body, want) {
			t.Errorf("there is no %q in %s", want, body)
		}
	}
}
