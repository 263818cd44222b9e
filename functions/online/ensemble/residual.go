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
// learned the event. A model without a finite prediction adds nothing.
type Residual struct{ members }

var _ online.Regressor = (*Residual)(nil)

// NewResidual returns a chain of these models, in this order. There is at least
// one, and all take vectors of the same width.
func NewResidual(models ...online.Regressor) (*Residual, error) {
	m, err := newMembers(models)
	if err != nil {
		return nil, err
	}
	return &Residual{m}, nil
}

// ResidualKind builds a Residual from a catalogue. Parameters: models, a list.
func ResidualKind(p *online.Params) online.Regressor {
	r, err := NewResidual(build(p, "models")...)
	if err != nil { // it has been reported, and what is returned is not used
		return &Residual{}
	}
	return r
}

// Predict returns the sum of the models' predictions.
func (r *Residual) Predict(x []float64) float64 {
	var sum float64
	answers := 0
	for _, m := range r.members {
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
	last := len(r.members) - 1
	for i, m := range r.members {
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

// AppendBinary appends the states of the models.
func (r *Residual) AppendBinary(b []byte) ([]byte, error) {
	return r.append(state.AppendHeader(b, residualKind, residualFormat))
}

// UnmarshalBinary reads what a Residual of models of the same parameters has written.
func (r *Residual) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, residualKind, residualFormat)
	parts := r.decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	return r.replace(parts)
}
