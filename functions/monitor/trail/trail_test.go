package trail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// look looks for a trip at any time.
func of(t *testing.T, trail *Trail, trip string) Found {
	t.Helper()
	found, err := trail.Of(t.Context(), trip)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantPlaces(t *testing.T, found Found, complete bool, want ...string) {
	t.Helper()
	if got := places(found.Events); !slices.Equal(got, want) {
		t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if found.Complete != complete {
		t.Errorf("complete is %v, want %v", found.Complete, complete)
	}
}

func TestTripThroughTheFlow(t *testing.T) {
	k := newKafka(t, 3, events.Topics()...)
	// Partitions that no partitioner would choose, and times that are not those
	// of the writing.
	k.write(
		record(events.TopicLabels, 0, 900, "a"),
		record(events.TopicDropOffs, 2, 800, "a"),
		record(events.TopicPickUps, 1, 0, "b"),
		record(events.TopicPickUps, 1, 0, "a"),
		record(events.TopicFeatures, 0, 10, "a"),
		record(events.TopicPredictions, 2, 10, "a"), // in the same millisecond
		record(events.TopicPredictions, 2, 11, "b"),
	)
	trail := k.trail()
	found := of(t, trail, "a")
	wantPlaces(t, found, true, "pick_ups/1/1", "features/0/0", "predictions/2/0", "drop_offs/2/0", "labels/0/0")
	if !slices.Equal(found.Events[0].Attributes, []Attribute{
		{Name: "id", Value: "a"},
		{Name: "source", Value: events.SourcePickUps},
		{Name: "specversion", Value: "1.0"},
		{Name: "type", Value: events.TypePickedUp},
		{Name: "subject", Value: "a"},
		{Name: "time", Value: "2026-03-01T12:00:00Z"},
		{Name: "datacontenttype", Value: "application/json"},
		{Name: "partitionkey", Value: "a"},
	}) {
		t.Errorf("the attributes are %v", found.Events[0].Attributes)
	}
	if e := found.Events[1]; string(e.Data) != `{"trip_id":"a"}` || !e.Timestamp.Equal(at(10)) {
		t.Errorf("the features are %s of %s", e.Data, e.Timestamp)
	}
	wantPlaces(t, of(t, trail, "b"), true, "pick_ups/1/0", "predictions/2/1")
	wantPlaces(t, of(t, trail, "c"), true)
	if _, err := trail.Of(t.Context(), ""); err == nil {
		t.Error("no trip is looked for without an error")
	}
}

func TestDuplicatesAndRetractions(t *testing.T) {
	k := newKafka(t, 2, events.Topics()...)
	retraction := binary(events.TopicFeatures, 0, 5, cloudEvent(events.TopicFeatures, "a", ""))
	k.write(
		record(events.TopicPickUps, 0, 0, "a"),
		record(events.TopicPickUps, 1, 1, "a"),
		record(events.TopicFeatures, 0, 2, "a"),
		retraction,
		&kgo.Record{Topic: events.TopicFeatures, Partition: 0, Timestamp: at(6), Key: []byte("a")}, // without headers
		record(events.TopicDropOffs, 0, 7, "a"),                                                    // the same id, another source
	)
	found := of(t, k.trail(), "a")
	wantPlaces(t, found, true,
		"pick_ups/0/0", "pick_ups/1/0 duplicate",
		"features/0/0", "features/0/1 retraction", "features/0/2 retraction", "drop_offs/0/0")
	if e := found.Events[4]; e.Attributes != nil || e.Data != nil {
		t.Errorf("a bare tombstone has attributes %v and data %q", e.Attributes, e.Data)
	}
	if got := found.Events[3].Get("type"); got != events.TypeFeatures {
		t.Errorf("the retraction's type is %q", got)
	}
}

func TestStructuredAndPlainRecords(t *testing.T) {
	k := newKafka(t, 1, events.Topics()...)
	broken := structured(events.TopicFeatures, 0, 3, cloudEvent(events.TopicFeatures, "a", `{"x":3}`))
	broken.Key, broken.Value = []byte("a"), []byte(`{"specversion":"1.0"`)
	k.write(
		structured(events.TopicPickUps, 0, 0, cloudEvent(events.TopicPickUps, "a", `{"x":1}`, "trace", "t")),
		structured(events.TopicPickUps, 0, 1, cloudEvent(events.TopicPickUps, "b", `{"trip_id":"a"}`)),
		&kgo.Record{Topic: events.TopicLabels, Timestamp: at(2), Key: []byte("a"), Value: []byte("plain"), Headers: []kgo.RecordHeader{
			{Key: "content-type", Value: []byte("text/plain")}, {Key: "traceparent", Value: []byte("00")},
		}},
		broken,
	)
	found := of(t, k.trail(), "a")
	wantPlaces(t, found, true, "pick_ups/0/0", "labels/0/0", "features/0/0")
	first := found.Events[0]
	if got := first.Get("type") + " " + first.Get("trace") + " " + first.Get("datacontenttype"); got != events.TypePickedUp+" t application/json" {
		t.Errorf("the structured event's type, extension and content type are %q", got)
	}
	if string(first.Data) != `{"x":1}` {
		t.Errorf("the structured event's data is %s", first.Data)
	}
	for i, want := range map[int]string{1: "plain", 2: `{"specversion":"1.0"`} {
		if e := found.Events[i]; len(e.Attributes) != 0 || string(e.Data) != want || e.Retraction {
			t.Errorf("a record that is no event has attributes %v and data %q, want none and %q", e.Attributes, e.Data, want)
		}
	}
}

func TestBetweenTwoTimes(t *testing.T) {
	k := newKafka(t, 12, events.Topics()...)
	for p := range int32(12) {
		for i := range 5 {
			k.write(record(events.TopicPickUps, p, 10_000*i, "a"))
		}
	}
	// Written late, by a clock that is behind.
	k.write(record(events.TopicPickUps, 7, 36_000, "a"))
	trail := k.trail()
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     int
	}{
		{"all", time.Time{}, time.Time{}, 61},
		{"since", at(20_000), time.Time{}, 37},
		{"until", time.Time{}, at(20_000), 36},
		{"between", at(10_000), at(20_000), 24},
		{"a moment", at(20_000), at(20_000), 12},
		{"a part of a millisecond later", at(20_000).Add(time.Microsecond), at(20_000).Add(2 * time.Microsecond), 12},
		{"between two", at(10_001), at(19_999), 0},
		{"the late one", at(35_500), at(36_500), 1},
		{"before", at(-5000), at(-1), 0},
		{"after", at(60_000), time.Time{}, 0},
		{"the wrong way round", at(20_000), at(10_000), 0},
		{"until tomorrow", time.Time{}, time.Now().Add(24 * time.Hour), 61},
	} {
		found, err := trail.Of(t.Context(), "a", Stretch{From: c.from, To: c.to})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(found.Events) != c.want || !found.Complete {
			t.Errorf("%s: %d events, complete %v, want %d", c.name, len(found.Events), found.Complete, c.want)
		}
	}
}

func TestStretches(t *testing.T) {
	k := newKafka(t, 1, events.Topics()...)
	for i, topic := range events.Topics() {
		for _, ms := range []int{0, 10_000, 20_000} {
			k.write(record(topic, 0, ms+i, "a"))
		}
	}
	trail := k.trail()
	found, err := trail.Of(
		t.Context(), "a",
		Stretch{From: at(9_000), To: at(11_000), Topics: []string{events.TopicPickUps, events.TopicPredictions}},
		Stretch{From: at(19_000), Topics: []string{events.TopicLabels}},
		Stretch{From: at(9_500), To: at(10_500), Topics: []string{events.TopicPickUps}}, // once more
	)
	if err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, found, true, "pick_ups/0/1", "predictions/0/1", "labels/0/2")
	// One that is too long does not keep the others from being read.
	trail.bounds.events = 2
	found, err = trail.Of(
		t.Context(), "a", Stretch{Topics: []string{events.TopicPickUps}}, Stretch{From: at(19_000), Topics: []string{events.TopicLabels}},
	)
	if err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, found, false, "pick_ups/0/0", "pick_ups/0/1 duplicate", "labels/0/2")
}

