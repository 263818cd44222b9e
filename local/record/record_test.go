package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
)

// TestOrder holds the order in which records become one stream.
func TestOrder(t *testing.T) {
	const picks, drops = events.TopicPickUps, events.TopicDropOffs
	for _, tt := range []struct {
		name    string
		records []*kgo.Record
		want    string
	}{
		{"arrival", []*kgo.Record{trip(drops, 0, "a", 3, 1), trip(picks, 1, "b", 2, 2), trip(picks, 0, "c", 1, 3)}, "c b a"},
		{"event time", []*kgo.Record{trip(picks, 0, "a", 1, 3), trip(drops, 1, "b", 1, 1), trip(picks, 2, "c", 1, 2)}, "b c a"},
		{"topic", []*kgo.Record{trip(drops, 0, "a", 1, 1), trip(picks, 1, "b", 1, 1)}, "b a"},
		{"topics of others come last", []*kgo.Record{trip("a", 0, "a", 1, 1), trip(drops, 1, "b", 1, 1)}, "b a"},
		{"partition", []*kgo.Record{trip(picks, 2, "a", 1, 1), trip(picks, 0, "b", 1, 1), trip(picks, 1, "c", 1, 1)}, "b c a"},
		{"a partition keeps its order", []*kgo.Record{trip(picks, 0, "a", 5, 5), trip(picks, 0, "b", 1, 1), trip(picks, 1, "c", 2, 1), trip(picks, 1, "d", 7, 1)}, "c a b d"},
		{"no event has no time", []*kgo.Record{trip(drops, 0, "a", 1, 1), trip(picks, 0, "b", 1, -1), trip(picks, 1, "c", 2, 5), trip(drops, 1, "d", 2, -1)}, "b a c d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, picks, drops, "a")
			c.produce(tt.records...)
			name := file(t)
			s := c.recorded(name, Options{Topics: []string{"a", drops, picks, drops}})
			all := read(t, name)
			if got := ids(all); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			last := slices.MaxFunc(all, func(a, b recordings.Record) int { return a.At.Compare(b.At) })
			if n := s.Records[picks] + s.Records[drops] + s.Records["a"]; int(n) != len(all) || !s.First.After(morning) || !s.Last.Equal(last.At) || s.Full {
				t.Errorf("the summary is %+v", s)
			}
		})
	}
}

var trips = []string{events.TopicPickUps, events.TopicDropOffs}

// Transactions that came to nothing are left out, and the same topics give the
// same bytes.
func TestRecord(t *testing.T) {
	c := start(t, trips...)
	want := c.history(600, trips...)
	first := file(t)
	s := c.recorded(first, Options{Topics: trips})
	wantRecords(t, first, want)
	if s.Records[trips[0]] != int64(len(want)/2) || s.Records[trips[1]] != int64(len(want)/2) || len(s.Lost) != 0 {
		t.Errorf("the summary is %+v", s)
	}
	second := file(t)
	c.recorded(second, Options{Topics: trips})
	if a, b := contents(t, first), contents(t, second); !bytes.Equal(a, b) {
		t.Errorf("recorded twice, there are %d and %d bytes, and not the same", len(a), len(b))
	}

	nothing := c.resumed(first, Options{Topics: trips})
	if !bytes.Equal(contents(t, first), contents(t, second)) || len(nothing.Records) != 0 || !nothing.First.IsZero() {
		t.Errorf("nothing has come, and something was recorded: %+v", nothing)
	}
}

