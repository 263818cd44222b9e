package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/simulate"
)

// synthetic is a recording of made-up trips, in the order in which they happened.
func synthetic(t *testing.T, trips int) iter.Seq2[recordings.Record, error] {
	t.Helper()
	source, err := simulate.OpenSource(simulate.TripsSynthetic, simulate.SyntheticConfig{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var all []recordings.Record
	sim, err := simulate.New(simulate.Config{Source: source, Producer: taker{&all}, Limit: trips})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return func(yield func(recordings.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// taker takes the events of trips as records.
type taker struct{ records *[]recordings.Record }

func (t taker) PickUp(_ context.Context, trip simulate.Trip) error {
	return t.take(events.TopicPickUps, trip.PickedUpAt, trip.PickUp())
}

func (t taker) DropOff(_ context.Context, trip simulate.Trip) error {
	return t.take(events.TopicDropOffs, trip.DroppedOffAt, trip.DropOff())
}

func (t taker) Flush(context.Context) error { return nil }
func (t taker) Acked(string) int64          { return 0 }

func (t taker) take(topic string, at time.Time, payload events.Payload) error {
	e, err := events.Encode(payload)
	if err != nil {
		return err
	}
	record, err := events.ToRecord(e)
	*t.records = append(*t.records, recordings.Record{Topic: topic, At: at, Offset: int64(len(*t.records)), Record: record})
	return errors.Join(err)
}

func TestReplayStepByStep(t *testing.T) {
	const trips = 60
	var first []byte
	for n := range 3 {
		started := time.Now()
		outcome, err := replaying{records: synthetic(t, trips), step: true}.run(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(started))
		var b bytes.Buffer
		if err := outcome.Write(&b); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = b.Bytes()
			t.Log(len(outcome.Events))
		} else if !bytes.Equal(first, b.Bytes()) {
			t.Errorf("run %d came out otherwise", n+1)
		}
	}
}
