package preprocess

import (
	"slices"

	"tripcast.dev/functions/online"
)

// FixedScaler brings features to a common scale by constants that whoever
// writes the catalogue knows, such as the middle and the size of a city. Models
// that remember all they have seen, such as linear.BayesianRegression, want
// features that mean the same for ever, which a StandardScaler's do not while
// it learns. It has nothing to learn.
type FixedScaler struct {
	stateless
	offset, scale []float64
}

var _ online.Transformer = (*FixedScaler)(nil)

// NewFixedScaler returns a scaler that makes (x-offset)/scale of every feature.
// Both are as long as the vectors, and no scale is 0.
func NewFixedScaler(offset, scale []float64) *FixedScaler {
	width := len(offset)
	return &FixedScaler{stateless{"FixedScaler", width, width}, slices.Clone(offset), slices.Clone(scale)}
}

// FixedScalerKind builds a FixedScaler from a catalogue. Parameters: offset and
// scale, mappings of features to numbers, 0 and 1 for those that are not named.
func FixedScalerKind(p *online.Params) online.Transformer {
	offset := p.FloatMap("offset", p.Features(), 0)
	scale := p.FloatMap("scale", p.Features(), 1, online.AtLeast(1e-12), online.AtMost(1e12))
	t := NewFixedScaler(make([]float64, p.Width()), make([]float64, p.Width()))
	for i, name := range p.Features() {
		t.offset[i], t.scale[i] = offset[name], scale[name]
	}
	return t
}

// Transform appends (x-offset)/scale of every feature.
func (s *FixedScaler) Transform(dst, x []float64) []float64 {
	for i, xi := range x {
		dst = append(dst, finiteOrMissing((xi-s.offset[i])/s.scale[i]))
	}
	return dst
}
