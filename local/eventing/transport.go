package eventing

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// transport posts events over plain HTTP/1.1. A connection carries one request at
// a time, written and read by who makes it. http.Transport has two goroutines
// for every connection, and handing each event over to them and back costs nearly
// as much as all the rest of a request (BenchmarkTransport). What is not plain HTTP
// goes by way of http.Transport.
type transport struct {
	other *http.Transport
	keep  int // connections to a host that nobody uses

	mu   sync.Mutex
	idle map[string][]*connection // by host, the last used last
}

// newTransport keeps a connection for every delivery that may be under way.
// Two per host, the default of http.Transport, would open and close one for
// nearly every event.
func newTransport(inFlight int) *transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = inFlight
	t.DisableCompression = true
	t.ForceAttemptHTTP2 = false
	return &transport{other: t, keep: inFlight, idle: map[string][]*connection{}}
}

// idleFor is how long a connection is kept that nobody uses: less than servers do,
// or they would close it when it is needed again.
const idleFor = 90 * time.Second

// connection is one to a host.
type connection struct {
	net.Conn
	host  string
	read  *bufio.Reader
	write *bufio.Writer
	since time.Time // that nobody uses it
	heard bool      // something of the answer to the request under way
}

// Read notes that the server has answered: from there on it may have acted on
// the request.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.heard = c.heard || n > 0
	return n, err
}

// RoundTrip implements http.RoundTripper. A request with GetBody is sent once
// more if it has met a connection that the server had closed meanwhile.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return t.other.RoundTrip(req)
	}
	for {
		c, used, err := t.connect(req.Context(), req.URL.Host)
		if err != nil {
			return nil, err
		}
		resp, err := t.send(c, req)
		switch {
		case err == nil:
			return resp, nil
		case req.Context().Err() != nil:
			return nil, context.Cause(req.Context())
		case !used || c.heard:
			return nil, err
		}
		if req.GetBody != nil {
			req = req.Clone(req.Context())
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// connect finds a connection that nobody uses, or makes one.
func (t *transport) connect(ctx context.Context, host string) (c *connection, used bool, err error) {
	t.mu.Lock()
	all := t.idle[host]
	for len(all) > 0 && c == nil {
		last := all[len(all)-1]
		all = slices.Delete(all, len(all)-1, len(all))
		if time.Since(last.since) < idleFor {
			c = last
		} else {
			_ = last.Close()
		}
	}
	t.idle[host] = all
	t.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	address := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		address = net.JoinHostPort(host, "80")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	c = &connection{Conn: conn, host: host}
	c.read, c.write = bufio.NewReader(c), bufio.NewWriter(conn)
	return c, false, nil
}

// send makes one request. The connection is the response's, or closed.
func (t *transport) send(c *connection, req *http.Request) (*http.Response, error) {
	c.heard = false
	ctx := req.Context()
	_ = c.SetDeadline(time.Time{}) // the end of ctx is the only one; a connection that is broken says so below
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	resp, err := c.exchange(req)
	if err != nil {
		stop()
		_ = c.Close()
		return nil, err
	}
	body := &body{ReadCloser: resp.Body, transport: t, connection: c, stop: stop, keep: !resp.Close}
	if resp.Body == http.NoBody {
		body.ended = true
		_ = body.Close()
		return resp, nil
	}
	resp.Body = body
	return resp, nil
}

// exchange writes a request and reads the head of the response.
func (c *connection) exchange(req *http.Request) (*http.Response, error) {
	unsent := req.Write(c.write)
	if unsent == nil {
		unsent = c.write.Flush()
	}
	if unsent != nil {
		// A server that has read enough to refuse it has said so, and hung up.
		_ = c.SetReadDeadline(time.Now().Add(refusal))
	}
	for {
		resp, err := http.ReadResponse(c.read, req)
		switch {
		case err != nil && unsent != nil:
			return nil, unsent
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200:
			resp.Close = resp.Close || unsent != nil
			return resp, nil
		}
		// 1xx is before the answer.
	}
}

// refusal is how long an answer may take to a request that could not be sent.
const refusal = 50 * time.Millisecond

// body is what is left to read of a response.
type body struct {
	io.ReadCloser
	transport  *transport
	connection *connection
	stop       func() bool
	keep       bool
	ended      bool
	closed     bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended = true
	}
	return n, err
}

// Close gives the connection back, if the response has been read to its end.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	// A request that was given up while this ran has a deadline in the past.
	if b.stop() && b.ended && b.keep {
		b.transport.put(b.connection)
		return nil
	}
	return b.connection.Close()
}

func (t *transport) put(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle[c.host]) >= t.keep {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	t.idle[c.host] = append(t.idle[c.host], c)
}

// CloseIdleConnections closes the connections that nobody uses.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, all := range t.idle {
		for _, c := range all {
			_ = c.Close()
		}
	}
	clear(t.idle)
	t.other.CloseIdleConnections()
}
