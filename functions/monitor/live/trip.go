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

// tripQuery joins the views by the key that each has an index of.
const tripQuery = `SELECT
    u.trip_id, u.picked_up_at, u.passenger_count, u.kafka_ts AS arrived_at,
    u.pickup_longitude, u.pickup_latitude, u.dropoff_longitude, u.dropoff_latitude,
    p.features, p.predictions, p.champion, p.kafka_ts AS predicted_at,
    e.dropped_off_at, e.ended_at, e.duration_s
FROM pick_ups AS u
LEFT JOIN predictions AS p ON p.trip_id = u.trip_id
LEFT JOIN trip_ends AS e ON e.trip_id = u.trip_id
WHERE u.trip_id = $1`

func readTrip(r *row) Trip {
	t := Trip{
		ID: column[string](r, "trip_id"), PickedUpAt: column[time.Time](r, "picked_up_at"),
		PassengerCount: column[int64](r, "passenger_count"),
		PickUp:         Point{column[float64](r, "pickup_longitude"), column[float64](r, "pickup_latitude")},
		DropOff:        Point{column[float64](r, "dropoff_longitude"), column[float64](r, "dropoff_latitude")},
		ArrivedAt:      column[time.Time](r, "arrived_at"),
		Features:       []Feature{}, Predictions: []Prediction{},
	}
	if ended := nullable[time.Time](r, "dropped_off_at"); ended != nil {
		t.Ended, t.DroppedOffAt, t.DurationS = true, *ended, finite(column[float64](r, "duration_s"))
		t.EndedAt = column[time.Time](r, "ended_at")
	}
	if predicted := nullable[time.Time](r, "predicted_at"); predicted != nil {
		t.Predicted, t.PredictedAt = true, *predicted
		t.LagMS = max(0, t.PredictedAt.Sub(t.ArrivedAt).Milliseconds())
		t.Champion = orZero[string](r, "champion")
		t.Features = features(column[map[string]any](r, "features"))
		t.Predictions = predictions(column[guesses](r, "predictions"), t)
	}
	return t
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
