package broker_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"tripcast.dev/local/broker"
	"tripcast.dev/local/broker/brokertest"
)

func start(t *testing.T, opts broker.Options) *broker.Broker {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	b, err := broker.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, start(t, broker.Options{}).Addr())
}

// TestConformanceElsewhere runs the suite on the broker that TRIPCAST_KAFKA
// (host:port) names, which must not create topics by itself.
func TestConformanceElsewhere(t *testing.T) {
	addr := os.Getenv("TRIPCAST_KAFKA")
	if addr == "" {
		t.Skip("TRIPCAST_KAFKA is not set: no other broker to check")
	}
	brokertest.Run(t, addr)
}

func TestPortInUse(t *testing.T) {
	taken := start(t, broker.Options{}).Addr()
	b, err := broker.Start(broker.Options{Listen: taken})
	if err == nil {
		b.Close()
		t.Fatal("two brokers listen on one port")
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v: want an error that wraps EADDRINUSE", err)
	}
	if !strings.Contains(err.Error(), taken) {
		t.Errorf("%q does not name %s", err, taken)
	}
}

func TestBadListenAddress(t *testing.T) {
	for _, opts := range []broker.Options{
		{Listen: "127.0.0.1"},
		{Listen: "127.0.0.1:0", Advertise: "redpanda"},
	} {
		b, err := broker.Start(opts)
		if err == nil {
			b.Close()
			t.Errorf("%+v: started", opts)
		}
	}
}

func TestDefaults(t *testing.T) {
	adm := kadm.NewClient(client(t, start(t, broker.Options{}).Addr()))
	if _, err := adm.CreateTopic(t.Context(), -1, -1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	topics, err := adm.ListTopics(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(topics["t"].Partitions); n != broker.DefaultPartitions {
		t.Errorf("%d partitions, want %d", n, broker.DefaultPartitions)
	}
	brokers, err := adm.ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(brokers) != 1 {
		t.Errorf("%d nodes, want 1", len(brokers))
	}
}

// Clients that ask the address the broker listens on are sent to the advertised one.
func TestAdvertise(t *testing.T) {
	free := start(t, broker.Options{})
	listen := free.Addr()
	free.Close()

	b := start(t, broker.Options{Listen: listen, Advertise: "redpanda:9092"})
	if b.Addr() != "redpanda:9092" {
		t.Errorf("Addr is %s, want the advertised address", b.Addr())
	}
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), client(t, listen))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range resp.Brokers {
		if n.Host != "redpanda" || n.Port != 9092 {
			t.Errorf("clients are sent to %s:%d, want redpanda:9092", n.Host, n.Port)
		}
	}
	if len(resp.Brokers) != 1 {
		t.Errorf("%d nodes in the metadata, want 1", len(resp.Brokers))
	}
}

// A broker with users lets in who has the password, and nobody else.
func TestUsers(t *testing.T) {
	addr := start(t, broker.Options{Users: []broker.User{
		{Mechanism: "PLAIN", Name: "ann", Password: "secret"}, {Mechanism: "SCRAM-SHA-512", Name: "bob", Password: "more"},
	}}).Addr()
	for _, c := range []struct {
		name string
		opts []kgo.Opt
		in   bool
	}{
		{"PLAIN", []kgo.Opt{kgo.SASL(plain.Auth{User: "ann", Pass: "secret"}.AsMechanism())}, true},
		{"SCRAM", []kgo.Opt{kgo.SASL(scram.Auth{User: "bob", Pass: "more"}.AsSha512Mechanism())}, true},
		{"wrong password", []kgo.Opt{kgo.SASL(plain.Auth{User: "ann", Pass: "more"}.AsMechanism())}, false},
		{"somebody else", []kgo.Opt{kgo.SASL(plain.Auth{User: "eve", Pass: "secret"}.AsMechanism())}, false},
		{"nobody", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := client(t, addr, append(c.opts, kgo.RequestRetries(0))...).SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
			if (err == nil) != c.in {
				t.Errorf("%v, want to be let in: %v", err, c.in)
			}
		})
	}
}

// What was written and committed is there after a restart with the same DataDir.
func TestDataDir(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()

	first := start(t, broker.Options{DataDir: dir})
	cl := client(t, first.Addr(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit())
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, -1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"a", "b", "c"} {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var read []*kgo.Record
	for len(read) == 0 {
		read = cl.PollRecords(ctx, 1).Records()
	}
	if err := cl.CommitRecords(ctx, read...); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	first.Close()

	again := client(t, start(t, broker.Options{DataDir: dir}).Addr(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	var got []string
	for len(got) < 2 {
		again.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if want := []string{"b", "c"}; !slices.Equal(got, want) {
		t.Errorf("after the restart the group reads %v, want %v", got, want)
	}
}
