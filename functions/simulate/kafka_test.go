package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"tripcast.dev/events"
)

func cluster(tb testing.TB) *kfake.Cluster {
	tb.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func producer(tb testing.TB, c *kfake.Cluster, cfg ProducerConfig) *Producer {
	tb.Helper()
	cfg.Brokers = c.ListenAddrs()
	p, err := NewProducer(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

func run(ctx context.Context, tb testing.TB, cfg Config) (Report, error) {
	tb.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Run(ctx)
}

// consume reads n records of the two topics.
func consume(tb testing.TB, c *kfake.Cluster, n int) []*kgo.Record {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(events.TopicPickUps, events.TopicDropOffs))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			tb.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func TestRecordsAreCloudEvents(t *testing.T) {
	c := cluster(t)
	before := time.Now().Add(-time.Second)
	report, err := run(t.Context(), t, Config{Source: synthetic(t, 1), Producer: producer(t, c, ProducerConfig{}), Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	if report.PickUps != 50 || report.DropOffs != 50 || report.Trips != 50 || report.Open != 0 || !report.Done {
		t.Errorf("the report is %+v, want 50 trips done", report)
	}
	wanted := make(map[string]Trip)
	source := synthetic(t, 1)
	for range 50 {
		trip, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wanted[trip.ID] = trip
	}
	partition := make(map[string]int32)
	for _, r := range consume(t, c, 100) {
		header := make(map[string]string)
		for _, h := range r.Headers {
			header[h.Key] = string(h.Value)
		}
		trip, ok := wanted[string(r.Key)]
		if !ok {
			t.Fatalf("no trip has the key %q", r.Key)
		}
		wantType, wantSource, at := events.TypePickedUp, events.SourcePickUps, trip.PickedUpAt
		var wantData events.Payload = trip.PickUp()
		if r.Topic == events.TopicDropOffs {
			wantType, wantSource, at = events.TypeDroppedOff, events.SourceDropOffs, trip.DroppedOffAt
			wantData = trip.DropOff()
		}
		want, err := json.Marshal(wantData)
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Value) != string(want) {
			t.Errorf("the data is %s, want %s", r.Value, want)
		}
		for name, want := range map[string]string{
			"ce_specversion": "1.0", "ce_id": trip.ID, "ce_subject": trip.ID, "ce_partitionkey": trip.ID,
			"ce_type": wantType, "ce_source": wantSource, "ce_time": at.Format(time.RFC3339), "content-type": "application/json",
		} {
			if header[name] != want {
				t.Errorf("header %s of %s is %q, want %q", name, r.Key, header[name], want)
			}
		}
		if r.Timestamp.Before(before) {
			t.Errorf("the record of %s is stamped %s: not when it was written", r.Key, r.Timestamp)
		}
		if p, seen := partition[trip.ID]; seen && p != r.Partition {
			t.Errorf("trip %s is in partitions %d and %d of the topics", trip.ID, p, r.Partition)
		}
		partition[trip.ID] = r.Partition
	}
}

// skewWatch is a client hook that holds the producer to its promise from
// outside: it sees a record given to the client and its acknowledgement, nothing
// of the producer's own window.
type skewWatch struct {
	mu     sync.Mutex
	flying map[*kgo.Record]time.Time
	worst  time.Duration
	most   int
}

func (w *skewWatch) OnProduceRecordBuffered(r *kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := eventTime(r)
	for _, t := range w.flying {
		w.worst = max(w.worst, at.Sub(t))
	}
	w.flying[r] = at
	w.most = max(w.most, len(w.flying))
}

func (w *skewWatch) OnProduceRecordUnbuffered(r *kgo.Record, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flying, r)
}

func eventTime(r *kgo.Record) time.Time {
	for _, h := range r.Headers {
		if h.Key == "ce_time" {
			t, err := time.Parse(time.RFC3339, string(h.Value))
			if err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

func TestSkewIsBounded(t *testing.T) {
	for _, c := range []struct {
		name         string
		tripsPerHour float64
		maxSkew      time.Duration
		inFlight     bool // several events fit in the window
	}{
		{"dense", 20_000, 30 * time.Second, true},
		{"sparse", 80, 30 * time.Second, false},
		{"narrow", 3000, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker := cluster(t)
			watch := &skewWatch{flying: make(map[*kgo.Record]time.Time)}
			p := producer(t, broker, ProducerConfig{MaxSkew: c.maxSkew, Options: []kgo.Opt{kgo.WithHooks(watch), slowAcks()}})
			s, err := NewSynthetic(SyntheticConfig{TripsPerHour: c.tripsPerHour})
			if err != nil {
				t.Fatal(err)
			}
			report, err := run(t.Context(), t, Config{Source: s, Producer: p, Limit: 200})
			if err != nil {
				t.Fatal(err)
			}
			if report.PickUps != 200 || report.DropOffs != 200 {
				t.Errorf("%d pick-ups and %d drop-offs were acknowledged, want 200 each", report.PickUps, report.DropOffs)
			}
			t.Logf("at worst an event was handed over %s after one in flight; at most %d were in flight", watch.worst, watch.most)
			if watch.worst >= c.maxSkew {
				t.Errorf("an event %s older was not acknowledged: the bound is %s", watch.worst, c.maxSkew)
			}
			if c.inFlight && watch.most < 10 {
				t.Errorf("only %d events were ever in flight: the window is not used", watch.most)
			}
		})
	}
	t.Run("unbounded", func(t *testing.T) {
		// Without a bound the same acknowledgements do let events overtake: what is
		// tested above is not vacuous.
		broker := cluster(t)
		watch := &skewWatch{flying: make(map[*kgo.Record]time.Time)}
		p := producer(t, broker, ProducerConfig{MaxSkew: 1000 * time.Hour, Options: []kgo.Opt{kgo.WithHooks(watch), slowAcks()}})
		if _, err := run(t.Context(), t, Config{Source: synthetic(t, 0), Producer: p, Limit: 200}); err != nil {
			t.Fatal(err)
		}
		if watch.worst <= time.Minute {
			t.Errorf("at worst an event was handed over %s after one in flight", watch.worst)
		}
	})
}

// slowAcks makes answers of a broker reach the client after a millisecond or so,
// by connection, so that one broker's overtake another's. kfake's own way to
// sleep, SleepControl, is not safe when several requests sleep at once.
func slowAcks() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return slowConn{conn}, err
	})
}

type slowConn struct{ net.Conn }

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(time.Duration(rand.IntN(int(2 * time.Millisecond))))
	return n, err
}

func TestFailedEventStopsTheSimulation(t *testing.T) {
	c := cluster(t)
	var requests atomic.Int64
	p := producer(t, c, ProducerConfig{})
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if requests.Add(1) <= 20 {
			return nil, nil, false
		}
		return refuse(req.(*kmsg.ProduceRequest)), nil, true
	})
	report, err := run(t.Context(), t, Config{Source: synthetic(t, 0), Producer: p})
	if err == nil {
		t.Fatal("a broker that refuses every event did not stop the simulation")
	}
	for _, want := range []string{"of trip s0-", "produce to ", "MESSAGE_TOO_LARGE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
	if report.Done || report.PickUps == 0 {
		t.Errorf("the report is %+v, want some pick-ups and not done", report)
	}
}

