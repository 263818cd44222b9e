package replay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve"
)

const catalogue = `
champion: a
models:
  - name: a
    features: [distance]
    model:
      LinearRegression: {}
`

// functions serve the real predict and learn, with one Redis.
func functions(t *testing.T) (predictAt, learnAt string) {
	t.Helper()
	client, err := registry.Open("redis://" + miniredis.RunT(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	models, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(t.Context(), client, models); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	t.Cleanup(func() {
		if err := committer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	reader := registry.NewReader(client, kinds.All(), registry.ReaderOptions{MaxAge: time.Nanosecond})
	at := func(name string, h serve.Handler) string {
		server, err := serve.New(h, serve.Options{Name: name, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(server)
		t.Cleanup(s.Close)
		return s.URL
	}
	return at("predict", predict.New(reader, log)), at("learn", learn.New(committer))
}

// life is a recording of topics that come out of the system.
func life(t *testing.T) []recordings.Record {
	t.Helper()
	var records []recordings.Record
	for n := range 3 {
		trip := fmt.Sprintf("trip-%d", n)
		records = append(records,
			pickUp(t, trip, 0, 0),
			recorded(t, events.TopicFeatures, 0, &events.Features{TripID: trip, PickedUpAt: eight, Features: map[string]float64{"distance": float64(n)}}),
			recorded(t, events.TopicLabels, 0, &events.Label{TripID: trip, Features: map[string]float64{"distance": float64(n)}, DurationS: 100}),
		)
	}
	retraction := records[1]
	retraction.Value = nil
	return append(records, retraction,
		recordings.Record{Topic: events.TopicFeatures, Record: events.Record{Key: []byte("none"), Value: []byte("{")}})
}

// TestFunction asks predict, then teaches learn, then asks predict again.
func TestFunction(t *testing.T) {
	predictAt, learnAt := functions(t)
	post := func(url string, play Play) (*Outcome, *Played) {
		t.Helper()
		outcome, played, err := play.Function(t.Context(), url, playing(life(t), nil))
		if err != nil {
			t.Fatal(err)
		}
		return outcome, played
	}
	for _, test := range []struct {
		url     string
		topic   string
		posted  int
		answers int
		typ     string
		says    string
	}{
		{predictAt, events.TopicFeatures, 4, 3, events.TypePrediction, `"version":0`},
		{learnAt, events.TopicLabels, 3, 3, events.TypeLearned, `"a":3`},
		{predictAt, events.TopicFeatures, 4, 3, events.TypePrediction, `"version":3`},
	} {
		outcome, played := post(test.url, Play{OnlyTaken: true})
		if played.Total() != test.posted || played.Records[test.topic] != test.posted || played.LeftOut != len(life(t))-test.posted {
			t.Errorf("%s: played %+v, want the %d of %s", test.typ, played, test.posted, test.topic)
		}
		if len(outcome.Events) != test.answers {
			t.Fatalf("%s: %d answers, want %d", test.typ, len(outcome.Events), test.answers)
		}
		for n, e := range outcome.Events {
			if e.Topic != TopicAnswers || e.Type() != test.typ || e.Key() != fmt.Sprintf("trip-%d", n) {
				t.Errorf("answer %d is a %s about %s, want a %s", n, e.Type(), e.Key(), test.typ)
			}
		}
		if last := outcome.Events[test.answers-1]; !strings.Contains(string(last.Data()), test.says) {
			t.Errorf("the last answer is %s, want it to say %s", last.Data(), test.says)
		}
	}

	// Of topics that were named, what is refused is an answer as well.
	outcome, played := post(predictAt, Play{Topics: []string{events.TopicLabels}})
	if played.Total() != 3 || len(outcome.Events) != 3 {
		t.Fatalf("played %+v, with %d answers, want 3 of the labels", played, len(outcome.Events))
	}
	refusal := outcome.Events[0]
	if refusal.Type() != TypeRefusal || refusal.Key() != "trip-0" || refusal.Extensions()["status"] != "400" || !strings.Contains(string(refusal.Data()), "is not one that predict takes") {
		t.Errorf("a label that predict does not take is answered with %s", refusal)
	}
}

// TestFunctionAsEventingDoes looks at a request, and answers as badly as a
// function may.
func TestFunctionAsEventingDoes(t *testing.T) {
	answers := []struct {
		status int
		header map[string]string
		body   string
	}{
		{http.StatusServiceUnavailable, nil, "not now\n"},
		{http.StatusAccepted, nil, "thank you"},
		{http.StatusOK, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","source":"s","type":"t"}`},
	}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.Header.Get("Ce-Type") != events.TypePickedUp || r.Header.Get("Ce-Partitionkey") != fmt.Sprint(n) ||
			r.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(body), `"trip_id"`) {
			t.Errorf("the request is a %s with header %v and body %s", r.Method, r.Header, body)
		}
		for name, value := range answers[n].header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answers[n].status)
		fmt.Fprint(w, answers[n].body)
		n++
	}))
	defer server.Close()
	var records []recordings.Record
	for n := range answers {
		records = append(records, pickUp(t, fmt.Sprint(n), 0, 0))
	}
	outcome, played, err := Play{}.Function(t.Context(), server.URL, playing(records, nil))
	if err != nil || played.Total() != len(answers) {
		t.Fatalf("played %+v: %v", played, err)
	}
	if len(outcome.Events) != 2 {
		t.Fatalf("%d answers, want the refusal and the event: %v", len(outcome.Events), outcome.Events)
	}
	if e := outcome.Events[0]; string(e.Data()) != "not now\n" || e.Extensions()["status"] != "503" || e.Source() != events.SourcePickUps {
		t.Errorf("the refusal is %s", e)
	}
	if e := outcome.Events[1]; e.Type() != "t" || e.ID() != "1" {
		t.Errorf("the event is %s", e)
	}

	server.Close()
	_, played, err = Play{}.Function(t.Context(), server.URL, playing(records, nil))
	if err == nil || !strings.Contains(err.Error(), "pick_ups") || played.Total() != 0 {
		t.Errorf("with nobody there: played %+v, and the error is %v", played, err)
	}
}
