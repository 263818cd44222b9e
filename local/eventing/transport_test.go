package eventing

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// counting is a server that counts the connections made to it.
func counting(t *testing.T, handler http.HandlerFunc) (url string, connections *atomic.Int64, server *httptest.Server) {
	t.Helper()
	connections = &atomic.Int64{}
	server = httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, connections, server
}

func posting(t *testing.T, url string) *endpoint {
	t.Helper()
	to := newTransport(4)
	t.Cleanup(to.CloseIdleConnections)
	e, err := newEndpoint(url, to)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTransport(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Ce-Id", r.Header.Get("Ce-Id"))
		_, _ = w.Write(data)
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		data    string
		want    response
		// connections that three requests, one after another, are made over
		connections int64
	}{
		{"a body", echo, "one", response{status: 200, body: []byte("one")}, 1},
		{"no data", echo, "", response{status: 200}, 1},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "x", response{status: 204}, 1},
		{"in chunks", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				fmt.Fprint(w, "part ")
				w.(http.Flusher).Flush()
			}
		}, "x", response{status: 200, body: []byte("part part part ")}, 1},
		{"information before it", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
		}, "x", response{status: 202}, 1},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "x", response{status: 302}, 1},
		{"server that hangs up", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, "x", response{status: 200}, 3},
		{"more than is read", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), maxResponse+1))
		}, "x", response{status: 200, body: bytes.Repeat([]byte("x"), maxResponse)}, 3},
		{"body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
		}, "x", response{status: 200, body: []byte("short")}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, connections, _ := counting(t, c.handler)
			e := posting(t, url)
			for range 3 {
				r := e.post(t.Context(), time.Minute, http.Header{"Ce-Id": {"7"}}, []byte(c.data))
				if r.err != nil || r.status != c.want.status || !bytes.Equal(r.body, c.want.body) {
					t.Fatalf("status %d, %d bytes %.20q, %v; want %d, %.20q", r.status, len(r.body), r.body, r.err, c.want.status, c.want.body)
				}
			}
			if n := connections.Load(); n != c.connections {
				t.Errorf("%d connections, want %d", n, c.connections)
			}
		})
	}
}

// A connection that the server has closed meanwhile costs no attempt.
func TestTransportMeetsAClosedConnection(t *testing.T) {
	var taken atomic.Int64
	url, connections, server := counting(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if string(data) == "data" {
			taken.Add(1)
		}
	})
	e := posting(t, url)
	for i := range 3 {
		if r := e.post(t.Context(), time.Minute, nil, []byte("data")); r.err != nil || r.status != 200 {
			t.Fatalf("request %d: status %d, %v", i, r.status, r.err)
		}
		server.CloseClientConnections()
	}
	if connections.Load() != 3 || taken.Load() != 3 {
		t.Errorf("%d connections, %d requests, want 3 of each", connections.Load(), taken.Load())
	}
}

// A request that has been answered in part is not sent again: it may have been
// acted on.
func TestTransportSendsOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var requests atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				read := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(read)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if requests.Add(1) == 2 {
						fmt.Fprint(conn, "HTTP/1.1 2")
						return
					}
					fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			}()
		}
	}()
	e := posting(t, "http://"+listener.Addr().String())
	if r := e.post(t.Context(), time.Minute, nil, []byte("x")); r.err != nil {
		t.Fatal(r.err)
	}
	if r := e.post(t.Context(), time.Minute, nil, []byte("x")); r.err == nil || requests.Load() != 2 {
		t.Errorf("status %d after %d requests, want an error after 2", r.status, requests.Load())
	}
}

// What is refused before it has been read is refused, not lost.
func TestTransportIsRefusedEarly(t *testing.T) {
	url, _, _ := counting(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	e := posting(t, url)
	if r := e.post(t.Context(), time.Minute, nil, bytes.Repeat([]byte("x"), 200<<10)); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, %v", r.status, r.err)
	}
}

func TestTransportGivesUp(t *testing.T) {
	ended := make(chan struct{})
	url, connections, _ := counting(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("Ce-Id") == "slow" {
			<-r.Context().Done()
			ended <- struct{}{}
		}
	})
	e := posting(t, url)
	slow := http.Header{"Ce-Id": {"slow"}}
	if r := e.post(t.Context(), 20*time.Millisecond, slow, []byte("x")); !errors.Is(r.err, context.DeadlineExceeded) {
		t.Errorf("status %d, %v; want the deadline", r.status, r.err)
	}
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if r := e.post(ctx, time.Minute, slow, []byte("x")); !errors.Is(r.err, context.Canceled) {
		t.Errorf("status %d, %v; want cancelled", r.status, r.err)
	}
	<-ended
	if r := e.post(t.Context(), time.Minute, nil, []byte("x")); r.err != nil || connections.Load() != 3 {
		t.Errorf("status %d, %v, over connection %d: one that was given up is not used again", r.status, r.err, connections.Load())
	}
	if r := posting(t, "http://127.0.0.1:1").post(t.Context(), time.Minute, nil, nil); r.err == nil || !strings.Contains(r.err.Error(), "connection refused") {
		t.Errorf("%v, want connection refused", r.err)
	}
}

// BenchmarkTransport is one event after another, beside http.Transport.
func BenchmarkTransport(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	own := newTransport(4)
	defer own.CloseIdleConnections()
	data := bytes.Repeat([]byte("x"), 600)
	for name, to := range map[string]http.RoundTripper{"ours": own, "net-http": own.other} {
		b.Run(name, func(b *testing.B) {
			e, err := newEndpoint(server.URL, to)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if r := e.post(b.Context(), time.Minute, http.Header{"Ce-Id": {"7"}}, data); r.err != nil {
					b.Fatal(r.err)
				}
			}
		})
	}
}
