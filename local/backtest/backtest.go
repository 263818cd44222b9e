// Package backtest asks models about trips that were recorded as if they had
// served them, and reports how they would have done.
//
// The features and labels are those of sql/, each view evaluated once over the
// whole recording: features join only buckets that are closed, so that this is
// what the stream would have said. Every model is asked each trip at its start
// and taught each label at the drop-off, by package evaluate, which does to a
// model what predict and learn do.
//
//	trips, err := backtest.Read(ctx, statements, records)
//	report, err := backtest.Run(ctx, trips, catalogue.Champion, models, backtest.Options{})
//	verdict, err := report.Compare("city-grid-neighbors", "city-grid")
//
// Given the same trips and models a report is the same to the last bit, whatever
// the machine, but for Report.Timing.
package backtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"time"

	"tripcast.dev/functions/online/evaluate"
)

// Options say how a backtest is run. The zero value is good.
type Options struct {
	// Workers is how many models are asked at once: GOMAXPROCS if it is 0.
	Workers int
	// Period is the length of the intervals of Model.Over. If it is 0 it is a day,
	// or an hour where the trips are of less than three days.
	Period time.Duration
	// Progress, if not nil, is called now and then with the number of trips asked
	// so far, how many there are, and the start of the latest.
	Progress func(asked, total int, at time.Time)
}

// ErrNoTrips is a backtest of no trips at all.
var ErrNoTrips = errors.New("backtest: no trip has both features and a label")

// Run asks all models every trip and teaches them every label, and reports how
// they did, the best first. The models' pipelines have learned all labels then.
// A model that panics is in the report with its Error. If ctx is done there is
// no report.
func Run(ctx context.Context, trips *Trips, champion string, models []evaluate.Model, o Options) (*Report, error) {
	if len(trips.Samples) == 0 {
		return nil, ErrNoTrips
	}
	if o.Period <= 0 {
		o.Period = periodFor(trips.Samples)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	started := time.Now()
	predicted := blank(len(models), len(trips.Samples))
	results, err := evaluate.Progressive(ctx, trips.Names, inOrder(trips.Samples), models, evaluate.Options{
		Workers: o.Workers,
		Period:  o.Period,
		Progress: func(asked int, at time.Time) {
			if o.Progress != nil {
				o.Progress(asked, len(trips.Samples), at)
			}
		},
		Answered: func(model int, t evaluate.Turn, y float64) { predicted[model][t.N] = y },
	})
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	asked := time.Since(started)
	r, err := newReport(trips, champion, o.Period)
	if err != nil {
		return nil, err
	}
	judged := make(map[string]Model, len(models))
	for i, result := range results {
		m := r.judge(trips, result, predicted[i])
		if m.StateSHA256, err = stateSum(models[i]); err != nil && m.Error == "" {
			m.Error = err.Error()
		}
		judged[m.Name] = m
	}
	for _, result := range evaluate.Best(results) {
		r.Models = append(r.Models, judged[result.Name])
	}
	r.Timing = newTiming(results, o.Workers, asked)
	return r, nil
}

// periodFor is a day, or an hour where a day would make no line.
func periodFor(samples []evaluate.Sample) time.Duration {
	const day = 24 * time.Hour
	if samples[len(samples)-1].At.Sub(samples[0].At) < 3*day {
		return time.Hour
	}
	return day
}

// blank is a matrix of answers that were not given.
func blank(models, trips int) [][]float64 {
	rows := make([][]float64, models)
	for i := range rows {
		rows[i] = make([]float64, trips)
		for n := range rows[i] {
			rows[i][n] = math.NaN()
		}
	}
	return rows
}

func inOrder(samples []evaluate.Sample) iter.Seq2[evaluate.Sample, error] {
	return func(yield func(evaluate.Sample, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// answerOrder are the numbers of the samples in the order in which their labels
// are known.
func answerOrder(samples []evaluate.Sample) ([]int, error) {
	order := make([]int, 0, len(samples))
	for turn, err := range evaluate.Turns(inOrder(samples)) {
		if err != nil {
			return nil, fmt.Errorf("backtest: %w", err)
		}
		if turn.Answer {
			order = append(order, turn.N)
		}
	}
	return order, nil
}

// stateSum tells models that are equal from those that are not.
func stateSum(m evaluate.Model) (string, error) {
	state, err := m.Pipeline.AppendBinary(nil)
	if err != nil {
		return "", fmt.Errorf("backtest: encode model %s: %w", m.Name, err)
	}
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:]), nil
}
