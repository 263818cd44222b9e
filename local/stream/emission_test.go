package stream

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// trip is one of a small town, in event time.
type trip struct {
	id           string
	start, end   time.Time
	pickUp, drop string
}

// trips of a town in which many start in the same few places.
func trips(seed uint64, n int) []trip {
	random := rand.New(rand.NewPCG(seed, 7))
	at := time.Date(2016, 2, 28, 22, 30, 0, 0, time.UTC) // a midnight and the end of a month are near
	all := make([]trip, n)
	for i := range all {
		at = at.Add(time.Duration(random.IntN(60_000)) * time.Millisecond)
		t := trip{id: fmt.Sprintf("t%d", i), start: at, end: at.Add(time.Duration(60+random.IntN(1500)) * time.Second)}
		place := func(from float64) float64 { return from + float64(random.IntN(2))*0.02 + random.Float64()*0.001 }
		t.pickUp = encoded(map[string]any{
			"trip_id": t.id, "picked_up_at": t.start.Format(time.RFC3339Nano), "passenger_count": 1 + random.IntN(5),
			"pickup_longitude": place(-73.99), "pickup_latitude": place(40.7),
			"dropoff_longitude": place(-73.95), "dropoff_latitude": place(40.75),
		})
		t.drop = encoded(map[string]any{"trip_id": t.id, "dropped_off_at": t.end.Format(time.RFC3339Nano)})
		all[i] = t
	}
	return all
}

// event is a record of a trip, at its time.
type event struct {
	at     time.Time
	source string
	trip   trip
}

// inOrder are the pick-ups and drop-offs of trips in event time.
func inOrder(all []trip) []event {
	var events []event
	for _, t := range all {
		events = append(events, event{t.start, "pick_ups_raw", t}, event{t.end, "drop_offs_raw", t})
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	return events
}

func (e event) data() string {
	if e.source == "pick_ups_raw" {
		return e.trip.pickUp
	}
	return e.trip.drop
}

// A feature row is written once and never again: however the events are cut
// into ticks, and while the topics are less than the grace apart.
func TestFeaturesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	const n = 130
	for seed := range uint64(2) {
		events := inOrder(trips(seed, n))
		var first map[string]string
		sizes := []int{len(events), 100, 7}
		if seed == 0 {
			sizes = append(sizes, 1)
		}
		for _, size := range sizes {
			h := &harness{t: t, offsets: map[string]int64{}}
			var err error
			if h.engine, err = newEngine(t.Context(), tripcast(t), slog.Default()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.engine.close() })
			rows := map[string]string{}
			for chunk := range slices.Chunk(events, size) {
				now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
				in := map[string][]row{}
				for _, e := range chunk {
					in[e.source] = append(in[e.source], h.record(e.source, now, e.trip.id, e.data()))
				}
				sunk, err := h.engine.advance(t.Context(), now, in)
				if err != nil {
					t.Fatal(err)
				}
				d := sunk["features"]
				if len(d.removed) > 0 {
					t.Fatalf("seed %d, ticks of %d: a row is taken back: %s", seed, size, shown(h.engine.byName["features"].columns, []string{d.removed[0].data}, nil))
				}
				for _, r := range d.added {
					if rows[r.partition] != "" {
						t.Fatalf("seed %d, ticks of %d: a row is written again", seed, size)
					}
					rows[r.partition] = r.data
				}
			}
			if len(rows) != n {
				t.Errorf("seed %d, ticks of %d: %d rows for %d trips", seed, size, len(rows), n)
			}
			if first == nil {
				first = rows
				wantSpeeds(t, h.engine.byName["features"], rows)
			} else if !maps.Equal(rows, first) {
				t.Errorf("seed %d, ticks of %d: other features than in one tick", seed, size)
			}
		}
	}
}

// wantSpeeds makes sure that the test is about something: features that depend
// on the trips that ended before.
func wantSpeeds(t *testing.T, v *view, rows map[string]string) {
	t.Helper()
	distinct := map[string]map[string]bool{"recent_speed": {}, "avg_speed_by_hour": {}}
	values := make([]value, len(v.columns))
	for _, data := range rows {
		decodeRow(data, v.columns, values)
		for name, seen := range distinct {
			seen[jsonField(t, values[indexesOf(v.columns, []string{"features"})[0]].text, name)] = true
		}
	}
	for name, seen := range distinct {
		if len(seen) < 6 {
			t.Errorf("%s has %d values only: nothing is tested", name, len(seen))
		}
	}
}

// Beyond the grace there is no promise: a drop-off that comes into a closed
// bucket changes the features of trips that have used it, as in Materialize.
func TestLateDropOffsDoChangeFeatures(t *testing.T) {
	all := trips(1, 250)
	late := all[100]
	events := slices.DeleteFunc(inOrder(all), func(e event) bool { return e.trip.id == late.id && e.source == "drop_offs_raw" })
	h := newHarness(t, tripcast(t))
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	in := map[string][]row{}
	for _, e := range events {
		in[e.source] = append(in[e.source], h.record(e.source, now, e.trip.id, e.data()))
	}
	if _, err := h.tick(now, in, true); err != nil {
		t.Fatal(err)
	}
	sunk, err := h.tick(now, map[string][]row{"drop_offs_raw": {h.record("drop_offs_raw", now, late.id, late.drop)}}, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := sunk["features"]; len(d.added) == 0 || len(d.added) != len(d.removed) {
		t.Errorf("%d rows added, %d removed", len(d.added), len(d.removed))
	}
}
