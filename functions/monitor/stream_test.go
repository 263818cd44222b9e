package monitor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// server runs a dashboard on a network until the test ends.
func (d *dashboard) server(t testing.TB) string {
	t.Helper()
	url, stop := serving(t, d.Monitor)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return url
}

func serving(t testing.TB, m *Monitor) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- m.serve(ctx, l) }()
	return "http://" + l.Addr().String(), sync.OnceValue(func() error {
		cancel()
		return <-stopped
	})
}

// browser reads a stream as one does.
type browser struct {
	*bufio.Reader
	response *http.Response
}

func visit(t testing.TB, url string) browser {
	t.Helper()
	response, err := http.Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return browser{bufio.NewReader(response.Body), response}
}

// block is what ends with an empty line: a message, a comment or a setting.
func (b browser) block() (string, error) {
	var block strings.Builder
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			return block.String(), err
		}
		if line == "\n" {
			return block.String(), nil
		}
		block.WriteString(line)
	}
}

func (b browser) want(t testing.TB, want string) {
	t.Helper()
	if got, err := b.block(); err != nil || got != want {
		t.Fatalf("the stream has %q, error %v, want %q", got, err, want)
	}
}

func TestStream(t *testing.T) {
	d := newDashboard(t, "")
	b := visit(t, d.server(t))
	wantSecured(t, "stream", b.response.Header)
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Content-Encoding": ""} {
		if got := b.response.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	b.want(t, "retry: 1000\n")
	d.feed.awaitVisitors(t, 1)
	d.feed.publish(live.Message{Event: "summary", Data: []byte(`{"at":1}`)}, live.Message{Event: "models", Data: []byte(`{}`)})
	b.want(t, "event: summary\ndata: {\"at\":1}\n")
	b.want(t, "event: models\ndata: {}\n")
	d.feed.publish(live.Message{Event: "odd", Data: []byte("two\nlines")})
	b.want(t, "event: odd\ndata: two\ndata: lines\n")
}

// A page asks for the views that it shows.
func TestStreamOfSomeViews(t *testing.T) {
	d := newDashboard(t, "")
	url := d.server(t)
	response, err := http.Get(url + "/stream?views=summary,models")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	d.feed.awaitVisitors(t, 1)
	if want := []string{"summary", "models"}; !slices.Equal(d.feed.wanted, want) {
		t.Errorf("the visitor wants %v, not %v", d.feed.wanted, want)
	}
	w := d.get(t, "/stream?views=summary,secrets")
	if w.Code != http.StatusBadRequest {
		t.Errorf("a view that there is not: %d", w.Code)
	}
	wantIn(t, w.Body.String(), "no view secrets", "summary, models, errors, segments, trips")
}

