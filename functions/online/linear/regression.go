// Package linear holds models that are linear in their features, as
// river.linear_model does.
package linear

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/optim"
	"tripcast.dev/functions/online/state"
)

const (
	regressionKind = "LinearRegression"
	// Format 1 holds the weights and nothing else, and is written where there is
	// nothing else: by SGD without l1. Format 2 holds what an optimizer remembers.
	regressionFormatPlain = 1
	regressionFormat      = 2
)

// Config are the parameters of a Regression, with River's names and defaults.
type Config struct {
	LR            float64         // learning rate of the weights, at least 0
	InterceptLR   float64         // learning rate of the intercept, at least 0
	InterceptInit float64         // the intercept before anything is learned, in the label's unit
	ClipGradient  float64         // the largest absolute gradient of the loss, above 0
	Optimizer     optim.Optimizer // nil is SGD; the intercept always descends by SGD
	Loss          optim.Loss      // nil is the squared loss
	L1, L2        float64         // penalties on the weights, at least 0, 0 for none
}

// DefaultConfig returns River's defaults.
func DefaultConfig() Config {
	return Config{LR: 0.01, InterceptLR: 0.01, InterceptInit: 0, ClipGradient: 1e12}
}

// Regression is a linear regression that descends a loss by gradients, one step
// for each event. Weights start at zero. Features should be scaled first: with
// SGD and the squared loss, an event whose scaled features have a squared norm
// above 1/LR takes a step that is longer than its error.
//
// It computes what river/linear_model/base.py of River 0.26.1 computes, in the
// same order: sums run in the order of the vector, the intercept moves before
// the weights, and a missing feature neither adds to a prediction nor moves its
// weight. A step that would leave anything that is not finite is not taken.
type Regression struct {
	config    Config
	intercept float64
	weights   *optim.Weights
}

var _ online.Regressor = (*Regression)(nil)

// NewRegression returns a regression on vectors of this width.
func NewRegression(width int, config Config) *Regression {
	if config.Loss == nil {
		config.Loss = optim.Squared{}
	}
	weights := optim.NewWeights(width, optim.Config{
		Optimizer: config.Optimizer, LR: config.LR, L1: config.L1, L2: config.L2,
	})
	return &Regression{config: config, intercept: config.InterceptInit, weights: weights}
}

// Width is the number of features.
func (r *Regression) Width() int { return r.weights.Width() }

// Intercept is the prediction where every feature is 0, in the label's unit.
func (r *Regression) Intercept() float64 { return r.intercept }

// Weights returns the weight of every feature, in the label's unit per unit of the feature.
func (r *Regression) Weights() []float64 { return append([]float64(nil), r.weights.Values()...) }

// Predict returns the intercept and the weighted sum of the features.
func (r *Regression) Predict(x []float64) float64 {
	y := r.raw(x)
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

func (r *Regression) raw(x []float64) float64 { return r.weights.Dot(x) + r.intercept }

// Learn takes one step down the gradient of the loss.
func (r *Regression) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	gradient := r.config.Loss.Gradient(y, r.raw(x))
	gradient = max(min(gradient, r.config.ClipGradient), -r.config.ClipGradient)
	intercept := r.intercept - float64(r.config.InterceptLR*gradient)
	if libm.Finite(intercept) && r.weights.Step(x, gradient) {
		r.intercept = intercept
	}
}

// AppendBinary appends the intercept, the weights and what the optimizer remembers.
func (r *Regression) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, regressionKind, r.format())
	b = state.AppendFloat(b, r.intercept)
	if r.weights.Plain() {
		return r.weights.AppendValues(b), nil
	}
	return r.weights.Append(b), nil
}

// UnmarshalBinary reads what a regression of the same width has written.
func (r *Regression) UnmarshalBinary(data []byte) error {
	d, version := state.NewDecoder(data, regressionKind, regressionFormat)
	if version != r.format() {
		d.Fail("has format version %d, of another optimizer or penalty", version)
	}
	intercept := d.Float()
	decode := r.weights.Decode
	if r.weights.Plain() {
		decode = r.weights.DecodeValues
	}
	weights := decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	r.intercept, r.weights = intercept, weights
	return nil
}

// format is the one that holds all there is to remember.
func (r *Regression) format() uint64 {
	if r.weights.Plain() {
		return regressionFormatPlain
	}
	return regressionFormat
}
