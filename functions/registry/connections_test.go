package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A connection on which nothing was committed goes back to the pool without the
// keys it watched: whoever gets it next has transactions of their own.
func testWatchesNothingAfterwards(t *testing.T, s store) {
	s.applied(t, "steady", "fragile=Fragile")
	client, other := s.clientOf(t, 1), s.client(t)
	committer := committerOn(t, client, CommitterOptions{})
	learnN(t, committer, 0, 1)
	for _, n := range []int{0, 13} { // a duplicate, and one that a model panics on
		_, err := committer.Learn(t.Context(), labelN(n))
		var panicked *PanicError
		if errors.As(err, &panicked) != (n == 13) {
			t.Fatal(err)
		}
		for _, model := range []string{"steady", "fragile"} {
			other.SAdd(t.Context(), idsKey(model, "b"), rand.Int())
		}
		for _, model := range []string{"steady", "fragile"} {
			probe := "{" + model + "}" // where the model is
			if err := client.Watch(t.Context(), func(tx *redis.Tx) error {
				_, err := tx.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
					return pipe.Set(t.Context(), probe, n, 0).Err()
				})
				return err
			}, probe); err != nil {
				t.Errorf("a transaction where %s is after label %d: %v", model, n, err)
			}
		}
	}
}

// The commit was executed and the connection broke before the answer came: the
// label is learned, once, and no duplicate.
func testLostAnswer(t *testing.T, s store) {
	c := s.applied(t, "one")
	p := newProxy(t, s)
	committer := p.store().committer(t, CommitterOptions{})
	learnN(t, committer, 0, 3)
	p.loseAnswer.Store(1)
	outcomes, err := committer.Learn(t.Context(), labelN(3))
	if err != nil {
		t.Fatal(err)
	}
	if p.lost.Load() != 1 {
		t.Fatalf("%d answers were lost, want 1", p.lost.Load())
	}
	if got, want := outcomes[0], (Outcome{Model: "one", Version: 4}); got != want {
		t.Errorf("outcome %v, want %v", got, want)
	}
	learnN(t, committer, 4, 6)
	s.checkLearned(t, c.Models[0], 6)
}

// Connections are cut at random while several learners work; what was not
// acknowledged comes again, and now and then what was.
func testConnectionsCut(t *testing.T, s store) {
	const labels = 200
	c := s.applied(t, "one", "two")
	p := newProxy(t, s)
	stop := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(rand.N(60 * time.Millisecond)):
				p.loseAnswer.Store(1)
				p.cut()
			}
		}
	})
	committers := []*Committer{p.store().committer(t, CommitterOptions{}), p.store().committer(t, CommitterOptions{})}
	next := make(chan int)
	var learners sync.WaitGroup
	for i := range 8 {
		learners.Go(func() {
			for n := range next {
				for again := 1 + n%2; again > 0; {
					if _, err := committers[(i+again)%2].Learn(context.Background(), labelN(n)); err == nil {
						again--
					}
				}
			}
		})
	}
	for n := range labels {
		next <- n
	}
	close(next)
	learners.Wait()
	close(stop)
	cutter.Wait()
	if p.lost.Load() == 0 {
		t.Error("no answer to an EXEC was lost: the test has tested nothing")
	}
	for _, spec := range c.Models {
		s.checkLearned(t, spec, labels)
	}
}

// proxy stands between clients and the servers of a store and can cut their
// connections.
type proxy struct {
	of store
	// loseAnswer makes the proxy cut a connection after it has forwarded an
	// EXEC and before it forwards the answer, that many times.
	loseAnswer atomic.Int32
	lost       atomic.Int32 // how often it did

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func newProxy(t *testing.T, s store) *proxy {
	t.Helper()
	p := &proxy{of: s, conns: map[net.Conn]bool{}}
	t.Cleanup(p.close)
	return p
}

// store is the proxy's, as clients that go through it see it.
func (p *proxy) store() store {
	s := p.of
	s.through = p
	return s
}

// dial connects a client to a server. What it gets is a connection to the proxy.
func (p *proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, errors.New("the proxy is closed")
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	defer l.Close()
	near, err := dialer.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	client, err := l.Accept()
	if err != nil {
		return nil, errors.Join(err, server.Close(), near.Close())
	}
	p.mu.Lock()
	p.conns[client] = true
	p.mu.Unlock()
	go p.pass(client, server)
	return near, nil
}

// close cuts every connection, and lets nobody in any more.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut()
}

// cut closes every connection there is.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
	clear(p.conns)
}

func (p *proxy) pass(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	var mute atomic.Bool
	go func() {
		defer server.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte("\r\nexec\r\n")) && p.loseAnswer.Add(-1) >= 0 {
				mute.Store(true)
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if mute.Load() {
			p.lost.Add(1) // Redis has answered, so it has executed
			return
		}
		if _, err := client.Write(buf[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}
