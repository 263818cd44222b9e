package stream

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (k *kafka) reader(log *logged, topics ...string) *reader {
	k.t.Helper()
	return k.readerWith(log, nil, topics...)
}

func (k *kafka) readerWith(log *logged, options []kgo.Opt, topics ...string) *reader {
	k.t.Helper()
	sources := map[string]*source{}
	for _, topic := range topics {
		s := &source{name: topic + "_raw", topic: topic}
		s.add("data", kindJSON, "data")
		s.add("key", kindText, "key")
		sources[s.name] = s
	}
	r, err := newReader([]string{k.addr}, options, sources, log.logger())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(r.client.Close)
	if _, err := r.assign(k.ctx); err != nil {
		k.t.Fatal(err)
	}
	return r
}

// until ticks until enough is true, and returns the keys of every tick by topic.
func (r *reader) until(k *kafka, enough func(taken int) bool) []map[string][]string {
	k.t.Helper()
	var ticks []map[string][]string
	for taken := 0; !enough(taken); {
		in, err := r.next(k.ctx, 20*time.Millisecond)
		if err != nil {
			k.t.Fatalf("after %d records: %v", taken, err)
		}
		tick := map[string][]string{}
		for _, s := range r.sources {
			values := make([]value, len(s.columns))
			for _, row := range in[s.name] {
				decodeRow(row.data, s.columns, values)
				tick[s.topic] = append(tick[s.topic], values[1].text)
				taken++
			}
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

func all(ticks []map[string][]string, topic string) []string {
	var keys []string
	for _, tick := range ticks {
		keys = append(keys, tick[topic]...)
	}
	return keys
}

// What was acknowledged before a record was produced is in the same tick or in
// an earlier one, whatever the partitions.
func TestTicksAreConsistent(t *testing.T) {
	k := startKafka(t, "d", "p")
	const producers, trips = 3, 200
	// The large d come in many fetches, the small p in few, and ahead of them.
	large := []byte(`"` + strings.Repeat("d", 15_000) + `"`)
	var producing sync.WaitGroup
	for producer := range producers {
		client := k.connect()
		producing.Go(func() {
			for trip := range trips {
				key := fmt.Appendf(nil, "%d/%d", producer, trip)
				for _, topic := range []string{"d", "p"} {
					value := large
					if topic == "p" {
						value = []byte("{}")
					}
					if err := client.ProduceSync(k.ctx, &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr(); err != nil {
						t.Errorf("producing: %v", err)
						return
					}
				}
			}
		})
	}
	// Half of it is a backlog, half comes while it is read. Which partitions a
	// fetch begins with is chance: more readers see more of it.
	k.read("p", producers*trips/2)
	for range 4 {
		r := k.readerWith(&logged{}, []kgo.Opt{kgo.FetchMaxBytes(64 << 10)}, "d", "p")
		ticks := r.until(k, func(taken int) bool { return taken == 2*producers*trips })
		wantCauses(t, ticks)
		r.until(k, func(int) bool { return r.caughtUp() })
		if r.queued() {
			t.Error("records are left in the queues")
		}
	}
	producing.Wait()
}

// wantCauses wants the d of every p in the same tick or in an earlier one.
func wantCauses(t *testing.T, ticks []map[string][]string) {
	t.Helper()
	seen := map[string]bool{}
	for n, tick := range ticks {
		for _, key := range tick["d"] {
			seen[key] = true
		}
		for _, key := range tick["p"] {
			if !seen[key] {
				t.Fatalf("tick %d of %d has p of %s, and its d comes later", n, len(ticks), key)
			}
		}
	}
}

func TestAbortedRecordsAreNotRead(t *testing.T) {
	k := startKafka(t, "a")
	transactions := k.connect(kgo.TransactionalID("test"))
	transact := func(key string, end kgo.TransactionEndTry) {
		t.Helper()
		if err := transactions.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := transactions.ProduceSync(k.ctx, &kgo.Record{Topic: "a", Key: []byte(key), Value: []byte("{}")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := transactions.EndTransaction(k.ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		transact(fmt.Sprint("aborted ", n), kgo.TryAbort)
		transact(fmt.Sprint("committed ", n), kgo.TryCommit)
	}
	transact("aborted at the end", kgo.TryAbort)
	r := k.reader(&logged{}, "a")
	keys := all(r.until(k, func(taken int) bool { return taken >= 10 && r.caughtUp() }), "a")
	if len(keys) != 10 || strings.Contains(strings.Join(keys, " "), "aborted") {
		t.Errorf("read %q", keys)
	}
}

func TestATopicThatAppearsLater(t *testing.T) {
	k := startKafka(t, "a")
	r := k.reader(&logged{}, "a", "late")
	if len(r.missing) != 1 || r.caughtUp() {
		t.Fatalf("missing %v, caught up %t", r.missing, r.caughtUp())
	}
	k.produce("a", "first", "{}")
	r.until(k, func(taken int) bool { return taken == 1 })
	k.create("late")
	k.produce("late", "second", "{}")
	for len(r.missing) > 0 { // clients remember for a moment what is not there
		if _, err := r.assign(k.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if keys := all(r.until(k, func(taken int) bool { return taken == 1 }), "late"); len(keys) != 1 {
		t.Errorf("read %q", keys)
	}
}

func TestRecordsThatAreNoJSON(t *testing.T) {
	k := startKafka(t, "a")
	k.produce("a", "same", "{}")
	k.produce("a", "same", "{no json")
	k.produce("a", "same", "\"\xff\"")
	k.produce("a", "same", "[]")
	log := &logged{}
	r := k.reader(log, "a")
	keys := all(r.until(k, func(taken int) bool { return taken >= 2 && r.caughtUp() }), "a")
	if len(keys) != 2 {
		t.Errorf("read %q", keys)
	}
	if n := strings.Count(log.String(), "a record does not decode and is left out"); n != 2 || !strings.Contains(log.String(), "topic a, partition ") {
		t.Errorf("%d records were reported:\n%s", n, log)
	}
}

// A producer with a clock that is wrong holds nobody up.
func TestClocksThatAreWrong(t *testing.T) {
	k := startKafka(t, "a", "b")
	now := time.Now()
	for _, at := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0, 20 * time.Minute} {
		k.produceRecords(
			&kgo.Record{Topic: "a", Key: []byte(at.String()), Value: []byte("{}"), Timestamp: now.Add(at)},
			&kgo.Record{Topic: "b", Key: []byte("b"), Value: []byte("{}")},
		)
	}
	r := k.reader(&logged{}, "a", "b")
	ticks := r.until(k, func(taken int) bool { return taken == 8 })
	if keys := all(ticks, "a"); len(keys) != 4 {
		t.Errorf("read %q", keys)
	}
}

// A partition whose records have all been deleted begins where it ends.
func TestPartitionsThatAreEmptied(t *testing.T) {
	k := startKafka(t, "a", "b")
	k.produce("a", "gone", "{}")
	k.produce("b", "there", "{}")
	ends, err := k.admin.ListEndOffsets(k.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := k.admin.DeleteRecords(k.ctx, ends.Offsets())
	if err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	r := k.reader(&logged{}, "a", "b")
	if keys := all(r.until(k, func(taken int) bool { return taken == 1 }), "b"); len(keys) != 1 {
		t.Errorf("read %q", keys)
	}
	if !r.caughtUp() {
		t.Error("an emptied partition is never caught up with")
	}
}

// Until everything that was there at the start has been in a tick, the reader
// has not caught up, even if it has nothing to give at a moment.
func TestCaughtUp(t *testing.T) {
	k := startKafka(t, "a")
	for n := range 5 {
		k.produce("a", fmt.Sprint(n), "{}")
	}
	r := k.reader(&logged{}, "a")
	if r.caughtUp() {
		t.Error("nothing has been read")
	}
	r.until(k, func(taken int) bool {
		if taken < 5 && r.caughtUp() {
			t.Errorf("caught up after %d of 5", taken)
		}
		return taken == 5
	})
	if !r.caughtUp() {
		t.Error("everything has been read")
	}
	k.produce("a", "news", "{}")
	if !r.caughtUp() {
		t.Error("news are no history")
	}
}

func TestOneSourceForEachTopic(t *testing.T) {
	_, err := newReader([]string{"127.0.0.1:1"}, nil, map[string]*source{"x": {name: "x", topic: "t"}, "y": {name: "y", topic: "t"}}, (&logged{}).logger())
	if err == nil || !strings.Contains(err.Error(), "topic t is already read by source") {
		t.Error(err)
	}
}

func TestTakeInOrderOfTime(t *testing.T) {
	s := &source{name: "s", topic: "t"}
	r := &reader{queues: map[topicPartition]*queue{
		{"t", 0}: {source: s, records: []queued{{at: 1, row: row{"a", ""}}, {at: 4, row: row{"d", ""}}, {at: 2, row: row{"e", ""}}, {at: 9, row: row{"h", ""}}}},
		{"t", 1}: {source: s, records: []queued{{at: 3, row: row{"c", ""}}, {at: 5, row: row{"g", ""}}}},
		{"t", 2}: {source: s, records: []queued{{at: 1, row: row{"b", ""}}}},
	}}
	order := func(cut int64) string {
		var names strings.Builder
		for _, row := range r.take(cut)["s"] {
			names.WriteString(row.partition)
		}
		return names.String()
	}
	// A record never overtakes one that stands before it in its partition.
	for _, step := range []struct {
		cut  int64
		want string
	}{{0, ""}, {3, "ab"}, {5, "ecd"}, {5, ""}, {100, "gh"}} {
		if got := order(step.cut); got != step.want {
			t.Errorf("before %d: %q, want %q", step.cut, got, step.want)
		}
	}
}
