package browser

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands before a server and can take it away: its address then refuses
// connections, and those that were open are gone.
type proxy struct {
	t       *testing.T
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener // nil while the server is away
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, address: "127.0.0.1:0", target: target, open: map[net.Conn]bool{}}
	p.restore()
	t.Cleanup(func() {
		p.cut()
		p.running.Wait()
	})
	return p
}

// restore brings the server back, at the address it had.
func (p *proxy) restore() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatalf("the proxy of %s: %v", p.target, err)
	}
	p.mu.Lock()
	p.listener, p.address = listener, listener.Addr().String()
	p.mu.Unlock()
	p.running.Go(func() { p.accept(listener) })
}

// cut takes the server away.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return
	}
	_ = p.listener.Close()
	p.listener = nil
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.t.Errorf("the proxy of %s: %v", p.target, err)
			return
		}
		p.running.Go(func() { p.forward(conn) })
	}
}

func (p *proxy) forward(client net.Conn) {
	defer p.forget(client)
	if !p.know(client) {
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return // the caller sees a closed connection
	}
	defer p.forget(server)
	if !p.know(server) {
		return
	}
	p.running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(client, server)
}

// know reports whether a connection may be: not if the server went away as it
// was made.
func (p *proxy) know(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return false
	}
	p.open[conn] = true
	return true
}

func (p *proxy) forget(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}
