package predict_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
)

// oracle is a model of one feature that answers with a function.
type oracle struct {
	online.Regressor
	answer func(x float64) float64
}

func (o oracle) Width() int                  { return 1 }
func (o oracle) Predict(x []float64) float64 { return o.answer(x[0]) }

func model(t testing.TB, name, feature string, version uint64, answer func(float64) float64) registry.Model {
	t.Helper()
	p, err := online.NewPipeline([]string{feature}, nil, oracle{answer: answer})
	if err != nil {
		t.Fatal(err)
	}
	return registry.Model{Name: name, Version: version, Pipeline: p}
}

func constant(y float64) func(float64) float64 { return func(float64) float64 { return y } }

// served are models, or why there are none.
type served struct {
	models registry.Models
	err    error
}

func (s served) Models(context.Context) (*registry.Models, error) { return &s.models, s.err }

func features(t testing.TB, values map[string]float64) event.Event {
	t.Helper()
	e, err := events.Encode(&events.Features{TripID: "t1", PickedUpAt: time.Date(2016, 1, 1, 8, 0, 0, 0, time.UTC), Features: values})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func handle(t *testing.T, h *predict.Handler, e event.Event) events.Prediction {
	t.Helper()
	out, err := h.Handle(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	p, err := events.DecodePrediction(*out)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPredictsWithEveryModel(t *testing.T) {
	s := served{models: registry.Models{Champion: "double", Healthy: []registry.Model{
		model(t, "negative", "a", 3, func(a float64) float64 { return -a }),
		model(t, "double", "a", 5, func(a float64) float64 { return 2 * a }),
		model(t, "other", "b", 0, func(b float64) float64 { return b }),
	}}}
	e := features(t, map[string]float64{"a": 100, "b": 7, "unused": 1})
	for _, eventType := range []string{events.TypeFeatures, events.TypeKafka} {
		e.SetType(eventType)
		got := fmt.Sprint(handle(t, predict.New(s, slog.Default()), e))
		want := fmt.Sprint(events.Prediction{
			TripID:   "t1",
			Features: map[string]float64{"a": 100, "b": 7, "unused": 1},
			Predictions: map[string]events.ModelPrediction{
				"negative": {DurationS: 0, Version: 3}, "double": {DurationS: 200, Version: 5}, "other": {DurationS: 7, Version: 0},
			},
			Champion: "double",
		})
		if got != want {
			t.Errorf("%s: predicted\n%s, want\n%s", eventType, got, want)
		}
	}
}

func TestMissingFeature(t *testing.T) {
	var seen float64
	s := served{models: registry.Models{Healthy: []registry.Model{
		model(t, "m", "a", 1, func(a float64) float64 { seen = a; return 1 }),
	}}}
	e := features(t, map[string]float64{})
	if err := e.SetData(event.ApplicationJSON, []byte(`{"trip_id":"t1","picked_up_at":"2016-01-01T08:00:00Z","features":{"a":null},"headers":{}}`)); err != nil {
		t.Fatal(err)
	}
	p := handle(t, predict.New(s, slog.Default()), e)
	if !math.IsNaN(seen) {
		t.Errorf("the model saw %v for a null, want NaN", seen)
	}
	if len(p.Features) != 0 {
		t.Errorf("logged the features %v, want none", p.Features)
	}
}

func TestModelsThatDoNotAnswer(t *testing.T) {
	tests := []struct {
		name   string
		answer func(float64) float64
	}{
		{"panics", func(float64) float64 { panic("no") }},
		{"not a number", constant(math.NaN())},
		{"infinite", constant(math.Inf(1))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			answer := tt.answer
			s := served{models: registry.Models{Champion: "bad", Healthy: []registry.Model{
				model(t, "bad", "a", 1, func(a float64) float64 { return answer(a) }),
				model(t, "first", "a", 1, constant(10)),
				model(t, "second", "a", 1, constant(20)),
			}}}
			h := predict.New(s, slog.New(slog.NewTextHandler(&log, nil)))
			for range 3 {
				p := handle(t, h, features(t, map[string]float64{"a": 1}))
				if len(p.Predictions) != 2 || p.Champion != "first" {
					t.Errorf("predictions %v, champion %s, want two and first", p.Predictions, p.Champion)
				}
			}
			if n := strings.Count(log.String(), "model=bad"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, &log)
			}
			answer = constant(5)
			if p := handle(t, h, features(t, none)); p.Champion != "bad" {
				t.Errorf("champion %s once it answers again", p.Champion)
			}
			answer = tt.answer
			handle(t, h, features(t, none))
			if n := strings.Count(log.String(), "model=bad"); n != 2 {
				t.Errorf("logged %d times, want again once it is silent again:\n%s", n, &log)
			}
		})
	}
}

var none = map[string]float64{}

func TestBrokenChampion(t *testing.T) {
	s := served{models: registry.Models{
		Champion: "gone",
		Healthy:  []registry.Model{model(t, "first", "a", 1, constant(1)), model(t, "second", "a", 1, constant(2))},
		Broken:   map[string]error{"gone": errors.New("broken")},
	}}
	if p := handle(t, predict.New(s, slog.Default()), features(t, none)); p.Champion != "first" {
		t.Errorf("champion %s, want first", p.Champion)
	}
}

func TestNothingToAnswerWith(t *testing.T) {
	for name, s := range map[string]served{
		"no models":    {},
		"all silent":   {models: registry.Models{Healthy: []registry.Model{model(t, "m", "a", 1, constant(math.NaN()))}}},
		"no catalogue": {err: registry.ErrNoModels},
		"no redis":     {err: registry.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := predict.New(s, slog.New(slog.DiscardHandler)).Handle(t.Context(), features(t, none))
			var invalid *events.InvalidError
			if out != nil || err == nil || errors.As(err, &invalid) {
				t.Errorf("event %v, error %v, want an error that a retry may mend", out, err)
			}
		})
	}
}

