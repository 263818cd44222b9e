// Package metrics says how good predictions were, as river.metrics does.
//
// A pair of which the label or the prediction is not finite, or above 1e70 in
// size, is not judged: a model that has no answer is neither better nor worse
// for it. Who compares models has to count those answers. None of the types may
// be used by several goroutines at once while one of them updates.
package metrics

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/stats"
)

// Metric judges predictions.
type Metric interface {
	// Update judges a prediction by the label, or does nothing where it does not count.
	Update(yTrue, yPred float64)
	// Get returns the metric of all that was judged.
	Get() float64
	online.State
}

// Revertible is a Metric that can forget what it judged.
type Revertible interface {
	Metric
	// Counts reports whether Update would judge the pair, whatever was judged before.
	Counts(yTrue, yPred float64) bool
	// Revert forgets a pair that was judged before.
	Revert(yTrue, yPred float64)
	// Reset forgets everything.
	Reset()
}

// MAE is the mean absolute error, in the label's unit: river/metrics/mae.py of River 0.26.1.
type MAE struct{ average[absolute] }

// MSE is the mean squared error, in the label's unit squared: river/metrics/mse.py of River 0.26.1.
type MSE struct{ average[squared] }

// RMSE is the root of the mean squared error, in the label's unit: river/metrics/mse.py of River 0.26.1.
type RMSE struct{ average[rootSquared] }

// RMSLE is the RMSE of the logarithm of 1 plus label and prediction, which has
// no unit: river/metrics/mse.py of River 0.26.1. A pair with a number of -1 or
// less, where River fails, is not judged.
type RMSLE struct{ average[rootLog] }

var (
	_ Revertible = (*MAE)(nil)
	_ Revertible = (*MSE)(nil)
	_ Revertible = (*RMSE)(nil)
	_ Revertible = (*RMSLE)(nil)
	_ Revertible = (*R2)(nil)
)

const (
	format  = 1
	largest = 1e70 // that is judged
)

// average is a metric that is the mean of an error, or a function of that.
type average[E meanError] struct{ mean stats.Mean }

// meanError is a kind of error. It is used by its zero value.
type meanError interface {
	kind() string
	counts(yTrue, yPred float64) bool
	of(yTrue, yPred float64) float64 // at most the square of 2*largest
	get(mean float64) float64
}

// N is how many pairs were judged.
func (a *average[E]) N() uint64 { return a.mean.N() }

// Get returns the metric, which is 0 if nothing was judged, as in River.
func (a *average[E]) Get() float64 {
	var e E
	return e.get(a.mean.Get())
}

// Counts reports whether the pair can be judged.
func (a *average[E]) Counts(yTrue, yPred float64) bool {
	var e E
	return e.counts(yTrue, yPred)
}

// Update judges a prediction.
func (a *average[E]) Update(yTrue, yPred float64) {
	if e := *new(E); e.counts(yTrue, yPred) {
		a.mean.Update(e.of(yTrue, yPred))
	}
}

// Revert forgets a pair that was judged before.
func (a *average[E]) Revert(yTrue, yPred float64) {
	if e := *new(E); e.counts(yTrue, yPred) {
		a.mean.Revert(e.of(yTrue, yPred))
	}
}

// Reset forgets everything.
func (a *average[E]) Reset() { a.mean.Reset() }

// AppendBinary appends the mean of the errors.
func (a *average[E]) AppendBinary(b []byte) ([]byte, error) {
	var e E
	return a.mean.Append(state.AppendHeader(b, e.kind(), format)), nil
}

// UnmarshalBinary reads what AppendBinary of the same metric has written.
func (a *average[E]) UnmarshalBinary(data []byte) error {
	var e E
	d, _ := state.NewDecoder(data, e.kind(), format)
	var read stats.Mean
	read.Decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	a.mean = read
	return nil
}

func counts(yTrue, yPred float64) bool {
	return math.Abs(yTrue) <= largest && math.Abs(yPred) <= largest // false for NaN
}

func square(x float64) float64 { return float64(x * x) }

type absolute struct{}

func (absolute) kind() string             { return "MAE" }
func (absolute) counts(y, p float64) bool { return counts(y, p) }
func (absolute) of(y, p float64) float64  { return math.Abs(y - p) }
func (absolute) get(mean float64) float64 { return mean }

type squared struct{}

func (squared) kind() string             { return "MSE" }
func (squared) counts(y, p float64) bool { return counts(y, p) }
func (squared) of(y, p float64) float64  { return square(y - p) }
func (squared) get(mean float64) float64 { return mean }

type rootSquared struct{ squared }

func (rootSquared) kind() string             { return "RMSE" }
func (rootSquared) get(mean float64) float64 { return math.Sqrt(max(mean, 0)) } // a window's may be below 0 by a hair

type rootLog struct{ rootSquared }

func (rootLog) kind() string             { return "RMSLE" }
func (rootLog) counts(y, p float64) bool { return y > -1 && p > -1 && counts(y, p) }
func (rootLog) of(y, p float64) float64  { return square(libm.Log(y+1) - libm.Log(p+1)) }
