package record

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
)

// morning is when the records of the tests arrive.
var morning = time.Date(2026, 1, 4, 8, 0, 0, 0, time.UTC)

// cluster is a Kafka of a test.
type cluster struct {
	kafka.Connection
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
}

// start starts a broker with topics of three partitions.
func start(t *testing.T, topics ...string) *cluster {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	c := &cluster{Connection: kafka.Connection{Brokers: []string{b.Addr()}}, t: t}
	c.client = c.connect()
	c.admin = kadm.NewClient(c.client)
	c.create(topics...)
	return c
}

func (c *cluster) connect(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := c.Client(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

func (c *cluster) create(topics ...string) {
	c.t.Helper()
	for _, topic := range topics {
		if _, err := c.admin.CreateTopic(c.t.Context(), 3, 1, nil, topic); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// trip is a record of a trip: it arrives so many ms after the morning began, and
// happened at so many seconds of its event's day; without them it is no event.
func trip(topic string, partition int32, id string, arrives int, happens int) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(id), Value: []byte(`{"trip_id":"` + id + `"}`), Timestamp: morning.Add(time.Duration(arrives) * time.Millisecond)}
	if happens < 0 {
		return r
	}
	for name, value := range map[string]string{
		"ce_specversion": "1.0", "ce_id": id, "ce_source": "/test", "ce_type": "a.type", "ce_partitionkey": id, "content-type": "application/json",
		"ce_time": time.Date(2016, 1, 4, 8, 0, happens, 0, time.UTC).Format(time.RFC3339),
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return r
}

// file is a name for a recording.
func file(t *testing.T) string { return filepath.Join(t.TempDir(), "day.jsonl.gz") }

// recorded records into a new file.
func (c *cluster) recorded(name string, o Options) Summary {
	c.t.Helper()
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.record(w, o)
}

// record records, and closes the writer.
func (c *cluster) record(w *recordings.Writer, o Options) Summary {
	c.t.Helper()
	s, err := Record(c.t.Context(), c.Connection, o, w)
	if err = errors.Join(err, w.Close()); err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cluster) resumed(name string, o Options) Summary {
	c.t.Helper()
	w, err := recordings.Resume(name, recordings.WriterOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.record(w, o)
}

// read reads a recording.
func read(t *testing.T, name string) []recordings.Record {
	t.Helper()
	r, err := recordings.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []recordings.Record
	for record, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record)
	}
	return all
}

func ids(all []recordings.Record) string {
	var keys []string
	for _, r := range all {
		keys = append(keys, string(r.Key))
	}
	return strings.Join(keys, " ")
}

// history is a day of trips on all partitions, with transactions, some of which
// come to nothing, and returns what of it counts, in order.
func (c *cluster) history(n int, topics ...string) []*kgo.Record {
	c.t.Helper()
	tx := c.connect(kgo.TransactionalID("trips"))
	var counts []*kgo.Record
	for i := 0; i < n; i += 10 {
		var some []*kgo.Record
		for j := range 10 {
			at := (i + j) / 7 // several in a millisecond
			for k, topic := range topics {
				some = append(some, trip(topic, int32((i+j+k)%3), fmt.Sprintf("%s-%d", topic, i+j), at, at%60))
			}
		}
		if i%30 == 0 {
			c.produce(some...)
			counts = append(counts, some...)
			continue
		}
		end := kgo.TransactionEndTry(i%30 == 10)
		if err := tx.BeginTransaction(); err != nil {
			c.t.Fatal(err)
		}
		if err := tx.ProduceSync(c.t.Context(), some...).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
		if err := tx.EndTransaction(c.t.Context(), end); err != nil {
			c.t.Fatal(err)
		}
		if end == kgo.TryCommit {
			counts = append(counts, some...)
		}
	}
	slices.SortFunc(counts, func(a, b *kgo.Record) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), rank(a.Topic)-rank(b.Topic), int(a.Partition-b.Partition), int(a.Offset-b.Offset))
	})
	return counts
}

// wantRecords compares a recording with what was produced.
func wantRecords(t *testing.T, name string, want []*kgo.Record) {
	t.Helper()
	got := read(t, name)
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.Topic != w.Topic || g.Partition != w.Partition || g.Offset != w.Offset || !g.At.Equal(w.Timestamp) ||
			!bytes.Equal(g.Key, w.Key) || !bytes.Equal(g.Value, w.Value) || len(g.Headers) != len(w.Headers) {
			t.Fatalf("record %d is %s at %s, want %s/%d/%d at %s", i, &g, g.At, w.Topic, w.Partition, w.Offset, w.Timestamp)
		}
	}
}

// noise is a value that no producer compresses.
func noise(n int) []byte {
	value := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value)
	return value
}

// notes is a log to look into.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func (n *notes) log() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }
