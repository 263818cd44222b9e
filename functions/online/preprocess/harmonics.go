package preprocess

import (
	"fmt"
	"math"
	"slices"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
)

// Harmonics puts the cosines and sines of an angle in its place: what comes
// round, such as an hour or a bearing, has no ends that are far apart then. Of
// order n it gives those of the angle and of its multiples up to n, a Fourier
// series. A feature that is missing gives missing ones. It has nothing to learn.
type Harmonics struct {
	stateless
	period  float64
	order   int
	columns []int
}

var (
	_ online.Transformer = (*Harmonics)(nil)
	_ online.Namer       = (*Harmonics)(nil)
)

// maxOrder bounds what a catalogue may ask for.
const maxOrder = 16

// NewHarmonics returns a transformer of these columns of vectors of this width,
// which come round after a period, above 0, in their own unit. Columns that
// there are not are not transformed.
func NewHarmonics(width int, columns []int, period float64, order int) *Harmonics {
	columns = within(columns, width)
	return &Harmonics{
		stateless{"Harmonics", width, width + len(columns)*(2*order-1)}, period, order, columns,
	}
}

// HarmonicsKind builds Harmonics from a catalogue. Parameters: features, a list
// of names, period, 360 if not given, and order, 1 if not given.
func HarmonicsKind(p *online.Params) online.Transformer {
	period := p.Float("period", 360, online.AtLeast(1e-9), online.AtMost(1e12))
	order := p.Int("order", 1, online.AtLeast(1), online.AtMost(maxOrder))
	return NewHarmonics(p.Width(), columns(p), period, order)
}

// Names are cos1(bearing), sin1(bearing), cos2(bearing) and so on, in the place of bearing.
func (h *Harmonics) Names(in []string) []string {
	var out []string
	for i, name := range in {
		if !slices.Contains(h.columns, i) {
			out = append(out, name)
			continue
		}
		for k := 1; k <= h.order; k++ {
			out = append(out, fmt.Sprintf("cos%d(%s)", k, name), fmt.Sprintf("sin%d(%s)", k, name))
		}
	}
	return out
}

// Transform appends x with cosines and sines in the place of angles.
func (h *Harmonics) Transform(dst, x []float64) []float64 {
	for i, xi := range x {
		if !slices.Contains(h.columns, i) {
			dst = append(dst, finiteOrMissing(xi))
			continue
		}
		turns := math.Mod(xi, h.period) / h.period // Mod is exact, and NaN where x is infinite
		for k := 1; k <= h.order; k++ {
			sin, cos := sinCos(float64(k) * turns)
			dst = append(dst, cos, sin)
		}
	}
	return dst
}

// sinCos returns sine and cosine of an angle in turns, to about two units in
// the last place of 1, with the same bits on every machine: math.Sin may be
// assembly, or have its products fused. It is NaN for NaN.
func sinCos(turns float64) (sin, cos float64) {
	if !libm.Finite(turns) {
		return math.NaN(), math.NaN()
	}
	quarter := math.Floor(float64(4*turns) + 0.5)
	rest := turns - float64(quarter/4) // exact, within an eighth of a turn
	z := rest * 2 * math.Pi
	sin, cos = taylor(z)
	switch int64(quarter) & 3 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}

// Coefficients of the Taylor series of (sin z)/z and cos z in z², from the last.
// The first that is left out makes less than 1e-17 of a term within Pi/4.
var (
	sines = [...]float64{
		1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
		1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1,
	}
	cosines = [...]float64{
		1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800,
		1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1,
	}
)

// taylor returns sine and cosine of z, which is within Pi/4.
func taylor(z float64) (sin, cos float64) {
	square := float64(z * z)
	for i := range sines {
		sin = sines[i] + float64(square*sin)
		cos = cosines[i] + float64(square*cos)
	}
	return z * sin, cos
}
