package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/events"
	"tripcast.dev/functions/serve"
)

// quiet is a logger that says nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start serves h on a socket until the test ends, and returns its URL.
func start(t testing.TB, h serve.HandlerFunc, o serve.Options) string {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	s, err := serve.New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

// answering returns the same event, or error, to every event.
func answering(answer *event.Event, err error) serve.HandlerFunc {
	return func(context.Context, event.Event) (*event.Event, error) { return answer, err }
}

// labelEvent is an event as a KafkaSource posts it.
func labelEvent(t testing.TB) event.Event {
	t.Helper()
	e, err := events.Encode(&events.Label{TripID: "id1", Features: map[string]float64{"l1_distance": 0.02}, DurationS: 455})
	if err != nil {
		t.Fatal(err)
	}
	e.SetExtension("knativekafkaoffset", "17")
	return e
}

func learnedEvent(t testing.TB) *event.Event {
	t.Helper()
	e, err := events.Encode(&events.Learned{TripID: "id1", Versions: map[string]uint64{"linear": 3}})
	if err != nil {
		t.Fatal(err)
	}
	return &e
}

// binaryRequest is what the SDK makes of an event.
func binaryRequest(t testing.TB, url string, e event.Event) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cehttp.WriteRequest(context.Background(), binding.ToMessage(&e), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// send returns the response and its body.
func send(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// wantError fails unless the response is the status with an error that contains
// the text, on the field.
func wantError(t *testing.T, response *http.Response, body string, status int, field, text string) {
	t.Helper()
	if response.StatusCode != status {
		t.Errorf("status is %s, want %d: %s", response.Status, status, body)
	}
	var said struct{ Error, Field string }
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if said.Field != field || !strings.Contains(said.Error, text) {
		t.Errorf("got error %q on %q, want %q on %q", said.Error, said.Field, text, field)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the error is %s", got)
	}
}

func TestEventReachesHandlerAndBack(t *testing.T) {
	want := labelEvent(t)
	var got event.Event
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		got = e
		return learnedEvent(t), nil
	}, serve.Options{})

	response, body := send(t, binaryRequest(t, url, want))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the handler got %s\nwant %s", got, want)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, body)
	}
	response.Body = io.NopCloser(strings.NewReader(body))
	answer, err := binding.ToEvent(context.Background(), cehttp.NewMessageFromHttpResponse(response))
	if err != nil {
		t.Fatal(err)
	}
	if answer.String() != learnedEvent(t).String() {
		t.Errorf("got back %s\nwant %s", answer, learnedEvent(t))
	}
}

// What the handler does not say of its answer, nobody guesses.
func TestAnswerWithoutContentType(t *testing.T) {
	answer := event.New()
	answer.SetID("1")
	answer.SetSource("/test")
	answer.SetType("a.type")
	answer.DataEncoded = []byte("<html>")
	response, body := send(t, binaryRequest(t, start(t, answering(&answer, nil), serve.Options{}), labelEvent(t)))
	if got := response.Header["Content-Type"]; got != nil || body != "<html>" {
		t.Errorf("got %q as %q", body, got)
	}
}

func TestStructuredMode(t *testing.T) {
	want := labelEvent(t)
	document, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got event.Event
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		got = e
		return nil, nil
	}, serve.Options{})
	r, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(document))
	r.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	response, body := send(t, r)
	if response.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("%s: %q", response.Status, body)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the handler got %s\nwant %s", got, want)
	}
}

func TestRetraction(t *testing.T) {
	e := labelEvent(t)
	e.DataEncoded = nil
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		if !events.IsRetraction(e) {
			return nil, errors.New("not a retraction")
		}
		return nil, nil
	}, serve.Options{})
	if response, body := send(t, binaryRequest(t, url, e)); response.StatusCode != http.StatusNoContent || body != "" {
		t.Errorf("%s: %q", response.Status, body)
	}
}

