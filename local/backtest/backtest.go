// Package backtest asks models about trips that were recorded as if they had
// served them, and reports how they would have done.
package backtest

import (
	"context"
	"errors"
	"iter"
	"time"

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/sql"
)

// Trips are what models are asked about.
type Trips struct {
	Names   []string          // of the features, in the order of Sample.X
	Samples []evaluate.Sample // by At, then by ID
	Left    map[string]int    // trips that are no samples, by reason
}

// Read computes the features and labels of recorded trips with the statements,
// each view once.
func Read(ctx context.Context, statements []sql.Statement, records iter.Seq2[recordings.Record, error]) (*Trips, error) {
	return nil, errors.ErrUnsupported
}

// Records are the events of a source of trips, in the order of their times.
func Records(ctx context.Context, source simulate.Source, limit int) iter.Seq2[recordings.Record, error] {
	return nil
}

// Options say how a backtest is run. The zero value is good.
type Options struct {
	Workers  int
	Period   time.Duration
	Progress func(asked, total int, at time.Time)
}

// Report is how models did.
type Report struct{}

// Run asks and teaches the models.
func Run(ctx context.Context, trips *Trips, champion string, models []evaluate.Model, o Options) (*Report, error) {
	return nil, errors.ErrUnsupported
}
