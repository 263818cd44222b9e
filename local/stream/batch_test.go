package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	tripsql "tripcast.dev/sql"
)

// arrivals make records of what arrives, as Kafka would: of one key in one
// partition, each with its offset.
type arrivals struct {
	now     time.Time
	offsets map[topicPartition]int64
}

func newArrivals() *arrivals {
	return &arrivals{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), offsets: map[topicPartition]int64{}}
}

func (a *arrivals) record(topic, key, data string) *kgo.Record {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(key))
	tp := topicPartition{topic, int32(hash.Sum32() % 3)}
	a.now = a.now.Add(time.Millisecond)
	r := &kgo.Record{Topic: topic, Partition: tp.partition, Offset: a.offsets[tp], Timestamp: a.now, Key: []byte(key)}
	a.offsets[tp]++
	if data != "" {
		r.Value = []byte(data)
	}
	return r
}

// predicted is what predict logs of features: the same, without a model.
func (a *arrivals) predicted(features *kgo.Record) *kgo.Record {
	var value struct {
		Features json.RawMessage `json:"features"`
	}
	if err := json.Unmarshal(features.Value, &value); err != nil {
		panic(err) // it comes from a sink
	}
	key := string(features.Key)
	return a.record(events.TopicPredictions, key, `{"trip_id":`+encoded(key)+`,"features":`+string(value.Features)+`,"predictions":{},"champion":""}`)
}

// written is what sinks have written: by topic and key, the latest record.
type written struct {
	latest map[string]map[string]string
	again  int // records of a key that was there, tombstones among them
}

func (w *written) add(records []*kgo.Record) {
	for _, r := range records {
		keys := w.latest[r.Topic]
		if keys == nil {
			keys = map[string]string{}
			w.latest[r.Topic] = keys
		}
		if _, ok := keys[string(r.Key)]; ok || r.Value == nil {
			w.again++
		}
		if r.Value == nil {
			delete(keys, string(r.Key))
			continue
		}
		var text strings.Builder
		fmt.Fprintf(&text, "%s\n", r.Value)
		for _, h := range r.Headers {
			if h.Key != "materialize-timestamp" { // the time of the tick
				fmt.Fprintf(&text, "%s: %s\n", h.Key, h.Value)
			}
		}
		keys[string(r.Key)] = text.String()
	}
}

// recording are records in the order in which they arrive. Where answered, each
// features record is answered by a prediction.
type recording struct {
	records  []*kgo.Record
	arrivals *arrivals
	answered bool
	late     bool // something comes after the grace: rows are written again
}

