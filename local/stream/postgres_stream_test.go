package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/local/broker"
)

// overKafka is a stream on a broker, which is compared with PostgreSQL after every
// tick of its own, and the topics that it reads.
type overKafka struct {
	*kafka
	t       *testing.T
	options broker.Options
	broker  *broker.Broker
	oracle  *postgresOracle
	random  *rand.Rand

	stream  *running
	records int // of the topics
	// Predictions, by the round in which they are made, and whose features were seen.
	round int
	due   map[int][]*kgo.Record
	seen  map[string]bool
	// Of all streams so far.
	ticks, rows int
}

func newOverKafka(t *testing.T) *overKafka {
	t.Helper()
	server := startPostgres(t)
	o := &overKafka{
		t: t, options: broker.Options{Listen: "127.0.0.1:0", DataDir: t.TempDir()},
		oracle: newPostgresOracle(t, server.database(t, "stream"), tripcast(t)),
		random: rand.New(rand.NewPCG(2, 6)), due: map[int][]*kgo.Record{}, seen: map[string]bool{},
	}
	o.startBroker()
	t.Cleanup(func() { o.broker.Close() })
	o.options.Listen = o.broker.Addr()
	o.kafka = connectKafka(t, o.broker.Addr(), events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // PostgreSQL takes its time
	t.Cleanup(cancel)
	o.ctx = ctx
	return o
}

// startBroker starts it, again where it was: a client's attempts to reach it may hold
// its port for a moment.
func (o *overKafka) startBroker() {
	o.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		o.broker, err = broker.Start(o.options)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// start starts a stream. PostgreSQL is given the records again as that one reads them.
func (o *overKafka) start() {
	o.t.Helper()
	if err := o.oracle.forget(o.ctx); err != nil {
		o.t.Fatal(err)
	}
	o.rows = 0
	o.stream = o.kafka.stream(tripcast(o.t), func(s *Stream) {
		c := newCompared(s.engine, s.query, o.oracle)
		s.ticked = func(ctx context.Context, now time.Time, in map[string][]row) error {
			for _, rows := range in {
				o.rows += len(rows)
			}
			o.ticks++
			return c.tick(ctx, now, in)
		}
	})
}

// sync waits until the stream has taken in all that is in its topics.
func (o *overKafka) sync() {
	o.t.Helper()
	if err := o.stream.Sync(o.ctx); err != nil {
		err = errors.Join(err, <-o.stream.ended)
		o.stream.ended <- nil
		o.t.Fatalf("%v\n%s", err, o.stream.log)
	}
}

// end stops the stream, which has to have read everything.
func (o *overKafka) end() {
	o.t.Helper()
	o.sync()
	o.stream.end()
	if o.rows != o.records {
		o.t.Errorf("the stream has taken in %d records, the topics have %d", o.rows, o.records)
	}
}

// produce writes recorded events and the predictions that are due, and makes those of
// the features that are new.
func (o *overKafka) produce(trips []recordings.Record) {
	o.t.Helper()
	var records []*kgo.Record
	for _, r := range trips {
		records = append(records, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value})
	}
	records = append(records, o.due[o.round]...)
	o.round++
	if len(records) > 0 {
		o.produceRecords(records...)
	}
	o.records += len(records)
}

// predict looks at the features that the stream has by now.
func (o *overKafka) predict() {
	o.t.Helper()
	e := o.stream.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.byName["features"]
	values := make([]value, len(v.columns))
	rows := v.out.all(nil)
	slices.SortFunc(rows, func(a, b fed) int { return strings.Compare(a.data, b.data) })
	for _, r := range rows {
		decodeRow(r.data, v.columns, values)
		trip := values[0].text
		if o.seen[trip] {
			continue
		}
		o.seen[trip] = true
		f := forecastOf(trip)
		for again := range f.times() {
			at := o.round + f.after(again)
			o.due[at] = append(o.due[at], &kgo.Record{
				Topic: events.TopicPredictions, Key: []byte(trip), Value: []byte(f.data(trip, json.RawMessage(values[2].text), again)),
			})
		}
	}
}

// rounds plays recorded events in rounds of other sizes. The stream takes each in
// before the next, in as many ticks as it likes.
func (o *overKafka) rounds(trips []recordings.Record) {
	o.t.Helper()
	for len(trips) > 0 {
		n := min(1+o.random.IntN(12), len(trips))
		o.produce(trips[:n])
		o.sync()
		o.predict()
		trips = trips[n:]
	}
}

// wantSunk compares what the last records of a topic say with what PostgreSQL has in
// the view, trip by trip.
func (o *overKafka) wantSunk(topic string) {
	o.t.Helper()
	rows, err := o.oracle.conn.Query(o.ctx, "SELECT trip_id, to_jsonb(v) FROM "+quoteName(topic)+" AS v")
	if err != nil {
		o.t.Fatal(err)
	}
	want := map[string]string{}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			o.t.Fatal(err)
		}
		want[values[0].(string)] = shownRow(values[1:])
	}
	if err := rows.Err(); err != nil {
		o.t.Fatal(err)
	}
	got := map[string]string{}
	for trip, data := range o.last(topic) {
		var value any
		if err := json.Unmarshal(data, &value); err != nil {
			o.t.Fatal(err)
		}
		got[trip] = shownRow([]any{value})
	}
	if len(got) != len(want) || len(got) < 50 {
		o.t.Errorf("%s has been sunk for %d trips, in PostgreSQL there are %d", topic, len(got), len(want))
	}
	for trip, row := range want {
		if got[trip] != row {
			o.t.Errorf("%s of %s\nas sunk      %s\nin PostgreSQL %s", topic, trip, got[trip], row)
			return
		}
	}
}

