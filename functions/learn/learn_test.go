package learn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// learner returns what a test wants it to.
type learner struct {
	got      registry.Label // the last one
	calls    []int          // how many labels each had
	outcomes []registry.Outcome
	err      error
}

func (l *learner) LearnAll(_ context.Context, labels []registry.Label) []registry.Result {
	l.calls = append(l.calls, len(labels))
	results := make([]registry.Result, len(labels))
	for i, label := range labels {
		l.got, results[i] = label, registry.Result{Outcomes: l.outcomes, Err: l.err}
	}
	return results
}

func label(t testing.TB, id string) event.Event {
	t.Helper()
	e, err := events.Encode(&events.Label{TripID: id, Features: map[string]float64{"a": 1}, DurationS: 600})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnswer(t *testing.T) {
	l := &learner{outcomes: []registry.Outcome{
		{Model: "new", Version: 7},
		{Model: "known", Version: 9, Duplicate: true},
		{Model: "broken", Err: &registry.StateError{Model: "broken"}},
		{Model: "warming", Version: 3, Warming: true},
	}}
	for _, eventType := range []string{events.TypeLabel, events.TypeKafka} {
		e := label(t, "t1")
		e.SetType(eventType)
		out, err := learn.New(l).Handle(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		learned, err := events.DecodeLearned(*out)
		if err != nil {
			t.Fatal(err)
		}
		want := events.Learned{TripID: "t1", Versions: map[string]uint64{"new": 7, "known": 9}, Duplicate: map[string]bool{"known": true}}
		if fmt.Sprint(learned) != fmt.Sprint(want) {
			t.Errorf("answer %v, want %v", learned, want)
		}
		if l.got.ID != "t1" || l.got.Y != 600 || l.got.Features["a"] != 1 {
			t.Errorf("learned %v", l.got)
		}
	}
}

// What is not committed is not acknowledged, and not called invalid either.
func TestNotCommitted(t *testing.T) {
	for _, cause := range []error{registry.ErrBusy, registry.ErrUnavailable, registry.ErrNoModels, registry.ErrClosed} {
		out, err := learn.New(&learner{err: cause}).Handle(t.Context(), label(t, "t1"))
		var invalid *events.InvalidError
		if out != nil || !errors.Is(err, cause) || errors.As(err, &invalid) {
			t.Errorf("event %v, error %v, want %v", out, err, cause)
		}
	}
}

func TestInput(t *testing.T) {
	h := learn.New(&learner{err: errors.New("the learner was asked")})
	tests := []struct {
		name  string
		event func(*event.Event)
		field string // of the error, none where the event is acknowledged
	}{
		{"retraction", func(e *event.Event) { e.DataEncoded = nil }, ""},
		{"foreign type", func(e *event.Event) { e.SetType("boson.fn") }, "type"},
		{"features", func(e *event.Event) { e.SetType(events.TypeFeatures) }, "type"},
		{"not JSON", func(e *event.Event) { e.DataEncoded = []byte("{") }, "data"},
		{"negative", func(e *event.Event) {
			e.DataEncoded = []byte(`{"trip_id":"t1","features":{},"duration_s":-1}`)
		}, "duration_s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := label(t, "t1")
			tt.event(&e)
			out, err := h.Handle(t.Context(), e)
			if out != nil {
				t.Errorf("event %v, want none", out)
			}
			if tt.field == "" {
				if err != nil {
					t.Errorf("error %v, want none", err)
				}
				return
			}
			var invalid *events.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != tt.field {
				t.Errorf("error %v, want an *InvalidError of %s", err, tt.field)
			}
			if tt.field == "type" && !strings.Contains(err.Error(), events.TypeLabel) {
				t.Errorf("error %q does not name the types that are taken", err)
			}
		})
	}
}

// Events that came together are learned together, except what is no label; and
// each has its own answer.
func TestHandleAll(t *testing.T) {
	foreign, retraction := label(t, "t2"), label(t, "t3")
	foreign.SetType("boson.fn")
	retraction.DataEncoded = nil
	batch := []event.Event{label(t, "t1"), foreign, retraction, label(t, "t4"), label(t, "t1")}
	l := &learner{outcomes: []registry.Outcome{{Model: "m", Version: 1}}}
	answers, errs := learn.New(l).HandleAll(t.Context(), batch)
	if fmt.Sprint(l.calls) != "[3]" {
		t.Errorf("the learner was given %v labels, want 3 in one call", l.calls)
	}
	for i, trip := range []string{"t1", "", "", "t4", "t1"} {
		var invalid *events.InvalidError
		if errors.As(errs[i], &invalid) != (i == 1) || (errs[i] != nil) != (i == 1) {
			t.Errorf("event %d: error %v", i, errs[i])
		}
		if (answers[i] != nil) != (trip != "") || trip != "" && answers[i].ID() != trip {
			t.Errorf("event %d: answer %v, want one for %q", i, answers[i], trip)
		}
	}
	l = &learner{err: registry.ErrBusy}
	_, errs = learn.New(l).HandleAll(t.Context(), batch)
	for i, err := range errs {
		if errors.Is(err, registry.ErrBusy) != (i == 0 || i > 2) {
			t.Errorf("event %d: error %v", i, err)
		}
	}
	l = &learner{}
	if answers, errs := learn.New(l).HandleAll(t.Context(), batch[2:3]); answers[0] != nil || errs[0] != nil || len(l.calls) > 0 {
		t.Errorf("a retraction: answer %v, error %v, %v calls", answers[0], errs[0], l.calls)
	}
}

// committer is a registry on an embedded Redis, with three models.
func committer(t testing.TB) *registry.Committer {
	t.Helper()
	const catalogue = `
champion: m1
models:
  - {name: m1, features: &f [a, b, c, d, e, f], transformers: [StandardScaler], model: LinearRegression}
  - {name: m2, features: *f, transformers: [StandardScaler], model: LinearRegression}
  - {name: m3, features: *f, transformers: [StandardScaler], model: LinearRegression}
`
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open("redis://" + miniredis.RunT(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(context.Background(), client, c); err != nil {
		t.Fatal(err)
	}
	r := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	t.Cleanup(func() {
		r.Close(context.Background())
		client.Close()
	})
	return r
}

func TestLearnsOnce(t *testing.T) {
	h := learn.New(committer(t))
	for i := range 2 {
		out, err := h.Handle(t.Context(), label(t, "t1"))
		if err != nil {
			t.Fatal(err)
		}
		learned, err := events.DecodeLearned(*out)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(learned.Versions), "map[m1:1 m2:1 m3:1]"; got != want {
			t.Errorf("delivery %d: versions %s, want %s", i, got, want)
		}
		if got := len(learned.Duplicate); got != 3*i {
			t.Errorf("delivery %d: %d duplicates, want %d", i, got, 3*i)
		}
	}
}

// BenchmarkHandle learns with three models on the embedded Redis, 64 labels at a time.
func BenchmarkHandle(b *testing.B) {
	h := learn.New(committer(b))
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.Handle(b.Context(), label(b, fmt.Sprint("t", n.Add(1)))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "labels/s")
}