func refuse(req *kmsg.ProduceRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = partition.Partition, kerr.MessageTooLarge.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestInterrupt stops a simulation that would go on for ever: what was handed
// over is written, and is what the report counts.
func TestInterrupt(t *testing.T) {
	c := cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := throttleFunc(func(_ context.Context, produced int) error {
		if produced == 100 {
			cancel()
		}
		return nil
	})
	p := producer(t, c, ProducerConfig{})
	report, err := run(ctx, t, Config{Source: synthetic(t, 0), Producer: p, Throttle: stop})
	if err == nil || ctx.Err() == nil || report.Done {
		t.Fatalf("the simulation ended with %v and %+v", err, report)
	}
	if report.Trips != 100 || report.PickUps != 100 || report.DropOffs != report.Trips-report.Open {
		t.Errorf("the report is %+v, want 100 pick-ups", report)
	}
	if got := len(consume(t, c, int(report.PickUps+report.DropOffs))); got != int(report.PickUps+report.DropOffs) {
		t.Errorf("the topics hold %d records, want %d", got, report.PickUps+report.DropOffs)
	}
}

func TestNoBroker(t *testing.T) {
	_, err := NewProducer(t.Context(), ProducerConfig{Brokers: []string{"127.0.0.1:1"}, ConnectTimeout: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("the error is %v, want one that names the broker", err)
	}
	if _, err := NewProducer(t.Context(), ProducerConfig{}); err == nil {
		t.Error("a producer without brokers is no error")
	}
}

func TestTopicsAreCreatedOnce(t *testing.T) {
	c := cluster(t)
	for range 2 {
		producer(t, c, ProducerConfig{Partitions: 5})
	}
	for _, topic := range []string{events.TopicPickUps, events.TopicDropOffs} {
		if info := c.TopicInfo(topic); info == nil || info.NumReplicas == 0 || c.PartitionInfo(topic, 4) == nil || c.PartitionInfo(topic, 5) != nil {
			t.Errorf("topic %s is %+v, want 5 partitions", topic, info)
		}
	}
}

// A user that may write to the topics need not be one that may create them.
func TestTopicsThatMayNotBeCreated(t *testing.T) {
	mayWrite := func(topic string) kfake.ACL {
		return kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationWrite, Allow: true,
		}
	}
	users := []kfake.Opt{
		kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "app", "secret", mayWrite(events.TopicPickUps), mayWrite(events.TopicDropOffs)),
	}
	connect := func(seeds ...string) (*Producer, error) {
		c, err := kfake.NewCluster(append(users, kfake.SeedTopics(3, seeds...))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return NewProducer(t.Context(), ProducerConfig{
			Brokers: c.ListenAddrs(),
			Options: []kgo.Opt{kgo.SASL(plain.Auth{User: "app", Pass: "secret"}.AsMechanism())},
		})
	}
	p, err := connect(events.TopicPickUps, events.TopicDropOffs)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if report, err := run(t.Context(), t, Config{Source: synthetic(t, 1), Producer: p, Limit: 10}); err != nil || report.DropOffs != 10 {
		t.Errorf("%+v and %v, want 10 trips", report, err)
	}
	_, err = connect(events.TopicPickUps)
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || !strings.Contains(err.Error(), "create topic drop_offs") {
		t.Errorf("%v, want that drop_offs may not be created", err)
	}
}

// BenchmarkReplay plays the recorded month as fast as one embedded broker takes it.
func BenchmarkReplay(b *testing.B) {
	path := realTrips(b)
	for b.Loop() {
		source, err := OpenCSV(path)
		if err != nil {
			b.Fatal(err)
		}
		p := producer(b, cluster(b), ProducerConfig{})
		report, err := run(b.Context(), b, Config{Source: source, Producer: p})
		if err != nil {
			b.Fatal(err)
		}
		if report.PickUps != report.Total || report.DropOffs != report.Total {
			b.Fatal(fmt.Errorf("the report is %+v", report))
		}
		b.ReportMetric(float64(report.PickUps+report.DropOffs)/report.Wall.Seconds(), "events/s")
	}
}