// last are the values of a topic's keys.
func (o *overKafka) last(topic string) map[string][]byte {
	o.t.Helper()
	ends, err := o.admin.ListCommittedOffsets(o.ctx, topic)
	if err != nil {
		o.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	client := o.connect(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer client.Close()
	values := map[string][]byte{}
	for len(left) > 0 {
		fetches := client.PollFetches(o.ctx)
		if err := fetches.Err0(); err != nil {
			o.t.Fatalf("reading %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(values, string(r.Key))
			default:
				values[string(r.Key)] = r.Value
			}
		})
	}
	return values
}

// Drop-offs that are late, out of order or come twice, over a broker that is restarted
// while the stream is at work, and once the stream itself: what it holds after every
// tick is what PostgreSQL computes from the records it has taken in, and what it has
// sunk is what PostgreSQL would have.
func TestStreamAgreesWithPostgres(t *testing.T) {
	var trips []recordings.Record
	for _, name := range []string{"duplicates", "reordering", "late-and-missing"} {
		trips = append(trips, recorded(t, name)...)
	}
	// They all begin at once.
	slices.SortStableFunc(trips, func(a, b recordings.Record) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	if testing.Short() || raceEnabled {
		trips = trips[:len(trips)/2]
	}
	part := func(from, to int) []recordings.Record {
		return trips[len(trips)*from/10 : len(trips)*to/10]
	}
	o := newOverKafka(t)
	o.start()
	o.rounds(part(0, 3))

	// What is acknowledged now is not in the sinks yet.
	o.produce(part(3, 4))
	o.broker.Close()
	o.startBroker()
	o.rounds(part(4, 6))
	o.end()
	before := o.ticks

	// Trips go on while nobody looks.
	o.produce(part(6, 7))
	o.start()
	o.sync()
	o.predict()
	o.rounds(part(7, 10))
	for range 8 { // predictions that are still due
		o.produce(nil)
		o.sync()
	}
	o.end()
	o.wantSunk(events.TopicFeatures)
	o.wantSunk(events.TopicLabels)
	t.Logf("%d ticks and %d, %d records, %d rows compared", before, o.ticks-before, o.records, o.oracle.seen)
}
