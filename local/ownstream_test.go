package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/replay"
	"tripcast.dev/local/stream"
)

const bikesFolder = "bikes/"

// bikes is the system of the example's stream, into which nothing is played yet,
// and what its log says.
func bikes(t *testing.T) (*ownSystem, *output) {
	t.Helper()
	models, err := os.ReadFile(bikesFolder + "models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	log := &output{}
	own, err := startOwn(t.Context(), rig{sql: os.DirFS(bikesFolder + "sql"), catalogue: models, newest: true}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.stop)
	return own, log
}

// bikeRecords are those of the example's recording, so many at most; 0 is all.
func bikeRecords(t *testing.T, most int) []recordings.Record {
	t.Helper()
	reader, err := recordings.Open(bikesFolder + "events.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all []recordings.Record
	for r, err := range reader.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, r); len(all) == most {
			break
		}
	}
	return all
}

// spellsOf are the ids of the spells that begin, and of those that end, in records.
func spellsOf(t *testing.T, records []recordings.Record) (begun, ended map[string]bool) {
	t.Helper()
	begun, ended = map[string]bool{}, map[string]bool{}
	for _, r := range records {
		var e struct {
			Station    string `json:"station_id"`
			EmptiedAt  string `json:"emptied_at"`
			EmptySince string `json:"empty_since"`
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			t.Fatal(err)
		}
		if r.Topic == "emptied" {
			begun[e.Station+"-"+e.EmptiedAt] = true
		} else {
			ended[e.Station+"-"+e.EmptySince] = true
		}
	}
	return begun, ended
}

func playOwn(t *testing.T, own *ownSystem, records iter.Seq2[recordings.Record, error]) *replay.Outcome {
	t.Helper()
	if _, err := own.play(t.Context(), replay.Play{Topics: inputsOf(own.statements)}, false, records); err != nil {
		t.Fatal(err)
	}
	return own.collector.Outcome()
}

