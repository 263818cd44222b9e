package stream

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"
)

// city makes the records of a small town, with everything that goes wrong.
type city struct {
	h      *harness
	random *rand.Rand
	trips  int
	clock  time.Time // event time
}

func newCity(h *harness, seed uint64) *city {
	return &city{h: h, random: rand.New(rand.NewPCG(seed, 1)), clock: time.Date(2016, 2, 28, 21, 0, 0, 0, time.UTC)}
}

func (c *city) id() string { return fmt.Sprintf("t%d", c.random.IntN(c.trips+3)) }

// events is one tick's worth of records that arrive at now.
func (c *city) events(now time.Time, n int) map[string][]row {
	in := map[string][]row{}
	add := func(source, key, data string) {
		at := now.Add(-time.Duration(c.random.IntN(3000)) * time.Millisecond)
		in[source] = append(in[source], c.h.record(source, at, key, data))
	}
	for range n {
		c.clock = c.clock.Add(time.Duration(c.random.IntN(150)) * time.Second)
		switch p := c.random.IntN(100); {
		case p < 35:
			c.trips++
			id := fmt.Sprintf("t%d", c.trips)
			add("pick_ups_raw", id, c.pickUp(id))
		case p < 40: // a duplicate with other content, or early
			id := c.id()
			add("pick_ups_raw", id, c.pickUp(id))
		case p < 70:
			id := c.id()
			add("drop_offs_raw", id, c.dropOff(id))
		case p < 92:
			id := c.id()
			add("predictions_raw", id, c.prediction(id))
		default:
			source := []string{"pick_ups_raw", "drop_offs_raw", "predictions_raw"}[c.random.IntN(3)]
			id := c.id()
			add(source, id, c.malformed(id))
		}
	}
	return in
}

func (c *city) pickUp(id string) string {
	degrees := func(from float64) float64 { return from + float64(c.random.IntN(4))*0.01 + c.random.Float64()*0.003 }
	return encoded(map[string]any{
		"trip_id": id, "picked_up_at": c.clock.Format(time.RFC3339Nano), "passenger_count": c.random.IntN(7),
		"pickup_longitude": degrees(-73.99), "pickup_latitude": degrees(40.7),
		"dropoff_longitude": degrees(-73.97), "dropoff_latitude": degrees(40.75),
	})
}

// dropOff ends a trip now, or long ago: into a bucket that is closed.
func (c *city) dropOff(id string) string {
	at := c.clock.Add(-time.Duration(c.random.IntN(600)-300) * time.Second)
	if c.random.IntN(8) == 0 {
		at = at.Add(-time.Duration(c.random.IntN(180)) * time.Minute)
	}
	return encoded(map[string]any{"trip_id": id, "dropped_off_at": at.Format("2006-01-02T15:04:05.999999Z")})
}

func (c *city) prediction(id string) string {
	return encoded(map[string]any{
		"trip_id": id, "champion": "linear",
		"features": map[string]any{"l1_distance": c.random.Float64(), "weather": nil},
		"predictions": map[string]any{
			"linear": map[string]any{"duration_s": c.random.Float64() * 2000, "version": c.random.IntN(9)},
			"tree":   map[string]any{"duration_s": float64(c.random.IntN(900)), "version": 1},
		},
	})
}

func (c *city) malformed(id string) string {
	all := []string{
		"", "null", "[]", `"text"`, "17", "{}", `{"trip_id":null}`, `{"trip_id":` + encoded(id) + `}`,
		`{"trip_id":{"a":1},"picked_up_at":"2016-02-30T00:00:00Z","dropped_off_at":"2016-02-30T00:00:00Z"}`,
		`{"trip_id":` + encoded(id) + `,"picked_up_at":"yesterday","dropped_off_at":"2016-13-01T00:00:00Z","features":[],"predictions":{}}`,
		`{"trip_id":` + encoded(id) + `,"dropped_off_at":17,"features":{},"predictions":"none"}`,
		`{"trip_id":` + encoded(id) + `,"features":{},"predictions":{"linear":{"duration_s":"12"},"tree":17,"knn":{"duration_s":1e38}}}`,
		`{"trip_id":` + encoded(id) + `,"picked_up_at":"2016-01-01T00:00:00Z","passenger_count":1.5,"pickup_longitude":999,"pickup_latitude":"x"}`,
		`{"trip_id":"` + id + ` \u0000 é \ud83d\ude95 \"","dropped_off_at":"2016-02-29T00:00:00.5Z","features":{"é":1},"predictions":{"":{"duration_s":1}}}`,
	}
	return all[c.random.IntN(len(all))]
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The program of sql/ on random events, tick by tick, against every view
// computed from scratch: duplicates, late and early records, records that are
// none, and time that runs out on them.
func TestProgramAgreesWithTheOracle(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, tripcast(t))
			c := newCity(h, seed)
			now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
			sunk := 0
			for n := range 14 {
				now = now.Add(time.Duration(1+c.random.IntN(5000)) * time.Millisecond)
				switch n {
				case 7: // no features any more, but labels still
					now = now.Add(70 * time.Minute)
				case 11: // nothing of the beginning is left
					now = now.Add(24 * time.Hour)
				}
				var in map[string][]row
				if n%6 != 5 { // time passes, nothing arrives
					in = c.events(now, c.random.IntN(70))
				}
				d, err := h.tick(now, in, n%3 == 2)
				if err != nil {
					t.Fatalf("tick %d: %v", n, err)
				}
				sunk += len(d["features"].added) + len(d["labels"].added)
			}
			if sunk < 100 {
				t.Errorf("only %d rows were sunk: the events do not test much", sunk)
			}
			h.wantAsked(now)
		})
	}
}

