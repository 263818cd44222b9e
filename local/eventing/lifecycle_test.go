package eventing_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/eventing"
)

// What was not committed when a source dies is delivered again, as the same events.
func TestRedeliveryAfterCrash(t *testing.T) {
	const n = 60
	k := startKafka(t)
	k.topic(t, "in", 3)
	for i := range n / 2 { // events, and records that become events
		k.produce(t, cloudEvent("in", int32(i%3), fmt.Sprintf("e%d", i)), &kgo.Record{Topic: "in", Partition: int32(i % 3), Value: []byte("v")})
	}
	m := load(t, function, kafkaSink("dead"), source(unordered, "consumers: 3", delivery))
	s := startSink(t, nil)
	first := run(t, k, s.url, m, func(c *eventing.Config) { c.CommitInterval = time.Hour })
	lagGone(t, first)
	first.Kill()
	if got := k.committed(t, "group", "in"); got != 0 {
		t.Fatalf("%d offsets were committed: that was no crash", got)
	}
	before := s.ids()

	second := run(t, k, s.url, m)
	lagGone(t, second)
	after := s.ids()[len(before):]
	slices.Sort(before)
	slices.Sort(after)
	if len(before) != n || !slices.Equal(before, after) {
		t.Errorf("before the crash %v, after it %v: want the same %d ids", before, after, n)
	}
}

// A sink that goes away and comes back loses nothing.
func TestSinkRestarts(t *testing.T) {
	const n = 60
	k := startKafka(t)
	k.topic(t, "in", 2)
	k.produce(t, cloudEvents("in", 2, n/2)...)
	served := make(chan string, 10*n)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served <- r.Header.Get("Ce-Id") })
	serve := func(addr string) *httptest.Server {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(handler)
		s.Listener.Close()
		s.Listener = ln
		s.Start()
		return s
	}
	s := serve("127.0.0.1:0")
	addr := s.Listener.Addr().String()
	e := run(t, k, s.URL, load(t, function, kafkaSink("dead"), source(unordered,
		`delivery: {retry: 10000, backoffPolicy: linear, backoffDelay: PT0.0001S, `+deadLetter+`}`)))
	lagGone(t, e)
	s.Close()

	k.produce(t, cloudEvents("in", 2, n)[n/2:]...)
	eventually(t, "deliveries are retried", func() bool { return e.Status()[0].Retries > 0 })
	again := serve(addr)
	defer again.Close()
	lagGone(t, e)
	close(served)
	var ids []string
	for id := range served {
		ids = append(ids, id)
	}
	once(t, ids, n)
	if status := e.Status()[0]; status.Delivered != n {
		t.Errorf("status %+v: want all %d delivered", status, n)
	}
}

