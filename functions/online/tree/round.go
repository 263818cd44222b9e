package tree

import (
	"math"
	"strconv"
)

// decimals rounds to a number of decimal places as Python's round does: to the
// float nearest to the decimal that is nearest to the exact value of x.
type decimals struct {
	places int
	scale  float64 // 10**places, exact
}

const maxPlaces = 15

func newDecimals(places int) decimals {
	scale := 1.0
	for range places {
		scale *= 10
	}
	return decimals{places, scale}
}

func (d decimals) round(x float64) float64 {
	if math.Abs(x) >= 1<<52 {
		return x // is whole
	}
	// Where the scaled value is small, its error is too, so that it is plain to
	// which whole number it is nearest unless it lies about half-way. And the
	// quotient of two whole numbers is correctly rounded, as a parsed decimal is.
	scaled := float64(x * d.scale)
	if math.Abs(scaled) < 1<<31 {
		whole := math.RoundToEven(scaled)
		if math.Abs(scaled-whole) < 0.4999 {
			return whole / d.scale
		}
	}
	var digits [64]byte
	rounded, err := strconv.ParseFloat(string(strconv.AppendFloat(digits[:0], x, 'f', d.places, 64)), 64)
	if err != nil {
		return x // cannot be: it is a finite number
	}
	return rounded
}

// whole returns the whole number that is v times 10**places, if v has no more
// places than that.
func (d decimals) whole(v float64) (int64, bool) {
	w := math.RoundToEven(float64(v * d.scale))
	exact := math.Abs(w) < 1<<53 && math.Float64bits(w/d.scale) == math.Float64bits(v)
	return int64(w), exact && math.Float64bits(v) != 1<<63
}
