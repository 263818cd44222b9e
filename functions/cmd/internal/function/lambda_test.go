package function_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/cmd/internal/process"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// patience bounds how long a test waits for what has to happen.
const patience = 30 * time.Second

// system is what a function on Lambda talks to.
type system struct {
	redis *miniredis.Miniredis
	kafka *kfake.Cluster
}

// newSystem has a catalogue of these models, and the topics.
func newSystem(t testing.TB, models ...string) system {
	t.Helper()
	catalogue := "champion: " + models[0] + "\nmodels:\n"
	for _, m := range models {
		catalogue += "  - {name: " + m + ", features: [a, b], transformers: [StandardScaler], model: LinearRegression}\n"
	}
	return newSystemOf(t, []byte(catalogue))
}

func newSystemOf(t testing.TB, catalogue []byte) system {
	t.Helper()
	c, err := online.ParseCatalogue(catalogue, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	s := system{redis: miniredis.RunT(t), kafka: cluster(t)}
	client, err := registry.Open(s.redisURL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(context.Background(), client, c); err != nil {
		t.Fatal(err)
	}
	return s
}

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	opts = append(opts, kfake.NumBrokers(1), kfake.SeedTopics(3, events.TopicPredictions), kfake.SeedTopics(1, events.TopicDeadLetters))
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s system) redisURL() string { return "redis://" + s.redis.Addr() }
func (s system) brokers() string  { return strings.Join(s.kafka.ListenAddrs(), ",") }

// env is what a function is told, and with which values otherwise.
func (s system) env(others ...string) map[string]string {
	env := map[string]string{"REDIS_URL": s.redisURL(), "KAFKA_BROKERS": s.brokers()}
	for i := 0; i < len(others); i += 2 {
		env[others[i]] = others[i+1]
	}
	return env
}

// learned returns version and count of a model.
func (s system) learned(t testing.TB, model string) (version, count uint64) {
	t.Helper()
	client, err := registry.Open(s.redisURL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	infos, err := registry.List(context.Background(), client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if i.Name == model && i.Broken == "" {
			return i.Version, i.Count
		}
	}
	t.Fatalf("model %s is not there, or broken", model)
	return 0, 0
}

// read returns n records of a topic, by key, and fails if there are more.
func (s system) read(t testing.TB, topic string, n int) map[string]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all := map[string]*kgo.Record{}
	for read := 0; read < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("reading %d records of %s, having %d: %v", n, topic, read, err)
		}
		for _, r := range fetches.Records() {
			all[string(r.Key)] = r
			read++
		}
	}
	if len(all) != n {
		t.Errorf("%s holds the keys %v, want %d", topic, slices.Sorted(maps.Keys(all)), n)
	}
	return all
}

