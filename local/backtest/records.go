package backtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/simulate"
)

// Records are the pick-ups and drop-offs of a source of trips as a simulation
// writes them, in the order of their times, each at its own. A limit of 0 is none.
// An error of the source, or of ctx, comes last.
func Records(ctx context.Context, source simulate.Source, limit int) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		p := &yielding{yield: yield, written: map[string]int64{}}
		sim, err := simulate.New(simulate.Config{Source: source, Producer: p, Limit: limit, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			_, err = sim.Run(ctx)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(recordings.Record{}, fmt.Errorf("backtest: making events of trips: %w", err))
		}
	}
}

// errEnough ends a simulation whose events nobody wants any more.
var errEnough = errors.New("enough")

// yielding is an EventProducer that yields what a Kafka would be given.
type yielding struct {
	yield   func(recordings.Record, error) bool
	written map[string]int64 // by topic
}

func (y *yielding) PickUp(_ context.Context, t simulate.Trip) error {
	return y.write(events.TopicPickUps, t.PickedUpAt, t.PickUp())
}

func (y *yielding) DropOff(_ context.Context, t simulate.Trip) error {
	return y.write(events.TopicDropOffs, t.DroppedOffAt, t.DropOff())
}

func (y *yielding) Flush(context.Context) error { return nil }

func (y *yielding) Acked(topic string) int64 { return y.written[topic] }

func (y *yielding) write(topic string, at time.Time, payload events.Payload) error {
	e, err := events.Encode(payload)
	if err != nil {
		return err
	}
	record, err := events.ToRecord(e)
	if err != nil {
		return err
	}
	offset := y.written[topic]
	y.written[topic]++
	if !y.yield(recordings.Record{Topic: topic, Offset: offset, At: at.Truncate(time.Millisecond), Record: record}, nil) {
		return errEnough
	}
	return nil
}
