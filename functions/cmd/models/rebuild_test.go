package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
)

const trips = 120

// city is a Redis in which the shipped models have learned labels, some at a
// time, and what a test does with it.
type city struct {
	redis   string
	brokers string // of the Kafka that has the labels
	names   []string
}

func newCity(t *testing.T) *city {
	t.Helper()
	c := emptyCity(t)
	// A snapshot of the first commit, and of what the second has learned.
	c.learn(t, 10, 0, trips/2)
	c.learn(t, 10, trips/2, trips)
	return c
}

// emptyCity is one in which nothing was learned.
func emptyCity(t *testing.T) *city {
	t.Helper()
	c := &city{redis: "redis://" + miniredis.RunT(t).Addr()}
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open(c.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(t.Context(), client, catalogue); err != nil {
		t.Fatal(err)
	}
	for _, spec := range catalogue.Models {
		c.names = append(c.names, spec.Name)
	}
	return c
}

// learn has a learner of its own teach the labels of trips, so many at a time.
func (c *city) learn(t *testing.T, batch, from, end int) {
	t.Helper()
	client, err := registry.Open(c.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var labels []registry.Label
	for n := from; n < end; n++ {
		l := label(n)
		labels = append(labels, registry.Label{ID: l.TripID, Features: l.Features, Y: l.DurationS})
	}
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{MaxBatch: batch, SnapshotEvery: time.Hour})
	for _, r := range committer.LearnAll(t.Context(), labels) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// label is the one of a trip, with every feature of the shipped models.
func label(n int) *events.Label {
	f := map[string]float64{}
	for i, name := range []string{
		"passenger_count", "is_weekend", "l1_distance", "avg_speed_by_hour", "hour_cos", "hour_sin", "distance_km", "recent_speed",
		"bearing", "pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude",
	} {
		f[name] = 1 + math.Sin(float64(n*(i+3)))
	}
	return &events.Label{TripID: fmt.Sprint("trip-", n), Features: f, DurationS: 100 + float64(n*7919%1000)}
}

func (c *city) getenv(name string) string {
	return map[string]string{"REDIS_URL": c.redis, "KAFKA_BROKERS": c.brokers}[name]
}

// run runs the command with an environment in which Redis and Kafka are found.
func (c *city) run(t *testing.T, want int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, c.getenv, &stdout, &stderr); code != want {
		t.Fatalf("models %q: exit code %d, want %d: %s", args, code, want, &stderr)
	}
	return stdout.String() + stderr.String()
}

// rebuilt is run with --json.
func (c *city) rebuilt(t *testing.T, args ...string) rebuiltModel {
	t.Helper()
	var m rebuiltModel
	if err := json.Unmarshal([]byte(c.run(t, exitOK, append([]string{"rebuild", "--json"}, args...)...)), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// recordOf is a label as its topic has it.
func recordOf(t testing.TB, l *events.Label) events.Record {
	t.Helper()
	e, err := events.Encode(l)
	if err != nil {
		t.Fatal(err)
	}
	r, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// other is a label that is not the one that was learned.
func other(n int) *events.Label {
	l := label(n)
	l.DurationS++
	return l
}

// topicOf is what a topic may hold: labels, some of which are no CloudEvents,
// among what is none, and others of the same trips that came later.
func topicOf(t testing.TB) []events.Record {
	t.Helper()
	records := []events.Record{
		{Key: []byte("trip-0"), Value: []byte("no label")},
		{Key: []byte("trip-1")}, // a tombstone
		recordOf(t, &events.Label{TripID: "trip-of-another", Features: map[string]float64{}, DurationS: 60}),
	}
	for n := range trips {
		r := recordOf(t, label(n))
		switch n % 5 {
		case 1:
			r.Headers = nil // as where sink headers are switched off
		case 2:
			retracted := r
			retracted.Value = nil
			records = append(records, retracted, r)
			continue
		}
		records = append(records, r, recordOf(t, other(n)))
	}
	return records
}

// produce starts a Kafka whose topic of labels has records, and more that were
// never committed.
func (c *city) produce(t *testing.T, records []events.Record) {
	t.Helper()
	c.produceTo(t, 4, records)
}

// produceTo is produce with so many partitions.
func (c *city) produceTo(t *testing.T, partitions int32, records []events.Record) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, events.TopicLabels))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c.brokers = strings.Join(cluster.ListenAddrs(), ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic(events.TopicLabels), kgo.TransactionalID("labels"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transaction := func(end kgo.TransactionEndTry, records []events.Record) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			record := &kgo.Record{Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
			if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(context.WithoutCancel(t.Context()), end); err != nil {
			t.Fatal(err)
		}
	}
	var aborted []events.Record
	for n := range 8 {
		aborted = append(aborted, recordOf(t, other(n)))
	}
	transaction(kgo.TryAbort, aborted)
	transaction(kgo.TryCommit, records)
}

// recording writes down the topic of labels, beside another topic.
func recording(t *testing.T, records []events.Record) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "labels.jsonl.gz")
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC)
	for i, r := range records {
		for _, topic := range []string{events.TopicFeatures, events.TopicLabels} {
			record := recordings.Record{Topic: topic, Offset: int64(i), At: at, Record: r}
			if topic == events.TopicFeatures {
				record.Record = recordOf(t, other(i))
			}
			if err := w.Write(record); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRebuild(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	file := recording(t, topicOf(t))
	for _, name := range c.names {
		out := filepath.Join(t.TempDir(), "state")
		m := c.rebuilt(t, name, "--from-nothing", "--out", out)
		if m.From != 0 || m.Version != 12 || m.Taught != trips || m.Count != trips || fmt.Sprint(m.Checked) != "[1 12]" {
			t.Errorf("%s: %+v", name, m)
		}
		state, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(state); len(state) != m.StateBytes || hex.EncodeToString(sum[:]) != m.SHA256 || m.Labels != "Kafka at "+c.brokers {
			t.Errorf("%s: %d bytes written, %+v", name, len(state), m)
		}
		recorded := c.rebuilt(t, name, "--labels", file)
		if recorded.From != 1 || recorded.Taught != trips-10 || recorded.SHA256 != m.SHA256 || recorded.Labels != file || fmt.Sprint(recorded.Checked) != "[12]" {
			t.Errorf("%s: from a recording %+v, from Kafka %+v", name, recorded, m)
		}
	}
	if got := c.run(t, exitOK, "rebuild", "decision-tree", "--from-nothing"); !strings.Contains(got, "decision-tree from nothing to version 12: 120 labels taught, of Kafka at ") ||
		!strings.Contains(got, "equal, bit for bit, at versions 1 and 12\nstate of 120 labels, ") {
		t.Errorf("%q", got)
	}
	if got := c.run(t, exitOK, "rebuild", "--to-label", "trip-14", "decision-tree"); !strings.Contains(got, "from the snapshot of version 1 to right after the label trip-14, within the commit of version 2: 5 labels") ||
		!strings.Contains(got, "compared with nothing") {
		t.Errorf("%q", got)
	}
	if got := c.run(t, exitOK, "rebuild", "--to-label", "trip-9", "decision-tree"); !strings.Contains(got, "which is version 1") || !strings.Contains(got, "at version 1\n") {
		t.Errorf("%q", got)
	}
	if m := c.rebuilt(t, "decision-tree", "--to-version", "5", "--from-nothing"); m.Version != 5 || m.Count != 50 || fmt.Sprint(m.Checked) != "[1]" {
		t.Errorf("%+v", m)
	}
}

func TestRebuildTellsWhatIsWrong(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	swapped := topicOf(t)
	for i := range swapped {
		if string(swapped[i].Key) == "trip-70" && len(swapped[i].Value) > 0 {
			swapped[i] = recordOf(t, other(70))
			break
		}
	}
	whole := recording(t, topicOf(t))
	cut := filepath.Join(t.TempDir(), "cut.jsonl.gz")
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cut, string(data[:len(data)/2]))
	out := filepath.Join(t.TempDir(), "state")
	tests := []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "rebuild wants a model"},
		{[]string{"decision-tree", "--to-version", "0"}, exitUsage, "has learned nothing"},
		{[]string{"decision-tree", "--to-label", ""}, exitUsage, "the id of a label"},
		{[]string{"decision-tree", "--to-label", "trip-1", "--to-version", "1"}, exitUsage, "only one of them"},
		{[]string{"none"}, exitFail, "its models are linear-regression,"},
		{[]string{"decision-tree", "--to-version", "13"}, exitFail, "no version 13 in its lineage: it goes from version 1 to version 12"},
		{[]string{"decision-tree", "--to-label", "trip-1000"}, exitFail, `has not learned the label "trip-1000"`},
		{[]string{"decision-tree", "--labels", "no-such-file"}, exitFail, "no-such-file"},
		{[]string{"decision-tree", "--labels", cut}, exitFail, "found: recordings: " + cut + ": line "},
		{[]string{"decision-tree", "--labels", recording(t, topicOf(t)[:100])}, exitFail, "labels are missing: trip-"},
		{[]string{"decision-tree", "--out", out, "--labels", recording(t, swapped)}, exitFail, "differs from what is kept of version 12"},
		{[]string{"decision-tree", "--out", filepath.Join(out, "nowhere")}, exitFail, "--out: "},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if got := c.run(t, tt.code, append([]string{"rebuild"}, tt.args...)...); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q in it", got, tt.want)
			}
		})
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a state that differs was written")
	}
	// What is needed is in the first half: the rest is not looked at.
	if m := c.rebuilt(t, "decision-tree", "--labels", cut, "--to-version", "2"); m.Count != 20 {
		t.Errorf("%+v", m)
	}
	c.brokers = "127.0.0.1:1"
	if got := c.run(t, exitFail, "rebuild", "decision-tree"); !strings.Contains(got, "nobody listens at 127.0.0.1:1") {
		t.Errorf("%q", got)
	}
	c.brokers = "nonsense"
	if got := c.run(t, exitUsage, "rebuild", "decision-tree"); !strings.Contains(got, "KAFKA_BROKERS") {
		t.Errorf("%q", got)
	}
}
