package main

import (
	"fmt"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/functions/simulate"
)

// evening is a Saturday's.
func evening(t *testing.T, name string, seed uint64, trips int) []simulate.Trip {
	t.Helper()
	return rides(t, name, seed, span{from: "2016-01-09 19:00", minutes: 90, trips: trips})
}

// normalDay is a Friday's evening, the night after it, and the next evening: the
// same hours on two days of which one is a Saturday, and a midnight between. A
// meter that was left running ends shortly before that, in the hour of those
// who start after it.
func normalDay(t *testing.T, s *tape) {
	trips := rides(
		t, "normal-day", 80,
		span{from: "2016-01-08 00:20", minutes: 10, trips: 1},
		span{from: "2016-01-08 18:00", minutes: 75, trips: 54},
		span{from: "2016-01-08 23:30", minutes: 75, trips: 34},
		span{from: "2016-01-09 18:10", minutes: 70, trips: 44},
	)
	trips[0].DroppedOffAt = cityTime(t, "2016-01-08 23:48")
	for _, trip := range trips {
		s.trip(t, trip)
	}
}

// duplicates has every kind of record twice, as it was and with other content.
func duplicates(t *testing.T, s *tape) {
	for i, trip := range evening(t, "duplicates", 90, 96) {
		s.trip(t, trip)
		another := trip
		another.PassengerCount = 6
		another.DropoffLatitude, another.DropoffLongitude = trip.PickupLatitude, trip.PickupLongitude
		another.DroppedOffAt = trip.DroppedOffAt.Add(10 * time.Minute)
		switch i % 8 {
		case 1:
			s.pickUp(t, trip.PickedUpAt.Add(20*time.Second), trip)
		case 2:
			s.pickUp(t, trip.PickedUpAt.Add(time.Minute), another)
		case 3:
			s.dropOff(t, trip.DroppedOffAt.Add(30*time.Second), trip)
		case 4:
			s.dropOff(t, trip.DroppedOffAt.Add(time.Minute), another)
		case 5:
			s.put(trip.DroppedOffAt.Add(2*time.Minute), events.TopicLabels, encoded(t, labelOf(trip)))
		case 6:
			s.pickUp(t, trip.DroppedOffAt.Add(5*time.Minute), trip)
		case 7:
			s.pickUp(t, trip.PickedUpAt, trip)
			s.pickUp(t, trip.DroppedOffAt.Add(time.Minute), another)
			s.dropOff(t, trip.DroppedOffAt, trip)
			s.dropOff(t, trip.DroppedOffAt.Add(3*time.Minute), another)
			s.put(trip.DroppedOffAt.Add(4*time.Minute), events.TopicLabels, encoded(t, labelOf(another)))
		}
	}
}

// labelOf is not the one that the SQL makes of a trip, which has all features.
func labelOf(trip simulate.Trip) *events.Label {
	return &events.Label{
		TripID:    trip.ID,
		DurationS: trip.Duration().Seconds(),
		Features:  map[string]float64{"distance_km": trip.Kilometres(), "passenger_count": float64(trip.PassengerCount)},
	}
}

// reordering delays events: in its first part by less than the five minutes of
// grace, and then by more.
func reordering(t *testing.T, s *tape) {
	for i, trip := range evening(t, "reordering", 100, 100) {
		var start, end time.Duration
		switch late := i >= 60; {
		case i%3 == 0 && trip.Duration() < 4*time.Minute:
			start = trip.Duration() + 40*time.Second // its drop-off is there before
		case i%5 == 1:
			start = time.Duration(30+i%4*60) * time.Second
		case i%5 == 2:
			end = time.Duration(60+i%4*60) * time.Second
		case late && i%5 == 3:
			start = 12 * time.Minute
		case late && i%5 == 4:
			end = time.Duration(15+i%3) * time.Minute
		}
		s.pickUp(t, trip.PickedUpAt.Add(start), trip)
		s.dropOff(t, trip.DroppedOffAt.Add(end), trip)
	}
}

