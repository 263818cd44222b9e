package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/registry"
	"tripcast.dev/local/broker"
)

// TestPromoted starts with a champion that is no good. SQL proposes the other
// model, hour by hour, and promote makes it the champion, once.
func TestPromoted(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	catalogue := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(catalogue, []byte(`
champion: nearly-constant
promotion: automatic
models:
  - name: nearly-constant
    features: [is_weekend]
    model: {LinearRegression: {lr: 1.0e-9, intercept_lr: 1.0e-9}}
  - name: linear-distance
    features: [distance_km, recent_speed]
    transformers: [StandardScaler]
    model: {LinearRegression: {lr: 0.001, clip_gradient: 1000}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	redisServer := miniredis.RunT(t)
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const trips = 16_000
	args := []string{
		"--kafka", b.Addr(), "--redis", "redis://" + redisServer.Addr(), "--models", catalogue,
		"--limit", fmt.Sprint(trips), "--speed", "0", "--exit-when-done",
	}
	code, r, log := start(t.Context(), t, args...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	wantAll(t, r, trips)

	client := redis.NewClient(&redis.Options{Addr: redisServer.Addr()})
	defer client.Close()
	actions, err := registry.Audit(t.Context(), client, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(actions) != 2 || actions[0].By != registry.ByProposal || actions[0].To != "linear-distance" || !strings.Contains(actions[0].Reason, "and nearly-constant by ") {
		t.Errorf("the audit trail is %+v", actions)
	}
	// The champion of the predictions follows.
	served := map[string]int{}
	for _, record := range readAll(t, []string{b.Addr()}, events.TopicPredictions, trips) {
		e := eventIn(t, record)
		p, err := events.DecodePrediction(e)
		if err != nil {
			t.Fatal(err)
		}
		served[p.Champion]++
	}
	if served["nearly-constant"] == 0 || served["linear-distance"] == 0 || len(served) != 2 {
		t.Errorf("predictions were served by %v", served)
	}
	// What was proposed can be told from what it is of.
	for _, record := range readAll(t, []string{b.Addr()}, events.TopicChampions, 3) {
		e := eventIn(t, record)
		p, err := events.DecodeProposal(e)
		if err != nil {
			t.Fatal(err)
		}
		want, err := events.Encode(&p)
		if err != nil {
			t.Fatal(err)
		}
		if want.ID() != e.ID() || want.Subject() != e.Subject() || want.Source() != e.Source() || want.Subject() != string(record.Key) {
			t.Errorf("the sink writes\n%s\nwith the key %s, Encode\n%s", e, record.Key, want)
		}
	}
}

func eventIn(t *testing.T, r *kgo.Record) event.Event {
	t.Helper()
	record := events.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	e, err := events.FromRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
