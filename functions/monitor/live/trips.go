package live

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	viewStarts = "trip_starts"
	viewEnds   = "trip_ends"
	tripsPart  = viewStarts + ", " + viewEnds

	// loadedTrips are read when a session begins, and given to a new visitor.
	loadedTrips = 1500
	// keptTrips are known: the end of one that is older says nothing of where it was.
	keptTrips = 20_000
	// keptSamples bound what the quantiles of the last minute are of.
	keptSamples = 10_000
)

// start is a trip that was predicted.
type start struct {
	id              string
	pickUp, dropOff Point
	pickedUpAt      time.Time
	predictions     guesses
	champion        string
	lagMS           int64
	predictedAt     time.Time
}

// guesses is the column predictions.
type guesses map[string]guess

type guess struct {
	DurationS *float64 `json:"duration_s"` // null where the model had no answer
	Version   uint64   `json:"version"`
}

// UnmarshalJSON takes what predict writes, and of what another program may write
// as much as can be read: it is no reason to stop.
func (g *guesses) UnmarshalJSON(data []byte) error {
	var all map[string]guess
	if json.Unmarshal(data, &all) == nil {
		*g = all
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*g = make(guesses, len(raw))
	for model, text := range raw {
		var one guess
		if json.Unmarshal(text, &one) == nil {
			(*g)[model] = one
		}
	}
	return nil
}

// predicted is the champion's guess, NaN if it had none.
func (s start) predicted() float64 {
	if g := s.predictions[s.champion]; g.DurationS != nil {
		return *g.DurationS
	}
	return math.NaN()
}

// end is a trip that is over.
type end struct {
	id       string
	duration float64 // seconds
}

func readStart(r *row) start {
	return start{
		id:          column[string](r, "trip_id"),
		pickUp:      Point{column[float64](r, "pickup_longitude"), column[float64](r, "pickup_latitude")},
		dropOff:     Point{column[float64](r, "dropoff_longitude"), column[float64](r, "dropoff_latitude")},
		pickedUpAt:  column[time.Time](r, "picked_up_at"),
		predictions: column[guesses](r, "predictions"),
		champion:    orZero[string](r, "champion"),
		lagMS:       column[int64](r, "lag_ms"),
		predictedAt: column[time.Time](r, "predicted_at"),
	}
}

func readEnd(r *row) end {
	return end{id: column[string](r, "trip_id"), duration: column[float64](r, "duration_s")}
}

// loadNewest reads the newest trips, and whether they are over.
const loadNewest = `SELECT s.*, e.duration_s
FROM (SELECT * FROM trip_starts ORDER BY predicted_at DESC LIMIT 1500) AS s
LEFT JOIN trip_ends AS e ON e.trip_id = s.trip_id`

type loaded struct {
	start
	duration *float64
}

// followTrips subscribes to what starts and ends, then reads the newest trips:
// what comes in between is in both, and counted once.
func (f *Feed) followTrips(ctx context.Context, live func()) error {
	group, ctx := errgroup.WithContext(ctx)
	began := make(chan struct{}, 2)
	var waiting []func(*trips) // for the newest trips; the Feed's mutex guards it
	ready := false
	onward := func(how func(*trips)) {
		f.change(changedSummary|changedModels, func(s *state) {
			if ready {
				how(&s.trips)
			} else {
				waiting = append(waiting, how)
			}
		})
	}
	starts := &subscription[start]{view: viewStarts, onward: true, read: readStart, began: func() { began <- struct{}{} }}
	starts.take = func(changes []change[start]) {
		now := time.Now()
		onward(func(t *trips) { t.start(changes, now) })
	}
	ends := &subscription[end]{view: viewEnds, onward: true, read: readEnd, began: func() { began <- struct{}{} }}
	ends.take = func(changes []change[end]) { onward(func(t *trips) { t.end(changes) }) }
	group.Go(func() error { return starts.follow(ctx, f) })
	group.Go(func() error { return ends.follow(ctx, f) })
	group.Go(func() error {
		for range 2 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-began:
			}
		}
		newest, err := f.loadTrips(ctx)
		if err != nil {
			return err
		}
		f.change(changedSummary|changedModels, func(s *state) {
			s.trips.reset(newest, time.Now())
			for _, how := range waiting {
				how(&s.trips)
			}
			waiting, ready = nil, true
		})
		live()
		return nil
	})
	return group.Wait()
}