// lateAndMissing is what becomes of trips whose ends are not as they should be.
// The name of a trip says what it is.
func lateAndMissing(t *testing.T, s *tape) {
	for i, trip := range evening(t, "trip", 110, 90) {
		ends := trip.DroppedOffAt
		switch i % 9 {
		case 1:
			trip.ID += "-hours-late"
			ends = trip.DroppedOffAt.Add(3 * time.Hour)
		case 3:
			trip.ID += "-a-day"
			trip.DroppedOffAt = trip.PickedUpAt.Add(24 * time.Hour)
			ends = trip.DroppedOffAt
		case 4:
			trip.ID += "-over-a-day"
			trip.DroppedOffAt = trip.PickedUpAt.Add(24*time.Hour + time.Second)
			ends = trip.DroppedOffAt
		case 5:
			trip.ID += "-ends-before"
			trip.DroppedOffAt = trip.PickedUpAt.Add(-time.Minute)
		case 6:
			trip.ID += "-ends-at-start"
			trip.DroppedOffAt = trip.PickedUpAt
		case 7:
			trip.ID += "-no-end"
			s.pickUp(t, trip.PickedUpAt, trip)
			continue
		case 8:
			trip.ID += "-no-start"
			s.dropOff(t, ends, trip)
			continue
		}
		s.pickUp(t, trip.PickedUpAt, trip)
		s.dropOff(t, ends, trip)
	}
}

// schemaChange begins to write more fields and fewer at a third of the day, and
// at two thirds lets a version that nobody knows yet come up.
func schemaChange(t *testing.T, s *tape) {
	trips := evening(t, "schema-change", 130, 90)
	for i, trip := range trips {
		switch {
		case i < len(trips)/3:
			s.trip(t, trip)
		case i >= 2*len(trips)/3 && i%4 == 0:
			trip.ID = "v2-" + trip.ID
			s.put(trip.PickedUpAt, events.TopicPickUps, version2(trip))
			s.dropOff(t, trip.DroppedOffAt, trip)
		default:
			s.put(trip.PickedUpAt, events.TopicPickUps, grown(t, trip))
			s.put(trip.DroppedOffAt, events.TopicDropOffs, typed(trip.ID, events.TypeDroppedOff, fmt.Sprintf(
				`{"trip_id":%q,"dropped_off_at":%q,"tolls":{"bridges":1},"odometer_km":12345.6}`,
				trip.ID, trip.DroppedOffAt.Format(time.RFC3339))))
		}
	}
	at := trips[len(trips)/2].PickedUpAt
	s.put(at, events.TopicFeatures, typed("features-v2", "dev.tripcast.features.ready.v2",
		`{"trip":"features-v2","at":"2016-01-09T19:45:00Z","x":[1,2.5,3]}`))
	s.put(at.Add(time.Minute), events.TopicLabels, typed("label-v2", "dev.tripcast.label.ready.v2",
		`{"trip":"label-v2","x":[1,2.5,3],"y":600}`))
}

// grown is a pick-up of the first version with fields that came later, and
// without its vendor.
func grown(t *testing.T, trip simulate.Trip) events.Record {
	t.Helper()
	trip.VendorID = 0
	r := encoded(t, trip.PickUp())
	r.Value = append(r.Value[:len(r.Value)-1:len(r.Value)-1], `,"vehicle":{"plate":"T123C","electric":true},"shared":false,"note":null}`...)
	return r
}

// version2 says where and when in other words.
func version2(trip simulate.Trip) events.Record {
	return typed(trip.ID, "dev.tripcast.trip.picked-up.v2", fmt.Sprintf(
		`{"trip_id":%q,"started_at":%q,"passengers":%d,"from":{"lon":%v,"lat":%v},"to":{"lon":%v,"lat":%v}}`,
		trip.ID, trip.PickedUpAt.Format(time.RFC3339), trip.PassengerCount,
		trip.PickupLongitude, trip.PickupLatitude, trip.DropoffLongitude, trip.DropoffLatitude))
}

// typed is a CloudEvent of any type.
func typed(id, kind, data string) events.Record {
	return events.Record{Key: []byte(id), Value: []byte(data), Headers: []events.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_source", Value: []byte("/tripcast/scenarios")},
		{Key: "ce_type", Value: []byte(kind)},
		{Key: "ce_subject", Value: []byte(id)},
		{Key: "ce_partitionkey", Value: []byte(id)},
		{Key: "content-type", Value: []byte("application/json")},
	}}
}

// snowDay is a dry Friday's evening and the next morning, in a blizzard.
func snowDay(t *testing.T, s *tape) {
	const dry = 70
	trips := rides(
		t, "snow-day", 140,
		span{from: "2016-01-22 20:00", minutes: 100, trips: dry},
		span{from: "2016-01-23 06:00", minutes: 170, trips: 80, snow: "2016-01-23"},
	)
	for i, trip := range trips {
		if i >= dry {
			// Worse than that of 2016, so that so few trips show it.
			trip.DroppedOffAt = trip.DroppedOffAt.Add(trip.Duration() * 7 / 10).Truncate(time.Second)
		}
		s.trip(t, trip)
	}
}
