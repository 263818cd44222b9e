package evaluate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/metrics"
)

// student is a model on its way through the turns.
type student struct {
	model   Model
	index   int
	opts    Options
	columns []int // of the samples' features, in the model's order
	x       []float64

	predicted []float64 // by slot, NaN where there was no answer
	all       judge
	over      []period
	unjudged  int

	asked, learned   int
	asking, learning time.Duration
	err              error
}

// period is an Interval while questions in it are judged.
type period struct {
	start time.Time
	mae   metrics.MAE
}

// take goes through a batch. A model that has panicked takes no more: what it
// knows may be damaged. A live one would go on from its last commit.
func (s *student) take(batch []Turn) {
	for _, at := range batch {
		if s.err != nil {
			return
		}
		for i, column := range s.columns {
			v := at.X[column]
			if math.IsInf(v, 0) {
				v = math.NaN()
			}
			s.x[i] = v
		}
		var err error
		if at.Answer {
			err = s.answer(at)
		} else {
			err = s.ask(at)
		}
		if panicked, ok := errors.AsType[*online.PanicError](err); ok {
			s.err = fmt.Errorf("evaluate: model %s panicked on sample %s: %v", s.model.Name, at.ID, panicked.Value)
		}
	}
}

func (s *student) ask(t Turn) error {
	start := time.Now()
	y, err := s.model.Pipeline.Answer(s.x)
	s.asking += time.Since(start)
	s.asked++
	for len(s.predicted) <= t.slot {
		s.predicted = append(s.predicted, 0)
	}
	s.predicted[t.slot] = max(y, 0) // NaN, where there is no answer, stays NaN
	return err
}

func (s *student) answer(t Turn) error {
	y := s.predicted[t.slot]
	if s.opts.Answered != nil {
		s.opts.Answered(s.index, t, y)
	}
	if s.all.add(t.Y, y) {
		s.period(t.At).mae.Update(t.Y, y)
	} else {
		s.unjudged++
	}
	start := time.Now()
	err := s.model.Pipeline.Teach(s.x, t.Y)
	s.learning += time.Since(start)
	s.learned++
	return err
}

// period is the one that a moment is in. Answers come almost in the order of
// their questions, so it is among the last.
func (s *student) period(at time.Time) *period {
	start := at.UTC().Truncate(s.opts.Period)
	i := len(s.over)
	for i > 0 && s.over[i-1].start.After(start) {
		i--
	}
	if i == 0 || !s.over[i-1].start.Equal(start) {
		s.over = slices.Insert(s.over, i, period{start: start})
		i++
	}
	return &s.over[i-1]
}

func (s *student) result() Result {
	r := Result{
		Name: s.model.Name, Count: s.all.count(), Unanswered: s.unjudged,
		Scores: s.all.scores(), Err: s.err,
		Predict: mean(s.asking, s.asked), Learn: mean(s.learning, s.learned),
	}
	for _, p := range s.over {
		r.Over = append(r.Over, Interval{Start: p.start, Count: int(p.mae.N()), MAE: p.mae.Get()})
	}
	if encoded, err := s.model.Pipeline.AppendBinary(nil); err == nil {
		r.StateBytes = len(encoded)
	} else if r.Err == nil {
		r.Err = fmt.Errorf("evaluate: encode model %s: %w", s.model.Name, err)
	}
	return r
}

func mean(total time.Duration, n int) time.Duration {
	if n == 0 {
		return 0
	}
	return total / time.Duration(n)
}
