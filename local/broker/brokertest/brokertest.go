// Package brokertest is what tripcast asks of a Kafka broker, as one suite that
// every broker passes: the embedded one, Redpanda and Apache Kafka.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience bounds how long a test waits for what has to happen. It is far above
// what any broker needs: reaching it is a failure, not a measurement.
const patience = 30 * time.Second

// Run checks the broker at addr (host:port, no credentials). It creates topics
// and groups with random names and deletes the topics again, so it may be
// pointed at a broker in use.
func Run(t *testing.T, addr string) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, broker)
	}{
		{"HeadersAndTombstones", headersAndTombstones},
		{"CreateTime", createTime},
		{"KeyChoosesPartition", keyChoosesPartition},
		{"ReadCommittedSkipsAborted", readCommittedSkipsAborted},
		{"GroupResumesFromCommit", groupResumesFromCommit},
		{"GroupSharesPartitions", groupSharesPartitions},
		{"UnknownTopicIsNotCreated", unknownTopicIsNotCreated},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			c.run(t, broker{addr: addr, ctx: ctx})
		})
	}
}

// broker is the broker under test, as one test sees it.
type broker struct {
	addr string
	ctx  context.Context
}

func (b broker) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

func (b broker) topic(t *testing.T, partitions int32) string {
	t.Helper()
	adm := kadm.NewClient(b.client(t))
	name := "brokertest-" + uuid.NewString()
	if _, err := adm.CreateTopic(b.ctx, partitions, -1, nil, name); err != nil {
		t.Fatalf("creating topic %s: %v", name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := adm.DeleteTopic(ctx, name); err != nil {
			t.Errorf("deleting topic %s: %v", name, err)
		}
	})
	return name
}

func (b broker) produce(t *testing.T, cl *kgo.Client, rs ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(b.ctx, rs...).FirstErr(); err != nil {
		t.Fatalf("producing: %v", err)
	}
}

// poll returns the next n records, in the order they come.
func (b broker) poll(t *testing.T, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	var rs []*kgo.Record
	for len(rs) < n {
		fs := cl.PollRecords(b.ctx, n-len(rs))
		if err := fs.Err(); err != nil {
			t.Fatalf("polling for %d records, having %d: %v", n, len(rs), err)
		}
		rs = append(rs, fs.Records()...)
	}
	return rs
}

func values(rs []*kgo.Record) []string {
	var vs []string
	for _, r := range rs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func records(topic string, values ...string) []*kgo.Record {
	var rs []*kgo.Record
	for _, v := range values {
		rs = append(rs, &kgo.Record{Topic: topic, Value: []byte(v)})
	}
	return rs
}

// A binary-mode CloudEvent is its headers, and a retraction is its null value.
func headersAndTombstones(t *testing.T, b broker) {
	topic := b.topic(t, 1)
	headers := []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte("trip-1")},
		{Key: "twice", Value: []byte("a")},
		{Key: "twice", Value: []byte("b")},
		{Key: "empty", Value: []byte{}},
	}
	cl := b.client(t, kgo.ConsumeTopics(topic))
	b.produce(t, cl,
		&kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("{}"), Headers: headers},
		&kgo.Record{Topic: topic, Key: []byte("k"), Value: nil, Headers: headers},
		&kgo.Record{Topic: topic, Key: nil, Value: []byte{}},
	)
	got := b.poll(t, cl, 3)
	for i, r := range got[:2] {
		if !slices.EqualFunc(r.Headers, headers, func(x, y kgo.RecordHeader) bool {
			return x.Key == y.Key && string(x.Value) == string(y.Value)
		}) {
			t.Errorf("record %d: headers %v, want %v in that order", i, r.Headers, headers)
		}
	}
	if got[1].Value != nil {
		t.Errorf("a null value came back as %q", got[1].Value)
	}
	if got[2].Value == nil || got[2].Key != nil {
		t.Errorf("an empty value and a null key came back as %#v and %#v", got[2].Value, got[2].Key)
	}
}

// A record keeps the time its producer gave it: the stream orders by it.
func createTime(t *testing.T, b broker) {
	topic := b.topic(t, 1)
	// An hour ago, so that it is neither now nor outside of any retention.
	want := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	cl := b.client(t, kgo.ConsumeTopics(topic))
	b.produce(t, cl, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: want})
	got := b.poll(t, cl, 1)[0]
	if !got.Timestamp.Equal(want) {
		t.Errorf("timestamp %v, want %v", got.Timestamp, want)
	}
	if got.Attrs.TimestampType() != 0 {
		t.Errorf("timestamp type %d, want 0 (CreateTime)", got.Attrs.TimestampType())
	}
}

