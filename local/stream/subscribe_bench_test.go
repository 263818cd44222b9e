package stream

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	tripsql "tripcast.dev/sql"
)

// dashboard is what the dashboard subscribes to.
var dashboard = []string{
	"model_errors", "model_errors_5m", "model_errors_by_hour", "model_errors_by_distance", "best_models",
	"trip_counts", "prediction_lag", "trip_starts", "trip_ends",
}

// busyCity is a stream that nobody runs, with trips that have ended in it.
func busyCity(b *testing.B, trips int) (*Stream, *load) {
	b.Helper()
	e, err := newEngine(b.Context(), tripcast(b), slog.Default())
	if err != nil {
		b.Fatal(err)
	}
	q, err := newQueries(b.Context(), e)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = q.close(), e.close() })
	l := &load{tb: b, engine: e, now: time.Now()}
	for l.started < trips {
		l.advance(5_000)
	}
	return &Stream{engine: e, query: q}, l
}

func (l *load) advance(trips int) {
	l.tb.Helper()
	if _, err := l.engine.advance(l.tb.Context(), l.now, l.tick(trips, 1_000)); err != nil {
		l.tb.Fatal(err)
	}
}

// One trip among many, and how long a tick waits for it.
func BenchmarkLookup(b *testing.B) {
	s, _ := busyCity(b, 60_000)
	for _, view := range []string{"pick_ups", "predictions", "trip_starts", "trip_ends"} {
		for name, condition := range map[string]string{"key": "trip_id = $1", "all": "trip_id || '' = $1"} {
			b.Run(view+"/"+name, func(b *testing.B) {
				statements, err := tripsql.Split("query", "SELECT * FROM "+view+" WHERE "+condition)
				if err != nil {
					b.Fatal(err)
				}
				query, err := duckSQL(statements[0].Tokens)
				if err != nil {
					b.Fatal(err)
				}
				columns, parameters, err := s.query.types(b.Context(), query, statements[0].Tokens)
				if err != nil {
					b.Fatal(err)
				}
				by := s.query.lookup(b.Context(), query, parameters)
				for i := 0; b.Loop(); i++ {
					r, err := s.query.run(b.Context(), query, []any{fmt.Sprintf("2016-01-%08d", i%50_000)}, columns, by)
					if err != nil || len(r.rows) != 1 {
						b.Fatalf("%d rows, %v", len(r.rows), err)
					}
				}
			})
		}
	}
}

// What a tick waits for while the dashboard's cursors are brought up to date,
// after so many trips.
func BenchmarkSubscribe(b *testing.B) {
	for _, fresh := range []int{10, 100, 1_000} {
		b.Run(fmt.Sprintf("new=%d", fresh), func(b *testing.B) {
			s, l := busyCity(b, 60_000)
			var all []*subscription
			for _, view := range dashboard {
				all = append(all, subscribed(b, s, view))
			}
			for b.Loop() {
				b.StopTimer()
				l.advance(fresh)
				s.engine.next = time.Time{}
				b.StartTimer()
				for _, c := range all {
					if o, ok := c.watched.(*watchedQuery); ok {
						o.next = time.Time{}
					}
					if err := c.round(b.Context()); err != nil || len(c.ready) == 0 {
						b.Fatalf("%d rows, %v", len(c.ready), err)
					}
					c.ready = nil
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/round")
		})
	}
}

func subscribed(b *testing.B, s *Stream, view string) *subscription {
	b.Helper()
	statements, err := tripsql.Split("query", "DECLARE c CURSOR FOR SUBSCRIBE "+view)
	if err != nil {
		b.Fatal(err)
	}
	d, err := s.declare(b.Context(), statements[0], (&text{stream: s, session: &session{client: &client{}}}).ask)
	if err != nil {
		b.Fatal(err)
	}
	c := &subscription{declaration: d}
	if err := c.begin(context.Background()); err != nil {
		b.Fatal(err)
	}
	c.ready = nil
	return c
}