// cloudEvent is the event that a record carries.
func cloudEvent(t testing.TB, r *kgo.Record) event.Event {
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

// entry is a record of a batch, in the JSON of Lambda.
type entry map[string]any

// of makes an entry of a payload's event in binary mode, as Materialize's sinks
// write them.
func of(t testing.TB, p events.Payload) entry {
	t.Helper()
	e, err := events.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	var headers []map[string][]int
	for _, h := range r.Headers {
		headers = append(headers, map[string][]int{h.Key: numbersOf(string(h.Value))})
	}
	return entry{
		"key": base64.StdEncoding.EncodeToString(r.Key), "value": base64.StdEncoding.EncodeToString(r.Value),
		"headers": headers, "timestamp": 1545084650987, "timestampType": "CREATE_TIME",
	}
}

// numbersOf is how Lambda writes the value of a header.
func numbersOf(text string) []int {
	numbers := make([]int, len(text))
	for i := range len(text) {
		numbers[i] = int(int8(text[i]))
	}
	return numbers
}

// batch is the payload of an invocation: entries in turn in three partitions,
// each at offsets from 100.
func batch(t testing.TB, topic string, entries ...entry) []byte {
	t.Helper()
	records := map[string][]entry{}
	for i, e := range entries {
		partition := fmt.Sprintf("%s-%d", topic, i%3)
		e = maps.Clone(e)
		e["topic"], e["partition"], e["offset"] = topic, i%3, 100+i/3
		records[partition] = append(records[partition], e)
	}
	payload, err := json.Marshal(map[string]any{
		"eventSource": "SelfManagedKafka", "bootstrapServers": "b-1.example:9092", "records": records,
	})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// values are the features of a trip: a and b, or with these names.
func values(n int, names []string) map[string]float64 {
	v := map[string]float64{"a": float64(n % 7), "b": 1}
	for i, name := range names {
		v[name] = float64(n*(i+3)%17) / 10
	}
	return v
}

func labels(t testing.TB, from, to int, names ...string) []entry {
	t.Helper()
	var all []entry
	for n := from; n < to; n++ {
		all = append(all, of(t, &events.Label{TripID: fmt.Sprint("trip-", n), Features: values(n, names), DurationS: float64(60 + n%900)}))
	}
	return all
}

func features(t testing.TB, from, to int, names ...string) []entry {
	t.Helper()
	var all []entry
	for n := from; n < to; n++ {
		all = append(all, of(t, &events.Features{
			TripID: fmt.Sprint("trip-", n), PickedUpAt: time.Date(2016, 1, 4, 8, 30, 0, 0, time.UTC), Features: values(n, names),
		}))
	}
	return all
}

const allDone = `{"batchItemFailures":[]}`

// wantResponse fails unless an invocation has this answer.
func wantResponse(t testing.TB, got said, want string) {
	t.Helper()
	if got.path != "response" || got.body != want {
		t.Fatalf("the function says %s %s, want the response %s", got.path, got.body, want)
	}
}

func TestLambdaPredict(t *testing.T) {
	s := newSystem(t, "one", "two")
	f := startOnLambda(t, "predict", s.env())
	const trips = 30
	payload := batch(t, events.TopicFeatures, features(t, 0, trips)...)
	wantResponse(t, f.invoke(t, payload), allDone)
	first := s.read(t, events.TopicPredictions, trips)
	for n := range trips {
		trip := fmt.Sprint("trip-", n)
		r := first[trip]
		if r == nil {
			t.Errorf("no prediction has the key %s", trip)
			continue
		}
		e := cloudEvent(t, r)
		p, err := events.DecodePrediction(e)
		if err != nil {
			t.Fatal(err)
		}
		if p.TripID != trip || p.Champion != "one" || len(p.Predictions) != 2 || p.Features["a"] != float64(n%7) {
			t.Errorf("%s: prediction %+v", trip, p)
		}
		want, err := events.ToRecord(e) // as a KafkaSink would have written it
		if err != nil {
			t.Fatal(err)
		}
		var headers []events.Header
		for _, h := range r.Headers {
			headers = append(headers, events.Header{Key: h.Key, Value: h.Value})
		}
		if fmt.Sprint(headers) != fmt.Sprint(want.Headers) || e.Type() != events.TypePrediction || e.Source() != events.SourcePredictions {
			t.Errorf("%s: headers %s, want %s", trip, headers, want.Headers)
		}
	}
	// Redelivered, a prediction has the same id and lands where the first did.
	wantResponse(t, f.invoke(t, batch(t, events.TopicFeatures, features(t, 0, 1)...)), allDone)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		events.TopicPredictions: {first["trip-0"].Partition: kgo.NewOffset().AtEnd().Relative(-1)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := client.PollFetches(ctx).Records()
	if len(again) != 1 || cloudEvent(t, again[0]).ID() != cloudEvent(t, first["trip-0"]).ID() {
		t.Errorf("redelivered, the prediction is %v", again)
	}
}

func TestLambdaLearn(t *testing.T) {
	s := newSystem(t, "one", "two")
	f := startOnLambda(t, "learn", s.env())
	want := func(version, count uint64) {
		t.Helper()
		for _, model := range []string{"one", "two"} {
			if v, n := s.learned(t, model); v != version || n != count {
				t.Errorf("%s has learned %d labels in %d versions, want %d in %d", model, n, v, count, version)
			}
		}
	}
	payload := batch(t, events.TopicLabels, labels(t, 0, 200)...)
	wantResponse(t, f.invoke(t, payload), allDone)
	want(1, 200)
	wantResponse(t, f.invoke(t, payload), allDone)
	want(1, 200) // every one of them is a duplicate
	wantResponse(t, f.invoke(t, batch(t, events.TopicLabels, labels(t, 100, 300)...)), allDone)
	want(2, 300) // half of them are

	// In whatever way a record is a label; a retraction is none.
	retraction, plain := labels(t, 300, 301)[0], labels(t, 301, 302)[0]
	delete(retraction, "value")
	delete(plain, "headers")
	structured := entry{
		"headers": []map[string][]int{{"content-type": numbersOf("application/cloudevents+json")}},
		"value": base64.StdEncoding.EncodeToString([]byte(`{"specversion":"1.0","id":"trip-302","source":"/tripcast/labels",
			"type":"dev.tripcast.label.ready.v1","data":{"trip_id":"trip-302","features":{"a":1,"b":1},"duration_s":600}}`)),
	}
	wantResponse(t, f.invoke(t, batch(t, events.TopicLabels, retraction, plain, structured)), allDone)
	want(3, 302)
}

// What no retry makes good is a dead letter, and the rest of the batch is done.
func TestLambdaDeadLetters(t *testing.T) {
	for _, name := range []string{"predict", "learn"} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, "one")
			f := startOnLambda(t, name, s.env())
			entries := labels(t, 0, 5)
			if name == "predict" {
				entries = features(t, 0, 5)
			}
			entries[2]["value"] = base64.StdEncoding.EncodeToString([]byte(`{"trip_id":"trip-2"`))
			wantResponse(t, f.invoke(t, batch(t, "trips", entries...)), allDone)
			e := cloudEvent(t, s.read(t, events.TopicDeadLetters, 1)["trip-2"])
			x := e.Extensions()
			why, err := base64.StdEncoding.DecodeString(fmt.Sprint(x["knativeerrordata"]))
			if err != nil || !strings.Contains(string(why), "unexpected end of JSON") {
				t.Errorf("knativeerrordata says %s, %v", why, err)
			}
			if e.ID() != "trip-2" || string(e.Data()) != `{"trip_id":"trip-2"` || x["knativeerrorcode"] != "400" || x["knativeerrordest"] != functionARN {
				t.Errorf("the dead letter is %s", e)
			}
			if name == "predict" {
				s.read(t, events.TopicPredictions, 4)
			} else if _, count := s.learned(t, "one"); count != 4 {
				t.Errorf("%d labels are learned, want 4", count)
			}
		})
	}
}