// What a transaction wrote that was aborted, or is not over, does not count; nor
// do the offsets that they take keep a look from its end.
func TestTransactions(t *testing.T) {
	k := newKafka(t, 1, events.Topics()...)
	writer := newClient(t, k.cluster, kgo.TransactionalID("sink"))
	transact := func(ms int, end kgo.TransactionEndTry) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(t.Context(), record(events.TopicFeatures, 0, ms, "a")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := writer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	transact(0, kgo.TryAbort)
	transact(1, kgo.TryCommit)
	transact(2, kgo.TryAbort)
	k.write(record(events.TopicFeatures, 0, 3, "a"))
	transact(4, kgo.TryAbort)
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(t.Context(), record(events.TopicFeatures, 0, 5, "a")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	k.write(record(events.TopicFeatures, 0, 6, "a")) // behind the open one
	trail := k.trail()
	wantPlaces(t, of(t, trail, "a"), true, "features/0/2", "features/0/6 duplicate")
	if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, of(t, trail, "a"), true, "features/0/2", "features/0/6 duplicate", "features/0/9 duplicate", "features/0/10 duplicate")
}

func TestTopicsThatAreNot(t *testing.T) {
	k := newKafka(t, 1, events.TopicPickUps)
	k.write(record(events.TopicPickUps, 0, 0, "a"))
	trail := k.trail()
	wantPlaces(t, of(t, trail, "a"), true, "pick_ups/0/0")
	if n, err := trail.CountDeadLetters(t.Context()); n != 0 || err != nil {
		t.Errorf("%d dead letters, %v, in no topic", n, err)
	}
	if k.cluster.TopicInfo(events.TopicFeatures) != nil {
		t.Error("a look has created a topic")
	}
	empty := newKafka(t, 1)
	wantPlaces(t, of(t, empty.trail(), "a"), true)
	if letters, n, err := empty.trail().DeadLetters(t.Context(), 10); len(letters) != 0 || n != 0 || err != nil {
		t.Errorf("%d of %d dead letters, %v, in no topic", len(letters), n, err)
	}
}

func TestBudgets(t *testing.T) {
	k := newKafka(t, 2, events.Topics()...)
	k.write(record(events.TopicPickUps, 0, 0, "a"))
	k.write(many(events.TopicPickUps, 2, 300, 10_000)...)
	k.write(record(events.TopicPickUps, 1, 1000, "a"), record(events.TopicPickUps, 1, 1001, "a"))
	for _, c := range []struct {
		name     string
		change   func(*Trail)
		events   int
		complete bool
	}{
		{"enough", func(*Trail) {}, 3, true},
		{"bytes", func(t *Trail) { t.bounds.bytes = 1 << 20 }, 1, false},
		{"events", func(t *Trail) { t.bounds.events = 2 }, 2, false},
		{"time", func(t *Trail) {
			t.bounds.time = 3 * time.Second
			k.leaveAfter(1)
		}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := of(t, k.trail(c.change), "a")
			if len(found.Events) != c.events || found.Complete != c.complete {
				t.Errorf("%d events, complete %v, want %d, %v", len(found.Events), found.Complete, c.events, c.complete)
			}
		})
	}
}

