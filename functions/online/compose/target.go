package compose

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	targetKind   = "TargetTransformRegressor"
	targetFormat = 1
)

// Transform is a scale that a label is learned on.
type Transform int

const (
	// Log1p learns log(1+y) of labels above -1. Errors are then relative ones: a
	// trip of an hour may be missed by six minutes as one of ten by one. A
	// prediction is e**p - 1, at most the largest float.
	Log1p Transform = iota
	// Sqrt learns the square root of labels from 0 on. A prediction is the square
	// of p, and 0 where p is negative.
	Sqrt
)

// to returns y on the scale, NaN where it is not on it.
func (t Transform) to(y float64) float64 {
	if t == Sqrt {
		return math.Sqrt(y)
	}
	if y = libm.Log1p(y); math.IsInf(y, 0) {
		return math.NaN()
	}
	return y
}

// from undoes to. It is NaN for NaN, and finite for all else.
func (t Transform) from(p float64) float64 {
	if t == Sqrt {
		p = max(p, 0)
		return min(p*p, math.MaxFloat64)
	}
	return min(libm.Expm1(p), math.MaxFloat64)
}

// TargetTransform is a regressor that learns another regressor's label on
// another scale, as river/compose/target_transform.py does. The model's
// predictions are back in the label's unit.
//
// A label that is not on the scale is not learned, where River fails.
type TargetTransform struct {
	transform Transform
	model     online.Regressor
}

var _ online.Regressor = (*TargetTransform)(nil)

// NewTargetTransform returns a regressor that teaches a model the transformed label.
func NewTargetTransform(transform Transform, model online.Regressor) *TargetTransform {
	return &TargetTransform{transform, model}
}

// TargetTransformKind builds a TargetTransform from a catalogue. Parameters:
// transform, which is log1p or sqrt, and model.
func TargetTransformKind(p *online.Params) online.Regressor {
	transform := Log1p
	if p.Choice("transform", "log1p", "sqrt") == "sqrt" {
		transform = Sqrt
	}
	return NewTargetTransform(transform, p.Model("model")(p.Seed()))
}

// Width is the number of features.
func (t *TargetTransform) Width() int { return t.model.Width() }

// Predict returns the model's prediction in the label's unit.
func (t *TargetTransform) Predict(x []float64) float64 {
	return t.transform.from(t.model.Predict(x))
}

// Learn teaches the model the transformed label.
func (t *TargetTransform) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	if y = t.transform.to(y); libm.Finite(y) {
		t.model.Learn(x, y)
	}
}

// AppendBinary appends the state of the model.
func (t *TargetTransform) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, targetKind, targetFormat)
	b = state.AppendUint(b, uint64(t.transform))
	return state.AppendPart(b, t.model.AppendBinary)
}

// UnmarshalBinary reads what a TargetTransform of the same transform, with a
// model of the same parameters, has written.
func (t *TargetTransform) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, targetKind, targetFormat)
	if got := Transform(d.UintUpTo(uint64(Sqrt))); got != t.transform {
		d.Fail("is of labels on another scale")
	}
	model := d.Bytes()
	if err := d.Close(); err != nil {
		return err
	}
	return t.model.UnmarshalBinary(model)
}