// func invoke sends this unless told otherwise.
func TestFuncInvoke(t *testing.T) {
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		if e.Type() != "boson.fn" || e.Source() != "/boson/fn" || string(e.Data()) != `{"message":"Hello World"}` {
			t.Errorf("the handler got %s", e)
		}
		_, err := events.Decode(e)
		return nil, err
	}, serve.Options{})
	r, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"message":"Hello World"}`))
	for name, value := range map[string]string{
		"Ce-Id": "5f7f4e3a-0f1b-4a3e-9c62-7e6f4f0d7b11", "Ce-Source": "/boson/fn", "Ce-Specversion": "1.0",
		"Ce-Type": "boson.fn", "Content-Type": "application/json",
	} {
		r.Header.Set(name, value)
	}
	response, body := send(t, r)
	wantError(t, response, body, http.StatusBadRequest, "type", `"boson.fn" is unknown`)
}

func TestErrors(t *testing.T) {
	valid := labelEvent(t)
	wrapped := errors.Join(errors.New("learn"), &events.InvalidError{Field: "duration_s", Reason: "is absurd"})
	unsendable := event.New()
	for _, test := range []struct {
		name    string
		handler serve.HandlerFunc
		status  int
		field   string
		text    string
	}{
		{"bad input", answering(nil, wrapped), 400, "duration_s", "duration_s: is absurd"},
		{"a store that is away", answering(nil, errors.New("redis: connection refused")), 503, "", "redis: connection refused"},
		{"out of time", answering(nil, context.DeadlineExceeded), 503, "", "deadline exceeded"},
		{"a panic", func(context.Context, event.Event) (*event.Event, error) { panic("out of range") }, 500, "", "panicked: out of range"},
		{"an answer without an id", answering(&unsendable, nil), 503, "", "cannot be sent: events: id: is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			url := start(t, test.handler, serve.Options{Name: "learn", Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			response, body := send(t, binaryRequest(t, url, valid))
			wantError(t, response, body, test.status, test.field, test.text)
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			var line struct{ Level, Function, Error, ID, Type, Stack string }
			if err := json.Unmarshal([]byte(lines[0]), &line); err != nil || len(lines) != 1 {
				t.Fatalf("logged %q, %v", lines, err)
			}
			if line.Level != "WARN" || line.Function != "learn" || !strings.Contains(line.Error, test.text) || line.ID != "id1" || line.Type != events.TypeLabel {
				t.Errorf("logged %s", lines[0])
			}
			if hasStack := strings.Contains(line.Stack, "serve_test.go"); hasStack != (test.status == 500) {
				t.Errorf("stack: %q", line.Stack)
			}
		})
	}
}

func TestRequestsThatAreNoEvent(t *testing.T) {
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		t.Errorf("the handler got %s", e)
		return nil, nil
	}, serve.Options{})
	valid := map[string]string{"Ce-Id": "1", "Ce-Source": "/test", "Ce-Specversion": "1.0", "Ce-Type": "a.type"}
	without := func(name string) map[string]string { return with(valid, name, "") }
	for _, test := range []struct {
		name    string
		headers map[string]string
		body    string
		status  int
		field   string
		text    string
	}{
		{"JSON alone", map[string]string{"Content-Type": "application/json"}, "{}", 400, "specversion", "no CloudEvent"},
		{"no specversion", without("Ce-Specversion"), "{}", 400, "specversion", "is missing"},
		{"another specversion", with(valid, "Ce-Specversion", "0.3"), "{}", 400, "specversion", "is not 1.0"},
		{"no id", without("Ce-Id"), "{}", 400, "id", "is missing"},
		{"no source", without("Ce-Source"), "{}", 400, "source", "is missing"},
		{"no type", without("Ce-Type"), "{}", 400, "type", "is missing"},
		{"a bad time", with(valid, "Ce-Time", "today"), "{}", 400, "time", "RFC 3339"},
		{"a bad extension", with(valid, "Ce-My-Extension", "x"), "{}", 400, "my-extension", ""},
		{"a structured event without a type", structured("+json"), `{"specversion":"1.0","id":"1","source":"/test"}`, 400, "type", "is missing"},
		{"a structured event that breaks off", structured("+json"), `{"specversion":`, 400, "specversion", "unexpected end"},
		{"structured base64 that the SDK panics on", structured("+json"), `{"data_base64":5,"specversion":"1.0","id":"1","type":"t","source":"/s"}`, 400, "data_base64", "is not a string"},
		{"a batch", structured("-batch+json"), "[]", 415, "content-type", "one event at a time"},
		{"another format", structured("+avro"), "x", 415, "content-type", "one event at a time"},
		{"too much data", valid, strings.Repeat(" ", events.MaxDataBytes+1), 413, "data", "1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				var body io.Reader = strings.NewReader(test.body)
				if chunked {
					body = io.MultiReader(body) // hides its length
				}
				r, _ := http.NewRequest(http.MethodPost, url, body)
				for name, value := range test.headers {
					r.Header.Set(name, value)
				}
				response, said := send(t, r)
				wantError(t, response, said, test.status, test.field, test.text)
			}
		})
	}
}

// with is a copy of headers with one set, or removed where the value is empty.
func with(headers map[string]string, name, value string) map[string]string {
	out := make(map[string]string)
	for n, v := range headers {
		out[n] = v
	}
	if out[name] = value; value == "" {
		delete(out, name)
	}
	return out
}

func structured(format string) map[string]string {
	return map[string]string{"Content-Type": "application/cloudevents" + format}
}

func TestLargestData(t *testing.T) {
	var got int
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		got = len(e.Data())
		return nil, nil
	}, serve.Options{})
	e := labelEvent(t)
	e.DataEncoded = bytes.Repeat([]byte(" "), events.MaxDataBytes)
	if response, body := send(t, binaryRequest(t, url, e)); response.StatusCode != http.StatusNoContent || got != events.MaxDataBytes {
		t.Errorf("%s: %q, %d bytes", response.Status, body, got)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	url := start(t, answering(nil, nil), serve.Options{})
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodGet, "/", 405, "POST"},
		{http.MethodPut, "/", 405, "POST"},
		{http.MethodPost, "/health/readiness", 405, "GET, HEAD"},
		{http.MethodPost, "/elsewhere", 404, ""},
		{http.MethodGet, "/healthz", 200, ""},
		{http.MethodGet, "/health/liveness", 200, ""},
		{http.MethodGet, "/health/readiness", 200, ""},
		{http.MethodHead, "/health/readiness", 200, ""},
	} {
		r, _ := http.NewRequest(test.method, url+test.path, nil)
		response, body := send(t, r)
		if response.StatusCode != test.status || response.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %s, Allow %q: %s", test.method, test.path, response.Status, response.Header.Get("Allow"), body)
		}
	}
}

func TestReadiness(t *testing.T) {
	var reason error
	url := start(t, answering(nil, nil), serve.Options{Ready: func(context.Context) error { return reason }})
	probe := func(path string) (*http.Response, string) {
		r, _ := http.NewRequest(http.MethodGet, url+path, nil)
		return send(t, r)
	}
	if response, body := probe("/health/readiness"); response.StatusCode != 200 {
		t.Errorf("ready: %s: %s", response.Status, body)
	}
	reason = errors.New("registry: no champion")
	response, body := probe("/health/readiness")
	wantError(t, response, body, http.StatusServiceUnavailable, "", "registry: no champion")
	if response, body := probe("/health/liveness"); response.StatusCode != 200 {
		t.Errorf("alive all the same: %s: %s", response.Status, body)
	}
}

func TestFromEnv(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want serve.Options
	}{
		{"nothing", nil, serve.Options{}},
		{"PORT", map[string]string{"PORT": "8081"}, serve.Options{Addr: ":8081"}},
		{"LISTEN_ADDRESS wins", map[string]string{"PORT": "8081", "LISTEN_ADDRESS": "127.0.0.1:9"}, serve.Options{Addr: "127.0.0.1:9"}},
		{"a SinkBinding", map[string]string{
			"K_SINK": "http://sink.tripcast.svc/predictions", "K_CE_OVERRIDES": `{"extensions":{"site":"nyc"}}`, "K_CA_CERTS": "PEM",
		}, serve.Options{Sink: "http://sink.tripcast.svc/predictions", Overrides: map[string]string{"site": "nyc"}, SinkCACerts: "PEM"}},
		{"empty overrides", map[string]string{"K_CE_OVERRIDES": `{"extensions":{}}`}, serve.Options{Overrides: map[string]string{}}},
		{"null overrides", map[string]string{"K_CE_OVERRIDES": `{"extensions":null}`}, serve.Options{}},
	} {
		got, err := serve.FromEnv(func(name string) string { return test.env[name] })
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", test.name, got, err, test.want)
		}
	}
	for name, values := range map[string][]string{
		"PORT":           {"80:80"},
		"LISTEN_ADDRESS": {"localhost"},
		"K_SINK":         {"sink", "ftp://sink/", "http://", "%"},
		"K_CE_OVERRIDES": {"{", `{"extensions":{"a":1}}`, `{"extensions":{"id":"x"}}`, `{"extensions":{"a-b":"x"}}`, `{"extensions":{"a":"\n"}}`},
	} {
		for _, value := range values {
			_, err := serve.FromEnv(func(n string) string {
				if n == name {
					return value
				}
				return ""
			})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: got %v", name, value, err)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]serve.Options{
		"a sink that is no URL":  {Sink: "predictions"},
		"no certificate":         {Sink: "https://sink/", SinkCACerts: "none"},
		"an override of the id":  {Overrides: map[string]string{"id": "1"}},
		"a timeout below zero":   {SinkTimeout: -1},
		"a shutdown in the past": {ShutdownTimeout: -1},
	} {
		if _, err := serve.New(answering(nil, nil), o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestRunSaysWhichAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = serve.Run(t.Context(), answering(nil, nil), serve.Options{Addr: l.Addr().String(), Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}
