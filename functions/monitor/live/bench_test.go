package live

import (
	"context"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"tripcast.dev/functions/registry"
)

// BenchmarkVisitors is what an update costs with one visitor and with 200, from
// the rows that have come to the last visitor who has all of its messages: nine
// models, a month of errors, a thousand trips a second. cpu-µs/update is of the
// whole process.
//
//	go test ./functions/monitor/live -run '^$' -bench Visitors
func BenchmarkVisitors(b *testing.B) {
	for _, visitors := range []int{0, 1, 200} {
		b.Run(fmt.Sprint(visitors), func(b *testing.B) { benchmarkVisitors(b, visitors) })
	}
}

func benchmarkVisitors(b *testing.B, visitors int) {
	f := New(Config{Database: "postgres://x@127.0.0.1:1/x"})
	models := fillMonth(f)
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	got := make(chan struct{}, visitors)
	for range visitors {
		v := f.Subscribe(ctx)
		all.Go(func() {
			for {
				messages, err := v.Next(ctx)
				if err != nil {
					return
				}
				for _, m := range messages {
					_, _ = io.Discard.Write(m.Data)
				}
				got <- struct{}{}
			}
		})
	}
	for range visitors {
		<-got
	}
	now, trips := time.Now(), 0
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	for n := range b.N {
		now = now.Add(250 * time.Millisecond)
		trips = happen(f, models, n, trips, now)
		f.publish(now)
		for range visitors {
			<-got
		}
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/1000/float64(b.N), "cpu-µs/update")
}

// fillMonth gives a feed what a month of the city has left.
func fillMonth(f *Feed) (models []string) {
	f.change(changedAll, func(s *state) {
		for name := range s.database.parts {
			s.database.live(name)
		}
		s.counts, s.lags = map[struct{}]Counts{}, map[struct{}]Quantile{}
		s.errors, s.buckets, s.best = map[string]modelError{}, map[bucketKey]sums{}, map[int64]bestModel{}
		s.models.known = true
		for m := range 9 {
			name := fmt.Sprintf("model-%d", m)
			models = append(models, name)
			s.models.infos = append(s.models.infos, registry.Info{Name: name, Champion: m == 0})
			for i := range 31 * 288 {
				start := noon.UnixMilli() + int64(i)*bucketMS
				s.buckets[bucketKey{name, start}] = sums{20, int64(6_000_000 + i)}
				s.best[start+bucketMS] = bestModel{name, 300}
			}
		}
	})
	return models
}

// happen is a quarter of a second of the pipeline.
func happen(f *Feed, models []string, n, trips int, now time.Time) int {
	const started = 250
	guesses := guesses{}
	for i, name := range models {
		seconds := 300 + float64(i)
		guesses[name] = guess{DurationS: &seconds, Version: uint64(n)}
	}
	var starts []change[start]
	var ends []change[end]
	for range started {
		trips++
		starts = append(starts, change[start]{diff: 1, row: start{
			id: fmt.Sprintf("trip-%d", trips), pickUp: Point{-73.98, 40.75}, dropOff: Point{-73.95, 40.78}, pickedUpAt: noon,
			predictions: guesses, champion: models[0], lagMS: 40, predictedAt: now,
		}})
		ends = append(ends, change[end]{diff: 1, row: end{fmt.Sprintf("trip-%d", trips-1000), 250}})
	}
	f.change(changedAll, func(s *state) {
		s.counts[struct{}{}] = Counts{PickUps: int64(trips)}
		for _, name := range models {
			s.errors[name] = modelError{trips: int64(trips), mae: 300 + float64(n%100)}
		}
		s.trips.start(starts, now)
		s.trips.end(ends)
	})
	return trips
}

// BenchmarkStarts is what a trip that starts costs, from the wire on.
func BenchmarkStarts(b *testing.B) {
	models := ""
	for m := range 9 {
		models += fmt.Sprintf(`,"model-%d":{"version":%d,"duration_s":%g}`, m, 1000+m, 312.123456789+float64(m))
	}
	text := []byte("{" + models[1:] + "}")
	conn := pgtype.NewMap()
	r := &row{view: viewStarts, types: conn}
	for _, c := range columns(startColumns) {
		r.columns = append(r.columns, pgconn.FieldDescription{Name: c.Name, DataTypeOID: c.Oid})
	}
	for _, value := range []string{"trip-1", "2016-01-04 12:00:00", "-73.98", "40.75", "-73.95", "40.78", string(text), "model-0", "42", "2026-05-01 12:00:00.123"} {
		r.values = append(r.values, []byte(value))
	}
	b.ReportAllocs()
	for b.Loop() {
		if s := readStart(r); r.err != nil || s.predicted() == 0 {
			b.Fatal(r.err)
		}
	}
}
