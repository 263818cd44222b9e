package trail

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// BenchmarkOf looks for one trip among 60,000 trips' pick-ups, features and
// predictions, written in as long as the demo takes for them, as far as the
// budget goes, and within the minute of the trip.
func BenchmarkOf(b *testing.B) {
	k := newKafka(b, 3, events.Topics()...)
	const trips = 60_000
	sizes := map[string]int{events.TopicPickUps: 250, events.TopicFeatures: 700, events.TopicPredictions: 1200}
	packing := newClient(b, k.cluster, kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	random := rand.New(rand.NewPCG(1, 2))
	for topic, size := range sizes {
		for i := range trips {
			data := make([]string, size/25) // as features and predictions look
			for j := range data {
				data[j] = fmt.Sprintf(`"number_%d":%.9f`, j, random.Float64())
			}
			e := cloudEvent(topic, fmt.Sprintf("trip-%05d", i), "{"+strings.Join(data, ",")+"}")
			packing.Produce(context.Background(), binary(topic, int32(i%3), 10*i, e), nil)
		}
	}
	if err := packing.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	trail := k.trail(func(t *Trail) { t.bounds.bytes = 1 << 30 })
	for _, c := range []struct {
		name     string
		from, to time.Time
		bytes    int64
	}{
		{"minute", at(300_000), at(360_000), maxBytes},
		{"budget", time.Time{}, time.Time{}, maxBytes},
		{"all", time.Time{}, time.Time{}, 1 << 30},
	} {
		b.Run(c.name, func(b *testing.B) {
			trail.bounds.bytes = c.bytes
			left := int64(0)
			for b.Loop() {
				found, err := trail.Of(b.Context(), "trip-30001", Stretch{From: c.from, To: c.to})
				if err != nil || c.name != "budget" && len(found.Events) != 3 {
					b.Fatalf("found %v, complete %v, %v", places(found.Events), found.Complete, err)
				}
			}
			left = c.bytes
			spans, _, err := trail.spans(b.Context(), c.from, c.to, events.Topics()...)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := trail.read(b.Context(), spans, &left, func(*kgo.Record) bool { return true }); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(c.bytes-left)/1e6, "MB/look")
		})
	}
}
