package eventing_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
)

// patience bounds how long a test waits for what has to happen.
const patience = 30 * time.Second

// kafka is a broker of a test, with a client of its own.
type kafka struct {
	addr   string
	client *kgo.Client
	adm    *kadm.Client
	broker *broker.Broker
}

func startKafka(t testing.TB) *kafka {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &kafka{b.Addr(), cl, kadm.NewClient(cl), b}
}

func (k *kafka) topic(t testing.TB, name string, partitions int32) {
	t.Helper()
	if _, err := k.adm.CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatalf("creating topic %s: %v", name, err)
	}
}

func (k *kafka) produce(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	if err := k.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("producing: %v", err)
	}
}

// read returns the first n records of a topic.
func (k *kafka) read(t testing.TB, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for len(rs) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("reading %d records of %s, having %d: %v", n, topic, len(rs), err)
		}
		rs = append(rs, fs.Records()...)
	}
	return rs
}

// committed is the sum of what a group has committed of a topic.
func (k *kafka) committed(t testing.TB, group, topic string) int64 {
	t.Helper()
	offsets, err := k.adm.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic {
			sum += o.At
		}
	})
	return sum
}

// cloudEvent is a binary-mode record.
func cloudEvent(topic string, partition int32, id string) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: partition, Key: []byte(id), Value: fmt.Appendf(nil, `{"id":%q}`, id),
		Headers: []kgo.RecordHeader{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte(id)},
			{Key: "ce_source", Value: []byte("/test")},
			{Key: "ce_type", Value: []byte("dev.test.v1")},
			{Key: "content-type", Value: []byte("application/json")},
		},
	}
}

func cloudEvents(topic string, partitions, n int) []*kgo.Record {
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, cloudEvent(topic, int32(i%partitions), fmt.Sprintf("e%d", i)))
	}
	return rs
}

// request is what a sink got.
type request struct {
	header http.Header
	body   string
}

func (r request) id() string { return r.header.Get("Ce-Id") }

// sink is a server that events are delivered to.
type sink struct {
	url    string
	server *httptest.Server

	mu       sync.Mutex
	requests []request
	running  int
	most     int // requests at the same time
}

// startSink answers with the status that answer returns for a request; nil
// means 200.
func startSink(t testing.TB, answer func(w http.ResponseWriter, r request)) *sink {
	t.Helper()
	s := &sink{}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		r := request{req.Header, string(body)}
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.running++
		s.most = max(s.most, s.running)
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}))
	s.url = s.server.URL
	t.Cleanup(s.server.Close)
	return s
}

// startNoop is a sink that acknowledges and remembers nothing.
func startNoop(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (s *sink) got() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *sink) ids() []string {
	var ids []string
	for _, r := range s.got() {
		ids = append(ids, r.id())
	}
	return ids
}

// source is a KafkaSource's manifest: topic in, to Service function, dead
// letters to KafkaSink dead. Lines are added to its spec.
func source(lines ...string) string {
	return `
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: in, namespace: test}
spec:
  bootstrapServers: [kafka:9092]
  topics: [in]
  consumerGroup: group
  initialOffset: earliest
  sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: function}}
  ` + strings.Join(lines, "\n  ")
}

const unordered = "ordering: unordered"

// delivery retries fast, so that tests do.
const delivery = `delivery: {retry: 3, backoffPolicy: linear, backoffDelay: PT0.001S, timeout: PT20S, ` + deadLetter + `}`

const deadLetter = `deadLetterSink: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: dead}}`

const function = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: function, namespace: test}
spec: {template: {spec: {containers: [{image: function}]}}}
`

func kafkaSink(name string, lines ...string) string {
	return `
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: ` + name + `, namespace: test}
spec:
  bootstrapServers: [kafka:9092]
  topic: ` + name + `
  numPartitions: 1
  replicationFactor: 1
  ` + strings.Join(lines, "\n  ")
}

func load(t testing.TB, documents ...string) *eventing.Manifests {
	t.Helper()
	m, err := eventing.Load(fstest.MapFS{"all.yaml": {Data: []byte(strings.Join(documents, "\n---\n"))}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run starts everything, with the Service function at url.
func run(t testing.TB, k *kafka, url string, m *eventing.Manifests, change ...func(*eventing.Config)) *eventing.Eventing {
	t.Helper()
	cfg := eventing.Config{
		Manifests: m, Brokers: []string{k.addr}, IngressAddr: "127.0.0.1:0",
		Services: func(name string) (string, bool) { return url, name == "function" },
		Logger:   slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := eventing.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeEventing(t, e) })
	if err := e.StartSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func closeEventing(t testing.TB, e *eventing.Eventing) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// eventually waits for what has to become true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// lagGone waits until every record written so far is finished.
func lagGone(t testing.TB, e *eventing.Eventing) {
	t.Helper()
	eventually(t, "the lag is 0", func() bool {
		lags, err := e.Lag(t.Context())
		return err == nil && lags["test/in"] == 0
	})
}

// once checks that each of n events e0... was delivered exactly once.
func once(t testing.TB, ids []string, n int) {
	t.Helper()
	times := map[string]int{}
	for _, id := range ids {
		times[id]++
	}
	for i := range n {
		if id := fmt.Sprintf("e%d", i); times[id] != 1 {
			t.Errorf("%s was delivered %d times, want once", id, times[id])
		}
	}
	if len(times) != n {
		t.Errorf("%d different events, want %d", len(times), n)
	}
}
