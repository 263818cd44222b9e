package backtest

import (
	"context"
	"iter"

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/simulate"
)

// Records are the events of a source of trips, in the order of their times.
func Records(ctx context.Context, source simulate.Source, limit int) iter.Seq2[recordings.Record, error] {
	return nil
}
