// Package compose puts models together from parts, as river.compose does: some
// of the features, another scale for the label.
package compose

import (
	"fmt"
	"math"
	"slices"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	selectKind   = "Select"
	selectFormat = 1
)

// Select keeps some of the features, in the order they are named, so that the
// models of an ensemble can each have their own: river/compose/select.py, whose
// features have no order. It has nothing to learn.
type Select struct {
	width   int
	columns []int // of what it takes, in the order it gives them
}

var (
	_ online.Transformer = (*Select)(nil)
	_ online.Namer       = (*Select)(nil)
)

// NewSelect returns a Select of these columns from vectors of this width.
func NewSelect(width int, columns []int) (*Select, error) {
	if len(columns) == 0 {
		return nil, fmt.Errorf("compose: nothing is selected")
	}
	for i, c := range columns {
		if c < 0 || c >= width {
			return nil, fmt.Errorf("compose: column %d is selected where there are %d", c, width)
		}
		if slices.Contains(columns[:i], c) {
			return nil, fmt.Errorf("compose: column %d is selected twice", c)
		}
	}
	return &Select{width: width, columns: slices.Clone(columns)}, nil
}

// SelectKind builds a Select from a catalogue. Parameters: features, a list of names.
func SelectKind(p *online.Params) online.Transformer {
	s := &Select{width: p.Width()}
	for _, name := range p.Texts("features", p.Features()) {
		s.columns = append(s.columns, slices.Index(p.Features(), name))
	}
	return s
}

// Width is the number of features it takes and of those it gives.
func (s *Select) Width() (in, out int) { return s.width, len(s.columns) }

// Names returns the names of what it gives.
func (s *Select) Names(in []string) []string {
	out := make([]string, len(s.columns))
	for i, c := range s.columns {
		out[i] = in[c]
	}
	return out
}

// Transform appends the selected features to dst.
func (s *Select) Transform(dst, x []float64) []float64 {
	for _, c := range s.columns {
		v := x[c]
		if !libm.Finite(v) {
			v = math.NaN()
		}
		dst = append(dst, v)
	}
	return dst
}

// Learn does nothing.
func (s *Select) Learn([]float64) {}

// AppendBinary appends how many features it takes and gives.
func (s *Select) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, selectKind, selectFormat)
	b = state.AppendUint(b, uint64(s.width))
	return state.AppendUint(b, uint64(len(s.columns))), nil
}

// UnmarshalBinary checks that a Select of the same widths has written data.
func (s *Select) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, selectKind, selectFormat)
	d.Width(s.width)
	d.Width(len(s.columns))
	return d.Close()
}
