package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/simulate"
)

// told is what a visitor of the feed has been told of trips.
type told struct {
	predicted map[string]float64 // by id, of the trips that started
	ended     map[string]float64
	leftOut   int
}

// tell takes a message of trips. An id comes once, unless all comes anew.
func (o *told) tell(t *testing.T, data []byte) {
	t.Helper()
	var message struct {
		Reset          bool
		Started, Ended [][]any
		LeftOut        int `json:"left_out"`
	}
	if err := json.Unmarshal(data, &message); err != nil {
		t.Fatal(err)
	}
	if message.Reset {
		*o = told{predicted: map[string]float64{}, ended: map[string]float64{}}
	}
	for _, s := range message.Started {
		id := s[0].(string)
		if _, twice := o.predicted[id]; twice {
			t.Errorf("trip %s starts twice", id)
		}
		o.predicted[id] = s[6].(float64)
	}
	for _, e := range message.Ended {
		id := e[0].(string)
		if _, twice := o.ended[id]; twice {
			t.Errorf("trip %s ends twice", id)
		}
		o.ended[id] = e[4].(float64)
	}
	o.leftOut += message.LeftOut
}

func (o *told) all() int { return len(o.predicted) + len(o.ended) + o.leftOut }

// TestFeed: what the dashboard's feed makes of the views of sql/, read as it reads
// Materialize, is what they say.
func TestFeed(t *testing.T) {
	const trips = 800
	r := launch(t, "--monitor-listen", "off", "--limit", "800", "--speed", "2000")
	dsn := "postgres://materialize@" + r.sqlAt + "/materialize?sslmode=disable"
	feed := live.New(live.Config{Database: dsn, Redis: r.client, Kinds: kinds.All(), Log: r.system.log})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the feed ends with %v", err)
		}
	})
	visitor := feed.Subscribe(ctx)
	var o told
	for now := feed.Now(); !settled(now, trips) || o.all() < 2*trips; now = feed.Now() {
		messages, err := visitor.Next(ctx)
		if err != nil {
			t.Fatalf("told of %d starts, %d ends, %d left out of %d trips: %v\n%+v\n%s", len(o.predicted), len(o.ended), o.leftOut, trips, err, now.Summary, r.log)
		}
		for _, m := range messages {
			if m.Event == live.EventTrips {
				o.tell(t, m.Data)
			}
		}
	}
	if o.all() != 2*trips {
		t.Errorf("told of %d starts, %d ends and %d left out of %d trips", len(o.predicted), len(o.ended), o.leftOut, trips)
	}
	now := startMore(t, r, feed, trips)
	wantSums(t, now, trips)
	wantClasses(t, dsn, now)
	wantBest(t, dsn, now)
	for id := range o.ended {
		wantTrip(t, feed, id, o)
		break
	}
	if _, err := feed.Trip(ctx, "it's nobody's"); !errors.Is(err, live.ErrNotFound) {
		t.Errorf("a trip that is not there: %v", err)
	}
}

