package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/functions/kafka"
)

// merging is a topic that is written in transactions.
type merging struct {
	k      kafka.Connection
	client *kgo.Client
}

func newMerging(t *testing.T, partitions int32) *merging {
	t.Helper()
	c := cluster(t)
	m := &merging{k: kafka.Connection{Brokers: c.ListenAddrs()}}
	var err error
	m.client, err = m.k.Client(kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.Close)
	if _, err := kadm.NewClient(m.client).CreateTopics(t.Context(), partitions, 1, nil, "a"); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *merging) begin(t *testing.T) {
	t.Helper()
	if err := m.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
}

func (m *merging) end(t *testing.T, how kgo.TransactionEndTry) {
	t.Helper()
	if err := m.client.EndTransaction(t.Context(), how); err != nil {
		t.Fatal(err)
	}
}

// produce writes n records with these timestamps to partitions at random.
func (m *merging) produce(t *testing.T, partitions int32, at ...int64) []*kgo.Record {
	t.Helper()
	var records []*kgo.Record
	for _, ms := range at {
		r := &kgo.Record{Topic: "a", Partition: rand.N(partitions), Value: fmt.Append(nil, ms), Timestamp: time.UnixMilli(ms)}
		if err := m.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// read reads the topic from a position to where it ends now, so many at a time.
func (m *merging) read(t *testing.T, from []int64, most int) []string {
	t.Helper()
	merged := m.k.Merged("a")
	defer merged.Close()
	end, err := merged.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for !slices.Equal(from, end) {
		records, next, err := merged.Next(t.Context(), from, end, most)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(next, from) || len(records) > most {
			t.Fatalf("%d records from %d to %d", len(records), from, next)
		}
		for _, r := range records {
			got = append(got, string(r.Value))
		}
		from = next
	}
	return got
}

func TestMerged(t *testing.T) {
	const partitions = 3
	m := newMerging(t, partitions)
	var want []string
	ms := int64(1000)
	for round := range 6 {
		m.begin(t)
		for range 20 {
			ms += 1 + rand.Int64N(3)
			m.produce(t, partitions, ms)
			if round%2 == 0 {
				want = append(want, fmt.Sprint(ms))
			}
		}
		how := kgo.TryCommit
		if round%2 == 1 {
			how = kgo.TryAbort
		}
		m.end(t, how)
	}
	for _, most := range []int{1, 7, 1000} {
		if got := m.read(t, nil, most); !slices.Equal(got, want) {
			t.Errorf("%d at a time: %v, want %v", most, got, want)
		}
	}
	// From every position on it is the rest, by the same reader and by another.
	merged := m.k.Merged("a")
	defer merged.Close()
	end, err := merged.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for from, n := []int64(nil), 0; n < len(want); {
		records, next, err := merged.Next(t.Context(), from, end, 9)
		if err != nil {
			t.Fatal(err)
		}
		n += len(records)
		if got := m.read(t, next, 1000); !slices.Equal(got, want[n:]) {
			t.Errorf("from %d on: %v, want %v", next, got, want[n:])
		}
		again, _, err := merged.Next(t.Context(), from, end, 9) // as if nobody had seen them
		if err != nil || len(again) != len(records) || len(records) > 0 && string(again[0].Value) != string(records[0].Value) {
			t.Errorf("read again from %d: %d records, %v, want %d", from, len(again), err, len(records))
		}
		if records, moved, err := merged.Next(t.Context(), next, next, 9); err != nil || len(records) > 0 || !slices.Equal(moved, next) {
			t.Errorf("%d records before where one is, %d, %v", len(records), moved, err)
		}
		from = next
	}
}

// Timestamps that go back within a partition wait for their turn.
func TestMergedOutOfOrder(t *testing.T) {
	m := newMerging(t, 2)
	m.begin(t)
	for _, r := range []struct {
		partition int32
		ms        int64
	}{{0, 5}, {0, 2}, {1, 3}, {1, 5}, {0, 6}} {
		record := &kgo.Record{Topic: "a", Partition: r.partition, Value: fmt.Appendf(nil, "%d/%d", r.partition, r.ms), Timestamp: time.UnixMilli(r.ms)}
		if err := m.client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	m.end(t, kgo.TryCommit)
	if got, want := strings.Join(m.read(t, nil, 2), " "), "1/3 0/5 0/2 1/5 0/6"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
}

// The end is after a transaction that is open, which is waited for.
func TestMergedOpenTransaction(t *testing.T) {
	m := newMerging(t, 1)
	m.begin(t)
	m.produce(t, 1, 1)
	m.end(t, kgo.TryCommit)
	m.begin(t)
	m.produce(t, 1, 2)
	merged := m.k.Merged("a")
	defer merged.Close()
	end, err := merged.End(t.Context())
	if err != nil || !slices.Equal(end, []int64{3}) {
		t.Fatalf("the end is %d, %v, want 3: a record, a marker and a record", end, err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := merged.Next(impatient, nil, end, 10); err == nil || impatient.Err() == nil {
		t.Errorf("error %v, want none of the transaction to be known", err)
	}
	m.end(t, kgo.TryCommit)
	records, next, err := merged.Next(t.Context(), nil, end, 10)
	if err != nil || len(records) != 2 || !slices.Equal(next, end) {
		t.Errorf("%d records up to %d, %v, want two", len(records), next, err)
	}
}

func TestMergedRefuses(t *testing.T) {
	m := newMerging(t, 2)
	merged := m.k.Merged("a")
	defer merged.Close()
	tests := []struct {
		name      string
		from, end []int64
		says      string
	}{
		{"beyond the end", []int64{0, 7}, []int64{0, 3}, "partition 1 ends at offset 3, and was read up to 7"},
		{"more partitions", []int64{0, 0, 0}, []int64{0, 0}, "it has 2 partitions, and was read in 3"},
	}
	for _, tt := range tests {
		if _, _, err := merged.Next(t.Context(), tt.from, tt.end, 1); !errors.Is(err, kafka.ErrOtherTopic) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.says)
		}
	}
	missing := m.k.Merged("missing")
	defer missing.Close()
	if _, err := missing.End(t.Context()); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error %v of a topic that does not exist", err)
	}
}
