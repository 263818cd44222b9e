package replay

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

func record(topic, key, value string, headers ...string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// cloudEvent are the headers that every event has, and more.
func cloudEvent(typ, id string, more ...string) []string {
	return append([]string{"ce_specversion", "1.0", "ce_id", id, "ce_type", typ, "ce_source", "/s", "content-type", "application/json"}, more...)
}

// TestRepeatable leaves out what no other run could repeat, and nothing else.
func TestRepeatable(t *testing.T) {
	for _, test := range []struct {
		name   string
		record *kgo.Record
		want   string
	}{
		{
			"of a sink", record(events.TopicFeatures, "t", `{"a":1}`, cloudEvent("x", "t", "ce_partitionkey", "t", "materialize-timestamp", "123")...),
			`{"specversion":"1.0","id":"t","source":"/s","type":"x","partitionkey":"t","datacontenttype":"application/json","kafkatopic":"features","data":{"a":1}}`,
		},
		{
			"a dead letter", record(events.TopicDeadLetters, "t", `{`, cloudEvent("x", "t", "ce_knativeerrordest", "http://127.0.0.1:41234",
				"ce_knativekafkaoffset", "12", "ce_knativekafkapartition", "1", "ce_knativeerrorcode", "400", "ce_knativeerrordata", "bm8=")...),
			`{"specversion":"1.0","id":"t","source":"/s","type":"x","knativeerrorcode":"400","knativeerrordata":"bm8=","datacontenttype":"application/json","kafkatopic":"dead_letters","data_base64":"ew=="}`,
		},
		{
			"a dead letter that was no event", record(events.TopicDeadLetters, "t", `{`, cloudEvent(events.TypeKafka, "partition:0/offset:7",
				"ce_subject", "partition:0#7", "ce_time", "2026-01-01T00:00:00Z", "ce_partitionkey", "t", "ce_knativekafkaoffset", "7")...),
			`{"specversion":"1.0","id":"t","source":"/s","type":"dev.knative.kafka.event","partitionkey":"t","datacontenttype":"application/json","kafkatopic":"dead_letters","data_base64":"ew=="}`,
		},
		{
			"no event", record(events.TopicFeatures, "t\x00", "\xff", "ce_id", "1"),
			`{"specversion":"1.0","id":"t","source":"/tripcast/replay","type":"dev.tripcast.replay.record.v1","datacontenttype":"application/octet-stream","kafkatopic":"features","data_base64":"/w=="}`,
		},
		{
			"no event and no key", record(events.TopicFeatures, "", "x"),
			`{"specversion":"1.0","id":"-","source":"/tripcast/replay","type":"dev.tripcast.replay.record.v1","datacontenttype":"application/octet-stream","kafkatopic":"features","data_base64":"eA=="}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := encoded(t, &Outcome{Events: []Event{{Topic: test.record.Topic, Event: repeatable(test.record)}}})
			if got != test.want+"\n" {
				t.Errorf("it is\n%swant\n%s", got, test.want)
			}
		})
	}
}

// TestCollector reads what is committed from its start on, with retractions and
// behind the markers of transactions.
func TestCollector(t *testing.T) {
	k := started(t, Outputs()...)
	client, err := k.Client(kgo.TransactionalID("sink"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transact := func(end kgo.TransactionEndTry, records ...*kgo.Record) {
		t.Helper()
		err := client.BeginTransaction()
		if err == nil {
			err = client.ProduceSync(t.Context(), records...).FirstErr()
		}
		if err := errors.Join(err, client.EndTransaction(t.Context(), end)); err != nil {
			t.Fatal(err)
		}
	}
	sunk := func(trip, value string) *kgo.Record {
		r := record(events.TopicFeatures, trip, value, cloudEvent("x", trip)...)
		if value == "" {
			r.Value = nil
		}
		return r
	}
	transact(kgo.TryCommit, sunk("before", "1"))
	c, err := NewCollector(t.Context(), k, Outputs()...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func(want int) {
		t.Helper()
		records, err := c.ReadAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(records) != want {
			t.Errorf("read %d records, want %d", len(records), want)
		}
	}
	read(0)
	transact(kgo.TryCommit, sunk("a", "1"), sunk("b", "1"))
	transact(kgo.TryAbort, sunk("c", "1"))
	transact(kgo.TryCommit, sunk("a", ""))
	read(3)
	read(0)

	reading, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(reading); err != nil {
			t.Error(err)
		}
	})
	c.mu.Lock()
	news := c.changes()
	c.mu.Unlock()
	transact(kgo.TryCommit, sunk("d", "1"))
	<-news
	stop()
	running.Wait()
	read(1) // what Run has read is told once, too

	if o := c.Outcome(); len(o.Events) != 3 || c.Retractions()[events.TopicFeatures] != 1 {
		t.Errorf("the outcome is %v, with retractions %v", o.Events, c.Retractions())
	}
}

// TestHold plays against a system that is behind, and one that never answers.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Collector{counts: map[string]int{}, position: map[partition]int64{}, retractions: map[string]int{}, moved: time.Now()}
		answer := record(events.TopicPredictions, "t", "1", cloudEvent("x", "t")...)
		played := newPlayed()
		play := func(n int) time.Duration {
			began := time.Now()
			played.Records[events.TopicPickUps] += n
			if err := c.Hold(t.Context(), played); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if waited := play(inFlight - 1); waited != 0 {
			t.Errorf("held for %s with room for one more", waited)
		}
		time.AfterFunc(writeOff/2, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.take(answer)
		})
		if waited := play(1); waited != writeOff/2 {
			t.Errorf("held for %s, want it to be until an answer came after %s", waited, writeOff/2)
		}
		if waited := play(1); waited != writeOff {
			t.Errorf("held for %s, want it to be until what never comes is written off after %s", waited, writeOff)
		}
		if waited := play(inFlight - 1); waited != 0 {
			t.Errorf("held for %s after it was written off", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(writeOff/2, cancel)
		played.Records[events.TopicDropOffs] = 3 * inFlight
		c.mu.Lock()
		c.moved = time.Now()
		c.mu.Unlock()
		if err := c.Hold(ctx, played); !errors.Is(err, context.Canceled) {
			t.Errorf("who is stopped says %v", err)
		}
	})
}

// TestQuiet counts from the call on, and again from whatever comes.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Collector{counts: map[string]int{}, position: map[partition]int64{}, moved: time.Now()}
		time.Sleep(time.Hour)
		began := time.Now()
		time.AfterFunc(3*time.Second, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.take(record(events.TopicLabels, "t", "1"))
		})
		if err := c.Quiet(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if passed := time.Since(began); passed != 8*time.Second {
			t.Errorf("it is quiet after %s, want 5 s after what came after 3", passed)
		}
	})
}

func TestDeliveries(t *testing.T) {
	first, second := record(events.TopicFeatures, "a", "1"), record(events.TopicFeatures, "b", "1")
	second.Offset = 1
	synctest.Test(t, func(t *testing.T) {
		var d Deliveries
		d.Ended(second)
		time.AfterFunc(time.Minute, func() { d.Ended(first) })
		began := time.Now()
		for _, r := range []*kgo.Record{second, first} {
			if err := d.await(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if passed := time.Since(began); passed != time.Minute {
			t.Errorf("awaited for %s, want until the last had ended", passed)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.await(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a delivery that has not ended again is %v", err)
		}
	})
}

// TestTurns has functions told of everything at once, and each handle it when it is
// its turn.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Deliveries
		s := Settler{Told: []string{events.TopicFeatures, events.TopicLabels}, Deliveries: &d}
		var came []*kgo.Record
		for i, trip := range []string{"b", "a", "c"} {
			for _, topic := range []string{events.TopicLabels, events.TopicPredictions, events.TopicFeatures} {
				r := record(topic, trip, "1")
				r.Partition, r.Offset = int32(i), 7
				came = append(came, r)
			}
		}
		var handled []string
		for _, r := range came {
			e := feature(string(r.Key), "1")
			e.SetExtension(kafkaPartition, strconv.Itoa(int(r.Partition)))
			e.SetExtension(kafkaOffset, "7")
			go func() {
				if err := d.Turn(t.Context(), r.Topic, e.Event); err == nil {
					handled = append(handled, r.Topic+" "+string(r.Key))
					d.Ended(r)
				}
			}()
		}
		synctest.Wait()
		if len(handled) != 0 {
			t.Errorf("%v were handled before their turn", handled)
		}
		for _, r := range s.inOrder(came) {
			if err := d.await(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"features a", "features b", "features c", "labels a", "labels b", "labels c"}
		if !slices.Equal(handled, want) {
			t.Errorf("handled %v, want %v", handled, want)
		}
		if err := d.Turn(t.Context(), events.TopicLabels, feature("posted by hand", "1").Event); err != nil {
			t.Errorf("an event that nobody delivers waits for its turn: %v", err)
		}
		late := feature("late", "1")
		late.SetExtension(kafkaPartition, "1")
		late.SetExtension(kafkaOffset, "100")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Turn(ctx, events.TopicLabels, late.Event); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an event that has no turn yet is handled: %v", err)
		}
		time.AfterFunc(time.Minute, d.Release)
		if err := d.Turn(t.Context(), events.TopicLabels, late.Event); err != nil {
			t.Errorf("an event is held back when there are no turns any more: %v", err)
		}
	})
}
