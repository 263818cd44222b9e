package ensemble

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	residualKind   = "ResidualRegressor"
	residualFormat = 1
)

// Residual is a chain of models. The first learns the label, the second what
// the first has left over, the third what these two have, and so on. The
// prediction is the sum of theirs. (Friedman, 2001: Greedy function
// approximation, with whole models for stages and a step of 1.)
//
// Order matters: put the model that extrapolates first, such as a linear one,
// and those after it that know what it gets wrong here and there, such as
// nearest neighbours. River has none of this kind.
//
// What is left over is what the models before predicted when they had not yet
// learned the event. A model without a finite prediction adds nothing. What a
// model leaves over before it has learned much says nothing of what it will:
// with a warm-up of n events, the second model learns only from the (n+1)-th
// event on, the third from the (2n+1)-th, and until then they add nothing.
type Residual struct {
	members
	warmUp  uint64
	learned uint64 // events so far, no more than the last model's warm-up
}

var _ online.Regressor = (*Residual)(nil)

// NewResidual returns a chain of these models, in this order, with a warm-up of
// so many events for each. There is at least one model, and all take vectors of
// the same width.
func NewResidual(warmUp int, models ...online.Regressor) (*Residual, error) {
	m, err := newMembers(models)
	if err != nil {
		return nil, err
	}
	return &Residual{members: m, warmUp: uint64(max(warmUp, 0))}, nil
}

// ResidualKind builds a Residual from a catalogue. Parameters: models, a list,
// and warm_up, 0 events if not given.
func ResidualKind(p *online.Params) online.Regressor {
	warmUp := p.Int("warm_up", 0, online.AtLeast(0), online.AtMost(1e9))
	r, err := NewResidual(warmUp, build(p, "models")...)
	if err != nil { // it has been reported, and what is returned is not used
		return &Residual{}
	}
	return r
}

// Predict returns the sum of the models' predictions.
func (r *Residual) Predict(x []float64) float64 {
	var sum float64
	answers := 0
	for _, m := range r.awake() {
		if y := m.Predict(x); libm.Finite(y) {
			sum += y
			answers++
		}
	}
	if answers == 0 || !libm.Finite(sum) {
		return math.NaN()
	}
	return sum
}

// Learn teaches every model what those before it leave over.
func (r *Residual) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	awake := r.awake()
	last := len(awake) - 1
	if last < len(r.members)-1 {
		r.learned++
	}
	for i, m := range awake {
		if !libm.Finite(y) { // also where those before are off by more than a float can say
			return
		}
		left := y
		if i < last {
			if predicted := m.Predict(x); libm.Finite(predicted) {
				left = y - predicted
			}
		}
		m.Learn(x, y)
		y = left
	}
}

// awake are the models that those before them have warmed up for.
func (r *Residual) awake() members {
	if r.warmUp == 0 {
		return r.members
	}
	return r.members[:min(1+r.learned/r.warmUp, uint64(len(r.members)))]
}

// AppendBinary appends the events so far, as far as they matter, and the states of the models.
func (r *Residual) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, residualKind, residualFormat)
	return r.append(state.AppendUint(b, r.learned))
}

// UnmarshalBinary reads what a Residual of models of the same parameters has written.
func (r *Residual) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, residualKind, residualFormat)
	learned := d.UintUpTo(r.warmUp * uint64(len(r.members)-1))
	parts := r.decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	if err := r.replace(parts); err != nil {
		return err
	}
	r.learned = learned
	return nil
}