// startMore starts trips that do not end until one is predicted with all that has
// been learned: those before may have started while nothing was.
func startMore(t *testing.T, r *running, feed *live.Feed, trips int64) live.Now {
	t.Helper()
	producer, err := simulate.NewProducer(t.Context(), simulate.ProducerConfig{Brokers: r.kafka.Brokers})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	now := feed.Now()
	trip := simulate.Trip{
		PickedUpAt: time.UnixMilli(now.Summary.Clock).UTC(), PassengerCount: 1,
		PickupLongitude: -73.98, PickupLatitude: 40.75, DropoffLongitude: -73.96, DropoffLatitude: 40.78,
	}
	started := int64(0)
	r.until(t, "a trip is predicted with all that is learned", func() bool {
		if now = feed.Now(); started > 0 && servesAll(now) {
			return true
		}
		if now.Summary.Trips.Predictions < trips+started {
			return false
		}
		started++
		trip.ID = fmt.Sprintf("more-%d", started)
		if err := errors.Join(producer.PickUp(t.Context(), trip), producer.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		return false
	})
	return now
}

// servesAll reports whether the newest prediction knows what every model has
// learned.
func servesAll(now live.Now) bool {
	for _, m := range now.Models.Models {
		if m.ServedVersion == 0 || m.ServedVersion != m.Version {
			return false
		}
	}
	return now.Summary.Lag.N > 0 && now.Summary.Staleness.N > 0
}

// settled reports whether all trips have come to every view.
func settled(now live.Now, trips int64) bool {
	inBuckets, inHours, inDistances := int64(0), int64(0), int64(0)
	for _, n := range now.Errors.Trips {
		inBuckets += n
	}
	for _, n := range now.Segments.Hours.Trips {
		inHours += n
	}
	for _, n := range now.Segments.Distances.Trips {
		inDistances += n
	}
	for _, m := range now.Models.Models {
		if m.Trips != trips || m.Labels != uint64(trips) {
			return false
		}
	}
	return now.Summary.Database.State == live.Live && now.Summary.Trips.Labels == trips && now.Summary.LagAll.N == trips &&
		len(now.Models.Models) > 0 && now.Models.Best.Model != "" && inBuckets == trips && inHours == trips && inDistances == trips
}

// wantSums: the errors over time, by hour and by distance are the model's.
func wantSums(t *testing.T, now live.Now, trips int64) {
	t.Helper()
	for _, m := range now.Models.Models {
		for name, c := range map[string]struct {
			trips []int64
			maes  []*float64
		}{
			"over time":   {now.Errors.Trips, now.Errors.Models[m.Name]},
			"by hour":     {now.Segments.Hours.Trips, now.Segments.Hours.Models[m.Name]},
			"by distance": {now.Segments.Distances.Trips, now.Segments.Distances.Models[m.Name]},
		} {
			sum := 0.0
			for i, n := range c.trips {
				if n > 0 {
					sum += float64(n) * *c.maes[i]
				}
			}
			// Each is rounded to a hundredth of a second.
			if mae := sum / float64(trips); math.Abs(mae-m.MAE) > 0.01 {
				t.Errorf("%s errs by %v s, %s by %v s", m.Name, m.MAE, name, mae)
			}
		}
		if m.StateBytes == 0 || m.CommittedAt == 0 {
			t.Errorf("Redis says nothing of %+v", m)
		}
	}
	s := now.Summary
	if s.Clock == 0 || s.Lag.N == 0 || s.Lag.P99 < s.Lag.P50 || s.Lag.P50 <= 0 || s.Staleness.N == 0 || now.Models.Champion.Since == 0 {
		t.Errorf("not all is measured: %+v, champion %+v", s, now.Models.Champion)
	}
}

// wantClasses: a trip counts in the hour of its pick-up and in the class of its
// distance, of which each begins with its first kilometre.
func wantClasses(t *testing.T, dsn string, now live.Now) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT t.picked_up_at, t.distance_km FROM trips AS t JOIN completed AS c ON c.trip_id = t.trip_id`)
	if err != nil {
		t.Fatal(err)
	}
	hours, distances := make([]int64, 24), make([]int64, 5)
	var pickedUpAt time.Time
	var km float64
	if _, err := pgx.ForEachRow(rows, []any{&pickedUpAt, &km}, func() error {
		hours[pickedUpAt.Hour()]++
		class := 4
		for i, end := range []float64{1, 2, 5, 10} {
			if km < end {
				class = i
				break
			}
		}
		distances[class]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(now.Segments.Hours.Trips, hours) || !slices.Equal(now.Segments.Distances.Trips, distances) {
		t.Errorf("trips by hour %v, want %v; by distance %v, want %v", now.Segments.Hours.Trips, hours, now.Segments.Distances.Trips, distances)
	}
}

// bestModel is a row of best_models.
type bestModel struct {
	WindowEnd time.Time
	Model     string
	MAE       float64 `db:"mae_s"`
}

// wantBest goes through the hours of SQL: each has the model of the least error,
// and the last that is full says who leads, and since when.
func wantBest(t *testing.T, dsn string, now live.Now) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT window_end, model, mae_s FROM best_models
		WHERE window_end <= (SELECT max(bucket) + INTERVAL '5 minutes' FROM model_errors_5m) ORDER BY window_end`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[bestModel])
	if err != nil || len(all) == 0 {
		t.Fatalf("%d hours have a best model: %v", len(all), err)
	}
	var want live.Leader
	for i, b := range all {
		end := b.WindowEnd.UnixMilli()
		if least := leastError(now.Errors, end); b.MAE < least-0.02 || b.MAE > 1.05*least+0.02 {
			t.Errorf("the hour before %s: the best, %s, errs by %v s, the least error is %v s", b.WindowEnd, b.Model, b.MAE, least)
		}
		if i == 0 || all[i-1].Model != b.Model || b.WindowEnd.Sub(all[i-1].WindowEnd) != 5*time.Minute {
			want.Model, want.Since = b.Model, end
		}
	}
	want.MAE = now.Models.Best.MAE
	if last := all[len(all)-1]; now.Models.Best != want || math.Abs(want.MAE-last.MAE) > 0.01 {
		t.Errorf("the best is %+v, SQL says %+v since %d", now.Models.Best, last, want.Since)
	}
}

// leastError adds up the hour before a time, of five minutes each.
func leastError(e live.Errors, end int64) float64 {
	least := math.Inf(1)
	for _, maes := range e.Models {
		trips, sum := int64(0), 0.0
		for i, start := range e.Buckets {
			if start >= end-time.Hour.Milliseconds() && start < end && maes[i] != nil {
				trips += e.Trips[i]
				sum += float64(e.Trips[i]) * *maes[i]
			}
		}
		if trips >= 30 {
			least = min(least, sum/float64(trips))
		}
	}
	return least
}

// wantTrip looks up a trip that was told of.
func wantTrip(t *testing.T, feed *live.Feed, id string, o told) {
	t.Helper()
	trip, err := feed.Trip(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if trip.ID != id || !trip.Predicted || !trip.Ended || trip.Champion == "" || len(trip.Features) == 0 || len(trip.Predictions) == 0 || trip.PickUp.Lat == 0 || trip.DropOff.Lon == 0 || trip.LagMS <= 0 {
		t.Errorf("trip %s is %+v", id, trip)
	}
	if math.Abs(trip.DurationS-o.ended[id]) > 0.051 || trip.DroppedOffAt.Sub(trip.PickedUpAt).Seconds() != trip.DurationS {
		t.Errorf("trip %s took %v s, told was %v s", id, trip.DurationS, o.ended[id])
	}
	champions := 0
	for _, p := range trip.Predictions {
		if p.ErrorS == nil || math.Abs(p.DurationS-trip.DurationS-*p.ErrorS) > 1e-9 {
			t.Errorf("prediction %+v of a trip of %v s", p, trip.DurationS)
		}
		if p.Champion {
			champions++
			if predicted, ok := o.predicted[id]; ok && math.Abs(predicted-p.DurationS) > 0.051 {
				t.Errorf("trip %s was predicted to take %v s, told was %v s", id, p.DurationS, predicted)
			}
		}
	}
	if champions != 1 {
		t.Errorf("%d of %+v are the champion's", champions, trip.Predictions)
	}
}
