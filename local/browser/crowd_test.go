package browser

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/simulate"
)

// crowded is the dashboard at another address, with a stream that brings very
// many trips at once. All but the stream is the dashboard's own.
func crowded(t *testing.T, page string, trips int) string {
	t.Helper()
	target, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	messages := crowd(t, trips)
	routes := http.NewServeMux()
	routes.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	routes.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range messages {
			fmt.Fprintf(w, "event: trips\ndata: %s\n\n", data)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(routes)
	t.Cleanup(func() {
		server.CloseClientConnections() // or it waits for a page that is still open
		server.Close()
	})
	return server.URL
}

// crowd is trips that look like those of the main job and have ended, as the stream tells of
// them.
func crowd(t *testing.T, n int) (messages [][]byte) {
	t.Helper()
	source, err := simulate.NewSynthetic(simulate.SyntheticConfig{Seed: 50})
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(50, 0))
	for start := 0; start < n; start += 1000 {
		trips := live.Trips{Started: []live.Started{}}
		for range 1000 {
			trip, err := source.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			actual := trip.Duration().Seconds()
			trips.Ended = append(trips.Ended, live.Ended{
				ID: trip.ID, DropOffLon: trip.DropoffLongitude, DropOffLat: trip.DropoffLatitude,
				ActualS: actual, PredictedS: actual * (0.4 + 1.2*noise.Float64()),
			})
		}
		data, err := json.Marshal(trips)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, data)
	}
	return messages
}
