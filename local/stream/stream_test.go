package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	tripsql "tripcast.dev/sql"
)

// running is a stream that runs, and serves Postgres.
type running struct {
	*Stream
	t     *testing.T
	log   *logged
	dsn   string
	stop  context.CancelFunc
	ended chan error
}

func (k *kafka) stream(statements []tripsql.Statement, prepare ...func(*Stream)) *running {
	k.t.Helper()
	log := &logged{}
	s, err := New(k.ctx, Config{Brokers: []string{k.addr}, Statements: statements, Log: log.logger()})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, f := range prepare {
		f(s)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(k.ctx)
	r := &running{
		Stream: s, t: k.t, log: log, stop: cancel, ended: make(chan error, 1),
		dsn: fmt.Sprintf("postgres://materialize@%s/materialize?sslmode=disable", listener.Addr()),
	}
	served := make(chan error, 1)
	go func() { r.ended <- s.Run(ctx) }()
	go func() { served <- s.Serve(ctx, listener) }()
	k.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			k.t.Errorf("serving: %v", err)
		}
		<-r.ended
		if err := s.Close(); err != nil {
			k.t.Errorf("closing: %v", err)
		}
	})
	return r
}

// end stops the stream; it ends without an error.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	err := <-r.ended
	r.ended <- err
	if err != nil {
		r.t.Errorf("the stream ended with %v", err)
	}
}

func (r *running) waitFor(what string, so func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waiting for %s; the stream says\n%s", what, r.log)
		}
	}
}

