package record

import (
	"context"
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

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
)

// following is a recording that goes on.
type following struct {
	t      *testing.T
	name   string
	log    *notes
	writer *recordings.Writer
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	mu  sync.Mutex
	now Summary
}

// follow records topics until it is stopped.
func (c *cluster) follow(name string, o Options) *following {
	c.t.Helper()
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	f := &following{t: c.t, name: name, log: &notes{}, writer: w, cancel: cancel, done: make(chan struct{})}
	o.Follow, o.Log, o.Progress = true, f.log.log(), f.see
	go func() {
		defer close(f.done)
		s, err := Record(ctx, c.Connection, o, w)
		f.see(s)
		f.err = err
	}()
	c.t.Cleanup(func() { f.stop() })
	return f
}

func (f *following) see(s Summary) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = s
}

func (f *following) summary() Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *following) records() (n int64) {
	for _, of := range f.summary().Records {
		n += of
	}
	return n
}

// until waits for what comes.
func (f *following) until(what string, is func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-f.done:
			f.t.Fatalf("waiting until %s: it has ended: %v\n%s", what, f.err, f.log)
		default:
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("waiting until %s: a minute is over: %+v\n%s", what, f.summary(), f.log)
		}
	}
}

func (f *following) recorded(n int) {
	f.t.Helper()
	f.until(fmt.Sprintf("%d records are recorded", n), func() bool { return f.records() >= int64(n) })
}

// stop ends it, as ctrl-C does.
func (f *following) stop() {
	f.t.Helper()
	f.cancel()
	<-f.done
	if f.err != nil {
		f.t.Errorf("it ends with %v", f.err)
	}
	_ = f.writer.Close()
}

// arrives is a record that arrives now.
func arrives(topic string, partition int32, id string) *kgo.Record {
	r := trip(topic, partition, id, 0, 1)
	r.Timestamp = time.Now()
	return r
}

// wantInOrder checks that a recording has records once, those that arrived
// earlier first.
func wantInOrder(t *testing.T, name string, keys []string) {
	t.Helper()
	all := read(t, name)
	if !slices.IsSortedFunc(all, func(a, b recordings.Record) int { return a.At.Compare(b.At) }) {
		t.Error("they are not in the order in which they arrived")
	}
	got := strings.Fields(ids(all))
	slices.Sort(got)
	want := slices.Sorted(slices.Values(keys))
	if !slices.Equal(got, want) {
		t.Errorf("%d records, want %d, each once", len(got), len(want))
	}
}

// What arrives is recorded, on topics and partitions that come later, too.
func TestFollow(t *testing.T) {
	c := start(t, trips[0])
	var keys []string
	produce := func(topic string, partition int32) {
		keys = append(keys, fmt.Sprint("trip-", len(keys)))
		c.produce(arrives(topic, partition, keys[len(keys)-1]))
	}
	for i := range 50 {
		produce(trips[0], int32(i%3))
	}
	f := c.follow(file(t), Options{Topics: trips})
	f.recorded(50)
	for i := range 50 {
		produce(trips[0], int32(i%3))
	}
	f.until("it waits for the other topic", func() bool { return strings.Contains(f.log.String(), "topic=drop_offs") })
	c.create(trips[1])
	for i := range 100 {
		produce(trips[i%2], int32(i%3))
	}
	f.recorded(200)
	if _, err := c.admin.CreatePartitions(t.Context(), 1, trips[0]); err != nil {
		t.Fatal(err)
	}
	c.client = c.connect() // which knows the partition
	for i := range 60 {
		produce(trips[0], int32(i%4))
	}
	f.recorded(260)
	f.stop()
	wantInOrder(t, f.name, keys)
	if s := f.summary(); s.Records[trips[1]] != 50 || s.Records[trips[0]] != 210 {
		t.Errorf("the summary is %+v", s)
	}
}

// A record whose producer's clock is ahead holds nobody up.
func TestClockAhead(t *testing.T) {
	c := start(t, trips...)
	ahead := arrives(trips[0], 0, "ahead")
	ahead.Timestamp = time.Now().Add(time.Hour).Truncate(time.Millisecond)
	c.produce(ahead, arrives(trips[0], 0, "behind it"), arrives(trips[1], 0, "beside it"))
	f := c.follow(file(t), Options{Topics: trips})
	f.recorded(3)
	f.stop()
	if got := f.summary().Last; !got.Equal(ahead.Timestamp) {
		t.Errorf("the last arrives at %s, want its own time, %s", got, ahead.Timestamp)
	}
}

// Since now leaves out what was there.
func TestFromNow(t *testing.T) {
	c := start(t, trips...)
	c.produce(trip(trips[0], 0, "old", 1, 1), trip(trips[1], 1, "old", 1, 1))
	f := c.follow(file(t), Options{Topics: trips, Since: time.Now()})
	f.until("it has seen the topics", func() bool { return f.summary().Records != nil })
	for i := range 30 {
		c.produce(arrives(trips[i%2], int32(i%3), fmt.Sprint("new", i)))
	}
	f.recorded(30)
	f.stop()
	if got := ids(read(t, f.name)); strings.Contains(got, "old") {
		t.Errorf("it has recorded %s", got)
	}
}

// A recording that is followed can be killed at any moment: what it has flushed
// is whole, and is gone on with.
func TestFollowKilled(t *testing.T) {
	c := start(t, trips...)
	f := c.follow(file(t), Options{Topics: trips})
	dir := t.TempDir()
	var keys, killed []string
	for i := range 120 {
		keys = append(keys, fmt.Sprint("trip-", i))
		c.produce(arrives(trips[i%2], int32(i%3), keys[i]))
		if i%10 == 0 {
			f.recorded(i / 2)
			name := filepath.Join(dir, fmt.Sprint(i, ".jsonl.gz"))
			if err := os.WriteFile(name, contents(t, f.name), 0o600); err != nil {
				t.Fatal(err)
			}
			killed = append(killed, name)
		}
	}
	f.until("what it has is safe", func() bool { return len(read(t, f.name)) == 120 })
	f.stop()
	for _, name := range append(killed, f.name) {
		c.resumed(name, Options{Topics: trips})
		wantInOrder(t, name, keys)
	}
}

// A broker that goes away is waited for.
func TestBrokerAway(t *testing.T) {
	options := broker.Options{Listen: "127.0.0.1:0", DataDir: t.TempDir()}
	b, err := broker.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	options.Listen = b.Addr()
	c := &cluster{Connection: kafka.Connection{Brokers: []string{b.Addr()}}, t: t}
	c.client = c.connect()
	c.admin = kadm.NewClient(c.client)
	c.create(trips...)
	var keys []string
	produce := func(n int) {
		for range n {
			keys = append(keys, fmt.Sprint("trip-", len(keys)))
			c.produce(arrives(trips[len(keys)%2], int32(len(keys)%3), keys[len(keys)-1]))
		}
	}
	produce(20)
	f := c.follow(file(t), Options{Topics: trips})
	f.recorded(20)
	b.Close()
	f.until("it notices", func() bool { return strings.Contains(f.log.String(), "Kafka is out of reach") })
	again, err := broker.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	produce(20)
	f.recorded(40)
	f.stop()
	wantInOrder(t, f.name, keys)
}
