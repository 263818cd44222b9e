package backtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/events"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
	"tripcast.dev/local/backtest"
)

// server is predict and learn as they are deployed, on a Redis.
type server struct {
	redis   redis.UniversalClient
	predict *predict.Handler
	learn   *learn.Handler
}

func serve(t *testing.T) *server {
	t.Helper()
	client, err := registry.Open("redis://" + miniredis.RunT(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := registry.Apply(t.Context(), client, catalogue(t)); err != nil {
		t.Fatal(err)
	}
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	t.Cleanup(func() {
		if err := committer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	// Whatever is committed is served at once.
	reader := registry.NewReader(client, kinds.All(), registry.ReaderOptions{MaxAge: time.Nanosecond})
	log := slog.New(slog.DiscardHandler)
	return &server{client, predict.New(reader, log), learn.New(committer)}
}

// ask returns the prediction, and teach waits for the commit.
func (s *server) ask(t *testing.T, sample evaluate.Sample, features map[string]float64) events.Prediction {
	t.Helper()
	e, err := events.Encode(&events.Features{TripID: sample.ID, PickedUpAt: sample.At, Features: features})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.predict.Handle(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	p, err := events.DecodePrediction(*answer)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *server) teach(t *testing.T, sample evaluate.Sample, features map[string]float64) {
	t.Helper()
	e, err := events.Encode(&events.Label{TripID: sample.ID, Features: features, DurationS: sample.Y})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.learn.Handle(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// Every prediction is, bit for bit, what predict would have served, had learn
// committed each label at its drop-off; and so are the models in the end.
func TestAsServed(t *testing.T) {
	all := synthetic(t)
	trips := &backtest.Trips{Names: all.Names, Samples: all.Samples[:300]} // some more than a warm-up
	s := serve(t)
	served := map[string][]float64{}
	for turn, err := range evaluate.Turns(each(trips.Samples)) {
		if err != nil {
			t.Fatal(err)
		}
		features := map[string]float64{}
		for i, v := range turn.X {
			if !math.IsNaN(v) {
				features[trips.Names[i]] = v
			}
		}
		if turn.Answer {
			s.teach(t, turn.Sample, features)
			continue
		}
		for name, p := range s.ask(t, turn.Sample, features).Predictions {
			served[name] = append(served[name], p.DurationS)
		}
	}
	report := backtested(t, trips, backtest.Options{}, fresh(t)...)
	if want := len(catalogue(t).Models); len(report.Models) != want || len(served) != want {
		t.Fatalf("%d models backtested, %d served, want %d", len(report.Models), len(served), want)
	}
	for _, m := range report.Models {
		if m.Count != len(trips.Samples) || len(served[m.Name]) != m.Count {
			t.Errorf("%s: %d predictions judged, %d served, want %d", m.Name, m.Count, len(served[m.Name]), len(trips.Samples))
			continue
		}
		for n, y := range m.Predicted() {
			if math.Float64bits(y) != math.Float64bits(served[m.Name][n]) {
				t.Errorf("%s predicts %v of trip %d, and served %v", m.Name, y, n, served[m.Name][n])
				break
			}
		}
		state, err := s.redis.HGet(t.Context(), "tripcast:{"+m.Name+"}:head", "state").Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(state); hex.EncodeToString(sum[:]) != m.StateSHA256 || len(state) != m.StateBytes {
			t.Errorf("%s: the state in Redis is %d bytes, %x; the report's %d, %s", m.Name, len(state), sum, m.StateBytes, m.StateSHA256)
		}
	}
}