// A stream that has nothing to say says that, and outlives what ends other requests.
func TestStreamOfSilence(t *testing.T) {
	d := newDashboard(t, "")
	d.heartbeat = 5 * time.Millisecond
	server := httptest.NewUnstartedServer(d)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 20*time.Millisecond, 20*time.Millisecond
	server.Start()
	defer server.Close()
	b := visit(t, server.URL)
	b.want(t, "retry: 1000\n")
	for begun := time.Now(); time.Since(begun) < 5*server.Config.WriteTimeout; {
		b.want(t, ": still here\n")
	}
	d.stop() // or server would wait for it
	for {
		if _, err := b.block(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamEndsAtShutdown(t *testing.T) {
	d := newDashboard(t, "")
	url, stop := serving(t, d.Monitor)
	b := visit(t, url)
	b.want(t, "retry: 1000\n")
	d.feed.awaitVisitors(t, 1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := b.block(); err != io.EOF {
		t.Errorf("the stream ends with %v, want an end that is one", err)
	}
}

func TestStreamOfAVisitorThatLeaves(t *testing.T) {
	d := newDashboard(t, "")
	b := visit(t, d.server(t))
	b.want(t, "retry: 1000\n")
	b.response.Body.Close()
	await(t, func() bool { return d.streams.Load() == 0 })
}

func TestTooManyStreams(t *testing.T) {
	d := newDashboard(t, "")
	d.streams.Store(maxStreams)
	if w := d.get(t, "/stream"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if n := d.streams.Load(); n != maxStreams {
		t.Errorf("%d streams are counted", n)
	}
}

func TestStreamThatBreaks(t *testing.T) {
	d := newDashboard(t, "")
	broken := httptest.NewRecorder()
	d.Monitor.feed = breaking{d.feed}
	d.ServeHTTP(broken, httptest.NewRequest(http.MethodGet, "/stream", nil))
	if len(d.logs.lines(t, "a stream ends: the browser opens another")) != 1 {
		t.Errorf("the log says %s", d.logs)
	}
}

type breaking struct{ *fakeFeed }

func (b breaking) visit(context.Context, []string) visitor { return b }

func (breaking) Next(context.Context) ([]live.Message, error) { return nil, fmt.Errorf("odd") }

// A browser that does not read is given up, and nobody waits for it meanwhile.
func TestSlowReader(t *testing.T) {
	d := newDashboard(t, "")
	d.stalled = 200 * time.Millisecond
	url := d.server(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n") // and reads no more
	quick := visit(t, url)
	quick.want(t, "retry: 1000\n")
	d.feed.awaitVisitors(t, 2)
	large := live.Message{Event: "trips", Data: []byte(`"` + strings.Repeat("x", 4<<20) + `"`)}
	const messages = 10
	for range messages {
		d.feed.publish(large)
	}
	for range messages {
		if got, err := quick.block(); err != nil || len(got) < len(large.Data) {
			t.Fatalf("%d bytes, error %v", len(got), err)
		}
	}
	await(t, func() bool { return d.streams.Load() == 1 })
}

// All that look are told the same, and when they have gone nothing is left of them.
func TestManyVisitors(t *testing.T) {
	const visitors, messages = 200, 20
	d := newDashboard(t, "")
	url := d.server(t)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: visitors}}
	var all sync.WaitGroup
	for range visitors {
		all.Go(func() {
			response, err := client.Get(url + "/stream")
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			b := browser{bufio.NewReader(response.Body), response}
			if _, err := b.block(); err != nil {
				t.Error(err)
			}
			for i := range messages {
				want := fmt.Sprintf("event: summary\ndata: %d\n", i)
				if got, err := b.block(); err != nil || got != want {
					t.Errorf("got %q, error %v, want %q", got, err, want)
					return
				}
			}
		})
	}
	d.feed.awaitVisitors(t, visitors)
	for i := range messages {
		d.feed.publish(live.Message{Event: "summary", Data: fmt.Append(nil, i)})
	}
	all.Wait()
	client.CloseIdleConnections()
	wantNobodyServed(t)
	if n := d.streams.Load(); n != 0 {
		t.Errorf("%d streams are counted", n)
	}
}

// With a real feed each of many browsers sees a model learn, each version newer
// than the one before.
func TestManyVisitorsOfARealFeed(t *testing.T) {
	const visitors = 200
	client := newRedis(t)
	feed := live.New(live.Config{Database: "postgres://nobody@" + nobody(t) + "/x?sslmode=disable", Redis: client, Kinds: kinds.All()})
	ctx, cancel := context.WithCancel(t.Context())
	fed := make(chan error, 1)
	go func() { fed <- feed.Run(ctx) }()
	url, stop := serving(t, New(Config{Feed: feed, Redis: client, Kinds: kinds.All(), Log: slog.New(slog.DiscardHandler)}))
	defer func() {
		cancel()
		if err := <-fed; err != nil {
			t.Error(err)
		}
	}()
	defer stop()
	web := &http.Client{Transport: &http.Transport{}}
	saw := make([]func(string) error, visitors)
	for i := range visitors {
		response, err := web.Get(url + "/stream")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b := browser{bufio.NewReader(response.Body), response}
		saw[i] = func(text string) error {
			for {
				if block, err := b.block(); err != nil || strings.HasPrefix(block, "event: models\n") && strings.Contains(block, text) {
					return err
				}
			}
		}
	}
	for version := 1; version <= 2; version++ {
		learn(t, client, fmt.Sprint("label", version))
		var all sync.WaitGroup
		for _, until := range saw {
			all.Go(func() {
				if err := until(fmt.Sprintf(`"version":%d,`, version)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, until := range saw {
		if err := until("a version that never comes"); err != io.EOF {
			t.Errorf("a stream ends with %v", err)
		}
	}
	web.CloseIdleConnections()
	wantNobodyServed(t)
}

// wantNobodyServed returns once no goroutine is left of a connection of the monitor.
func wantNobodyServed(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 16<<20)
	await(t, func() bool {
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "net/http.(*conn).serve(")
	})
}

// newRedis has the catalogue of the tests.
func newRedis(t testing.TB) redis.UniversalClient {
	t.Helper()
	m := miniredis.RunT(t)
	client, err := registry.Open("redis://" + m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := registry.Apply(t.Context(), client, testCatalogue(t)); err != nil {
		t.Fatal(err)
	}
	return client
}

// learn teaches every model one label.
func learn(t testing.TB, client redis.UniversalClient, id string) {
	t.Helper()
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	defer committer.Close(t.Context())
	if _, err := committer.Learn(t.Context(), registry.Label{ID: id, Features: map[string]float64{"a": 1, "b": 2}, Y: 3}); err != nil {
		t.Fatal(err)
	}
}

// nobody is an address where nobody listens.
func nobody(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
