package trail

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tripcast.dev/events"
)

// began is when the trips of the tests are picked up.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is some milliseconds later.
func at(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

// kafka is a broker and who writes to it.
type kafka struct {
	tb      testing.TB
	cluster *kfake.Cluster
	client  *kgo.Client
}

func newKafka(tb testing.TB, partitions int32, topics ...string) *kafka {
	tb.Helper()
	return newCluster(tb, 1, partitions, topics...)
}

func newCluster(tb testing.TB, brokers int, partitions int32, topics ...string) *kafka {
	tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	for _, topic := range topics {
		if err := cluster.CreateTopic(topic, partitions, map[string]string{"max.message.bytes": "16777216"}); err != nil {
			tb.Fatal(err)
		}
	}
	return &kafka{tb: tb, cluster: cluster, client: newClient(tb, cluster)}
}

func newClient(tb testing.TB, cluster *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return client
}

// write writes records as they are.
func (k *kafka) write(records ...*kgo.Record) {
	k.tb.Helper()
	if err := k.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		k.tb.Fatal(err)
	}
}

func (k *kafka) trail(change ...func(*Trail)) *Trail {
	k.tb.Helper()
	return open(k.tb, Config{Brokers: k.cluster.ListenAddrs()}, change...)
}

func open(tb testing.TB, cfg Config, change ...func(*Trail)) *Trail {
	tb.Helper()
	t, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	// A test waits for what it waits for: the machine may be busy.
	t.bounds.time = 20 * time.Second
	for _, c := range change {
		c(t)
	}
	return t
}

// leaveAfter has the broker answer so many fetches, and then lead nothing.
func (k *kafka) leaveAfter(answers int) {
	k.cluster.ControlKey(fetchKey, func(request kmsg.Request) (kmsg.Response, error, bool) {
		k.cluster.KeepControl()
		if answers--; answers >= 0 {
			return nil, nil, false
		}
		fetch := request.(*kmsg.FetchRequest)
		response := fetch.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range fetch.Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.NotLeaderForPartition.Code
				topic.Partitions = append(topic.Partitions, partition)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
}

// types and sources of the flow, by topic.
var flow = map[string]struct{ kind, source string }{
	events.TopicPickUps:     {events.TypePickedUp, events.SourcePickUps},
	events.TopicFeatures:    {events.TypeFeatures, events.SourceFeatures},
	events.TopicPredictions: {events.TypePrediction, events.SourcePredictions},
	events.TopicDropOffs:    {events.TypeDroppedOff, events.SourceDropOffs},
	events.TopicLabels:      {events.TypeLabel, events.SourceLabels},
	events.TopicChampions:   {events.TypeProposal, events.SourceChampions},
	events.TopicDeadLetters: {events.TypeFeatures, events.SourceFeatures},
}

// cloudEvent is an event of a trip as a topic has it.
func cloudEvent(topic, trip, data string, extensions ...string) event.Event {
	e := event.New()
	e.SetID(trip)
	e.SetSource(flow[topic].source)
	e.SetType(flow[topic].kind)
	e.SetSubject(trip)
	e.SetTime(began)
	e.SetExtension(partitionKey, trip)
	for i := 0; i < len(extensions); i += 2 {
		e.SetExtension(extensions[i], extensions[i+1])
	}
	if data != "" {
		if err := e.SetData(event.ApplicationJSON, []byte(data)); err != nil {
			panic(err)
		}
	}
	return e
}

// binary is an event as a record in binary mode.
func binary(topic string, partition int32, ms int, e event.Event) *kgo.Record {
	r, err := events.ToRecord(e)
	if err != nil {
		panic(err)
	}
	out := &kgo.Record{Topic: topic, Partition: partition, Timestamp: at(ms), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader(h))
	}
	return out
}

// record is a trip's event in a topic.
func record(topic string, partition int32, ms int, trip string) *kgo.Record {
	return binary(topic, partition, ms, cloudEvent(topic, trip, `{"trip_id":"`+trip+`"}`))
}

// structured is an event as a record in structured mode, without a key.
func structured(topic string, partition int32, ms int, e event.Event) *kgo.Record {
	body, err := e.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return &kgo.Record{
		Topic: topic, Partition: partition, Timestamp: at(ms), Value: body,
		Headers: []kgo.RecordHeader{{Key: "Content-Type", Value: []byte("application/cloudevents+json; charset=UTF-8")}},
	}
}

// places are where events lie, as topic/partition/offset, with what they are.
func places(all []Event) []string {
	var out []string
	for _, e := range all {
		place := e.Topic + "/" + strconv.Itoa(int(e.Partition)) + "/" + strconv.FormatInt(e.Offset, 10)
		if e.Retraction {
			place += " retraction"
		}
		if e.Duplicate {
			place += " duplicate"
		}
		out = append(out, place)
	}
	return out
}

// freeAddress is one that nobody listens at.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// lines is a log that keeps its lines.
type lines struct{ channel chan string }

func newLines() (*lines, *slog.Logger) {
	l := &lines{channel: make(chan string, 1000)}
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (l *lines) Write(p []byte) (int, error) {
	l.channel <- string(p)
	return len(p), nil
}

func (l *lines) all() []string {
	var out []string
	for len(l.channel) > 0 {
		out = append(out, <-l.channel)
	}
	return out
}

// many are n trips that are not the one looked for.
func many(topic string, partitions int32, n int, size int) []*kgo.Record {
	pad := make([]byte, size)
	for i := range pad {
		pad[i] = 'x'
	}
	out := make([]*kgo.Record, n)
	for i := range out {
		out[i] = binary(topic, int32(i)%partitions, i, cloudEvent(topic, fmt.Sprintf("other-%06d", i), `"`+string(pad)+`"`))
	}
	return out
}

// silent is the address of who takes connections and says nothing.
func silent(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	return listener.Addr().String() // the kernel's backlog takes them
}

func atoi(tb testing.TB, s string) int {
	tb.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
