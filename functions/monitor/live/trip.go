package live

import (
	"context"
	"errors"
	"time"
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

	Predicted   bool         `json:"predicted"`
	PredictedAt time.Time    `json:"predicted_at,omitzero"` // by Kafka's clock
	LagMS       int64        `json:"lag_ms"`                // from the pick-up's arrival
	Champion    string       `json:"champion,omitempty"`
	Features    []Feature    `json:"features"`    // by name
	Predictions []Prediction `json:"predictions"` // by model

	Ended        bool      `json:"ended"`
	DroppedOffAt time.Time `json:"dropped_off_at,omitzero"` // by the city's clock
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
// ErrUnavailable if it does not answer.
func (f *Feed) Trip(ctx context.Context, id string) (Trip, error) {
	return Trip{}, ErrUnavailable
}