// drive produces the trips' pick-ups and drop-offs in the order of their time.
func (k *kafka) drive(all []trip) {
	k.t.Helper()
	topics := map[string]string{"pick_ups_raw": events.TopicPickUps, "drop_offs_raw": events.TopicDropOffs}
	for _, e := range inOrder(all) {
		k.produce(topics[e.source], e.trip.id, e.data())
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// From pick-ups to features and from predictions to labels, over a real broker:
// CloudEvents, once for each trip, and a stream that is started again goes on
// where the last one stopped.
func TestStreamEndToEnd(t *testing.T) { onBoth(t, streamEndToEnd) }

func streamEndToEnd(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	k := start(t, events.TopicPickUps, events.TopicDropOffs)
	all := trips(3, 60)
	first := k.stream(tripcast(t))
	k.drive(all[:30])
	features := k.read(events.TopicFeatures, 30)
	r := features[0]
	for name, want := range map[string]string{
		"ce_specversion": "1.0", "ce_type": events.TypeFeatures, "ce_source": events.SourceFeatures,
		"ce_id": string(r.Key), "ce_subject": string(r.Key), "ce_partitionkey": string(r.Key), "content-type": "application/json",
	} {
		if got := header(r, name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if header(r, "materialize-timestamp") == "" {
		t.Error("no materialize-timestamp")
	}
	var value events.Features
	if err := json.Unmarshal(r.Value, &value); err != nil {
		t.Fatal(err)
	}
	if value.TripID != string(r.Key) || value.PickedUpAt.IsZero() || len(value.Features) != 13 {
		t.Errorf("features %+v", value)
	}
	k.wantPartitions(events.TopicFeatures, 3)
	k.wantPartitions(events.TopicLabels, 3)

	// Predictions come into being when the first one is made.
	k.create(events.TopicPredictions)
	predict := func(from, to int) {
		for _, trip := range all[from:to] {
			k.produce(events.TopicPredictions, trip.id, `{"trip_id":"`+trip.id+`","features":{"l1_distance":0.1},"predictions":{"linear":{"duration_s":1,"version":0}},"champion":"linear"}`)
		}
	}
	predict(0, 30)
	labels := k.read(events.TopicLabels, 30)
	if got, want := header(labels[0], "ce_type"), events.TypeLabel; got != want {
		t.Errorf("ce_type %q, want %q", got, want)
	}
	first.end()

	// While nobody looks, trips go on.
	k.drive(all[30:])
	predict(30, 60)
	second := k.stream(tripcast(t))
	second.waitFor("the stream to catch up", func() bool { return second.Stats().CaughtUp })
	k.wantOnce(events.TopicFeatures, 60)
	k.wantOnce(events.TopicLabels, 60)
	second.end()

	// And a stream that finds everything done does nothing.
	third := k.stream(tripcast(t))
	third.waitFor("the stream to catch up", func() bool { return third.Stats().CaughtUp })
	k.produce(events.TopicPickUps, "last", strings.ReplaceAll(all[59].pickUp, all[59].id, "last"))
	k.wantOnce(events.TopicFeatures, 61)
	third.waitFor("the statistics of the last tick", func() bool { return third.Stats().Rows == 181 })
	if got := third.Stats(); got.Sunk == 0 || got.Ticks == 0 || got.Busy == 0 {
		t.Errorf("stats %+v", got)
	}
}

func (k *kafka) wantPartitions(topic string, want int) {
	k.t.Helper()
	topics, err := k.admin.ListTopics(k.ctx, topic)
	if err != nil {
		k.t.Fatal(err)
	}
	if got := len(topics[topic].Partitions); got != want {
		k.t.Errorf("%s has %d partitions, want %d", topic, got, want)
	}
}

// wantOnce wants n keys in a topic, one record for each.
func (k *kafka) wantOnce(topic string, n int) {
	k.t.Helper()
	seen := map[string]int{}
	for _, r := range k.read(topic, n) {
		seen[string(r.Key)]++
		if r.Value == nil {
			k.t.Errorf("%s: a tombstone for %s", topic, r.Key)
		}
	}
	if len(seen) != n {
		k.t.Errorf("%s: %d keys, want %d, in %v", topic, len(seen), n, seen)
	}
}

// Two streams over one program would write everything twice: the later one wins
// and the earlier one says why it stops.
func TestTheEarlierOfTwoStreamsStops(t *testing.T) { onBoth(t, theEarlierOfTwoStreamsStops) }

func theEarlierOfTwoStreamsStops(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	k := start(t, events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions)
	all := trips(4, 20)
	first := k.stream(tripcast(t))
	k.drive(all[:10])
	k.read(events.TopicFeatures, 10)
	second := k.stream(tripcast(t))
	second.waitFor("the stream to catch up", func() bool { return second.Stats().CaughtUp })
	k.drive(all[10:])
	err := <-first.ended
	first.ended <- err
	if err == nil || !strings.Contains(err.Error(), "another stream writes to these sinks") {
		t.Errorf("the first stream ended with %v\n%s", err, first.log)
	}
	k.wantOnce(events.TopicFeatures, 20)
}

// A row that changes is written again, one that goes leaves a tombstone.
func TestChangesAndTombstones(t *testing.T) { onBoth(t, changesAndTombstones) }

func changesAndTombstones(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	k := start(t, "a")
	k.stream(script(t, aSource+`CREATE MATERIALIZED VIEW w AS SELECT data->>'id' AS id, sum((data->>'n')::int8)::int8 AS n FROM a GROUP BY 1;
		CREATE MATERIALIZED VIEW w2 AS SELECT id, n FROM w WHERE n > 0;`+sunk("w2")))
	var got []string
	for n, value := range []string{"1", "2", "-3", "5"} {
		k.produce("a", "x", `{"id":"x","n":`+value+`}`)
		r := k.read("t", n+1)[n]
		got = append(got, fmt.Sprintf("%s %s %t", r.Key, r.Value, r.Value == nil))
	}
	want := []string{`x {"id":"x","n":1} false`, `x {"id":"x","n":3} false`, `x  true`, `x {"id":"x","n":5} false`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whoever comes late has much to write at once, and brokers take no more than
// 1 MiB in one piece.
func TestCatchingUp(t *testing.T) {
	onBoth(t, func(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
		const n = 10_000
		k := start(t, "a")
		text := strings.Repeat("x", 500)
		var records []*kgo.Record
		for i := range n {
			key := fmt.Sprint(i)
			records = append(records, &kgo.Record{Topic: "a", Key: []byte(key), Value: []byte(`{"id":"` + key + `","text":"` + text + `"}`)})
		}
		k.produceRecords(records...)
		s := k.stream(script(t, aSource+`CREATE MATERIALIZED VIEW w AS SELECT data->>'id' AS id, data->>'text' AS text FROM a;`+sunk("w")))
		k.wantOnce("t", n)
		if strings.Contains(s.log.String(), "sinking failed") {
			t.Errorf("the stream says\n%s", s.log)
		}
	})
}

func TestTopicsThatAreMissingAreReported(t *testing.T) {
	k := startKafka(t, events.TopicPickUps)
	s := k.stream(tripcast(t))
	s.waitFor("the report", func() bool {
		return strings.Contains(s.log.String(), "topic=drop_offs") && strings.Contains(s.log.String(), "at=02_sources.sql:")
	})
}

func TestViewsThatAreSlowAreReported(t *testing.T) {
	k := startKafka(t, "a")
	s := k.stream(script(t, aSource+aView+"CREATE VIEW w AS SELECT id, n FROM v ORDER BY n LIMIT 3;"+sunk("w")))
	if log := s.log.String(); !strings.Contains(log, "view=w at=test.sql:3") || !strings.Contains(log, "LIMIT is not incremental") {
		t.Errorf("the log says\n%s", log)
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}, Statements: script(t, "DROP VIEW v")})
	if err == nil || !strings.Contains(err.Error(), "test.sql:1") {
		t.Error(err)
	}
	_, err = New(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}, Statements: script(t, aSource+strings.Replace(aSource, "SOURCE a", "SOURCE b", 1))})
	if err == nil || !strings.Contains(err.Error(), "topic a is already read by source") {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s, err := New(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}, Statements: tripcast(t), Log: (&logged{}).logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.Close(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
}
