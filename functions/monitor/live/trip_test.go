package live

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

func tripRow() []any {
	return []any{
		"t1", noon, int64(2), noon.Add(time.Hour - 42*time.Millisecond), -73.98, 40.75, -73.95, 40.78,
		[]byte(`{"distance_km":3.5,"bearing":null,"a":1}`), []byte(`{"good":{"duration_s":300.5,"version":7},"bad":{"duration_s":100,"version":3},"mute":{"duration_s":null,"version":1}}`),
		"good", noon.Add(time.Hour), noon.Add(5 * time.Minute), noon.Add(2 * time.Hour), 250.0,
	}
}

func TestTrip(t *testing.T) {
	w := newWorld(t)
	w.db.trips["t1"] = tripRow()
	waiting := tripRow()
	waiting[0] = "it's waiting"
	for i := 8; i < len(waiting); i++ {
		waiting[i] = nil
	}
	w.db.trips["it's waiting"] = waiting
	w.run()
	trip, err := w.feed.Trip(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(trip)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"t1","picked_up_at":"2016-01-04T12:00:00Z","passenger_count":2,"pick_up":{"lon":-73.98,"lat":40.75},"drop_off":{"lon":-73.95,"lat":40.78},"arrived_at":"2016-01-04T12:59:59.958Z",` +
		`"predicted":true,"predicted_at":"2016-01-04T13:00:00Z","lag_ms":42,"champion":"good","features":[{"name":"a","value":1},{"name":"distance_km","value":3.5}],` +
		`"predictions":[{"model":"bad","duration_s":100,"version":3,"champion":false,"error_s":-150},{"model":"good","duration_s":300.5,"version":7,"champion":true,"error_s":50.5}],` +
		`"ended":true,"dropped_off_at":"2016-01-04T12:05:00Z","ended_at":"2016-01-04T14:00:00Z","duration_s":250}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	trip, err = w.feed.Trip(t.Context(), "it's waiting")
	if err != nil || trip.Predicted || trip.Ended || trip.ID != "it's waiting" || trip.Features == nil || trip.Predictions == nil {
		t.Errorf("a trip without a prediction is %+v, %v", trip, err)
	}
	for _, id := range []string{"", "t2", "a\x00b", "\xff", strings.Repeat("x", 1000)} {
		if _, err := w.feed.Trip(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("trip %.10q: %v", id, err)
		}
	}
}

// 200 who look at one trip are one query.
func TestTripIsShared(t *testing.T) {
	w := newWorld(t)
	w.db.trips["t1"] = tripRow()
	stall := make(chan struct{})
	w.db.with(func() { w.db.stall = stall })
	w.run()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if trip, err := w.feed.Trip(t.Context(), "t1"); err != nil || trip.ID != "t1" {
				t.Errorf("%v, %v", trip, err)
			}
		})
	}
	w.until("the query", func() bool { return w.db.asked(pickUpQuery) > 0 })
	w.db.with(func() { w.db.stall = nil })
	close(stall)
	all.Wait()
	// Parsing and describing is once each; more than two would be another query.
	if n := w.db.asked(pickUpQuery); n != 1 {
		t.Errorf("%d queries", n)
	}
}

func TestTripWhileTheDatabaseIsAway(t *testing.T) {
	w := newWorld(t)
	w.db.trips["t1"], w.db.trips["t2"], w.db.trips["t3"] = tripRow(), tripRow(), tripRow()
	w.live()
	if _, err := w.feed.Trip(t.Context(), "t1"); err != nil {
		t.Fatal(err)
	}
	w.db.stop()
	if _, err := w.feed.Trip(t.Context(), "t2"); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("while the database is away: %v", err)
	}
	w.db.start()
	if _, err := w.feed.Trip(t.Context(), "t3"); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	// A connection that broke while nobody used it is no reason to fail.
	w.db.hangUp()
	if _, err := w.feed.Trip(t.Context(), "t1"); err != nil {
		t.Errorf("after a hang-up: %v", err)
	}
	w.db.with(func() {
		w.db.refuse = func(s string) error {
			if s == pickUpQuery {
				return psqlerr.WithCode(errors.New("no"), codes.Internal)
			}
			return nil
		}
	})
	if _, err := w.feed.Trip(t.Context(), "t4"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("refused: %v", err)
	}
}

func TestTripOfSomebodyWhoLeaves(t *testing.T) {
	w := newWorld(t)
	stall := make(chan struct{})
	w.db.with(func() { w.db.stall = stall })
	defer close(stall)
	w.run()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := w.feed.Trip(ctx, "t1")
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Nobody waits long for a database that says nothing.
func TestTripOfADatabaseThatStalls(t *testing.T) {
	w := newWorld(t)
	w.feed.timing.look = 20 * time.Millisecond
	stall := make(chan struct{})
	defer close(stall)
	w.db.with(func() { w.db.stall = stall })
	w.run()
	for range lookupSlots + 1 {
		if _, err := w.feed.Trip(t.Context(), "t1"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}
