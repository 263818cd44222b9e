package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
)

// eight is when the recordings of these tests begin, by either clock.
var eight = time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC)

// pickUp is a recorded pick-up: it happened so long after eight and arrived so
// long after it.
func pickUp(t *testing.T, trip string, happened, arrived time.Duration) recordings.Record {
	t.Helper()
	return recorded(t, events.TopicPickUps, arrived, &events.PickUp{
		TripID: trip, PickedUpAt: eight.Add(happened), PassengerCount: 1,
		PickupLongitude: -73.9, PickupLatitude: 40.7, DropoffLongitude: -73.8, DropoffLatitude: 40.8,
	})
}

func dropOff(t *testing.T, trip string, happened, arrived time.Duration) recordings.Record {
	t.Helper()
	return recorded(t, events.TopicDropOffs, arrived, &events.DropOff{TripID: trip, DroppedOffAt: eight.Add(happened)})
}

func recorded(t *testing.T, topic string, arrived time.Duration, payload events.Payload) recordings.Record {
	t.Helper()
	e, err := events.Encode(payload)
	if err != nil {
		t.Fatal(err)
	}
	record, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return recordings.Record{Topic: topic, At: eight.Add(arrived), Record: record}
}

// playing is a recording that ends with an error, if there is one.
func playing(records []recordings.Record, err error) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(recordings.Record{}, err)
		}
	}
}

// started is a Kafka with these topics.
func started(t *testing.T, topics ...string) kafka.Connection {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	k := kafka.Connection{Brokers: []string{b.Addr()}}
	client, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(t.Context(), 3, -1, nil, topics...)
	if err := errors.Join(err, created.Error()); err != nil {
		t.Fatal(err)
	}
	return k
}

// held are the records of a topic, by partition, then by offset.
func held(t *testing.T, k kafka.Connection, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := k.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("reading %d records of %s, after %d: %v", n, topic, len(all), err)
		}
		all = append(all, fetches.Records()...)
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return all
}

// TestIntoKafka plays records of every kind and finds them as they were recorded.
func TestIntoKafka(t *testing.T) {
	k := started(t, events.TopicPickUps, events.TopicDropOffs)
	var records []recordings.Record
	for n := range 20 {
		records = append(records, pickUp(t, fmt.Sprintf("trip-%d", n%10), 0, 0))
	}
	odd := pickUp(t, "odd", 0, 0)
	odd.Headers = append(odd.Headers, events.Header{Key: "traceparent", Value: []byte("\xff")}, events.Header{Key: "empty"})
	keyless := pickUp(t, "keyless", 0, 0)
	keyless.Key, keyless.Partition = nil, 2
	far := pickUp(t, "far", 0, 0)
	far.Key, far.Partition = nil, 7
	records = append(records, odd, keyless, far, recordings.Record{Topic: events.TopicPickUps, Record: events.Record{Key: []byte("odd")}})
	total := len(records)
	records = append(records, dropOff(t, "trip-1", 0, 0), recordings.Record{Topic: events.TopicFeatures})

	before := time.Now().Truncate(time.Millisecond)
	played, err := Play{Topics: []string{events.TopicPickUps}}.Into(t.Context(), k, playing(records, nil))
	if err != nil {
		t.Fatal(err)
	}
	if played.Records[events.TopicPickUps] != total || played.LeftOut != 2 || len(played.Trips) != 13 {
		t.Errorf("played %+v, want %d pick-ups of 13 trips, and 2 records left out", played, total)
	}
	of := map[string][]recordings.Record{}
	for _, r := range records[:total] {
		of[string(r.Key)] = append(of[string(r.Key)], r)
	}
	where := map[string]int32{}
	for _, got := range held(t, k, events.TopicPickUps, total) {
		key := string(got.Key)
		if at, ok := where[key]; ok && at != got.Partition && key != "" {
			t.Errorf("%s is in partitions %d and %d", key, at, got.Partition)
		}
		where[key] = got.Partition
		i := slices.IndexFunc(of[key], func(r recordings.Record) bool {
			return bytes.Equal(r.Value, got.Value) && len(r.Headers) == len(got.Headers)
		})
		if i < 0 {
			t.Errorf("%q of %s is not what was recorded next", got.Value, key)
			continue
		}
		want := of[key][i]
		of[key] = slices.Delete(of[key], i, i+1)
		for i, h := range got.Headers {
			if h.Key != want.Headers[i].Key || !bytes.Equal(h.Value, want.Headers[i].Value) {
				t.Errorf("header %s of %s is %q, was %s: %q", h.Key, key, h.Value, want.Headers[i].Key, want.Headers[i].Value)
			}
		}
		if got.Timestamp.Before(before) {
			t.Errorf("%s has a timestamp of %s, before it was played", key, got.Timestamp)
		}
		if key == "" && got.Partition != want.Partition%3 {
			t.Errorf("a record without a key is in partition %d, was in %d", got.Partition, want.Partition)
		}
	}
	// Who produces as simulate does finds the trip in the same partition.
	client, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := range 10 {
		key := fmt.Sprintf("trip-%d", n)
		r, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: events.TopicDropOffs, Key: []byte(key)}).First()
		if err != nil {
			t.Fatal(err)
		}
		if r.Partition != where[key] {
			t.Errorf("%s is in partition %d of one topic and %d of the other", key, where[key], r.Partition)
		}
	}
}