// Redis goes away after the first commit of a batch that takes three: what was
// committed is done, and the rest comes again until Redis is there.
func TestLambdaRedisGoesAway(t *testing.T) {
	s := newSystem(t, "one")
	f := startOnLambda(t, "learn", s.env("MAX_BATCH", "10", "MAX_WAIT", "500ms"))
	entries := labels(t, 0, 30)
	payload := batch(t, events.TopicLabels, entries...) // 10 in each partition, one partition after the other
	s.failAfter(1)
	wantResponse(t, f.invoke(t, payload),
		`{"batchItemFailures":[{"itemIdentifier":{"partition":"labels-1","offset":100}},{"itemIdentifier":{"partition":"labels-2","offset":100}}]}`)
	if got := f.invoke(t, payload); got.path != "error" || !strings.Contains(got.body, "has done none of 30 events") ||
		!strings.Contains(got.body, "Redis is unavailable") {
		t.Errorf("without Redis the function says %s %s, want an error", got.path, got.body)
	}
	s.redis.Server().SetPreHook(nil)
	wantResponse(t, f.invoke(t, payload), allDone)
	if version, count := s.learned(t, "one"); version != 3 || count != 30 {
		t.Errorf("%d labels are learned in %d versions, want 30 in 3", count, version)
	}
}

// failAfter lets Redis fail once it has executed so many transactions.
func (s system) failAfter(transactions int) {
	s.redis.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		if transactions > 0 {
			if strings.EqualFold(command, "EXEC") {
				transactions--
			}
			return false
		}
		c.WriteError("LOADING Redis is away")
		return true
	})
}

