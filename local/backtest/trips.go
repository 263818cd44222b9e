package backtest

import (
	"context"
	"errors"
	"iter"

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online/evaluate"
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
