// Package evaluate judges models as if they had served: on samples that were
// recorded, every prediction is made with the labels that were known when it was
// asked for, and every label is learned when it became known.
//
// This is prequential evaluation with delayed labels, as River's package
// evaluate and its stream.simulate_qa do it. See Grzenda, Gomes and Bifet,
// "Delayed labelling evaluation for data streams" (2019).
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"tripcast.dev/functions/online"
)

// Model is a model to be judged. It may have learned before.
type Model struct {
	Name     string
	Pipeline *online.Pipeline
}

// Models builds every model of a catalogue, with nothing learned.
func Models(catalogue *online.Catalogue) ([]Model, error) {
	models := make([]Model, len(catalogue.Models))
	for i, spec := range catalogue.Models {
		pipeline, err := spec.New()
		if err != nil {
			return nil, fmt.Errorf("evaluate: build model %s: %w", spec.Name, err)
		}
		models[i] = Model{Name: spec.Name, Pipeline: pipeline}
	}
	return models, nil
}

// Options say what is reported besides the results. The zero value is good.
type Options struct {
	// Period is the length of the intervals of Result.Over: a day if it is 0.
	Period time.Duration
	// Workers is how many models are asked at once: GOMAXPROCS if it is 0.
	Workers int
	// Progress, if not nil, is called now and then with the number of samples
	// asked so far and the moment of the latest, and once at the end.
	Progress func(asked int, at time.Time)
	// Answered, if not nil, is called for every answer before the model learns it,
	// with the index of the model and what it had predicted, which is NaN where it
	// had not answered. Calls for one model come in the order of the answers;
	// those for several come at once.
	Answered func(model int, t Turn, predicted float64)
}

// Result is how a model did. Errors are in the unit of the labels. A prediction
// below 0 counts as 0 and one that is not finite not at all, as package predict
// has it. Nor does one above 1e70, the largest that package metrics judges.
type Result struct {
	Name       string
	Count      int // predictions judged
	Unanswered int // questions to which the model had no answer that could be judged
	Scores
	Over []Interval // the periods in which questions were judged, in their order

	// Mean times of one call, with the clock's own: some 50 ns.
	Predict, Learn time.Duration
	// StateBytes is the length of the model's encoding at the end.
	StateBytes int
	// Err is why the model was not asked to the end, such as a panic. The other
	// models were.
	Err error
}

// Interval is a period, by when the questions were asked.
type Interval struct {
	Start time.Time // a multiple of the period since the zero time, in UTC
	Count int
	MAE   float64
}

// Progressive asks all models every sample, and teaches them every label, in the
// order of Turns, and returns a result for each model. Models are independent of
// each other and see the same whatever their number; given the same samples
// everything but times is the same again.
//
// names are those of the features of the samples, in their order. A model that
// wants a feature that is not among them is an error. Samples that cannot be
// read are an error as well, but the results until there are returned with it.
// If ctx is done, results are nil.
func Progressive(ctx context.Context, names []string, samples iter.Seq2[Sample, error], models []Model, opts Options) ([]Result, error) {
	if opts.Period <= 0 {
		opts.Period = 24 * time.Hour
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	students, err := enrol(names, models, opts)
	if err != nil {
		return nil, err
	}
	readErr := teach(ctx, len(names), samples, students, opts)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	results := make([]Result, len(students))
	for i, s := range students {
		results[i] = s.result()
	}
	return results, readErr
}

func enrol(names []string, models []Model, opts Options) ([]*student, error) {
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name] = i
	}
	var errs []error
	students := make([]*student, len(models))
	for i, m := range models {
		s := &student{model: m, index: i, opts: opts, x: make([]float64, m.Pipeline.Width())}
		for _, name := range m.Pipeline.Features() {
			column, ok := at[name]
			if !ok {
				errs = append(errs, fmt.Errorf("evaluate: model %s wants the feature %s, which the samples do not have", m.Name, name))
			}
			s.columns = append(s.columns, column)
		}
		students[i] = s
	}
	return students, errors.Join(errs...)
}

const (
	batchTurns  = 1024
	batchesWait = 4 // for a model that is slower than others
)

// teach takes the turns in batches to the students, each of whom has a goroutine.
// It returns the error of the samples.
func teach(ctx context.Context, width int, samples iter.Seq2[Sample, error], students []*student, opts Options) error {
	var done sync.WaitGroup
	busy := make(chan struct{}, opts.Workers)
	desks := make([]chan []Turn, len(students))
	for i, s := range students {
		desks[i] = make(chan []Turn, batchesWait)
		done.Go(func() {
			for batch := range desks[i] {
				busy <- struct{}{}
				if ctx.Err() == nil {
					s.take(batch)
				}
				<-busy
			}
		})
	}
	defer done.Wait()
	defer func() {
		for _, desk := range desks {
			close(desk)
		}
	}()
	return batches(ctx, width, samples, opts, func(batch []Turn) {
		for _, desk := range desks {
			desk <- batch
		}
	})
}

// batches sends the turns in order, each batch to be read only, until ctx is done.
func batches(ctx context.Context, width int, samples iter.Seq2[Sample, error], opts Options, send func([]Turn)) error {
	var (
		batch []Turn
		asked int
		at    time.Time
	)
	flush := func() {
		if len(batch) > 0 {
			send(batch)
		}
		batch = make([]Turn, 0, batchTurns)
		if opts.Progress != nil {
			opts.Progress(asked, at)
		}
	}
	defer flush()
	for turn, err := range Turns(samples) {
		if err != nil {
			return err
		}
		if len(turn.X) != width {
			return fmt.Errorf("evaluate: sample %s has %d features, not %d", turn.ID, len(turn.X), width)
		}
		if batch = append(batch, turn); !turn.Answer {
			asked, at = asked+1, turn.At
		}
		if len(batch) >= batchTurns {
			if flush(); ctx.Err() != nil {
				return nil
			}
		}
	}
	return nil
}

// Best returns the results with the lowest mean absolute error first. Those that
// were not judged to the end come last.
func Best(results []Result) []Result {
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b Result) int {
		switch aOff, bOff := a.unranked(), b.unranked(); {
		case aOff && bOff:
			return 0
		case aOff:
			return 1
		case bOff:
			return -1
		case a.MAE < b.MAE:
			return -1
		case a.MAE > b.MAE:
			return 1
		}
		return 0
	})
	return sorted
}

func (r Result) unranked() bool { return r.Err != nil || math.IsNaN(r.MAE) }
