// Package preprocess prepares features for a model, as river.preprocessing does.
package preprocess

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	scalerKind   = "StandardScaler"
	scalerFormat = 1
)

// StandardScaler gives every feature zero mean and unit variance, by the mean
// and the population variance of what it has learned so far (Welford).
//
// It computes what river/preprocessing/scale.py of River 0.26.1 computes, in
// the same order: a feature that is missing is neither counted nor transformed,
// and one without variance, such as one that was never seen, becomes 0.
// A value so large that mean or variance would overflow is not learned.
type StandardScaler struct {
	columns []column
}

type column struct {
	n              uint64
	mean, variance float64
	deviation      float64 // the root of the variance
}

var _ online.Transformer = (*StandardScaler)(nil)

// NewStandardScaler returns a scaler of vectors of this width.
func NewStandardScaler(width int) *StandardScaler {
	return &StandardScaler{columns: make([]column, width)}
}

// StandardScalerKind builds a StandardScaler from a catalogue. It has no parameters.
func StandardScalerKind(p *online.Params) online.Transformer {
	return NewStandardScaler(p.Width())
}

// Width is the number of features, in and out.
func (s *StandardScaler) Width() (in, out int) { return len(s.columns), len(s.columns) }

// Learn updates the mean and the variance of every feature in x.
func (s *StandardScaler) Learn(x []float64) {
	for i, xi := range x {
		if !libm.Finite(xi) {
			continue
		}
		c := &s.columns[i]
		n := c.n + 1
		mean := c.mean + (xi-c.mean)/float64(n)
		// The conversion keeps the product from being fused into the
		// subtraction, which rounds once where River rounds twice.
		v := c.variance + (float64((xi-c.mean)*(xi-mean))-c.variance)/float64(n)
		if libm.Finite(mean) && libm.Finite(v) {
			v = max(v, 0) // rounding can take it below 0 by a hair
			*c = column{n, mean, v, math.Sqrt(v)}
		}
	}
}

// Transform appends (x - mean) / standard deviation of every feature.
func (s *StandardScaler) Transform(dst, x []float64) []float64 {
	for i, xi := range x {
		c := &s.columns[i]
		switch {
		case !libm.Finite(xi):
			xi = math.NaN()
		case c.variance == 0:
			xi = 0
		default:
			xi = (xi - c.mean) / c.deviation
		}
		dst = append(dst, xi)
	}
	return dst
}

// AppendBinary appends count, mean and variance of every feature.
func (s *StandardScaler) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, scalerKind, scalerFormat)
	b = state.AppendUint(b, uint64(len(s.columns)))
	for _, c := range s.columns {
		b = state.AppendUint(b, c.n)
		b = state.AppendFloat(b, c.mean)
		b = state.AppendFloat(b, c.variance)
	}
	return b, nil
}

// UnmarshalBinary reads what a scaler of the same width has written.
func (s *StandardScaler) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, scalerKind, scalerFormat)
	d.Width(len(s.columns))
	columns := make([]column, len(s.columns))
	for i := range columns {
		columns[i] = column{n: d.Uint(), mean: d.Float(), variance: d.Float()}
		if columns[i].variance < 0 {
			d.Fail("has the variance %v", columns[i].variance)
		}
		columns[i].deviation = math.Sqrt(columns[i].variance)
	}
	if err := d.Close(); err != nil {
		return err
	}
	s.columns = columns
	return nil
}
