package serve_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/functions/serve"
)

// received is a sink that reads events with the SDK, as a KafkaSink would.
func received(t *testing.T, into *[]event.Event) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
		if err != nil {
			t.Errorf("the sink got no event: %v", err)
		}
		if r.Method != http.MethodPost || len(r.Header["Idempotency-Key"]) > 0 {
			t.Errorf("the sink got %s with %v", r.Method, r.Header)
		}
		mu.Lock()
		*into = append(*into, *e)
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
}

func TestSinkGetsTheAnswerWithOverrides(t *testing.T) {
	var got []event.Event
	sink := httptest.NewServer(received(t, &got))
	defer sink.Close()
	answer := learnedEvent(t)
	answer.SetExtension("site", "boston")
	url := start(t, answering(answer, nil), serve.Options{
		Sink: sink.URL + "/predictions", Overrides: map[string]string{"site": "nyc", "Team": "taxi"},
	})
	response, body := send(t, binaryRequest(t, url, labelEvent(t)))
	if response.StatusCode != http.StatusOK || response.Header.Get("Ce-Site") != "boston" {
		t.Errorf("%s %v: %s", response.Status, response.Header, body)
	}
	want := learnedEvent(t)
	want.SetExtension("site", "nyc")
	want.SetExtension("team", "taxi")
	if len(got) != 1 || got[0].String() != want.String() {
		t.Errorf("the sink got %s\nwant %s", got, want)
	}
	if answer.Extensions()["site"] != "boston" || answer.Extensions()["team"] != nil {
		t.Error("the handler's event was changed")
	}
}

func TestNoAnswerNothingForTheSink(t *testing.T) {
	var got []event.Event
	sink := httptest.NewServer(received(t, &got))
	defer sink.Close()
	url := start(t, answering(nil, nil), serve.Options{Sink: sink.URL})
	if response, body := send(t, binaryRequest(t, url, labelEvent(t))); response.StatusCode != http.StatusNoContent || len(got) != 0 {
		t.Errorf("%s: %s; the sink got %v", response.Status, body, got)
	}
}

// Whatever goes wrong at the sink, the source must retry: 502.
func TestSinkFailures(t *testing.T) {
	answers := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			io.WriteString(w, text)
		}
	}
	for _, test := range []struct {
		name string
		sink http.HandlerFunc
		text string
	}{
		{"produce failed", answers(503, "no leader"), "answered 503 Service Unavailable: no leader"},
		{"not an event to it", answers(400, "what?"), "answered 400 Bad Request: what?"},
		{"a redirect", answers(307, ""), "answered 307 Temporary Redirect"},
		{"too slow", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, "no answer within 50ms"},
		{"a closed connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := httptest.NewServer(test.sink)
			defer sink.Close()
			url := start(t, answering(learnedEvent(t), nil), serve.Options{Sink: sink.URL, SinkTimeout: 50 * time.Millisecond})
			response, body := send(t, binaryRequest(t, url, labelEvent(t)))
			wantError(t, response, body, http.StatusBadGateway, "", test.text)
			if !strings.Contains(body, sink.URL) {
				t.Errorf("%s does not name the sink %s", body, sink.URL)
			}
		})
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	url := start(t, answering(learnedEvent(t), nil), serve.Options{Sink: gone.URL})
	response, body := send(t, binaryRequest(t, url, labelEvent(t)))
	wantError(t, response, body, http.StatusBadGateway, "", "connection refused")
}

func TestSinkOverTLS(t *testing.T) {
	var got []event.Event
	sink := httptest.NewTLSServer(received(t, &got))
	defer sink.Close()
	o := serve.Options{Sink: sink.URL}
	response, body := send(t, binaryRequest(t, start(t, answering(learnedEvent(t), nil), o), labelEvent(t)))
	wantError(t, response, body, http.StatusBadGateway, "", "certificate")
	o.SinkCACerts = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sink.Certificate().Raw}))
	response, body = send(t, binaryRequest(t, start(t, answering(learnedEvent(t), nil), o), labelEvent(t)))
	if response.StatusCode != http.StatusOK || len(got) != 1 {
		t.Errorf("%s: %s", response.Status, body)
	}
}