// All partitions get on together: what is near the start of a stretch is read
// before the budget is used up, wherever it lies.
func TestBudgetIsShared(t *testing.T) {
	k := newKafka(t, 16, events.TopicPickUps)
	for batch := range slices.Chunk(many(events.TopicPickUps, 16, 16*20, 50_000), 16) {
		k.write(batch...) // one in each partition
	}
	trail := k.trail()
	spans, _, err := trail.spans(t.Context(), time.Time{}, time.Time{}, events.TopicPickUps)
	if err != nil {
		t.Fatal(err)
	}
	read := make(map[int32]int)
	left := int64(10 << 20)
	all, err := trail.read(t.Context(), spans, &left, func(r *kgo.Record) bool {
		read[r.Partition]++
		return true
	})
	if all || err != nil || len(read) != 16 {
		t.Errorf("read %v of the partitions, all %v, %v", read, all, err)
	}
}

// A record that is larger than what is asked for at once holds nobody up.
func TestHugeRecords(t *testing.T) {
	k := newKafka(t, 3, events.Topics()...)
	big := newClient(t, k.cluster, kgo.ProducerBatchMaxBytes(16<<20))
	huge := strings.Repeat("h", 6<<20)
	for i, topic := range []string{events.TopicPickUps, events.TopicFeatures, events.TopicPredictions} {
		r := binary(topic, int32(i), i, cloudEvent(topic, "a", `"`+huge+`"`))
		if err := big.ProduceSync(t.Context(), r, record(topic, int32(i), 10+i, "a")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	found := of(t, k.trail(), "a")
	wantPlaces(t, found, true, "pick_ups/0/0", "features/1/0", "predictions/2/0", "pick_ups/0/1 duplicate", "features/1/1 duplicate", "predictions/2/1 duplicate")
	if n := len(found.Events[0].Data); n != len(huge)+2 {
		t.Errorf("the huge record has %d bytes, want %d", n, len(huge)+2)
	}
}

// A batch that unpacks to much is counted by what it unpacks to.
func TestBudgetCountsWhatIsUnpacked(t *testing.T) {
	k := newKafka(t, 1, events.Topics()...)
	packing := newClient(t, k.cluster, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	for i := range 10 {
		r := binary(events.TopicPickUps, 0, i, cloudEvent(events.TopicPickUps, "b", `"`+strings.Repeat("0", 900_000)+`"`))
		if err := packing.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := packing.ProduceSync(t.Context(), record(events.TopicLabels, 0, 20, "a")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	trail := k.trail(func(t *Trail) { t.bounds.bytes = 1 << 20 })
	left := int64(1 << 20)
	spans, _, err := trail.spans(t.Context(), time.Time{}, time.Time{}, events.TopicPickUps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trail.read(t.Context(), spans, &left, func(*kgo.Record) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if left > 0 {
		t.Errorf("%d bytes are left after 9 MB", left)
	}
}

func TestPartitionsMoveAndAreDeleted(t *testing.T) {
	k := newCluster(t, 3, 4, events.Topics()...)
	for p := range int32(4) {
		k.write(record(events.TopicPickUps, p, 0, "a"), record(events.TopicPickUps, p, 1, "a"))
	}
	trail := k.trail()
	spans, all, err := trail.spans(t.Context(), time.Time{}, time.Time{}, events.TopicPickUps)
	if err != nil || !all || len(spans) != 4 {
		t.Fatalf("%d spans, all %v, %v", len(spans), all, err)
	}
	// Between the offsets and the reading, one partition gets another leader and
	// another one loses what it had.
	leader := k.cluster.LeaderFor(events.TopicPickUps, 1)
	if err := k.cluster.MoveTopicPartition(events.TopicPickUps, 1, (leader+1)%3); err != nil {
		t.Fatal(err)
	}
	if err := k.cluster.DeleteRecords(events.TopicPickUps, 2, 1); err != nil {
		t.Fatal(err)
	}
	left := int64(maxBytes)
	var found []string
	all, err = trail.read(t.Context(), spans, &left, func(r *kgo.Record) bool {
		found = append(found, fmt.Sprintf("%d/%d", r.Partition, r.Offset))
		return true
	})
	slices.Sort(found)
	if want := []string{"0/0", "0/1", "1/0", "1/1", "2/1", "3/0", "3/1"}; !slices.Equal(found, want) || !all || err != nil {
		t.Errorf("read %v, all %v, %v, want %v", found, all, err, want)
	}
	if err := k.cluster.DeleteTopic(events.TopicPickUps); err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		s.next = 0
	}
	if _, err = trail.read(t.Context(), spans, &left, func(*kgo.Record) bool { return true }); err != nil {
		t.Errorf("reading a topic that is deleted: %v", err)
	}
}

func TestBrokerAwayAndBack(t *testing.T) {
	address := freeAddress(t)
	log, logger := newLines()
	trail := open(t, Config{Brokers: []string{address}, Log: logger})
	for range 3 {
		_, err := trail.Of(t.Context(), "a")
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("the error is %v, want ErrUnavailable", err)
		}
		if want := "events cannot be read from Kafka: nobody listens at " + address + ": connect: connection refused"; err.Error() != want {
			t.Errorf("the error is %q, want %q", err, want)
		}
		if _, _, err := trail.DeadLetters(t.Context(), 5); !errors.Is(err, ErrUnavailable) {
			t.Errorf("the error is %v, want ErrUnavailable", err)
		}
		if _, err := trail.CountDeadLetters(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("the error is %v, want ErrUnavailable", err)
		}
	}
	_, port, _ := strings.Cut(address, ":")
	for range 2 { // the second one comes after an end of the first
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(atoi(t, port)), kfake.SeedTopics(1, events.Topics()...))
		if err != nil {
			t.Fatal(err)
		}
		k := &kafka{tb: t, cluster: cluster, client: newClient(t, cluster)}
		k.write(record(events.TopicPickUps, 0, 0, "a"))
		wantPlaces(t, of(t, trail, "a"), true, "pick_ups/0/0")
		k.client.Close()
		cluster.Close()
		if _, err := trail.Of(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("the error is %v, want ErrUnavailable", err)
		}
	}
	var levels []string
	for _, line := range log.all() {
		level, _, _ := strings.Cut(line, " ")
		levels = append(levels, level)
	}
	if got := strings.Join(levels, " "); got != "level=WARN level=INFO level=WARN level=INFO level=WARN" {
		t.Errorf("the log has %s, want a line for each change", got)
	}
}

// A broker that takes connections and says nothing is away, too, within the time.
func TestBrokerThatIsSilent(t *testing.T) {
	patient := []kgo.Opt{kgo.RequestTimeoutOverhead(10 * time.Minute)} // it is not the client that gives up
	trail := open(t, Config{Brokers: []string{silent(t)}, Options: patient}, func(t *Trail) { t.bounds.time = 300 * time.Millisecond })
	_, err := trail.Of(t.Context(), "a")
	if want := "events cannot be read from Kafka: no answer within 300ms"; !errors.Is(err, ErrUnavailable) || err.Error() != want {
		t.Errorf("the error is %v, want %q", err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := trail.CountDeadLetters(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("the error is %v, want that of the context", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a trail without brokers")
	}
	if _, err := New(Config{Brokers: []string{"x:1"}, Options: []kgo.Opt{kgo.ClientID(""), kgo.SeedBrokers()}}); err == nil {
		t.Error("a trail with a client that cannot be")
	}
}
