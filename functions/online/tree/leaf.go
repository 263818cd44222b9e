package tree

import (
	"math"

	"tripcast.dev/functions/online/internal/libm"
)

// leaf learns labels: river/tree/nodes/leaf.py, htr_nodes.py.
type leaf struct {
	labels      moments
	lastAttempt float64 // the weight at which it last tried to split
	model       line

	// Decayed sums of squared errors, for Adaptive.
	meanError, modelError float64

	splitters []ebst // in the order in which their features were first seen
	inactive  bool   // it will not split
	sampled   []int32
}

// line is the linear regression of a leaf: linear.Regression with River's
// defaults, and with weights of events.
type line struct {
	intercept float64
	weights   []float64
}

const (
	learningRate = 0.01
	clipGradient = 1e12
)

func (m *line) raw(x []float64) float64 {
	var dot float64
	for i, xi := range x {
		if libm.Finite(xi) {
			dot += float64(m.weights[i] * xi)
		}
	}
	return dot + m.intercept
}

// step goes down a gradient, unless to where something is not finite.
func (m *line) step(x []float64, gradient float64) {
	gradient = max(min(gradient, clipGradient), -clipGradient)
	intercept := m.intercept - float64(learningRate*gradient)
	if !libm.Finite(intercept) {
		return
	}
	for i, xi := range x {
		if libm.Finite(xi) && !libm.Finite(m.weights[i]-float64(learningRate*float64(xi*gradient))) {
			return
		}
	}
	m.intercept = intercept
	for i, xi := range x {
		if libm.Finite(xi) {
			m.weights[i] -= float64(learningRate * float64(xi*gradient))
		}
	}
}

func (l *leaf) predict(x []float64, with LeafPrediction) float64 {
	if with == Mean || with == Adaptive && l.meanError < l.modelError {
		return l.labels.mean
	}
	return l.model.raw(x)
}

// learn takes in an event of weight w, but for the splitters.
func (l *leaf) learn(x []float64, y, w float64, config *Config) {
	var raw float64
	if config.LeafPrediction != Mean {
		raw = l.model.raw(x)
	}
	if config.LeafPrediction == Adaptive {
		l.meanError = decayed(l.meanError, y-l.labels.mean, config.ModelSelectorDecay)
		l.modelError = decayed(l.modelError, y-raw, config.ModelSelectorDecay)
	}
	l.labels.add(y, w)
	if config.LeafPrediction != Mean {
		l.model.step(x, float64(2*(raw-y))*w)
	}
}

// decayed adds the square of an error to a decaying sum. An error of a model
// that has diverged is as large as a number can be.
func decayed(sum, e, decay float64) float64 {
	sum = float64(decay*sum) + float64(e*e)
	if !(sum <= math.MaxFloat64) {
		return math.MaxFloat64
	}
	return sum
}

// splitter returns the one of a feature. at is where it is looked for first.
func (l *leaf) splitter(feature, at, width int) *ebst {
	if at < len(l.splitters) && int(l.splitters[at].feature) == feature {
		return &l.splitters[at]
	}
	for i := range l.splitters {
		if int(l.splitters[i].feature) == feature {
			return &l.splitters[i]
		}
	}
	if l.splitters == nil {
		l.splitters = make([]ebst, 0, width)
	}
	l.splitters = append(l.splitters, ebst{feature: int32(feature)})
	return &l.splitters[len(l.splitters)-1]
}

// keys is how many values its splitters hold.
func (l *leaf) keys() int {
	keys := 0
	for i := range l.splitters {
		keys += len(l.splitters[i].nodes)
	}
	return keys
}
