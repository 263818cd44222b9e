package optim

import (
	"math"

	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

// Config says how Weights descend.
type Config struct {
	Optimizer Optimizer // nil is SGD
	LR        float64   // learning rate, above 0
	L1        float64   // cumulative penalty on the size of a weight, at least 0
	L2        float64   // penalty on the square of a weight, at least 0
}

// Weights are one number for each feature, that descend a loss, and what their
// optimizer remembers. They are zero at first.
//
// They do what river/linear_model/base.py of River 0.26.1 does, in the same
// order: the weights of features that are missing neither move nor decay, and
// nothing that is remembered of them changes. L1 is the cumulative penalty of
// Tsuruoka et al. (2009) with River's signs. River refuses L1 and L2 together;
// here both apply.
type Weights struct {
	config   Config
	steps    uint64
	maxCumL1 float64 // what a weight could have been penalized by until now
	now      vectors
	next     vectors   // where a step is taken, until it is known to be finite
	gradient []float64 // of the step being taken
}

// vectors are parts of one slice, all as wide as the weights.
type vectors struct {
	all  []float64
	w    []float64
	m, v []float64 // moments, empty unless the optimizer keeps them
	cum  []float64 // by how much l1 has penalized each weight, empty without l1
}

// NewWeights returns weights for vectors of this width.
func NewWeights(width int, config Config) *Weights {
	if config.Optimizer == nil {
		config.Optimizer = SGD{}
	}
	w := &Weights{config: config, gradient: make([]float64, width)}
	w.now, w.next = w.vectors(width), w.vectors(width)
	return w
}

func (w *Weights) vectors(width int) vectors {
	first, second := w.config.Optimizer.Moments()
	kept := []bool{true, first, second, w.config.L1 != 0}
	var all []float64
	for _, k := range kept {
		if k {
			all = append(all, make([]float64, width)...)
		}
	}
	v := vectors{all: all}
	for i, part := range []*[]float64{&v.w, &v.m, &v.v, &v.cum} {
		if kept[i] {
			*part, all = all[:width:width], all[width:]
		}
	}
	return v
}

// Width is the number of weights.
func (w *Weights) Width() int { return len(w.now.w) }

// Steps is how many were taken, since the weights were read where they are Plain.
func (w *Weights) Steps() uint64 { return w.steps }

// Values returns the weights. They are not to be changed, and are only valid until the next step.
func (w *Weights) Values() []float64 { return w.now.w }

// Dot returns the weighted sum of the features in x that are finite.
func (w *Weights) Dot(x []float64) float64 {
	var dot float64
	for i, wi := range w.now.w {
		if xi := x[i]; libm.Finite(xi) {
			dot += float64(wi * xi)
		}
	}
	return dot
}

// Step takes one step down the gradient of a loss by the prediction, whose
// derivative by each weight is its feature in x. It reports whether the step was
// taken: one that would leave anything not finite is not, and leaves no trace.
func (w *Weights) Step(x []float64, gradient float64) bool {
	if !libm.Finite(gradient) {
		return false
	}
	next, g := &w.next, w.gradient
	copy(next.all, w.now.all)
	for i := range g {
		switch xi := x[i]; {
		case !libm.Finite(xi):
			g[i] = math.NaN()
		case w.config.L2 != 0:
			g[i] = float64(xi*gradient) + float64(w.config.L2*next.w[i])
		default:
			g[i] = xi * gradient
		}
	}
	w.config.Optimizer.Step(w.steps+1, w.config.LR, next.w, g, next.m, next.v)
	maxCumL1 := w.maxCumL1
	if w.config.L1 != 0 {
		maxCumL1 += float64(w.config.L1 * w.config.LR)
		next.penalize(g, maxCumL1)
	}
	if !libm.AllFinite(next.all) {
		return false
	}
	w.steps++
	w.maxCumL1 = maxCumL1
	w.now, w.next = w.next, w.now
	return true
}

// penalize takes from every weight that has a gradient what it owes to l1, but
// not more than there is of it.
func (v *vectors) penalize(g []float64, most float64) {
	for i, before := range v.w {
		if math.IsNaN(g[i]) {
			continue
		}
		if before > 0 {
			v.w[i] = max(0, before-(most+v.cum[i]))
		} else if before < 0 {
			v.w[i] = min(0, before+(most-v.cum[i]))
		}
		v.cum[i] += v.w[i] - before
	}
}

// Plain reports whether the values are all there is to remember, as it is with
// SGD and without l1. Of other optimizers at least the steps are counted.
func (w *Weights) Plain() bool {
	_, sgd := w.config.Optimizer.(SGD)
	return sgd && w.config.L1 == 0
}

// AppendValues appends the number of weights and the weights.
func (w *Weights) AppendValues(b []byte) []byte {
	b = state.AppendUint(b, uint64(w.Width()))
	for _, v := range w.now.w {
		b = state.AppendFloat(b, v)
	}
	return b
}

// Append appends all that is remembered to an encoding.
func (w *Weights) Append(b []byte) []byte {
	b = state.AppendUint(b, w.steps)
	b = state.AppendFloat(b, w.maxCumL1)
	b = state.AppendUint(b, uint64(w.Width()))
	b = state.AppendUint(b, uint64(len(w.now.all)))
	for _, v := range w.now.all {
		b = state.AppendFloat(b, v)
	}
	return b
}

// DecodeValues returns weights like these, but with the values that AppendValues
// has written and nothing else remembered. Where they are not to be had, the
// decoder fails.
func (w *Weights) DecodeValues(d *state.Decoder) *Weights {
	read := NewWeights(w.Width(), w.config)
	d.Width(w.Width())
	for i := range read.now.w {
		read.now.w[i] = d.Float()
	}
	return read
}

// Decode returns weights like these, but with what Append has written. Where
// that is not to be had, the decoder fails.
func (w *Weights) Decode(d *state.Decoder) *Weights {
	read := NewWeights(w.Width(), w.config)
	read.steps = d.UintUpTo(1 << 53)
	read.maxCumL1 = d.Float()
	d.Width(w.Width())
	if n := d.Len(8); n != len(read.now.all) {
		d.Fail("remembers %d numbers, want %d for this optimizer and penalty", n, len(read.now.all))
		return read
	}
	for i := range read.now.all {
		read.now.all[i] = d.Float()
	}
	for _, v := range read.now.v {
		if v < 0 {
			d.Fail("holds %v where squares are summed", v)
		}
	}
	return read
}