// loadTrips returns the newest trips, the newest last.
func (f *Feed) loadTrips(ctx context.Context) ([]loaded, error) {
	conn, err := f.connect(ctx)
	if err != nil {
		return nil, &viewError{viewStarts, err}
	}
	defer closeConn(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, f.timing.load)
	defer cancel()
	rows, err := conn.Query(ctx, loadNewest)
	if err != nil {
		return nil, &viewError{viewStarts, err}
	}
	var all []loaded
	err = eachRow(conn, rows, viewStarts, func(r *row) error {
		all = append(all, loaded{readStart(r), nullable[float64](r, "duration_s")})
		return nil
	})
	if err != nil {
		return nil, &viewError{viewStarts, err}
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b loaded) int { return a.predictedAt.Compare(b.predictedAt) })
	return all, nil
}

// trips are the newest that are known, and what of them has not been told yet.
type trips struct {
	known   ring
	early   early // ends of trips whose start has not come yet
	samples samples
	served  guesses // of the newest prediction: which version each model had

	total   totals
	news    Trips // since the last message
	renewed bool  // news is everything: what was told before is to be forgotten
}

// totals are counted since this program started; no retention takes from them.
type totals struct{ started, ended int64 }

func newTrips() trips {
	return trips{known: newRing(), early: newEarly()}
}

// reset forgets everything but the totals and takes what was read.
func (t *trips) reset(newest []loaded, now time.Time) {
	total := t.total
	*t = newTrips()
	t.total, t.renewed = total, true
	for _, l := range newest {
		t.add(l.start, min(now.UnixMilli(), l.predictedAt.UnixMilli()))
		if l.duration != nil {
			t.finish(end{l.id, *l.duration})
		}
	}
}

// start takes the trips that have started. Those that go have grown old: what is
// kept of them is bounded here.
func (t *trips) start(changes []change[start], now time.Time) {
	for _, c := range changes {
		if c.diff > 0 && t.add(c.row, now.UnixMilli()) {
			t.total.started++
			if e, ok := t.early.take(c.row.id); ok {
				t.finish(e)
			}
		}
	}
}

// add takes a trip that is not known yet.
func (t *trips) add(s start, at int64) bool {
	if !t.known.add(s) {
		return false
	}
	t.served = s.predictions
	t.samples.add(sample{at: at, lagMS: s.lagMS, predictedAt: s.predictedAt.UnixMilli(), champion: s.champion, version: s.predictions[s.champion].Version})
	t.news.Started = append(t.news.Started, Started{
		ID: s.id, PickUpLon: s.pickUp.Lon, PickUpLat: s.pickUp.Lat, DropOffLon: s.dropOff.Lon, DropOffLat: s.dropOff.Lat,
		PickedUpAt: s.pickedUpAt.UnixMilli(), PredictedS: s.predicted(),
	})
	return true
}

// end takes the trips that have ended.
func (t *trips) end(changes []change[end]) {
	for _, c := range changes {
		if c.diff > 0 {
			t.total.ended++
			t.finish(c.row)
		}
	}
}

// finish ends a trip, once. The two subscriptions do not wait for each other: an
// end may come before its start.
func (t *trips) finish(e end) {
	k := t.known.find(e.id)
	if k == nil {
		if t.early.keep(e) {
			t.news.LeftOut++
		}
		return
	}
	if k.ended {
		return
	}
	k.ended = true
	t.news.Ended = append(t.news.Ended, Ended{
		ID: e.id, DropOffLon: k.dropOff.Lon, DropOffLat: k.dropOff.Lat, PredictedS: k.predicted, ActualS: e.duration,
	})
}

// tell returns what is new, and whether it is everything.
func (t *trips) tell() (news Trips, renewed bool) {
	news, renewed = t.news, t.renewed
	t.news, t.renewed = Trips{}, false
	return news, renewed
}

// clock is the city's: the newest pick-up among the trips that came last, which
// are not quite in order.
func (t *trips) clock() int64 {
	const last = 100
	newest := int64(0)
	for i := range min(last, len(t.known.order)) {
		newest = max(newest, t.known.back(i).pickedUpAt)
	}
	return newest
}