// Events in flight at once each need a connection to the sink, and the next as
// many must find those open.
func TestSinkKeepsItsConnections(t *testing.T) {
	const inFlight, rounds = 200, 3
	var dialled atomic.Int64
	var all sync.WaitGroup
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		all.Done()
		all.Wait() // so that as many as are in flight are here together
		w.WriteHeader(http.StatusAccepted)
	}))
	sink.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	sink.Start()
	defer sink.Close()
	s, err := serve.New(answering(learnedEvent(t), nil), serve.Options{Sink: sink.URL, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		all.Add(inFlight)
		var sources sync.WaitGroup
		for range inFlight {
			sources.Go(func() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, binaryRequest(t, "/", labelEvent(t)))
				if w.Code != http.StatusOK {
					t.Errorf("%d: %s", w.Code, w.Body)
				}
			})
		}
		sources.Wait()
	}
	if n := dialled.Load(); n > inFlight+inFlight/2 { // a few race with a connection that is just coming back
		t.Errorf("%d connections for %d requests, %d at once", n, rounds*inFlight, inFlight)
	}
}

// A sink may close a connection just as it is used again. The event is posted
// again on a new one and the source hears nothing of it.
func TestSinkThatClosesIdleConnections(t *testing.T) {
	var connections, taken atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() { // answers once and hangs up on the second request
				defer c.Close()
				buf := make([]byte, 64<<10)
				if _, err := c.Read(buf); err != nil {
					return
				}
				taken.Add(1)
				fmt.Fprint(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
				c.Read(buf) //nolint:errcheck // it hangs up either way
			}()
		}
	}()
	url := start(t, answering(learnedEvent(t), nil), serve.Options{Sink: "http://" + l.Addr().String()})
	for range 3 {
		if response, body := send(t, binaryRequest(t, url, labelEvent(t))); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", response.Status, body)
		}
	}
	if connections.Load() != 3 || taken.Load() != 3 {
		t.Errorf("%d connections took %d events, want 3 and 3", connections.Load(), taken.Load())
	}
}

// The SDK reads what is written here, and what it writes is read here, alike.
func TestAgreesWithTheSDK(t *testing.T) {
	bare := event.New()
	bare.SetID("1")
	bare.SetSource("urn:x:y?z#f")
	bare.SetType("a.type")
	full := labelEvent(t)
	full.SetTime(time.Date(2016, 1, 4, 8, 30, 0, 120_000_000, time.UTC))
	full.SetDataSchema("https://tripcast.dev/events/schemas/label.json")
	full.SetDataContentType("application/json; charset=utf-8")
	full.SetExtension("attempt", 3)
	full.SetExtension("replayed", true)
	full.SetExtension("raw", []byte{0, 1})
	for _, e := range []event.Event{bare, full, labelEvent(t), *learnedEvent(t)} {
		var sunk []event.Event
		sink := httptest.NewServer(received(t, &sunk))
		var got event.Event
		url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
			got = e
			return &e, nil
		}, serve.Options{Sink: sink.URL})
		request := binaryRequest(t, url, e)
		response, body := send(t, request)
		sink.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", response.Status, body)
		}
		want, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpRequest(binaryRequest(t, url, e)))
		if err != nil {
			t.Fatal(err)
		}
		response.Body = io.NopCloser(strings.NewReader(body))
		back, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpResponse(response))
		if err != nil {
			t.Fatal(err)
		}
		for name, e := range map[string]event.Event{"handler": got, "sink": sunk[0], "source": *back} {
			if e.String() != want.String() {
				t.Errorf("the %s got %s\nwant %s", name, e, want)
			}
		}
		for name, values := range request.Header {
			if g := response.Header[name]; len(g) != 1 || g[0] != values[0] {
				t.Errorf("header %s came back as %q, want %q", name, g, values)
			}
		}
	}
}