// ticked feeds a recording to an engine, tick by tick.
func (rec *recording) ticked(t *testing.T, statements []tripsql.Statement, random *rand.Rand, most int) *written {
	t.Helper()
	ctx := t.Context()
	e, err := newEngine(ctx, statements, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close() }()
	sources := map[string]*source{}
	for _, s := range e.program.sources {
		sources[s.topic] = s
	}
	w := &written{latest: map[string]map[string]string{}}
	left, answers := rec.records, []*kgo.Record(nil)
	a := &arrivals{now: rec.arrivals.now, offsets: maps.Clone(rec.arrivals.offsets)}
	for len(left) > 0 || len(answers) > 0 {
		n := min(1+random.IntN(most), len(left))
		in := map[string][]row{}
		for _, r := range append(slices.Clip(left[:n]), answers...) {
			if decoded, err := rowOf(sources[r.Topic], r); err == nil {
				in[sources[r.Topic].name] = append(in[sources[r.Topic].name], decoded)
			}
		}
		left, answers = left[n:], nil
		sunk, err := e.advance(ctx, a.now, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, def := range e.program.sinks {
			records, err := newSink(def, e.byName[def.from].columns).records(sunk[def.from], a.now)
			if err != nil {
				t.Fatal(err)
			}
			w.add(records)
			for _, r := range records {
				if rec.answered && r.Topic == events.TopicFeatures && r.Value != nil {
					answers = append(answers, a.predicted(r))
				}
			}
		}
	}
	return w
}

// batched feeds a recording to a Batch.
func (rec *recording) batched(t *testing.T, statements []tripsql.Statement) *written {
	t.Helper()
	ctx := t.Context()
	b := newBatch(t, statements)
	for _, r := range rec.records {
		if err := b.Feed(r.Topic, r); err != nil {
			t.Fatal(err)
		}
	}
	w := &written{latest: map[string]map[string]string{}}
	features := sinkOf(ctx, t, b, events.TopicFeatures)
	w.add(features)
	if rec.answered {
		a := &arrivals{now: rec.arrivals.now, offsets: maps.Clone(rec.arrivals.offsets)}
		for _, r := range features {
			if err := b.Feed(events.TopicPredictions, a.predicted(r)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.add(sinkOf(ctx, t, b, events.TopicLabels))
	if w.again > 0 {
		t.Errorf("%d keys are there twice", w.again)
	}
	return w
}

func newBatch(t testing.TB, statements []tripsql.Statement) *Batch {
	t.Helper()
	b, err := NewBatch(context.Background(), statements)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return b
}

func sinkOf(ctx context.Context, t testing.TB, b *Batch, topic string) []*kgo.Record {
	t.Helper()
	records, err := b.Sink(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// differences say in which keys two have not written the same.
func differences(stream, batch *written) []string {
	var all []string
	for _, topic := range []string{events.TopicFeatures, events.TopicLabels} {
		s, b := stream.latest[topic], batch.latest[topic]
		keys := maps.Clone(s)
		maps.Copy(keys, b)
		for _, key := range sortedKeys(keys) {
			if s[key] != b[key] {
				all = append(all, fmt.Sprintf("%s of %q:\nstream %sbatch  %s", topic, key, s[key], b[key]))
			}
		}
	}
	return all
}

// order puts the events of trips into the order of their arrival: late by less
// than the grace, some twice, and some of the second with other content.
func (a *arrivals) order(all []trip, random *rand.Rand, delay time.Duration, again int) []*kgo.Record {
	topics := map[string]string{"pick_ups_raw": events.TopicPickUps, "drop_offs_raw": events.TopicDropOffs}
	type arrival struct {
		at         time.Time
		topic, key string
		data       string
	}
	var arriving []arrival
	for _, e := range inOrder(all) {
		at := e.at.Add(time.Duration(random.Int64N(int64(delay) + 1)))
		arriving = append(arriving, arrival{at, topics[e.source], e.trip.id, e.data()})
		if random.IntN(100) < again {
			other := all[random.IntN(len(all))]
			data := strings.ReplaceAll(event{source: e.source, trip: other}.data(), encoded(other.id), encoded(e.trip.id))
			arriving = append(arriving, arrival{at.Add(time.Duration(random.IntN(600)) * time.Second), topics[e.source], e.trip.id, data})
		}
	}
	slices.SortStableFunc(arriving, func(a, b arrival) int { return a.at.Compare(b.at) })
	var records []*kgo.Record
	for _, one := range arriving {
		records = append(records, a.record(one.topic, one.key, one.data))
	}
	return records
}

// What a stream has sunk at the end of a recording, however it was cut into
// ticks, a batch sinks too, byte for byte.
func TestBatchEqualsStream(t *testing.T) {
	inTime := func(delay time.Duration, again int) func(*rand.Rand) *recording {
		return func(random *rand.Rand) *recording {
			a := newArrivals()
			return &recording{records: a.order(trips(random.Uint64(), 250), random, delay, again), arrivals: a, answered: true}
		}
	}
	for _, c := range []struct {
		name string
		make func(random *rand.Rand) *recording
	}{
		{"as it happens", inTime(0, 0)},
		{"duplicates", inTime(0, 30)},
		{"out of order within the grace", inTime(4*time.Minute, 10)},
		{"anything", anything},
	} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s/seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, 3))
				rec := c.make(random)
				stream := rec.ticked(t, tripcast(t), random, 60)
				if stream.again > 0 && !rec.late {
					t.Errorf("the stream has written %d rows again: they are not the first that count", stream.again)
				}
				rec.wantSame(t, stream, 50)
			})
		}
	}
}

func (rec *recording) wantSame(t *testing.T, stream *written, least int) {
	t.Helper()
	batch := rec.batched(t, tripcast(t))
	if all := differences(stream, batch); len(all) > 0 {
		t.Errorf("%d rows differ, first:\n%s", len(all), all[0])
	}
	if f, l := len(batch.latest[events.TopicFeatures]), len(batch.latest[events.TopicLabels]); f < least || l < least {
		t.Errorf("%d features and %d labels only: the events do not test much", f, l)
	}
}

