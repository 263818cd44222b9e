package stats

import (
	"math"
	"slices"

	"tripcast.dev/functions/online/state"
)

const markers = 5

// Quantile estimates a quantile from five numbers that follow it, by the P²
// algorithm (Jain and Chlamtac 1985): rust_src/quantile.rs of River 0.26.1. Its
// error depends on the distribution and has no bound; RollingQuantile is exact.
type Quantile struct {
	q       float64
	n       uint64           // how many were counted
	heights [markers]float64 // of the markers; the numbers themselves while there are no more than five
	at      [markers]float64 // how many numbers are up to each marker, whole
	want    [markers]float64 // where each should be
}

var _ Univariate = (*Quantile)(nil)

// NewQuantile returns an estimate of the quantile q, in (0, 1).
func NewQuantile(q float64) *Quantile {
	return &Quantile{
		q:    q,
		at:   [markers]float64{1, 2, 3, 4, 5},
		want: [markers]float64{1, 1 + float64(2*q), 1 + float64(4*q), 3 + float64(2*q), 5},
	}
}

// N is how many numbers were counted.
func (s *Quantile) N() uint64 { return s.n }

// Get returns the estimate, which is NaN if nothing was counted.
func (s *Quantile) Get() float64 {
	if s.n == 0 {
		return math.NaN()
	}
	if s.n > markers {
		return s.heights[2]
	}
	sorted := s.heights
	slices.Sort(sorted[:s.n])
	return sorted[int(min(float64(s.n-1), float64(s.n)*s.q))]
}

// Update counts x.
func (s *Quantile) Update(x float64) {
	if !counts(x) || s.n == maxCount {
		return
	}
	s.n++
	if s.n <= markers {
		s.heights[s.n-1] = x
		return
	}
	if s.n == markers+1 {
		slices.Sort(s.heights[:])
	}
	for i := s.cell(x); i < markers; i++ {
		s.at[i]++
	}
	for i, step := range [markers]float64{0, s.q / 2, s.q, (1 + s.q) / 2, 1} {
		s.want[i] += step
	}
	for i := 1; i < markers-1; i++ {
		s.adjust(i)
	}
}

// cell returns the first marker that is above x, the last if there is none, and
// moves the outer markers if x is beyond them.
func (s *Quantile) cell(x float64) int {
	if x < s.heights[0] {
		s.heights[0] = x
		return 1
	}
	for i := 1; i < markers; i++ {
		if x < s.heights[i] {
			return i
		}
	}
	s.heights[markers-1] = x
	return markers - 1
}

// adjust moves marker i by one number if it is more than one from where it should be.
func (s *Quantile) adjust(i int) {
	d := s.want[i] - s.at[i]
	up := d >= 1 && s.at[i+1]-s.at[i] > 1
	down := d <= -1 && s.at[i-1]-s.at[i] < -1
	if !up && !down {
		return
	}
	d = math.Copysign(1, d)
	height := s.parabolic(i, d)
	if !(s.heights[i-1] < height && height < s.heights[i+1]) {
		j := i + int(d)
		height = s.heights[i] + d*(s.heights[j]-s.heights[i])/(s.at[j]-s.at[i])
	}
	s.heights[i] = height
	s.at[i] += d
}

// parabolic is the height of marker i moved by d, on a parabola through it and its neighbours.
func (s *Quantile) parabolic(i int, d float64) float64 {
	below, height, above := s.heights[i-1], s.heights[i], s.heights[i+1]
	before, at, after := s.at[i-1], s.at[i], s.at[i+1]
	left := (at - before + d) * (above - height) / (after - at)
	right := (after - at - d) * (height - below) / (at - before)
	return height + float64(d/(after-before)*(left+right))
}

// AppendBinary appends the markers.
func (s *Quantile) AppendBinary(b []byte) ([]byte, error) { return appendBinary(b, "Quantile", s) }

// UnmarshalBinary reads what AppendBinary of an estimate of the same quantile has written.
func (s *Quantile) UnmarshalBinary(data []byte) error {
	read := NewQuantile(s.q)
	if err := unmarshal(data, "Quantile", read); err != nil {
		return err
	}
	*s = *read
	return nil
}

// Append appends the markers to an encoding. The outer ones are where they should be.
func (s *Quantile) Append(b []byte) []byte {
	b = state.AppendUint(b, s.n)
	for i := range min(s.n, markers) {
		b = state.AppendFloat(b, s.heights[i])
	}
	if s.n <= markers {
		return b
	}
	for i := 1; i < markers-1; i++ {
		b = state.AppendUint(b, uint64(s.at[i]))
		b = state.AppendFloat(b, s.want[i])
	}
	return b
}

// Decode reads what Append has written. Where that is not to be had the decoder
// fails, and the estimate is not to be used.
func (s *Quantile) Decode(d *state.Decoder) {
	*s = *NewQuantile(s.q)
	s.n = d.UintUpTo(maxCount)
	for i := range min(s.n, markers) {
		if s.heights[i] = d.Float(); !counts(s.heights[i]) {
			d.Fail("holds the number %v", s.heights[i])
		}
	}
	if s.n <= markers {
		return
	}
	s.at[markers-1], s.want[markers-1] = float64(s.n), float64(s.n)
	for i := 1; i < markers-1; i++ {
		s.at[i] = float64(d.UintUpTo(maxCount))
		if s.want[i] = d.Float(); s.want[i] < 1 || s.want[i] > float64(s.n) {
			d.Fail("holds a marker that should be at %v of %d", s.want[i], s.n)
		}
	}
	for i := 1; i < markers; i++ {
		if s.at[i] <= s.at[i-1] || s.heights[i] < s.heights[i-1] {
			d.Fail("holds markers out of order")
		}
	}
}
