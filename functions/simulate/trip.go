package simulate

import (
	"context"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/functions/simulate/internal/newyork"
)

// Trip is one taxi trip, its end included. Times are the city's clock written
// as UTC, to the second; coordinates are degrees (WGS 84).
type Trip struct {
	ID               string
	VendorID         int
	PickedUpAt       time.Time
	DroppedOffAt     time.Time
	PassengerCount   int
	PickupLongitude  float64
	PickupLatitude   float64
	DropoffLongitude float64
	DropoffLatitude  float64
}

// Duration is how long the trip took: the label that models learn.
func (t Trip) Duration() time.Duration { return t.DroppedOffAt.Sub(t.PickedUpAt) }

// Kilometres is the great-circle distance from pick-up to drop-off.
func (t Trip) Kilometres() float64 {
	return newyork.Kilometres(t.PickupLatitude, t.PickupLongitude, t.DropoffLatitude, t.DropoffLongitude)
}

// PickUp is the trip as it is known at its start.
func (t Trip) PickUp() *events.PickUp {
	return &events.PickUp{
		TripID:           t.ID,
		VendorID:         t.VendorID,
		PickedUpAt:       t.PickedUpAt,
		PassengerCount:   t.PassengerCount,
		PickupLongitude:  t.PickupLongitude,
		PickupLatitude:   t.PickupLatitude,
		DropoffLongitude: t.DropoffLongitude,
		DropoffLatitude:  t.DropoffLatitude,
	}
}

// DropOff is the end of the trip.
func (t Trip) DropOff() *events.DropOff {
	return &events.DropOff{TripID: t.ID, DroppedOffAt: t.DroppedOffAt}
}

// Source gives trips in the order of their pick-ups. Next returns io.EOF after
// the last one; a synthetic source has no last one. Any other error is final.
// A Source is used by one goroutine at a time.
//
// A Source that knows how many trips it has left implements Len() int, and one
// that drops rows implements Rejected() Rejected.
type Source interface {
	Next(ctx context.Context) (Trip, error)
}
