package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/events"
)

// columns of a row that a trip is made of, in the order of the Kaggle file.
const (
	colID = iota
	colVendor
	colPickUp
	colDropOff
	colPassengers
	colPickupLon
	colPickupLat
	colDropoffLon
	colDropoffLat
	colCount
)

var columnNames = [colCount]string{
	"id", "vendor_id", "pickup_datetime", "dropoff_datetime", "passenger_count",
	"pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude",
}

// header says where in a row each column is.
type header [colCount]int

const byteOrderMark = "\ufeff"

func parseHeader(fields []string) (header, error) {
	found := make([]string, len(fields))
	for i, f := range fields {
		found[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(f, byteOrderMark)))
	}
	var h header
	var missing []string
	for col, name := range columnNames {
		if h[col] = slices.Index(found, name); h[col] < 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return h, nil
	}
	if len(missing) == 1 && missing[0] == columnNames[colDropOff] {
		return h, errors.New("no column dropoff_datetime: this looks like the competition's test set, whose trips have no end; use train.csv")
	}
	return h, fmt.Errorf("no column %s; found %s", strings.Join(missing, ", "), quoteAll(found))
}

// quoteAll lists names as they were found, but no more than a line of them: a
// binary file's first line can be long.
func quoteAll(names []string) string {
	const most = 40
	var quoted []string
	for i, name := range names {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		if len(name) > most {
			name = name[:most] + "..."
		}
		quoted = append(quoted, strconv.Quote(name))
	}
	return strings.Join(quoted, ", ")
}

// rowError is why a row is not a trip.
type rowError struct {
	reason Reason
	detail string
}

func (e *rowError) Error() string { return string(e.reason) + ": " + e.detail }

func reject(reason Reason, format string, args ...any) *rowError {
	return &rowError{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// trip parses one row. The strings of fields are not kept, except in errors.
func (h *header) trip(fields []string) (Trip, *rowError) {
	var t Trip
	var bad *rowError
	field := func(col int) string { return strings.TrimSpace(fields[h[col]]) }
	integer := func(col int) int {
		n, err := strconv.ParseInt(field(col), 10, 32)
		if err != nil && bad == nil {
			bad = reject(ReasonNumber, "%s %q is not a whole number of 32 bits", columnNames[col], field(col))
		}
		return int(n)
	}
	degrees := func(col int) float64 {
		f, err := strconv.ParseFloat(field(col), 64)
		if err != nil && bad == nil {
			bad = reject(ReasonNumber, "%s %q is not a number", columnNames[col], field(col))
		}
		return f
	}

	pickedUpAt, wall, ok := parseTime(field(colPickUp))
	if !ok {
		return Trip{}, reject(ReasonTime, "pickup_datetime %q is neither 2006-01-02 15:04:05 nor RFC 3339", field(colPickUp))
	}
	droppedOffAt, _, ok := parseTime(field(colDropOff))
	if !ok {
		return Trip{}, reject(ReasonTime, "dropoff_datetime %q is neither 2006-01-02 15:04:05 nor RFC 3339", field(colDropOff))
	}
	duration := droppedOffAt.Sub(pickedUpAt)

	t = Trip{
		ID:               field(colID),
		VendorID:         integer(colVendor),
		PickedUpAt:       wall,
		DroppedOffAt:     wall.Add(duration),
		PassengerCount:   integer(colPassengers),
		PickupLongitude:  degrees(colPickupLon),
		PickupLatitude:   degrees(colPickupLat),
		DropoffLongitude: degrees(colDropoffLon),
		DropoffLatitude:  degrees(colDropoffLat),
	}
	if bad != nil {
		return Trip{}, bad
	}
	if bad := checkTrip(t); bad != nil {
		return Trip{}, bad
	}
	return t, nil
}

// checkTrip holds a trip to what the pipeline accepts: its events are valid and
// its duration is one that a label can have.
func checkTrip(t Trip) *rowError {
	if t.PickupLongitude == 0 && t.PickupLatitude == 0 || t.DropoffLongitude == 0 && t.DropoffLatitude == 0 {
		return reject(ReasonCoordinates, "0,0 is a GPS that had no fix")
	}
	switch d := t.Duration(); {
	case d <= 0:
		return reject(ReasonNoDuration, "dropped off %s after %s", d, t.PickedUpAt.Format(time.DateTime))
	case d > events.MaxDurationS*time.Second:
		return reject(ReasonTooLong, "%.0f s is more than %d", d.Seconds(), events.MaxDurationS)
	}
	err := t.PickUp().Validate()
	if err == nil {
		err = t.DropOff().Validate()
	}
	if err == nil {
		return nil
	}
	if invalid, ok := errors.AsType[*events.InvalidError](err); ok {
		return reject(reasonOf(invalid.Field), "%s %s", invalid.Field, invalid.Reason)
	}
	return reject(ReasonMalformed, "%v", err)
}

func reasonOf(field string) Reason {
	switch field {
	case "trip_id":
		return ReasonID
	case "passenger_count":
		return ReasonPassengers
	case "picked_up_at", "dropped_off_at":
		return ReasonTime
	case "pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude":
		return ReasonCoordinates
	default:
		return ReasonMalformed
	}
}

// parseTime reads either layout. It returns the instant, to measure durations
// with, and the wall clock it shows written as UTC: 08:30-05:00 is half past
// eight in the city, whatever the hour in Greenwich.
func parseTime(s string) (instant, wall time.Time, ok bool) {
	if t, err := time.Parse(time.DateTime, s); err == nil {
		return t, t, true
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, time.Time{}, false
	}
	_, offset := t.Zone()
	return t, t.UTC().Add(time.Duration(offset) * time.Second), true
}
