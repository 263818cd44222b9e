package serve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/functions/serve"
)

// running is a server on a socket that can be told to stop.
type running struct {
	url     string
	stop    context.CancelFunc
	stopped chan error // what Serve returned
}

func run(t *testing.T, h serve.HandlerFunc, o serve.Options) running {
	t.Helper()
	o.Logger = quiet()
	s, err := serve.New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := running{"http://" + l.Addr().String(), cancel, make(chan error, 1)}
	go func() { r.stopped <- s.Serve(ctx, l) }()
	return r
}

// outcome is what a source got for one event.
type outcome struct {
	status int
	body   string
	err    error
}

// sendAsync sends an event on a connection of its own.
func sendAsync(t *testing.T, url string) <-chan outcome {
	t.Helper()
	r := binaryRequest(t, url, labelEvent(t))
	out := make(chan outcome, 1)
	go func() {
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			out <- outcome{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		out <- outcome{response.StatusCode, string(body), err}
	}()
	return out
}

// refused waits until a server takes no new connection.
func (r running) refused(t *testing.T) {
	t.Helper()
	for range 500 {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			return
		}
		c.Close()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("a server that is stopping still takes connections")
}

// An event that was accepted is handled, its answer reaches the sink, and only
// then is it acknowledged, although the server was told to stop in between.
func TestShutdownFinishesWhatWasAccepted(t *testing.T) {
	atSink, release := make(chan struct{}), make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(atSink)
		select {
		case <-release:
		case <-r.Context().Done(): // the server gave up on it
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer sink.Close()
	r := run(t, answering(learnedEvent(t), nil), serve.Options{Sink: sink.URL})
	first := sendAsync(t, r.url)
	<-atSink
	r.stop()
	r.refused(t)
	if got := <-sendAsync(t, r.url); got.err == nil {
		t.Errorf("a new event got %d: %s", got.status, got.body)
	}
	select {
	case got := <-first:
		t.Fatalf("answered before the sink: %+v", got)
	case err := <-r.stopped:
		t.Fatalf("stopped with a request in flight: %v", err)
	default:
	}
	close(release)
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("got %+v, want 200", got)
	}
	if err := <-r.stopped; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestShutdownInTimeForHandlersThatHeedTheirContext(t *testing.T) {
	handling := make(chan struct{})
	r := run(t, func(ctx context.Context, _ event.Event) (*event.Event, error) {
		close(handling)
		<-ctx.Done()
		return nil, ctx.Err()
	}, serve.Options{ShutdownTimeout: 20 * time.Millisecond})
	got := sendAsync(t, r.url)
	<-handling
	r.stop()
	if o := <-got; o.status != http.StatusServiceUnavailable || !strings.Contains(o.body, "context canceled") {
		t.Errorf("got %+v, want 503", o)
	}
	if err := <-r.stopped; err == nil || !strings.Contains(err.Error(), "1 requests were not finished within 20ms") {
		t.Errorf("Serve returned %v", err)
	}
}

func TestShutdownLeavesHandlersThatDoNot(t *testing.T) {
	handling, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	r := run(t, func(context.Context, event.Event) (*event.Event, error) {
		close(handling)
		<-release
		return nil, nil
	}, serve.Options{ShutdownTimeout: 20 * time.Millisecond})
	got := sendAsync(t, r.url)
	<-handling
	r.stop()
	if o := <-got; o.err == nil {
		t.Errorf("got %+v, want a closed connection: the event is not handled", o)
	}
	if err := <-r.stopped; err == nil {
		t.Error("Serve returned no error")
	}
}

func TestShutdownIsNotReady(t *testing.T) {
	handling, release := make(chan struct{}), make(chan struct{})
	s, err := serve.New(serve.HandlerFunc(func(context.Context, event.Event) (*event.Event, error) {
		close(handling)
		<-release
		return nil, nil
	}), serve.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := running{"http://" + l.Addr().String(), stop, make(chan error, 1)}
	go func() { r.stopped <- s.Serve(ctx, l) }()
	got := sendAsync(t, r.url)
	<-handling
	stop()
	r.refused(t)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health/readiness", nil))
	wantError(t, w.Result(), w.Body.String(), http.StatusServiceUnavailable, "", "shutting down")
	close(release)
	if o := <-got; o.status != http.StatusNoContent {
		t.Errorf("got %+v", o)
	}
	if err := <-r.stopped; err != nil {
		t.Error(err)
	}
}

func TestServeSaysWhyItFailed(t *testing.T) {
	s, err := serve.New(answering(nil, nil), serve.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
