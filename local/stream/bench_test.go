package stream

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load feeds an engine with a steady city: what starts now ends as many trips
// later as are under way.
type load struct {
	tb      testing.TB
	engine  *engine
	now     time.Time
	started int
	ended   int
	offset  int64
	step    time.Duration // from one tick to the next
	rate    int           // trips a second of event time
}

// tripsPerSecond is how many start in a second of event time, unless said otherwise.
const tripsPerSecond = 4

func (l *load) record(source, id, data string) row {
	l.offset++
	r, err := rowOf(l.engine.program.sources[source], &kgo.Record{Key: []byte(id), Value: []byte(data), Offset: l.offset, Timestamp: l.now})
	if err != nil {
		l.tb.Fatal(err)
	}
	return r
}

// tick is one with n trips that start and are predicted, and the n oldest that
// end if live are under way.
func (l *load) tick(n, live int) map[string][]row {
	l.now = l.now.Add(cmp.Or(l.step, 10*time.Millisecond))
	begin := time.Date(2016, 1, 4, 0, 0, 0, 0, time.UTC)
	in := map[string][]row{}
	add := func(source, id, format string, values ...any) {
		in[source] = append(in[source], l.record(source, id, fmt.Sprintf(format, values...)))
	}
	for range n {
		i := l.started
		l.started++
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(cmp.Or(l.rate, tripsPerSecond)))
		id := fmt.Sprintf("2016-01-%08d", i)
		place := func(from float64, step int) float64 { return from + float64(i*step%97)*0.001 }
		add("pick_ups_raw", id, `{"trip_id":%q,"vendor_id":1,"picked_up_at":%q,"passenger_count":%d,"pickup_longitude":%g,"pickup_latitude":%g,"dropoff_longitude":%g,"dropoff_latitude":%g}`,
			id, at.Format(time.RFC3339), 1+i%5, place(-74, 7), place(40.7, 11), place(-73.98, 13), place(40.72, 17))
		add("predictions_raw", id, `{"trip_id":%q,"features":{"l1_distance":0.01,"distance_km":1.5,"hour_cos":0.5,"hour_sin":0.5,"passenger_count":1},"predictions":{"linear":{"duration_s":%d,"version":1}},"champion":"linear"}`, id, 300+i%600)
		if l.started-l.ended > live {
			id := fmt.Sprintf("2016-01-%08d", l.ended)
			l.ended++
			add("drop_offs_raw", id, `{"trip_id":%q,"dropped_off_at":%q}`, id, at.Format(time.RFC3339))
		}
	}
	return in
}

// One tick of the program of sql/, by how many trips are new and how many are
// under way.
func BenchmarkTick(b *testing.B) {
	for _, live := range []int{10_000, 100_000} {
		for _, fresh := range []int{10, 1_000} {
			b.Run(fmt.Sprintf("live=%d/new=%d", live, fresh), func(b *testing.B) {
				ctx := context.Background()
				e, err := newEngine(ctx, tripcast(b), slog.Default())
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = e.close() })
				l := &load{tb: b, engine: e, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
				for l.started < live {
					if _, err := e.advance(ctx, l.now, l.tick(5_000, live)); err != nil {
						b.Fatal(err)
					}
				}
				sunk := 0
				b.ResetTimer()
				for b.Loop() {
					b.StopTimer()
					in := l.tick(fresh, live)
					b.StartTimer()
					d, err := e.advance(ctx, l.now, in)
					if err != nil {
						b.Fatal(err)
					}
					sunk += len(d["features"].added) + len(d["labels"].added)
				}
				if sunk != 2*fresh*b.N {
					b.Errorf("%d rows were sunk in %d ticks", sunk, b.N)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/tick")
			})
		}
	}
}