// TestWhatIsPlayed cuts recordings by both clocks.
func TestWhatIsPlayed(t *testing.T) {
	noEvent := recordings.Record{Topic: events.TopicPickUps, At: eight.Add(3 * time.Hour), Record: events.Record{Key: []byte("none"), Value: []byte("{")}}
	records := []recordings.Record{
		pickUp(t, "a", 0, 0),
		pickUp(t, "b", 2*time.Minute, time.Hour), // overtaken by the next
		pickUp(t, "c", 1*time.Minute, 2*time.Hour),
		noEvent,
		dropOff(t, "a", 5*time.Minute, 4*time.Hour),
	}
	for _, test := range []struct {
		name string
		play Play
		want string
	}{
		{"all", Play{}, "a b c none a"},
		{"topic", Play{Topics: []string{events.TopicDropOffs}}, "a"},
		{"from, by arrival", Play{From: eight.Add(time.Hour)}, "b c none a"},
		{"to, by arrival", Play{To: eight.Add(3 * time.Hour)}, "a b c"},
		{"between, by arrival", Play{From: eight.Add(time.Minute), To: eight.Add(90 * time.Minute)}, "b"},
		{"from, by event", Play{Clock: EventTime, From: eight.Add(2 * time.Minute)}, "b a"},
		{"to, by event", Play{Clock: EventTime, To: eight.Add(2 * time.Minute)}, "a c none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			played := newPlayed()
			var got []string
			for m, err := range test.play.moments(playing(records, nil), played) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(m.Key))
			}
			if strings.Join(got, " ") != test.want || played.LeftOut != len(records)-len(got) {
				t.Errorf("played %v and left out %d, want %s", got, played.LeftOut, test.want)
			}
		})
	}
}

