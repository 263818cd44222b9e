package serve_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/events"
	"tripcast.dev/functions/serve"
)

// The error that answers an event is an event: the SDK reads it as one whatever
// the status, and that is all that func invoke shows.
func TestErrorAnswersAnEventWithAnEvent(t *testing.T) {
	url := start(t, func(_ context.Context, e event.Event) (*event.Event, error) {
		if e.Type() == events.TypeLabel {
			return nil, errors.New("redis is away")
		}
		_, err := events.Decode(e)
		return nil, err
	}, serve.Options{Name: "learn"})
	label := binaryRequest(t, url, labelEvent(t))
	elsewhere := binaryRequest(t, url+"/elsewhere", labelEvent(t))
	got := binaryRequest(t, url, labelEvent(t))
	got.Method = http.MethodGet
	untyped := binaryRequest(t, url, labelEvent(t))
	untyped.Header.Del("Ce-Type")
	unknown, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"specversion":"1.0","id":"id1","source":"/s","type":"t"}`))
	if err != nil {
		t.Fatal(err)
	}
	unknown.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)

	for _, test := range []struct {
		name         string
		request      *http.Request
		status, text string
	}{
		{"that may be retried", label, "503", `{"error":"redis is away"}`},
		{"in structured mode", unknown, "400", `"field":"type"`},
		{"that lacks its type", untyped, "400", `"field":"type"`},
		{"with the wrong method", got, "405", "is not for GET"},
		{"at the wrong path", elsewhere, "404", "nothing is at /elsewhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, body := send(t, test.request)
			if !strings.HasPrefix(response.Status, test.status) {
				t.Errorf("%s: the status itself is what a KafkaSource goes by", response.Status)
			}
			response.Body = io.NopCloser(strings.NewReader(body))
			e, err := binding.ToEvent(context.Background(), cehttp.NewMessageFromHttpResponse(response))
			if err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
			if e.Type() != serve.TypeError || e.ID() != "id1" || e.Source() != "/tripcast/learn/errors" || e.Extensions()["status"] != test.status {
				t.Errorf("answered\n%s", e)
			}
			if !strings.Contains(string(e.Data()), test.text) {
				t.Errorf("answered %s, want %q in it", e.Data(), test.text)
			}
		})
	}
}

// Whoever sent no event, or one whose id is what is wrong with it, gets the error alone.
func TestErrorAnswersNoEventWithNone(t *testing.T) {
	url := start(t, answering(nil, nil), serve.Options{Ready: func(context.Context) error { return errors.New("starting") }})
	request := func(method, path string, headers map[string]string) *http.Request {
		r, err := http.NewRequest(method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		return r
	}
	attributes := map[string]string{"Ce-Specversion": "1.0", "Ce-Source": "/s", "Ce-Type": "t"}
	for _, r := range []*http.Request{
		request(http.MethodPost, "/", nil),
		request(http.MethodPost, "/", attributes),
		request(http.MethodPost, "/", with(attributes, "Ce-Id", "\xff")),
		request(http.MethodGet, "/health/readiness", nil),
	} {
		response, body := send(t, r)
		for name := range response.Header {
			if strings.HasPrefix(name, "Ce-") {
				t.Errorf("%s %s %q is answered with %s", r.Method, r.URL.Path, r.Header, name)
			}
		}
		if response.StatusCode < 400 || !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %s", response.Status, body)
		}
	}
}
