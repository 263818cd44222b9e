package eventing_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/local/eventing"
)

// BenchmarkSource is records through a KafkaSource and HTTP to a sink that does
// nothing, all in this process.
func BenchmarkSource(b *testing.B) {
	for _, ordering := range []string{"ordering: ordered", unordered} {
		b.Run(ordering, func(b *testing.B) {
			k := startKafka(b)
			k.topic(b, "in", 3)
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			s := startNoop(b)
			records := make([]*kgo.Record, b.N)
			for i := range records {
				records[i] = cloudEvent("in", int32(i%3), fmt.Sprintf("e%d", i))
			}
			k.produce(b, records...)
			m := load(b, function, kafkaSink("dead"), source(ordering, "consumers: 3", delivery))
			b.ReportAllocs()
			b.ResetTimer()
			run(b, k, s, m, func(c *eventing.Config) {
				c.Observer.Delivered = func(eventing.Delivery) {
					if left.Add(-1) == 0 {
						close(done)
					}
				}
			})
			<-done
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkSink is events posted by 150 clients through a KafkaSink into its
// topic, all in this process.
func BenchmarkSink(b *testing.B) {
	k := startKafka(b)
	e := run(b, k, "", load(b, kafkaSink("out")))
	url := sinkURL(b, e, "out")
	const clients = 150
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	data := bytes.Repeat([]byte("x"), 500)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var posting sync.WaitGroup
	for range clients {
		posting.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(data))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header = http.Header{
					"Ce-Specversion": {"1.0"}, "Ce-Id": {fmt.Sprint(i)}, "Ce-Source": {"/bench"}, "Ce-Type": {"dev.bench.v1"},
					"Ce-Partitionkey": {fmt.Sprint(i)}, "Content-Type": {"application/json"},
				}
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusAccepted {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	posting.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