// Close waits for a request under way and commits it, and does not wait for a
// retry, which is left for the next time.
func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 2)
	k.produce(t, cloudEvent("in", 0, "slow"), cloudEvent("in", 1, "failing"))
	release := make(chan struct{})
	var healed atomic.Bool
	s := startSink(t, func(w http.ResponseWriter, r request) {
		switch {
		case r.id() == "slow":
			<-release
		case !healed.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	m := load(t, function, kafkaSink("dead"), source(unordered,
		`delivery: {retry: 3, backoffDelay: PT1H, timeout: PT1H, `+deadLetter+`}`))
	e := run(t, k, s.url, m)
	eventually(t, "both are with the sink", func() bool { return len(s.got()) == 2 && e.Status()[0].Retries == 1 })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeEventing(t, e)
	}()
	select {
	case <-closed:
		t.Fatal("closed while a delivery was under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-closed
	if got := k.committed(t, "group", "in"); got != 1 {
		t.Errorf("%d offsets committed, want the one of the slow request", got)
	}

	healed.Store(true)
	lagGone(t, run(t, k, s.url, m))
	if ids := s.ids(); !slices.Equal(ids[2:], []string{"failing"}) {
		t.Errorf("after the restart came %v, want failing alone", ids[2:])
	}
}

// A connection that a client has opened to have it ready holds nothing up.
func TestCloseDoesNotWaitForUnusedConnections(t *testing.T) {
	k := startKafka(t)
	e := run(t, k, startSink(t, nil).url, load(t, function, kafkaSink("dead"), source(`delivery: {retry: 0, `+deadLetter+`}`)))
	at, err := url.Parse(sinkURL(t, e, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	unused, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	// The server accepts in order: once another one is answered, this one is known.
	post(t, http.MethodGet, at.String(), nil, "")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // net/http would wait 5
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
}

// When the time to close is up, what is under way is given up and not committed.
func TestCloseGivesUp(t *testing.T) {
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvent("in", 0, "e0"))
	release := make(chan struct{})
	s := startSink(t, func(http.ResponseWriter, request) { <-release })
	defer close(release)
	e := run(t, k, s.url, load(t, function, kafkaSink("dead"), source(delivery)))
	eventually(t, "it is with the sink", func() bool { return len(s.got()) == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Close(ctx); err == nil || !strings.Contains(err.Error(), "test/in") {
		t.Errorf("closing: %v, want an error that names the source", err)
	}
	if got := k.committed(t, "group", "in"); got != 0 {
		t.Errorf("%d offsets committed, want none", got)
	}
	if status := e.Status()[0]; status.Delivered+status.DeadLettered+status.Dropped != 0 {
		t.Errorf("status %+v: want no outcome", status)
	}
}

// Two processes with the same manifests share the work, and hand partitions over
// without delivering anything twice.
func TestRebalance(t *testing.T) {
	const n, partitions = 600, 6
	k := startKafka(t)
	k.topic(t, "in", partitions)
	m := load(t, function, kafkaSink("dead"), source(unordered, "consumers: 2", delivery))
	var slow atomic.Bool
	slow.Store(true)
	s := startSink(t, func(http.ResponseWriter, request) {
		if slow.Load() {
			time.Sleep(5 * time.Millisecond) // so that there are deliveries under way to hand over
		}
	})
	events := cloudEvents("in", partitions, n)
	a := run(t, k, s.url, m)
	k.produce(t, events[:n/2]...)
	b := run(t, k, s.url, m)
	has := func(e *eventing.Eventing) int { return len(e.Status()[0].Partitions) }
	eventually(t, "each has partitions and all are had", func() bool { return has(a) > 0 && has(b) > 0 && has(a)+has(b) == partitions })
	k.produce(t, events[n/2:]...)
	eventually(t, "both deliver", func() bool { return a.Status()[0].Delivered > 0 && b.Status()[0].Delivered > 0 })
	closeEventing(t, a)
	slow.Store(false)
	eventually(t, "one has all partitions", func() bool { return has(b) == partitions })
	lagGone(t, b)
	once(t, s.ids(), n)
}

// A partition that is taken away while its records are with the sink is handed
// over only when they have been answered and committed.
func TestHandOverWaitsForWhatIsUnderWay(t *testing.T) {
	const partitions = 6
	k := startKafka(t)
	k.topic(t, "in", partitions)
	k.produce(t, cloudEvents("in", partitions, partitions)...)
	m := load(t, function, kafkaSink("dead"), source(unordered, delivery))
	release := make(chan struct{})
	s := startSink(t, func(http.ResponseWriter, request) { <-release })
	has := func(e *eventing.Eventing) int { return len(e.Status()[0].Partitions) }
	a := run(t, k, s.url, m)
	eventually(t, "all are with the sink", func() bool { return len(s.got()) == partitions })
	b := run(t, k, s.url, m)
	eventually(t, "the first gives up partitions", func() bool { return has(a) < partitions })
	close(release)
	eventually(t, "all partitions are had again", func() bool { return has(b) > 0 && has(a)+has(b) == partitions })
	lagGone(t, b)
	once(t, s.ids(), partitions)
}

// A partition that was taken away while its queue was full is read again when it
// comes back.
func TestPauseEndsWithTheTenure(t *testing.T) {
	const n = 600
	k := startKafka(t)
	k.topic(t, "in", 2)
	events := cloudEvents("in", 2, n+20)
	k.produce(t, events[:n]...)
	m := load(t, function, kafkaSink("dead"), source("ordering: ordered", delivery))
	release := make(chan struct{})
	s := startSink(t, func(_ http.ResponseWriter, r request) {
		if r.id() == "e0" || r.id() == "e1" {
			<-release
		}
	})
	small := func(c *eventing.Config) { c.MaxPollRecords = 5 }
	has := func(e *eventing.Eventing) int { return len(e.Status()[0].Partitions) }
	a := run(t, k, s.url, m, small)
	eventually(t, "both queues are full", func() bool { return a.Status()[0].InFlight >= 2*20*5 })
	b := run(t, k, s.url, m, small)
	eventually(t, "the first gives up a partition", func() bool { return has(a) == 1 })
	close(release)
	eventually(t, "the second has it", func() bool { return has(b) == 1 })
	closeEventing(t, b)
	eventually(t, "the first has both again", func() bool { return has(a) == 2 })
	k.produce(t, events[n:]...)
	lagGone(t, a)
	once(t, s.ids(), n+20)
}

// A server that closes a connection between two events costs no attempt.
func TestClosedConnectionIsNoFailure(t *testing.T) {
	const n = 5
	k := startKafka(t)
	k.topic(t, "in", 1)
	k.produce(t, cloudEvents("in", 1, n)...)
	var used sync.Map
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, again := used.LoadOrStore(r.RemoteAddr, true); again {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		}
	}))
	defer s.Close()
	e := run(t, k, s.URL, load(t, function, kafkaSink("dead"), source("ordering: ordered", delivery)))
	lagGone(t, e)
	if status := e.Status()[0]; status.Delivered != n || status.Retries != 0 {
		t.Errorf("status %+v: want %d delivered without a retry", status, n)
	}
}
