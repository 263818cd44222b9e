package online

import (
	"fmt"
	"math"
)

// PanicError is a model that panicked. What it knew before may be damaged.
type PanicError struct{ Value any }

func (e *PanicError) Error() string { return fmt.Sprintf("it panicked: %v", e.Value) }

// Answer is Predict for those who go on when a model does not: a panic is a
// *PanicError, and what is not finite is no answer but an error. Everybody who
// serves or judges models asks them by it, so that all see the same.
func (p *Pipeline) Answer(x []float64) (y float64, err error) {
	defer func() {
		if v := recover(); v != nil {
			y, err = math.NaN(), &PanicError{v}
		}
	}()
	if y = p.Predict(x); math.IsNaN(y) || math.IsInf(y, 0) {
		return math.NaN(), fmt.Errorf("it answers %v", y)
	}
	return y, nil
}

// Teach is Learn for those who go on when a model does not: a panic is a
// *PanicError, and the pipeline is then not to be used again.
func (p *Pipeline) Teach(x []float64, y float64) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v}
		}
	}()
	p.Learn(x, y)
	return nil
}
