package events_test

import (
	"errors"
	"fmt"
	"time"

	"tripcast.dev/events"
)

func ExampleEncode() {
	e, err := events.Encode(&events.DropOff{
		TripID:       "id2875421",
		DroppedOffAt: time.Date(2016, 1, 4, 8, 52, 7, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Type(), e.ID())
	fmt.Println(string(e.Data()))
	// Output:
	// dev.tripcast.trip.dropped-off.v1 id2875421
	// {"trip_id":"id2875421","dropped_off_at":"2016-01-04T08:52:07Z"}
}

func ExampleFromRecord() {
	record := events.Record{
		Key:   []byte("id2875421"),
		Value: []byte(`{"trip_id": "id2875421", "features": {"l1_distance": 0.02}, "duration_s": -3}`),
		Headers: []events.Header{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("id2875421")},
			{Key: "ce_source", Value: []byte(events.SourceLabels)},
			{Key: "ce_type", Value: []byte(events.TypeLabel)},
		},
	}
	e, err := events.FromRecord(record)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = events.DecodeLabel(e)
	var invalid *events.InvalidError
	fmt.Println(errors.As(err, &invalid), err)
	// Output: true events: duration_s: -3 is not above 0 and at most 86400
}