// anything is the small town in which everything goes wrong: malformed records,
// predictions of their own, drop-offs that come hours late.
func anything(random *rand.Rand) *recording {
	a := newArrivals()
	c := &city{random: random, clock: time.Date(2016, 2, 28, 21, 0, 0, 0, time.UTC)}
	rec := &recording{arrivals: a, late: true}
	add := func(topic, key, data string) { rec.records = append(rec.records, a.record(topic, key, data)) }
	for range 900 {
		c.clock = c.clock.Add(time.Duration(random.IntN(150)) * time.Second)
		id := c.id()
		switch p := random.IntN(100); {
		case p < 35:
			c.trips++
			id := fmt.Sprintf("t%d", c.trips)
			add(events.TopicPickUps, id, c.pickUp(id))
		case p < 40:
			add(events.TopicPickUps, id, c.pickUp(id))
		case p < 70:
			add(events.TopicDropOffs, id, c.dropOff(id))
		case p < 90:
			add(events.TopicPredictions, id, c.prediction(id))
		default:
			topic := []string{events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions}[random.IntN(3)]
			data := c.malformed(id)
			if random.IntN(4) == 0 {
				data = "{no json"
			}
			add(topic, id, data)
		}
	}
	return rec
}

// The comparison is worth something: windows that are off by one are seen.
func TestBatchEqualsStreamNotByAccident(t *testing.T) {
	for _, c := range []struct{ file, old, new string }{
		{"20_speeds.sql", "generate_series(1, 12)", "generate_series(1, 13)"},
		{"20_speeds.sql", "generate_series(1, 7)", "generate_series(0, 7)"},
		{"10_trips.sql", "INTERVAL '${grace}'", "INTERVAL '10 minutes'"},
		{"40_labels.sql", "c.duration_s", "c.duration_s + 1 AS duration_s"},
	} {
		t.Run(c.old, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 4))
			a := newArrivals()
			rec := &recording{records: a.order(trips(5, 250), random, 0, 0), arrivals: a, answered: true}
			changed := rec.batched(t, mutated(t, c.file, c.old, c.new))
			if len(differences(rec.ticked(t, tripcast(t), random, 60), changed)) == 0 {
				t.Errorf("%s for %s changes nothing", c.new, c.old)
			}
		})
	}
}

// mutated is the program of sql/ with something replaced in a file.
func mutated(t *testing.T, file, old, new string) []tripsql.Statement {
	t.Helper()
	files := fstest.MapFS{}
	entries, err := os.ReadDir("../../sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sql") {
			continue
		}
		text, err := os.ReadFile("../../sql/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == file {
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s does not contain %q", file, old)
			}
			text = []byte(strings.ReplaceAll(string(text), old, new))
		}
		files[e.Name()] = &fstest.MapFile{Data: text}
	}
	statements, err := tripsql.Load(files, tripsql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

func TestBatchRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, at, what string }{
		{"a statement", "DROP VIEW v", "test.sql:1", "only CREATE statements"},
		{"a filter on time", aSource + aView + "CREATE VIEW w AS SELECT id, n FROM v WHERE mz_now() < ts;" + sunk("w"), "test.sql:3", "mz_now() is supported as"},
		{"a key that is none", aSource + aView + "CREATE VIEW w AS SELECT n FROM v;" + sunk("w"), "test.sql:4", "no column id"},
		{"a topic of two sources", aSource + strings.Replace(aSource, "SOURCE a", "SOURCE b", 1), "test.sql:2", "already read by source a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewBatch(t.Context(), script(t, c.text))
			if err == nil || !strings.Contains(err.Error(), c.at) || !strings.Contains(err.Error(), c.what) {
				t.Errorf("the error is %v, want %s: … %s", err, c.at, c.what)
			}
		})
	}
}

