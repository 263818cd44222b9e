// Package backtest asks models about trips that were recorded as if they had
// served them, and reports how they would have done.
package backtest

import (
	"context"
	"errors"
	"time"

	"tripcast.dev/functions/online/evaluate"
)

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
