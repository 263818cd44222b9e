package tree

import (
	"math"

	"tripcast.dev/functions/online/state"
)

// sums are moments of labels that are whole numbers, such as seconds, in a
// third of the bytes: the mean and the deviation follow from the sum of the
// labels and from that of their squares, but for the last bits.
type sums struct {
	total int64
	// squares is the deviation, rounded up to where the sum of squares is whole.
	squares uint64
	// ulps are by how many units in the last place what follows is to be
	// corrected, with signs in the lowest bits: three bits for the mean, the rest
	// for the deviation.
	ulps uint64
}

const (
	maxTotal = 1 << 31
	maxUlps  = 1 << 14
)

// sums returns what m follows from, if it does: to the bit.
func (m *moments) sums() (sums, bool) {
	total := math.RoundToEven(float64(m.n * m.mean))
	if !(math.Abs(total) < maxTotal && m.n >= 1 && m.n < maxTotal && m.s >= 0 && m.s < 1<<52) {
		return sums{}, false
	}
	s := sums{total: int64(total)}
	if m.s != 0 {
		s.squares = uint64(math.RoundToEven(m.s + s.fraction(m.n)))
	}
	near := s.moments(m.n)
	meanUlps, devUlps := ulpsBetween(near.mean, m.mean), ulpsBetween(near.s, m.s)
	if meanUlps >= 1<<3 || devUlps >= maxUlps>>3 {
		return sums{}, false
	}
	s.ulps = devUlps<<3 | meanUlps
	return s, s.moments(m.n) == *m && (m.n > 1 || s.ulps == 0 && s.squares == 0)
}

// fraction is what the squared total over n has behind the point.
func (s *sums) fraction(n float64) float64 {
	return float64(s.total*s.total%int64(n)) / n
}

// moments returns what follows from sums of labels of the weight n.
func (s *sums) moments(n float64) moments {
	m := moments{n: n, mean: corrected(float64(s.total)/n, s.ulps&7)}
	if s.squares != 0 {
		m.s = corrected(float64(s.squares)-s.fraction(n), s.ulps>>3)
	}
	return m
}

func ulpsBetween(from, to float64) uint64 {
	return zigzag(int64(math.Float64bits(to) - math.Float64bits(from)))
}

func corrected(v float64, ulps uint64) float64 {
	return math.Float64frombits(math.Float64bits(v) + uint64(unzigzag(ulps)))
}

// zigzag puts the sign into the lowest bit.
func zigzag(v int64) uint64   { return uint64(v<<1 ^ v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// append appends the sums of labels of the weight n.
func (s *sums) append(b []byte, n float64) []byte {
	b = state.AppendUint(b, zigzag(s.total))
	if n > 1 {
		b = state.AppendUint(b, s.squares)
		b = state.AppendUint(b, s.ulps)
	}
	return b
}

// decodeSums reads sums of labels of the weight n and returns what follows.
func decodeSums(d *state.Decoder, n float64) moments {
	if !(n >= 1 && n < maxTotal) {
		d.Fail("holds sums of labels of the weight %v", n)
		return moments{}
	}
	s := sums{total: unzigzag(d.UintUpTo(2*maxTotal - 1))}
	if n > 1 {
		s.squares = d.UintUpTo(1 << 53)
		s.ulps = d.UintUpTo(maxUlps - 1)
	}
	m := s.moments(n)
	if !(math.Abs(m.mean) <= maxTotal && m.s >= 0 && m.s <= 1<<54) {
		d.Fail("holds the impossible sums %+v of labels of the weight %v", s, n)
		return moments{}
	}
	return m
}
