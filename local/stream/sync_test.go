package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// sunkKeys are the keys in a topic as of now, tombstones left out.
func (k *kafka) sunkKeys(topic string) map[string]bool {
	k.t.Helper()
	ends, err := k.admin.ListCommittedOffsets(k.ctx, topic)
	if err != nil {
		k.t.Error(err)
		return nil
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	keys := map[string]bool{}
	if len(left) == 0 {
		return keys
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.addr), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		k.t.Error(err)
		return nil
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(k.ctx)
		if err := fetches.Err0(); err != nil {
			k.t.Errorf("reading %s: %v", topic, err)
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() && r.Value != nil {
				keys[string(r.Key)] = true
			}
		})
	}
	return keys
}

// ids is a view that a record adds a row to.
const ids = aSource + `CREATE MATERIALIZED VIEW w AS SELECT data->>'id' AS id FROM a;`

// Whoever has synced finds all that was there before in the sink, however many
// produce, and sync, at the same time.
func TestSync(t *testing.T) { onBoth(t, syncs) }

func syncs(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	const clients, rounds = 4, 12
	k := start(t, "a")
	s := k.stream(script(t, ids+sunk("w")))
	var all sync.WaitGroup
	for c := range clients {
		client := k.connect()
		all.Go(func() {
			for n := range rounds {
				key := fmt.Sprintf("%d/%d", c, n)
				var records []*kgo.Record
				for i := range 1 + n%3 {
					id := fmt.Sprintf("%s/%d", key, i)
					records = append(records, &kgo.Record{Topic: "a", Key: []byte(id), Value: []byte(`{"id":"` + id + `"}`)})
				}
				if err := client.ProduceSync(k.ctx, records...).FirstErr(); err != nil {
					t.Errorf("producing: %v", err)
					return
				}
				if err := s.Sync(k.ctx); err != nil {
					t.Errorf("sync %s: %v", key, err)
					return
				}
				keys := k.sunkKeys("t")
				for _, r := range records {
					if !keys[string(r.Key)] {
						t.Errorf("%s is not in the sink after a Sync", r.Key)
					}
				}
			}
		})
	}
	all.Wait()
}

// A record that is left out, an aborted one and a marker are no reason to wait.
func TestSyncPassesWhatIsNoRow(t *testing.T) { onBoth(t, syncPassesWhatIsNoRow) }

func syncPassesWhatIsNoRow(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	k := start(t, "a")
	s := k.stream(script(t, ids+sunk("w")))
	transactions := k.connect(kgo.TransactionalID("test"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := transactions.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := transactions.ProduceSync(k.ctx, &kgo.Record{Topic: "a", Key: []byte("x"), Value: []byte(`{"id":"x"}`)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := transactions.EndTransaction(k.ctx, end); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(k.ctx); err != nil {
			t.Fatal(err)
		}
	}
	k.produce("a", "malformed", "{no json")
	if err := s.Sync(k.ctx); err != nil {
		t.Fatal(err)
	}
	if keys := k.sunkKeys("t"); len(keys) != 1 || !keys["x"] {
		t.Errorf("the sink has %v", keys)
	}
}

// A topic that does not exist has no records. Once it does, it counts, though the
// stream has not heard of it yet.
func TestSyncWaitsForATopicThatIsNew(t *testing.T) { onBoth(t, syncWaitsForATopicThatIsNew) }

func syncWaitsForATopicThatIsNew(t *testing.T, start func(t *testing.T, topics ...string) *kafka) {
	k := start(t, events.TopicPickUps, events.TopicDropOffs)
	s := k.stream(tripcast(t))
	all := trips(3, 5)
	k.drive(all)
	if err := s.Sync(k.ctx); err != nil {
		t.Fatal(err)
	}
	if got := k.sunkKeys(events.TopicFeatures); len(got) != len(all) {
		t.Errorf("%d features of %d trips", len(got), len(all))
	}
	k.create(events.TopicPredictions)
	for _, trip := range all {
		k.produce(events.TopicPredictions, trip.id, `{"trip_id":"`+trip.id+`","features":{},"predictions":{},"champion":"linear"}`)
	}
	if err := s.Sync(k.ctx); err != nil {
		t.Fatal(err)
	}
	if got := k.sunkKeys(events.TopicLabels); len(got) != len(all) {
		t.Errorf("%d labels of %d trips", len(got), len(all))
	}
}

func TestSyncEnds(t *testing.T) {
	k := startKafka(t, "a")
	k.produce("a", "x", `{"id":"x"}`)
	s, err := New(k.ctx, Config{Brokers: []string{k.addr}, Statements: script(t, ids+sunk("w")), Log: (&logged{}).logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	gone, cancel := context.WithCancelCause(k.ctx)
	cancelled := make(chan error, 1)
	go func() { cancelled <- s.Sync(gone) }()
	cancel(nil)
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}

	waiting := make(chan error, 1) // nothing runs, so it waits
	go func() { waiting <- s.Sync(k.ctx) }()
	ended, end := context.WithCancel(k.ctx)
	end()
	if err := s.Run(ended); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{<-waiting, s.Sync(k.ctx)} {
		if err == nil || !strings.Contains(err.Error(), "runs no longer") {
			t.Errorf("after Run: %v", err)
		}
	}
}