func TestInput(t *testing.T) {
	h := predict.New(served{err: errors.New("models were asked for")}, slog.Default())
	good := features(t, map[string]float64{"a": 1})
	tests := []struct {
		name  string
		event func(*event.Event)
		field string // of the error, none where the event is acknowledged
	}{
		{"retraction", func(e *event.Event) { e.DataEncoded = nil }, ""},
		{"foreign type", func(e *event.Event) { e.SetType("boson.fn") }, "type"},
		{"foreign type without data", func(e *event.Event) { e.SetType("boson.fn"); e.DataEncoded = nil }, "type"},
		{"a label", func(e *event.Event) { e.SetType(events.TypeLabel) }, "type"},
		{"not JSON", func(e *event.Event) { e.DataEncoded = []byte("{") }, "data"},
		{"no trip", func(e *event.Event) {
			e.DataEncoded = []byte(`{"picked_up_at":"2016-01-01T08:00:00Z","features":{}}`)
		}, "trip_id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := good.Clone()
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
			if tt.field == "type" && !strings.Contains(err.Error(), events.TypeFeatures) {
				t.Errorf("error %q does not name the types that are taken", err)
			}
		})
	}
}

func BenchmarkHandle(b *testing.B) {
	const catalogue = `
champion: m1
models:
  - {name: m1, features: &f [l1_distance, hour_cos, hour_sin, is_weekend, passenger_count, avg_speed_by_hour], transformers: [StandardScaler], model: LinearRegression}
  - {name: m2, features: *f, transformers: [StandardScaler], model: LinearRegression}
  - {name: m3, features: *f, transformers: [StandardScaler], model: LinearRegression}
`
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		b.Fatal(err)
	}
	client, err := registry.Open("redis://" + miniredis.RunT(b).Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(b.Context(), client, c); err != nil {
		b.Fatal(err)
	}
	h := predict.New(registry.NewReader(client, kinds.All(), registry.ReaderOptions{}), slog.Default())
	e := features(b, map[string]float64{
		"l1_distance": .03, "hour_cos": .5, "hour_sin": .5, "is_weekend": 0, "passenger_count": 1, "avg_speed_by_hour": 3e-5,
	})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.Handle(b.Context(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