// TestOwnStreamOnce plays what happens to every stream: everything twice, ends of
// what never began or ended before it did, and events that are none. Each spell is
// predicted once and learned once, and what is left out is named.
func TestOwnStreamOnce(t *testing.T) {
	own, log := bikes(t)
	records := bikeRecords(t, 300)
	begun, ended := spellsOf(t, records)
	id := slices.Sorted(maps.Keys(begun))[0]
	station, since, _ := strings.Cut(id, "-")
	odd := func(topic, value string) recordings.Record {
		return recordings.Record{Topic: topic, Record: events.Record{Key: []byte("odd"), Value: []byte(value)}}
	}
	const noSpell = `{"station_id":"s900","empty_since":"2026-05-07T01:00:00Z","refilled_at":"2026-05-07T01:10:00Z"}`
	leftOut := []recordings.Record{
		odd("emptied", `{"station_id":"s900","emptied_at":"2026-02-30T08:00:00Z","capacity":20,"raining":false}`),
		odd("emptied", `{"station_id":"s900","emptied_at":"2026-05-07T08:00:00Z","capacity":"many","raining":false}`),
		odd("emptied", `{"station_id":"s 900","emptied_at":"2026-05-07T08:00:00Z","capacity":20,"raining":false}`),
		odd("emptied", `[]`),
		odd("refilled", `{"station_id":"s900","refilled_at":"2026-05-07T08:00:00Z"}`),
		odd("refilled", `{"station_id":"s900","empty_since":"2026-05-07T08:00:00Z","refilled_at":"soon"}`),
	}
	all := slices.Concat(leftOut, []recordings.Record{
		odd("refilled", noSpell),
		odd("emptied", "no JSON"),
		// Before it began, and more than a day after: no durations.
		odd("emptied", `{"station_id":"s901","emptied_at":"2026-05-07T00:00:00Z","capacity":20,"raining":true}`),
		odd("refilled", `{"station_id":"s901","empty_since":"2026-05-07T00:00:00Z","refilled_at":"2026-05-06T23:59:59Z"}`),
		odd("emptied", `{"station_id":"s902","emptied_at":"2026-05-07T00:00:00Z","capacity":20,"raining":true}`),
		odd("refilled", `{"station_id":"s902","empty_since":"2026-05-07T00:00:00Z","refilled_at":"2026-05-08T00:00:01Z"}`),
	}, records, records)
	begun["s901-2026-05-07T00:00:00Z"], begun["s902-2026-05-07T00:00:00Z"] = true, true
	playOwn(t, own, yielding(all))
	// The station insists, with another end.
	outcome := playOwn(t, own, yielding([]recordings.Record{odd("refilled", fmt.Sprintf(
		`{"station_id":%q,"empty_since":%q,"refilled_at":"2026-05-08T00:00:00Z"}`, station, since,
	))}))

	for topic, want := range map[string]map[string]bool{
		events.TopicFeatures: begun, events.TopicPredictions: begun, events.TopicLabels: ended, events.TopicDeadLetters: {},
	} {
		got := map[string]int{}
		for _, e := range outcome.Events {
			if e.Topic == topic {
				got[e.Subject()]++
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has %d spells, not %d", topic, len(got), len(want))
		}
		for id, n := range got {
			if n != 1 || !want[id] {
				t.Errorf("%s has %s %d times; it is one of those that should be there: %t", topic, id, n, want[id])
			}
		}
	}
	if n := own.collector.Retractions(); len(n) != 0 {
		t.Errorf("something was taken back: %v", n)
	}
	counts, err := learned(t.Context(), own.client)
	if err != nil {
		t.Fatal(err)
	}
	for model, n := range counts {
		if n != int64(len(ended)) {
			t.Errorf("%s has learned %d labels, not %d", model, n, len(ended))
		}
	}
	if len(counts) != modelsOfSpells {
		t.Errorf("models are %v", counts)
	}
	named := ask[struct {
		Topic string
		Part  int32
		Off   int64
	}](t, own.sqlAt, "SELECT topic, part, off FROM left_out")
	if len(named) != len(leftOut) {
		t.Errorf("left_out names %v, not %d events", named, len(leftOut))
	}
	if text := log.String(); !strings.Contains(text, "topic emptied, partition") || !strings.Contains(text, "the value is not JSON") {
		t.Errorf("the log does not name what is not JSON:\n%s", text)
	}
}

// ask selects rows.
func ask[R any](t *testing.T, address, query string) []R {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "postgres://materialize@"+address+"/materialize?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[R])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOwnStreamInOneBatch evaluates the example's SQL once over the recording: the
// features and labels are those that the stream has sunk, byte for byte, and its
// monitoring counts as many.
func TestOwnStreamInOneBatch(t *testing.T) {
	own, _ := bikes(t)
	records := bikeRecords(t, 0)
	outcome := playOwn(t, own, yielding(records))
	sunk := map[string]map[string][]byte{}
	var predictions []*kgo.Record
	for _, e := range outcome.Events {
		if e.Topic == events.TopicPredictions {
			predictions = append(predictions, &kgo.Record{Topic: e.Topic, Key: []byte(e.Subject()), Value: e.Data(), Offset: int64(len(predictions))})
			continue
		}
		if sunk[e.Topic] == nil {
			sunk[e.Topic] = map[string][]byte{}
		}
		sunk[e.Topic][e.Subject()] = e.Data()
	}

	batch, err := stream.NewBatch(t.Context(), own.statements)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	for _, r := range records {
		record := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.At, Key: r.Key, Value: r.Value}
		if err := batch.Feed(r.Topic, record); err != nil {
			t.Fatal(err)
		}
	}
	same := func(topic string, want int) {
		t.Helper()
		made, err := batch.Sink(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		if len(made) != want || len(sunk[topic]) != want {
			t.Errorf("%s: the batch has %d, the stream %d, and %d should be there", topic, len(made), len(sunk[topic]), want)
		}
		for _, r := range made {
			if got := sunk[topic][string(r.Key)]; !bytes.Equal(got, r.Value) {
				t.Fatalf("%s of %s:\nthe batch has  %s\nthe stream has %s", topic, r.Key, r.Value, got)
			}
		}
	}
	same(events.TopicFeatures, spellsBegun)
	if err := batch.Feed(events.TopicPredictions, predictions...); err != nil {
		t.Fatal(err)
	}
	same(events.TopicLabels, spellsEnded)

	type counts struct{ PickUps, Predictions, Completed, InProgress, Labels, UnmatchedDropOffs int64 }
	got := ask[counts](t, own.sqlAt, "SELECT * FROM trip_counts")
	if want := (counts{spellsBegun, spellsBegun, spellsEnded, spellsBegun - spellsEnded, spellsEnded, 0}); len(got) != 1 || got[0] != want {
		t.Errorf("trip_counts has %+v, not %+v", got, want)
	}
}

// TestTallyOfOwnStream counts a stream of which nothing is known but what comes out,
// and trips as soon as their topic is there.
func TestTallyOfOwnStream(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	k := kafka.Connection{Brokers: []string{b.Addr()}}
	if err := makeTopics(t.Context(), k, counted); err != nil {
		t.Fatal(err)
	}
	counting, err := newTally(k, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(counting.client.Close)
	if err := counting.fromStart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := newParts(slog.New(slog.DiscardHandler))
	t.Cleanup(p.stop)
	p.background(t.Context(), "counting", func(ctx context.Context) error {
		counting.run(ctx)
		return nil
	})
	produce := func(topic, key, value string) {
		t.Helper()
		if err := counting.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce(events.TopicFeatures, "a", `{"trip_id":"a","picked_up_at":"2026-05-07T08:00:00Z","features":{}}`)
	produce(events.TopicPredictions, "a", `{"trip_id":"a","predictions":{"m":{"duration_s":70}}}`)
	produce(events.TopicLabels, "a", `{"trip_id":"a","duration_s":60}`)
	until(t, "the label", func() bool { _, labels := counting.progress(); return labels == 1 })
	m := counting.moment()
	if !m.own || m.started() != 1 || m.time() != "Thu 2026-05-07 08:00:00" || len(counting.lags) != 1 {
		t.Errorf("of a stream with one spell it says %q", m.line())
	}
	for _, line := range []string{m.line(), strings.Join(m.block(), "\n")} {
		if strings.Contains(line, "trips") || strings.Contains(line, "city") || !strings.Contains(line, "10.0 s") {
			t.Errorf("the stream is not one of trips, and m is 10 s off: %q", line)
		}
	}
	if r := counting.report(nil, 0); r.Trips != 1 || r.PickUps != 0 || r.MAE["m"] != 10 {
		t.Errorf("the report is %+v", r)
	}
	if missing := counting.missing(2, 0, map[string]int64{"m": 0}); !slices.Equal(missing, []string{"1 trips are not in features", "m has not learned 1 labels"}) {
		t.Errorf("missing are %q", missing)
	}

	// Whoever has seen all sees what comes into topics that are made only now.
	ends := func() kadm.ListedOffsets {
		t.Helper()
		ends, err := counting.ends(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ends
	}
	if !counting.through(ends()) {
		t.Error("topics that do not exist are not caught up with")
	}
	if err := makeTopics(t.Context(), k, ofTrips); err != nil {
		t.Fatal(err)
	}
	produce(events.TopicPickUps, "b", "{}")
	produce(events.TopicPickUps, "c", "{}")
	was := ends()
	until(t, "all of the new topics", func() bool { return counting.through(was) })
	if n := counting.started(); n != 2 {
		t.Errorf("with all caught up with, %d trips have begun, want 2", n)
	}
	// Where trips are played without end, some are on their way at any moment.
	p.stop()
	produce(events.TopicPickUps, "d", "{}")
	if !counting.through(was) || counting.through(ends()) {
		t.Error("what has come since is what is waited for, or nothing is")
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