func contents(t *testing.T, name string) []byte {
	t.Helper()
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Without Follow, what arrives meanwhile is left to the next recording.
func TestEnd(t *testing.T) {
	c := start(t, trips...)
	want := c.history(60, trips...)
	more := sync.OnceFunc(func() { want = append(want, c.history(60, trips...)...) })
	name := file(t)
	before := slices.Clone(want)
	c.recorded(name, Options{Topics: trips, Progress: func(Summary) { more() }})
	wantRecords(t, name, before)
	c.resumed(name, Options{Topics: trips})
	wantRecords(t, name, want)
}

// A recording that is killed, at whatever state of its file, is gone on with as
// if it had never ended.
func TestKilled(t *testing.T) {
	c := start(t, trips...)
	want := c.history(300, trips...)
	whole := file(t)
	c.recorded(whole, Options{Topics: trips})
	file := contents(t, whole)
	dir := t.TempDir()
	for n := 0; n < len(file); n += 1 + len(file)/23 {
		name := filepath.Join(dir, fmt.Sprintf("%d.jsonl.gz", n))
		if err := os.WriteFile(name, file[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		c.resumed(name, Options{Topics: trips})
		wantRecords(t, name, want)
	}
}

// A full recording is no error, and can be gone on with where there is more room.
func TestFull(t *testing.T) {
	c := start(t, trips...)
	want := c.history(900, trips...)
	name := file(t)
	const bound = 6000
	w, err := recordings.Create(name, recordings.WriterOptions{MaxBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	s := c.record(w, Options{Topics: trips})
	n := int(s.Records[trips[0]] + s.Records[trips[1]])
	if size := len(contents(t, name)); !s.Full || size > bound || n == 0 || n >= len(want) {
		t.Fatalf("%d of %d records in %d bytes, the summary is %+v", n, len(want), size, s)
	}
	wantRecords(t, name, want[:n])
	if s := c.resumed(name, Options{Topics: trips}); s.Full || int(s.Records[trips[0]]+s.Records[trips[1]]) != len(want)-n {
		t.Errorf("the rest is %+v", s)
	}
	wantRecords(t, name, want)
}

// A partition that is far ahead of the others waits: what is in memory is bounded.
func TestBoundedMemory(t *testing.T) {
	c := start(t, "ahead", "behind")
	const records = 70
	large := noise(200_000)
	for i := range records {
		early, late := trip("behind", 0, fmt.Sprint("b", i), i, 1), trip("ahead", 0, fmt.Sprint("a", i), 10_000+i, 1)
		early.Value, late.Value = large, large
		c.produce(early, late)
	}
	name := file(t)
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	most := 0
	r := newRecorder(Options{Topics: []string{"ahead", "behind"}}, w)
	r.Progress = func(Summary) {
		for _, p := range r.order {
			most = max(most, p.bytes)
		}
	}
	if err := r.connect(t.Context(), c.Connection); err != nil {
		t.Fatal(err)
	}
	defer r.client.Close()
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.summary.Records["ahead"] != records || r.summary.Records["behind"] != records {
		t.Fatalf("the summary is %+v", r.summary)
	}
	// A fetch was read when it had to wait.
	if bound := queueBytes + fetchBytes; most > bound || most < queueBytes {
		t.Errorf("a partition has had %d bytes in memory, the bound is %d", most, bound)
	}
}

func TestRefuses(t *testing.T) {
	c := start(t, trips...)
	w, err := recordings.Create(file(t), recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for says, o := range map[string]Options{
		"no topic is given":       {},
		"lost_trips, other_trips": {Topics: []string{"other_trips", trips[0], "lost_trips"}},
	} {
		if _, err := Record(t.Context(), c.Connection, o, w); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	nobody := kafka.Connection{Brokers: []string{"127.0.0.1:1"}}
	if _, err := Record(t.Context(), nobody, Options{Topics: trips, Follow: true}, w); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v of a Kafka that is not there", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Record(ctx, c.Connection, Options{Topics: trips}, w); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a recording that was stopped before its end", err)
	}
}

// What retention has dropped is not skipped in silence, be it before a recording
// is gone on with or while it reads.
func TestGap(t *testing.T) {
	for _, name := range []string{"before", "while it reads"} {
		t.Run(name, func(t *testing.T) { testGap(t, name == "before") })
	}
}

func testGap(t *testing.T, before bool) {
	c := start(t, "t")
	// So much that it does not come in one fetch.
	large := noise(100_000)
	for i := range 100 {
		r := trip("t", 1, fmt.Sprint(i), i, 1)
		r.Value = large
		c.produce(r)
	}
	drop := sync.OnceFunc(func() {
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", 1, 90, -1)
		if _, err := c.admin.DeleteRecords(t.Context(), offsets); err != nil {
			t.Fatal(err)
		}
	})
	name := file(t)
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(recordings.Record{Topic: "t", Partition: 1, Offset: 4, At: morning, Record: events.Record{Key: []byte("4")}}); err != nil {
		t.Fatal(err)
	}
	log := &notes{}
	o := Options{Topics: []string{"t"}, Log: log.log()}
	if before {
		drop()
	} else {
		o.Progress = func(Summary) { drop() }
	}
	s := c.record(w, o)
	if len(s.Lost) != 1 || s.Lost[0].Partition != (recordings.Partition{Topic: "t", Number: 1}) || s.Lost[0].To != 90 || before && s.Lost[0].From != 5 {
		t.Fatalf("lost are %+v", s.Lost)
	}
	lost := int(s.Lost[0].To - s.Lost[0].From)
	if all := read(t, name); len(all) != 96-lost || all[len(all)-1].Offset != 99 || int(s.Records["t"]) != 95-lost {
		t.Errorf("%d records and %d lost, the summary is %+v", len(all), lost, s)
	}
	want := fmt.Sprintf("t/1: the offsets from %d to 89 are gone", s.Lost[0].From)
	if got := s.Lost[0].String(); got != want || !strings.Contains(log.String(), "topic=t partition=1") {
		t.Errorf("it says %q and logs %s", got, log)
	}
}

// A file is not gone on with from another Kafka.
func TestForeign(t *testing.T) {
	c := start(t, trips...)
	c.produce(trip(trips[0], 1, "a", 1, 1), trip(trips[0], 1, "b", 1, 1))
	name := file(t)
	c.recorded(name, Options{Topics: trips})
	other := start(t, trips...)
	other.produce(trip(trips[0], 1, "a", 1, 1))
	for _, follow := range []bool{false, true} {
		w, err := recordings.Resume(name, recordings.WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Record(t.Context(), other.Connection, Options{Topics: trips, Follow: follow}, w)
		if err == nil || !strings.Contains(err.Error(), "pick_ups/1 ends at offset 1, and the recording goes on at 2") {
			t.Errorf("error %v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A broker that keeps silent about what it has is an error, which says what.
func TestSilence(t *testing.T) {
	c := start(t, trips...)
	c.history(30, trips...)
	w, err := recordings.Create(file(t), recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := newRecorder(Options{Topics: trips}, w)
	if err := r.connect(t.Context(), c.Connection); err != nil {
		t.Fatal(err)
	}
	defer r.client.Close()
	r.silence = time.Second
	r.Progress = func(Summary) {
		for _, p := range r.order {
			p.end += 1000 // which it does not have
		}
		r.Progress = nil
	}
	err = r.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Kafka has sent nothing of pick_ups/0 from offset") {
		t.Errorf("error %v", err)
	}
}

// Since leaves out what arrived before, but nothing of what the recording has
// begun with.
func TestSince(t *testing.T) {
	const topic = "t"
	c := start(t, topic)
	var all []*kgo.Record
	for i := range 90 {
		all = append(all, trip(topic, int32(i%3), fmt.Sprint(i), i, 1))
	}
	c.produce(all...)
	o := Options{Topics: []string{topic}, Since: all[45].Timestamp}
	name := file(t)
	c.recorded(name, o)
	wantRecords(t, name, all[45:])

	name = file(t)
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(recordings.Record{Topic: topic, At: all[0].Timestamp}); err != nil {
		t.Fatal(err)
	}
	c.record(w, o)
	if n := len(read(t, name)); n != 30+15+15 {
		t.Errorf("%d records, want all of a partition and those since then of two", n)
	}
}
