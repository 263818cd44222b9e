package stream

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/broker"
	"tripcast.dev/local/kafkatest"
)

// patience bounds how long a test waits for what has to happen. Reaching it is a
// failure, not a measurement.
const patience = 30 * time.Second

// kafka is a broker and a client of it.
type kafka struct {
	t      *testing.T
	ctx    context.Context
	addr   string
	client *kgo.Client
	admin  *kadm.Client
}

func startKafka(t *testing.T, topics ...string) *kafka {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return connectKafka(t, b.Addr(), topics...)
}

func startApacheKafka(t *testing.T, topics ...string) *kafka {
	t.Helper()
	return connectKafka(t, kafkatest.Start(t).Addr(kafkatest.Plaintext), topics...)
}

// onBoth runs a test on the embedded broker, and on an Apache Kafka if it is
// installed.
func onBoth(t *testing.T, test func(t *testing.T, start func(t *testing.T, topics ...string) *kafka)) {
	t.Run("embedded", func(t *testing.T) { test(t, startKafka) })
	t.Run("Apache Kafka", func(t *testing.T) { test(t, startApacheKafka) })
}

func connectKafka(t *testing.T, addr string, topics ...string) *kafka {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	k := &kafka{t: t, ctx: ctx, addr: addr}
	k.client = k.connect()
	k.admin = kadm.NewClient(k.client)
	k.create(topics...)
	return k
}

func (k *kafka) connect(options ...kgo.Opt) *kgo.Client {
	k.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.addr), kgo.ProducerLinger(0)}, options...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(client.Close)
	return client
}

func (k *kafka) create(topics ...string) {
	k.t.Helper()
	for _, topic := range topics {
		if _, err := k.admin.CreateTopic(k.ctx, 3, -1, nil, topic); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *kafka) produce(topic, key, value string) {
	k.t.Helper()
	k.produceRecords(&kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)})
}

func (k *kafka) produceRecords(records ...*kgo.Record) {
	k.t.Helper()
	if err := k.client.ProduceSync(k.ctx, records...).FirstErr(); err != nil {
		k.t.Fatal(err)
	}
}

// read returns the next n records of a topic from its beginning, with the
// markers of transactions and what was aborted left out.
func (k *kafka) read(topic string, n int) []*kgo.Record {
	k.t.Helper()
	client := k.connect(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(k.ctx)
		if err := fetches.Err0(); err != nil {
			k.t.Fatalf("%s has %d records, waiting for %d: %v", topic, len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// logged is a logger and what it was told.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// jsonField is a field of a JSON object, as text.
func jsonField(t *testing.T, object, field string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return string(fields[field])
}