// TestPace lets records be due by a clock of the test's own.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		speed float64
		at    []time.Duration // since the first record
		due   []time.Duration // since the start
	}{
		{1, []time.Duration{0, time.Second, 3 * time.Second}, []time.Duration{0, time.Second, 3 * time.Second}},
		{60, []time.Duration{0, time.Minute, time.Hour}, []time.Duration{0, time.Second, time.Minute}},
		{0.5, []time.Duration{0, time.Second}, []time.Duration{0, 2 * time.Second}},
		{1, []time.Duration{0, time.Minute, 30 * time.Second, 61 * time.Second}, []time.Duration{0, time.Minute, time.Minute, 61 * time.Second}},
		{0, []time.Duration{0, time.Hour}, []time.Duration{0, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			started, p := time.Now(), pace{speed: test.speed}
			for i, at := range test.at {
				if err := p.wait(t.Context(), eight.Add(at)); err != nil {
					t.Fatal(err)
				}
				if passed := time.Since(started); passed != test.due[i] {
					t.Errorf("at speed %g, record %d of %v is played after %s, want %s", test.speed, i, test.at, passed, test.due[i])
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := pace{speed: 1}
		if err := p.wait(ctx, eight); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, cancel)
		if err := p.wait(ctx, eight.Add(time.Hour)); !errors.Is(err, context.Canceled) {
			t.Errorf("who is stopped says %v", err)
		}
	})
}

// TestSkew holds that what is on its way is never further apart than the views
// allow, in whatever order events come.
func TestSkew(t *testing.T) {
	k := started(t, events.TopicPickUps)
	p, err := newProducer(k)
	if err != nil {
		t.Fatal(err)
	}
	defer p.client.Close()
	minutes := []int{0, 1, 3, 4, 5, 2, 60, 61, 0, 1, 2, 3, 4}
	for i, minute := range minutes {
		if err := p.produce(t.Context(), momentOf(pickUp(t, fmt.Sprint(i), time.Duration(minute)*time.Minute, 0))); err != nil {
			t.Fatal(err)
		}
		if apart := p.last.Sub(p.first); apart >= maxSkew {
			t.Errorf("after minute %d, events on their way are %s apart", minute, apart)
		}
		if p.inFlight > i+1 || p.inFlight == 0 {
			t.Errorf("%d records are said to be on their way, after %d", p.inFlight, i+1)
		}
	}
	if p.inFlight != 1 { // the last one is four minutes after one before
		t.Errorf("%d records are on their way, want the last one alone", p.inFlight)
	}
	if err := p.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	held(t, k, events.TopicPickUps, len(minutes))
}

// TestPlayEndsWithAnError: what came before it is in the topic and counted.
func TestPlayEndsWithAnError(t *testing.T) {
	k := started(t, events.TopicPickUps)
	broken := &recordings.Error{Name: "x.jsonl", Line: 3, Err: io.ErrUnexpectedEOF}
	played, err := Play{}.Into(t.Context(), k, playing([]recordings.Record{pickUp(t, "a", 0, 0), pickUp(t, "b", 0, 0)}, broken))
	if !errors.Is(err, broken) || played.Total() != 2 {
		t.Errorf("played %+v, and the error is %v", played, err)
	}
	held(t, k, events.TopicPickUps, 2)

	played, err = Play{}.Into(t.Context(), k, playing([]recordings.Record{pickUp(t, "c", 0, 0), {Topic: "nowhere", Offset: 7}}, nil))
	if err == nil || !strings.Contains(err.Error(), "nowhere") || !strings.Contains(err.Error(), "offset 7") {
		t.Errorf("played %+v, and the error is %v: want it to name the topic that is not there", played, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	stopping := Play{Speed: 1, Settle: func(context.Context) error { cancel(); return nil }}
	played, err = stopping.Into(ctx, k, playing([]recordings.Record{pickUp(t, "d", 0, 0), pickUp(t, "e", 0, 0)}, nil))
	if !errors.Is(err, context.Canceled) || played.Total() != 1 {
		t.Errorf("stopped, it has played %+v, and the error is %v", played, err)
	}
}

// TestSettleAfterEach holds that a record is played when the one before has been
// settled, and not earlier.
func TestSettleAfterEach(t *testing.T) {
	k := started(t, events.TopicPickUps)
	client, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var ends []int64
	play := Play{Speed: 1, Settle: func(ctx context.Context) error {
		listed, err := kadm.NewClient(client).ListEndOffsets(ctx, events.TopicPickUps)
		sum := int64(0)
		listed.Each(func(o kadm.ListedOffset) { sum += o.Offset })
		ends = append(ends, sum)
		return err
	}}
	// An hour apart: step by step it is not waited for.
	records := []recordings.Record{pickUp(t, "a", 0, 0), pickUp(t, "b", 0, time.Hour), pickUp(t, "c", 0, 2*time.Hour)}
	if _, err := play.Into(t.Context(), k, playing(records, nil)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ends, []int64{1, 2, 3}) {
		t.Errorf("in the topic are %v records each time, want one more", ends)
	}
	failing := errors.New("it fails")
	play.Settle = func(context.Context) error { return failing }
	if played, err := play.Into(t.Context(), k, playing(records, nil)); !errors.Is(err, failing) || played.Total() != 1 {
		t.Errorf("played %+v, and the error is %v", played, err)
	}
}