// All records of a trip are in one partition, in the order they were written.
func keyChoosesPartition(t *testing.T, b broker) {
	topic := b.topic(t, 3)
	cl := b.client(t, kgo.ConsumeTopics(topic))
	const keys, each = 10, 5
	for i := range each {
		for k := range keys {
			b.produce(t, cl, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", k), Value: fmt.Append(nil, i)})
		}
	}
	partition := map[string]int32{}
	seen := map[string][]string{}
	for _, r := range b.poll(t, cl, keys*each) {
		key := string(r.Key)
		if p, ok := partition[key]; ok && p != r.Partition {
			t.Errorf("key %s is in partitions %d and %d", key, p, r.Partition)
		}
		partition[key] = r.Partition
		seen[key] = append(seen[key], string(r.Value))
	}
	for key, vs := range seen {
		if !slices.IsSorted(vs) {
			t.Errorf("key %s came out of order: %v", key, vs)
		}
	}
}

// Materialize writes in transactions: an aborted one is never seen, and what a
// committed one leaves are offsets with gaps.
func readCommittedSkipsAborted(t *testing.T, b broker) {
	topic := b.topic(t, 1)
	tx := b.client(t, kgo.TransactionalID("brokertest-"+uuid.NewString()))
	for _, step := range []struct {
		value  string
		commit kgo.TransactionEndTry
	}{
		{"one", kgo.TryCommit},
		{"never", kgo.TryAbort},
		{"two", kgo.TryCommit},
	} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		b.produce(t, tx, records(topic, step.value)...)
		if err := tx.EndTransaction(b.ctx, step.commit); err != nil {
			t.Fatalf("ending the transaction of %q: %v", step.value, err)
		}
	}
	b.produce(t, b.client(t), records(topic, "three")...)

	committed := b.poll(t, b.client(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 3)
	if got, want := values(committed), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("read_committed got %v, want %v", got, want)
	}
	// Each transaction's end takes an offset: one(0) end(1) never(2) end(3) two(4) end(5) three(6).
	if last := committed[2].Offset; last != 6 {
		t.Errorf("the last record is at offset %d, want 6: transaction ends have offsets", last)
	}
	uncommitted := b.poll(t, b.client(t, kgo.ConsumeTopics(topic)), 4)
	if got, want := values(uncommitted), []string{"one", "never", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("read_uncommitted got %v, want %v", got, want)
	}
}

// A consumer that comes back goes on after what it committed, not after what
// it read.
func groupResumesFromCommit(t *testing.T, b broker) {
	topic, group := b.topic(t, 1), "brokertest-"+uuid.NewString()
	b.produce(t, b.client(t), records(topic, "0", "1", "2", "3", "4")...)
	member := func() *kgo.Client {
		return b.client(t, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit())
	}

	first := member()
	read := b.poll(t, first, 4)
	if err := first.CommitRecords(b.ctx, read[:2]...); err != nil {
		t.Fatalf("committing: %v", err)
	}
	first.Close()

	if got, want := values(b.poll(t, member(), 3)), []string{"2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("after the restart got %v, want %v", got, want)
	}
}

// Two members of a group share its partitions: every record goes to one of them.
func groupSharesPartitions(t *testing.T, b broker) {
	const partitions, each = 4, 10
	topic, group := b.topic(t, partitions), "brokertest-"+uuid.NewString()
	assigned := make(chan int, 64)
	polled := make(chan *kgo.Record, 64)
	for m := range 2 {
		cl := b.client(t, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- m }))
		go func() {
			for {
				fs := cl.PollFetches(b.ctx)
				if b.ctx.Err() != nil || fs.IsClientClosed() {
					return
				}
				fs.EachRecord(func(r *kgo.Record) { polled <- r })
			}
		}()
	}
	for members := map[int]bool{}; len(members) < 2; {
		select {
		case m := <-assigned:
			members[m] = true
		case <-b.ctx.Done():
			t.Fatalf("members with an assignment: %v, want both", members)
		}
	}
	p := b.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range partitions * each {
		b.produce(t, p, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: fmt.Append(nil, i)})
	}
	for seen := map[string]bool{}; len(seen) < partitions*each; {
		select {
		case r := <-polled:
			seen[string(r.Value)] = true
		case <-b.ctx.Done():
			t.Fatalf("%d of %d records reached the group", len(seen), partitions*each)
		}
	}
}

// A misspelt topic is an error, not a new topic.
func unknownTopicIsNotCreated(t *testing.T, b broker) {
	topic := "brokertest-" + uuid.NewString()
	cl := b.client(t, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
	err := cl.ProduceSync(b.ctx, records(topic, "v")...).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("producing to a topic that does not exist: %v, want %v", err, kerr.UnknownTopicOrPartition)
	}
}
