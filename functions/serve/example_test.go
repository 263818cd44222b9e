package serve_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/serve"
)

// The main of a function: it serves until it is told to stop.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := serve.FromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	o.Name = "predict"
	predict := serve.HandlerFunc(func(context.Context, event.Event) (*event.Event, error) { return nil, nil })
	if err := serve.Run(ctx, predict, o); err != nil {
		log.Fatal(err)
	}
}

// In process a server is an http.Handler.
func ExampleNew() {
	s, err := serve.New(serve.HandlerFunc(func(_ context.Context, e event.Event) (*event.Event, error) {
		label, err := events.DecodeLabel(e)
		if err != nil {
			return nil, err // 400: a label like this one is never going to be valid
		}
		answer, err := events.Encode(&events.Learned{TripID: label.TripID, Versions: map[string]uint64{"linear": 1}})
		return &answer, err
	}), serve.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"trip_id":"id2875421","features":{},"duration_s":455}`))
	r.Header.Set("Ce-Specversion", "1.0")
	r.Header.Set("Ce-Id", "id2875421")
	r.Header.Set("Ce-Source", events.SourceLabels)
	r.Header.Set("Ce-Type", events.TypeLabel)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Ce-Type"))
	fmt.Println(w.Body)
	// Output:
	// 200 dev.tripcast.label.learned.v1
	// {"trip_id":"id2875421","versions":{"linear":1}}
}
