package stream

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	tripsql "tripcast.dev/sql"
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

// In the pace of the clock, day after day, trips leave the views while others of
// the same hour start. They have to leave late enough.
func TestWhatLeavesChangesNoFeatures(t *testing.T) {
	for _, c := range []struct {
		retention string
		again     bool // whether features are written again
	}{
		{tripsql.Defaults()[tripsql.VariableTripRetention], false},
		{"25 hours", true},
	} {
		t.Run(c.retention, func(t *testing.T) {
			t.Parallel()
			variables := tripsql.Defaults()
			variables[tripsql.VariableTripRetention] = c.retention
			statements, err := tripsql.Load(tripsql.Files(), variables)
			if err != nil {
				t.Fatal(err)
			}
			e, err := newEngine(t.Context(), statements, slog.Default())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.close() })
			h := &harness{t: t, engine: e, offsets: map[string]int64{}}
			written, again, left := map[string]bool{}, 0, 0
			var events []event
			for n := range 1500 { // every two minutes, for more than two days
				at := time.Date(2016, 2, 28, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 2 * time.Minute)
				one := trips(uint64(n%7), 1)[0]
				one.id, one.start, one.end = fmt.Sprintf("t%d", n), at, at.Add(time.Duration(300+n%11*60)*time.Second)
				one.pickUp = withTime(t, one.pickUp, "trip_id", one.id, "picked_up_at", one.start)
				one.drop = withTime(t, one.drop, "trip_id", one.id, "dropped_off_at", one.end)
				events = append(events, inOrder([]trip{one})...)
			}
			slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
			for chunk := range slices.Chunk(events, 10) {
				in := map[string][]row{}
				for _, e := range chunk {
					in[e.source] = append(in[e.source], h.record(e.source, e.at, e.trip.id, e.data()))
				}
				sunk, err := e.advance(t.Context(), chunk[len(chunk)-1].at, in)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range sunk["features"].added {
					if written[r.partition] {
						again++
					}
					written[r.partition] = true
				}
				left += len(sunk["features"].removed)
			}
			if len(written) != 1500 || left < 1000 {
				t.Errorf("%d trips have features, and %d rows left: nothing is tested", len(written), left)
			}
			if (again > 0) != c.again {
				t.Errorf("%d rows were written again", again)
			}
		})
	}
}

// withTime is an event's data with another id and time.
func withTime(t *testing.T, data, idField, id, timeField string, at time.Time) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(data), &fields); err != nil {
		t.Fatal(err)
	}
	fields[idField], fields[timeField] = id, at.Format("2006-01-02T15:04:05Z")
	return encoded(fields)
}