// Kafka goes away: predictions are not lost, they are made again.
func TestLambdaKafkaGoesAway(t *testing.T) {
	s := newSystem(t, "one")
	f := startOnLambda(t, "predict", s.env())
	wantResponse(t, f.invoke(t, batch(t, events.TopicFeatures, features(t, 0, 3)...)), allDone)
	s.kafka.Close()
	f.within = 3 * time.Second
	got := f.invoke(t, batch(t, events.TopicFeatures, features(t, 3, 6)...))
	if got.path != "error" || !strings.Contains(got.body, "produce to predictions") {
		t.Errorf("without Kafka the function says %s %s, want an error", got.path, got.body)
	}
}

// What would fail every batch is said before the first, in one line, to Lambda
// and in the log.
func TestLambdaRefusesToStart(t *testing.T) {
	s := newSystem(t, "one")
	secured := cluster(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "tripcast", "right"))
	bare, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, events.TopicDeadLetters))
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	private, empty := miniredis.RunT(t), miniredis.RunT(t)
	private.RequireAuth("right")
	user := func(password string) map[string]string {
		return s.env("KAFKA_BROKERS", secured.ListenAddrs()[0], "KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT",
			"KAFKA_SASL_MECHANISM", "SCRAM-SHA-512", "KAFKA_USERNAME", "tripcast", "KAFKA_PASSWORD", password)
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		code int
		want string
	}{
		{"no brokers", s.env("KAFKA_BROKERS", ""), function.ExitFail, "KAFKA_BROKERS: not set"},
		{"no such protocol", s.env("KAFKA_SECURITY_PROTOCOL", "TLS"), function.ExitFail, "KAFKA_SECURITY_PROTOCOL"},
		{"nobody listens", s.env("KAFKA_BROKERS", "127.0.0.1:1"), function.ExitFail, "nobody listens at 127.0.0.1:1"},
		{"wrong password of Kafka", user("wrong"), function.ExitFail, "user tripcast with this password"},
		{"missing topic", s.env("KAFKA_BROKERS", bare.ListenAddrs()[0]), function.ExitFail, "topic predictions does not exist"},
		{"no such URL", s.env("REDIS_URL", "http://x"), function.ExitUsage, "REDIS_URL"},
		{"no Redis", s.env("REDIS_URL", "redis://127.0.0.1:1"), function.ExitFail, "REDIS_URL: registry: Redis is unavailable"},
		{"wrong password of Redis", s.env("REDIS_URL", "redis://:wrong@"+private.Addr()), function.ExitFail, "WRONGPASS"},
		{"no models", s.env("REDIS_URL", "redis://"+empty.Addr()), function.ExitFail, "no models"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startOnLambda(t, "predict", tt.env)
			got := f.hear(t)
			var said struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal([]byte(got.body), &said); err != nil || got.path != "init/error" ||
				said.ErrorType != "Function.Init" || !strings.Contains(said.ErrorMessage, tt.want) {
				t.Errorf("the function tells Lambda %s %s, want that it cannot start: %s", got.path, got.body, tt.want)
			}
			if code := f.exit(t); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			lines := strings.Split(strings.TrimSpace(f.log.String()), "\n")
			if tt.name == "no models" {
				lines = lines[1:] // who reads them has a line of its own
			}
			if len(lines) != 1 || !strings.Contains(lines[0], tt.want) {
				t.Errorf("the log is not one line with %q:\n%s", tt.want, &f.log)
			}
		})
	}
	t.Run("right password of Kafka", func(t *testing.T) {
		f := startOnLambda(t, "predict", user("right"))
		wantResponse(t, f.invoke(t, batch(t, events.TopicFeatures, features(t, 0, 1)...)), allDone)
	})
}

// Where Lambda does not run it, predict has nothing to do with Kafka.
func TestKnativeNeedsNoKafka(t *testing.T) {
	s := newSystem(t, "one")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := process.Start(ctx, binary(t, "predict"), "REDIS_URL="+s.redisURL(), "KAFKA_BROKERS=no broker at all")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