// A city that is busy enough to say which model is the best, hour by hour, and in
// which the best one changes.
func TestBestModelsAgreeWithTheOracle(t *testing.T) {
	h := newHarness(t, tripcast(t))
	c := newCity(h, 7)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	leaders, most := map[string]bool{}, 0
	for tick := range 12 {
		in := map[string][]row{}
		add := func(source, id, data string) { in[source] = append(in[source], h.record(source, now, id, data)) }
		first := c.trips
		for range 20 {
			c.clock = c.clock.Add(30 * time.Second)
			c.trips++
			id := fmt.Sprintf("t%d", c.trips)
			add("pick_ups_raw", id, c.pickUp(id))
			add("predictions_raw", id, c.prediction(id))
		}
		c.clock = c.clock.Add(10 * time.Minute)
		for n := first; n < c.trips; n++ {
			id := fmt.Sprintf("t%d", n+1)
			add("drop_offs_raw", id, c.dropOff(id))
		}
		if _, err := h.tick(now, in, true); err != nil {
			t.Fatalf("tick %d: %v", tick, err)
		}
		now = now.Add(time.Second)
		v := h.engine.byName["best_models"]
		rows, err := h.oracle.rows(t.Context(), v.name, v.columns)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(rows))
		values := make([]value, len(v.columns))
		for _, data := range rows {
			decodeRow(data, v.columns, values)
			leaders[values[1].text] = true
		}
	}
	if most < 12 || len(leaders) != 2 {
		t.Errorf("%d hours have a best model, of %v: the events do not test much", most, leaders)
	}
}

// wantAsked compares the views that are computed when somebody asks.
func (h *harness) wantAsked(now time.Time) {
	h.t.Helper()
	ctx := h.t.Context()
	q, err := newQueries(ctx, h.engine)
	if err != nil {
		h.t.Fatal(err)
	}
	defer q.close()
	h.oracle.at(h.t, now)
	for _, v := range h.engine.views {
		if v.out != nil {
			continue
		}
		want, err := h.oracle.rows(ctx, v.name, v.columns)
		if err != nil {
			h.t.Fatal(err)
		}
		answer, err := q.run(ctx, "SELECT * FROM "+quoteName(v.name), nil, v.columns, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(answer.rows) != len(want) || len(want) == 0 {
			h.t.Errorf("view %s has %d rows, from scratch %d", v.name, len(answer.rows), len(want))
			continue
		}
		for i, values := range answer.rows {
			if got := string(appendRow(nil, v.columns, values)); len(want) == 1 && got != want[i] {
				h.t.Errorf("view %s: %s, from scratch %s", v.name, shown(v.columns, []string{got}, nil), shown(v.columns, want, nil))
			}
		}
	}
}

// How the views of sql/ are kept: a change that makes one slow shows here.
func TestProgramStrategies(t *testing.T) {
	e, err := newEngine(t.Context(), tripcast(t), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	h := &harness{t: t, engine: e}
	h.wantStrategies(map[string]strategy{
		"pick_ups_typed": keyed, "pick_ups": keyed, "drop_offs_typed": keyed, "drop_offs": keyed, "trips": keyed, "completed": keyed,
		"zone_speed_5m": summed, "zone_speed_1h": summed, "city_speed_5m": summed, "city_speed_1h": summed,
		"hour_speed_day": summed, "hour_speed_past": summed, "hour_speed_5m": summed, "hour_speed_today": summed,
		"starting": keyed, "features": keyed, "predictions_typed": keyed, "predictions": keyed, "labels": keyed,
		"outcomes": keyed, "outcome_errors": keyed, "model_error_sums": summed, "model_errors": keyed,
		"model_errors_5m": summed, "model_errors_by_hour": summed, "model_errors_by_distance": summed, "model_errors_1h": summed,
		"model_scores_1h": keyed, "model_scores_by_hour": keyed, "model_scores_by_distance": keyed,
		"least_errors_1h": keyed, "contenders_1h": keyed, "best_models": whole,
		"served_predictions": keyed, "served_error_sums": summed, "served_errors": keyed,
		"trip_starts": keyed, "trip_ends": keyed, "unmatched_drop_offs": keyed,
		"prediction_lags": keyed, "prediction_lag_histogram": summed, "prediction_lag": asked,
		"pick_up_count": summed, "drop_off_count": summed, "prediction_count": summed, "completed_count": summed, "label_count": summed,
		"trip_counts": asked, "begun_buckets": summed, "judged_buckets": keyed, "judged_outcomes": keyed, "judged_errors": summed, "judged_trips": keyed,
		"hour_closings": summed, "closed_hours": summed, "closed_errors": keyed, "errors_of_hours": keyed, "least_error": keyed,
		"champion_proposals": keyed,
	})
}
