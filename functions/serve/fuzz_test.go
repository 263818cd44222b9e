package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/functions/serve"
)

// FuzzServeHTTP holds the reader of requests to an event that is complete, or
// to a refusal that a source does not retry.
func FuzzServeHTTP(f *testing.F) {
	document, err := json.Marshal(labelEvent(f))
	if err != nil {
		f.Fatal(err)
	}
	binary := "Ce-Specversion\t1.0\nCe-Id\t1\nCe-Source\t/test\nCe-Type\tt\nCe-Time\t2016-01-04T08:30:00Z\nCe-X\ty\nContent-Type\ttext/plain"
	f.Add(binary, []byte("hello"), true)
	f.Add(binary, []byte{}, false)
	f.Add("Content-Type\tapplication/cloudevents+json", document, true)
	f.Add("Content-Type\tapplication/cloudevents-batch+json", []byte("[]"), true)
	f.Add("Content-Type\tapplication/json\nCe-\tx", []byte("{}"), true)
	s, err := serve.New(serve.HandlerFunc(func(_ context.Context, e event.Event) (*event.Event, error) {
		if e.SpecVersion() != "1.0" || e.ID() == "" || e.Source() == "" || e.Type() == "" {
			panic("an incomplete event: " + e.String())
		}
		return &e, nil
	}), serve.Options{Logger: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, lines string, body []byte, sized bool) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		if !sized {
			r.ContentLength = -1
		}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, "\t")
			r.Header.Add(name, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		default:
			t.Errorf("%d: %s", w.Code, w.Body)
		}
	})
}
