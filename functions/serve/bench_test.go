package serve_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/functions/serve"
)

// accepting is a sink that takes everything.
func accepting() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
}

// postAll posts the event over and over, from 16 sources at once for each CPU.
func postAll(b *testing.B, url string, e event.Event) {
	header := binaryRequest(b, url, e).Header
	data := e.Data()
	client := &http.Transport{MaxIdleConnsPerHost: 256}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(data))
			r.Header = header
			response, err := client.RoundTrip(r)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				b.Errorf("%s", response.Status)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRoundTrip is an event from a source, through a handler, to a sink
// and acknowledged, over sockets. Source and sink are on the same CPUs.
func BenchmarkRoundTrip(b *testing.B) {
	sink := accepting()
	defer sink.Close()
	url := start(b, answering(learnedEvent(b), nil), serve.Options{Sink: sink.URL})
	postAll(b, url, labelEvent(b))
}

// BenchmarkRoundTripNetHTTP is the same two hops in bare net/http, without
// events: what BenchmarkRoundTrip cannot go below.
func BenchmarkRoundTripNetHTTP(b *testing.B) {
	sink := accepting()
	defer sink.Close()
	answer := binaryRequest(b, sink.URL, *learnedEvent(b))
	data := learnedEvent(b).Data()
	client := &http.Transport{MaxIdleConnsPerHost: 256}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		post, _ := http.NewRequestWithContext(r.Context(), http.MethodPost, sink.URL, bytes.NewReader(data))
		post.Header = answer.Header
		response, err := client.RoundTrip(post)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.Write(data)
	}))
	defer server.Close()
	postAll(b, server.URL, labelEvent(b))
}

// BenchmarkServeHTTP is the serving alone: read an event, write an answer.
func BenchmarkServeHTTP(b *testing.B) {
	s, err := serve.New(answering(learnedEvent(b), nil), serve.Options{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkHandler(b, s)
}

// BenchmarkServeHTTPWithSDK is the same with the reader and writer of the SDK.
func BenchmarkServeHTTPWithSDK(b *testing.B) {
	answer := learnedEvent(b)
	benchmarkHandler(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := binding.ToEvent(r.Context(), cehttp.NewMessageFromHttpRequest(r))
		if err != nil || e.Validate() != nil {
			b.Error(err)
		}
		if err := cehttp.WriteResponseWriter(context.Background(), binding.ToMessage(answer), http.StatusOK, w); err != nil {
			b.Error(err)
		}
	}))
}

func benchmarkHandler(b *testing.B, h http.Handler) {
	e := labelEvent(b)
	r := binaryRequest(b, "/", e)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader(e.Data()))
		h.ServeHTTP(&discardingResponse{header: make(http.Header)}, r)
	}
}

type discardingResponse struct{ header http.Header }

func (d *discardingResponse) Header() http.Header         { return d.header }
func (d *discardingResponse) Write(p []byte) (int, error) { return len(p), nil }
func (d *discardingResponse) WriteHeader(int)             {}
