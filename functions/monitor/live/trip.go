package live

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	// ErrNotFound is returned for a trip that is not known, or not any more.
	ErrNotFound = errors.New("live: no such trip")
	// ErrUnavailable is returned when the database did not answer in time. Retry.
	ErrUnavailable = errors.New("live: the database is unavailable")
)

// Trip is all that the views know of one trip.
type Trip struct {
	ID             string    `json:"id"`
	PickedUpAt     time.Time `json:"picked_up_at"` // by the city's clock
	PassengerCount int64     `json:"passenger_count"`
	PickUp         Point     `json:"pick_up"`
	DropOff        Point     `json:"drop_off"`
	ArrivedAt      time.Time `json:"arrived_at"` // the pick-up, by Kafka's clock

	Predicted   bool         `json:"predicted"`
	PredictedAt time.Time    `json:"predicted_at,omitzero"` // by Kafka's clock
	LagMS       int64        `json:"lag_ms"`                // from the pick-up's arrival
	Champion    string       `json:"champion,omitempty"`
	Features    []Feature    `json:"features"`    // by name
	Predictions []Prediction `json:"predictions"` // by model

	Ended        bool      `json:"ended"`
	DroppedOffAt time.Time `json:"dropped_off_at,omitzero"` // by the city's clock
	EndedAt      time.Time `json:"ended_at,omitzero"`       // by Kafka's clock
	DurationS    float64   `json:"duration_s,omitempty"`
}

// Point is a place.
type Point struct {
	Lon float64 `json:"lon"`
	Lat float64 `json:"lat"`
}

// Feature is one number that the models saw.
type Feature struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Prediction is what one model said.
type Prediction struct {
	Model     string   `json:"model"`
	DurationS float64  `json:"duration_s"`
	Version   uint64   `json:"version"`
	Champion  bool     `json:"champion"`
	ErrorS    *float64 `json:"error_s,omitempty"` // predicted - actual, once the trip has ended
}

// Trip asks the database for a trip: ErrNotFound if there is none,
// ErrUnavailable if it does not answer within two seconds. Those who ask for one
// trip at a time share the answer, for half a second.
func (f *Feed) Trip(ctx context.Context, id string) (Trip, error) {
	// No id has a NUL, and a database would not take it.
	if id == "" || len(id) > longestID || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return Trip{}, ErrNotFound
	}
	return f.lookups.trip(ctx, id)
}

const longestID = 512

// A trip is looked up in one view after the other, by the key that each has an
// index of: a join would read all of them in the stand-in. What ended is read
// before what was predicted, which came first.
const (
	pickUpQuery = `SELECT
    trip_id, picked_up_at, passenger_count, kafka_ts AS arrived_at,
    pickup_longitude, pickup_latitude, dropoff_longitude, dropoff_latitude
FROM pick_ups WHERE trip_id = $1`
	endQuery        = `SELECT dropped_off_at, ended_at, duration_s FROM trip_ends WHERE trip_id = $1`
	predictionQuery = `SELECT features, predictions, champion, kafka_ts AS predicted_at FROM predictions WHERE trip_id = $1`
)

func (t *Trip) readPickUp(r *row) {
	*t = Trip{
		ID: column[string](r, "trip_id"), PickedUpAt: column[time.Time](r, "picked_up_at"),
		PassengerCount: column[int64](r, "passenger_count"),
		PickUp:         Point{column[float64](r, "pickup_longitude"), column[float64](r, "pickup_latitude")},
		DropOff:        Point{column[float64](r, "dropoff_longitude"), column[float64](r, "dropoff_latitude")},
		ArrivedAt:      column[time.Time](r, "arrived_at"),
		Features:       []Feature{}, Predictions: []Prediction{},
	}
}

func (t *Trip) readEnd(r *row) {
	t.Ended, t.DroppedOffAt, t.EndedAt = true, column[time.Time](r, "dropped_off_at"), column[time.Time](r, "ended_at")
	t.DurationS = finite(column[float64](r, "duration_s"))
}

func (t *Trip) readPrediction(r *row) {
	t.Predicted, t.PredictedAt = true, column[time.Time](r, "predicted_at")
	t.LagMS = max(0, t.PredictedAt.Sub(t.ArrivedAt).Milliseconds())
	t.Champion = orZero[string](r, "champion")
	t.Features = features(column[map[string]any](r, "features"))
	t.Predictions = predictions(column[guesses](r, "predictions"), *t)
}

// features lists those that are numbers: a feature that was missing has none.
func features(all map[string]any) []Feature {
	list := []Feature{}
	for name, value := range all {
		if x, ok := value.(float64); ok {
			list = append(list, Feature{name, x})
		}
	}
	slices.SortFunc(list, func(a, b Feature) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// predictions lists the models that had an answer.
func predictions(all guesses, t Trip) []Prediction {
	list := []Prediction{}
	for model, g := range all {
		if g.DurationS == nil {
			continue
		}
		p := Prediction{Model: model, DurationS: *g.DurationS, Version: g.Version, Champion: model == t.Champion}
		if t.Ended {
			off := *g.DurationS - t.DurationS
			p.ErrorS = &off
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Prediction) int { return cmp.Compare(a.Model, b.Model) })
	return list
}
