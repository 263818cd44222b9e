// Package linear holds models that are linear in their features, as
// river.linear_model does.
package linear

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/state"
)

const (
	regressionKind   = "LinearRegression"
	regressionFormat = 1
)

// Config are the parameters of a Regression, with River's names and defaults.
type Config struct {
	LR            float64 // learning rate of the weights, at least 0
	InterceptLR   float64 // learning rate of the intercept, at least 0
	InterceptInit float64 // the intercept before anything is learned, in the label's unit
	ClipGradient  float64 // the largest absolute gradient of the loss, above 0
}

// DefaultConfig returns River's defaults.
func DefaultConfig() Config {
	return Config{LR: 0.01, InterceptLR: 0.01, InterceptInit: 0, ClipGradient: 1e12}
}

// Regression is a linear regression that descends the squared loss by
// stochastic gradient descent, one step for each event. Weights start at zero.
// Features should be scaled first: an event whose scaled features have a squared
// norm above 1/LR takes a step that is longer than its error.
//
// It computes what river/linear_model/lin_reg.py of River 0.26.1 computes with
// its defaults (SGD, squared loss, no l1, no l2), in the same order: sums run in
// the order of the vector, the intercept moves before the weights, and a
// missing feature neither adds to a prediction nor moves its weight.
// A step that would leave a weight that is not finite is not taken.
type Regression struct {
	config    Config
	intercept float64
	weights   []float64
}

var _ online.Regressor = (*Regression)(nil)

// NewRegression returns a regression on vectors of this width.
func NewRegression(width int, config Config) *Regression {
	return &Regression{config: config, intercept: config.InterceptInit, weights: make([]float64, width)}
}

// RegressionKind builds a Regression from a catalogue. Parameters: lr,
// intercept_lr, intercept_init and clip_gradient.
func RegressionKind(p *online.Params) online.Regressor {
	c := DefaultConfig()
	return NewRegression(p.Width(), Config{
		LR:            p.Float("lr", c.LR, online.Above(0), online.AtMost(1)),
		InterceptLR:   p.Float("intercept_lr", c.InterceptLR, online.AtLeast(0), online.AtMost(1)),
		InterceptInit: p.Float("intercept_init", c.InterceptInit),
		ClipGradient:  p.Float("clip_gradient", c.ClipGradient, online.Above(0)),
	})
}

// Width is the number of features.
func (r *Regression) Width() int { return len(r.weights) }

// Intercept is the prediction where every feature is 0, in the label's unit.
func (r *Regression) Intercept() float64 { return r.intercept }

// Weights returns the weight of every feature, in the label's unit per unit of the feature.
func (r *Regression) Weights() []float64 { return append([]float64(nil), r.weights...) }

// Predict returns the intercept and the weighted sum of the features.
func (r *Regression) Predict(x []float64) float64 {
	y := r.raw(x)
	if !finite(y) {
		return math.NaN()
	}
	return y
}

func (r *Regression) raw(x []float64) float64 {
	var dot float64
	for i, xi := range x {
		if finite(xi) {
			dot += float64(r.weights[i] * xi) // the conversion forbids a fused multiply-add
		}
	}
	return dot + r.intercept
}

// Learn takes one step down the gradient of the squared loss.
func (r *Regression) Learn(x []float64, y float64) {
	if !finite(y) {
		return
	}
	gradient := 2 * (r.raw(x) - y)
	gradient = max(min(gradient, r.config.ClipGradient), -r.config.ClipGradient)
	intercept := r.intercept - float64(r.config.InterceptLR*gradient)
	if !finite(intercept) { // also where the gradient is not a number
		return
	}
	for i, xi := range x {
		if finite(xi) && !finite(r.step(i, xi, gradient)) {
			return
		}
	}
	r.intercept = intercept
	for i, xi := range x {
		if finite(xi) {
			r.weights[i] = r.step(i, xi, gradient)
		}
	}
}

// step returns the weight of feature i after a step.
func (r *Regression) step(i int, xi, gradient float64) float64 {
	return r.weights[i] - float64(r.config.LR*float64(xi*gradient))
}

// AppendBinary appends the intercept and the weights.
func (r *Regression) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, regressionKind, regressionFormat)
	b = state.AppendFloat(b, r.intercept)
	b = state.AppendUint(b, uint64(len(r.weights)))
	for _, w := range r.weights {
		b = state.AppendFloat(b, w)
	}
	return b, nil
}

// UnmarshalBinary reads what a regression of the same width has written.
func (r *Regression) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, regressionKind, regressionFormat)
	intercept := d.Float()
	d.Width(len(r.weights))
	weights := make([]float64, len(r.weights))
	for i := range weights {
		weights[i] = d.Float()
	}
	if err := d.Close(); err != nil {
		return err
	}
	r.intercept, r.weights = intercept, weights
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
