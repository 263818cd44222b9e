package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/functions/kafka"
)

// TestReadAll reads topics of three partitions in which transactions have been
// committed and aborted, with a marker at the end of each.
func TestReadAll(t *testing.T) {
	c := cluster(t)
	k := kafka.Connection{Brokers: c.ListenAddrs()}
	client, err := k.Client(kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 3, 1, nil, "a", "b", "empty"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for n, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"a", "b"} {
			for partition := range int32(2) { // nothing in the third
				value := fmt.Sprintf("%s/%d: %d", topic, partition, n)
				if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if commit == kgo.TryCommit {
					want = append(want, value)
				}
			}
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}

	var got []string
	all := func(r *kgo.Record) bool {
		got = append(got, string(r.Value))
		return true
	}
	if err := k.ReadAll(t.Context(), all, "a", "b", "empty"); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:3], b[:3]) }) // by partition
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}

	n := 0
	err = k.ReadAll(t.Context(), func(*kgo.Record) bool { n++; return n < 3 }, "a", "b")
	if n != 3 || err != nil {
		t.Errorf("called %d times, error %v: want 3 and none", n, err)
	}
	if err := k.ReadAll(t.Context(), all, "a", "missing"); !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "a, missing") {
		t.Errorf("error %v of a topic that does not exist", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.ReadAll(done, all, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v once nobody wants to read", err)
	}
}