func TestBatchTopics(t *testing.T) {
	ctx := t.Context()
	b := newBatch(t, script(t, aSource+aView+"CREATE VIEW w AS SELECT n, id FROM v;"+sunk("w")))
	a := newArrivals()
	for _, data := range []string{`{"id":"y","n":1}`, "{no json", `{"id":"x","n":2}`} {
		if err := b.Feed("a", a.record("a", "k", data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Feed("b", a.record("b", "k", "{}")); err == nil || !strings.Contains(err.Error(), "topic b: it reads a") {
		t.Errorf("a topic that is not read: %v", err)
	}
	if _, err := b.Sink(ctx, "a"); err == nil || !strings.Contains(err.Error(), "no sink of the program writes topic a") {
		t.Errorf("a topic that is not written: %v", err)
	}
	if !slices.Equal(b.Topics(), []string{"a"}) || b.LeftOut("a") != 1 {
		t.Errorf("topics %v, %d left out", b.Topics(), b.LeftOut("a"))
	}
	for range 2 { // evaluated once, it can be read again
		var got []string
		for _, r := range sinkOf(ctx, t, b, "t") {
			got = append(got, string(r.Value))
		}
		if want := []string{`{"n":2,"id":"x"}`, `{"n":1,"id":"y"}`}; !slices.Equal(got, want) {
			t.Errorf("sunk %q, want %q", got, want)
		}
	}
	if err := b.Feed("a", a.record("a", "k", "{}")); err == nil || !strings.Contains(err.Error(), "after view v has read it") {
		t.Errorf("fed too late: %v", err)
	}
}

// Sinks of several views, of one source and into one topic.
func TestBatchSinks(t *testing.T) {
	b := newBatch(t, script(t, aSource+aView+`
		CREATE VIEW u AS SELECT data->>'id' AS id, data->>'n' AS text FROM a;
		CREATE VIEW unused AS SELECT data->>'id' AS id FROM a;
		CREATE VIEW w AS SELECT id, n FROM v;`+sunk("w")+`;
		CREATE SINK two FROM u INTO KAFKA CONNECTION k (TOPIC 'u') KEY (id) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;
		CREATE SINK three FROM v INTO KAFKA CONNECTION k (TOPIC 'u') KEY (n) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT`))
	a := newArrivals()
	for _, data := range []string{`{"id":"2","n":1}`, `{"id":"3","n":4}`} {
		if err := b.Feed("a", a.record("a", "k", data)); err != nil {
			t.Fatal(err)
		}
	}
	for topic, want := range map[string]string{"t": "2 3", "u": "1 2 3 4"} {
		var keys []string
		for _, r := range sinkOf(t.Context(), t, b, topic) {
			keys = append(keys, string(r.Key))
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("topic %s has %s, want %s", topic, got, want)
		}
	}
	if rows := b.sources["a"].feed.rows; rows != nil {
		t.Errorf("%d records are kept that nobody needs", len(rows))
	}
}

// A cast that fails names the place.
func TestBatchFails(t *testing.T) {
	b := newBatch(t, script(t, aSource+aView+"CREATE VIEW w AS SELECT id, n FROM v;"+sunk("w")))
	if err := b.Feed("a", newArrivals().record("a", "k", `{"id":"x","n":"many"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sink(t.Context(), "t"); err == nil || !strings.Contains(err.Error(), "test.sql:2: view v: ") || !strings.Contains(err.Error(), "many") {
		t.Error(err)
	}
}

// Every type comes out as it does of a stream, and is handed from view to view as
// there: sums of integers are decimals to whoever reads them, and divide as such.
func TestBatchTypes(t *testing.T) {
	statements := script(t, aSource+`
		CREATE VIEW v AS SELECT data->>'id' AS id, (data->>'n')::int4 AS n, (data->>'f')::float8 AS f, data->'j' AS j,
			(data->>'d')::numeric AS d, ts, data->>'n' = '1' AS one, MAP['k' => data->>'id', 'none' => NULL, 'quoted' => '"'] AS h FROM a;
		CREATE VIEW s AS SELECT id, sum(n) AS n, count(*) AS c FROM v GROUP BY 1;
		CREATE MATERIALIZED VIEW w AS SELECT v.id, v.n, v.n * 2000000000 AS large, v.f, v.j, v.d, v.d / 3 AS third, v.ts, v.one, v.h, s.n AS sum, s.n / 3 AS thirds, s.c
			FROM v JOIN s ON s.id = v.id;
		CREATE SINK k FROM w INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) NOT ENFORCED HEADERS h KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT`)
	a := newArrivals()
	rec := &recording{arrivals: a}
	for i, data := range []string{
		`{"id":"a","n":1,"f":0.1,"j":{"x":[1, 2.50]},"d":"1.250"}`, `{"id":"é\"","n":4,"f":-0.0,"j":null,"d":100}`, `{"id":"n"}`,
		`{"id":"b","n":2147483647,"f":1e30,"j":"text","d":"-0.000000000001"}`,
	} {
		rec.records = append(rec.records, a.record("a", fmt.Sprint(i), data))
	}
	stream := rec.ticked(t, statements, rand.New(rand.NewPCG(1, 1)), 2)
	b := newBatch(t, statements)
	for _, r := range rec.records {
		if err := b.Feed("a", r); err != nil {
			t.Fatal(err)
		}
	}
	batch := &written{latest: map[string]map[string]string{}}
	batch.add(sinkOf(t.Context(), t, b, "t"))
	if len(batch.latest["t"]) != 4 || !maps.Equal(stream.latest["t"], batch.latest["t"]) {
		t.Errorf("stream\n%q\nbatch\n%q", stream.latest["t"], batch.latest["t"])
	}
}
