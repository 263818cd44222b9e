package tree

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// The fast way of rounding is the slow one's.
func TestRound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for _, places := range []int{0, 1, 2, 5, maxPlaces} {
		d := newDecimals(places)
		check := func(x float64) {
			t.Helper()
			want, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'f', places, 64), 64)
			if got := d.round(x); math.Float64bits(got) != math.Float64bits(want) {
				t.Fatalf("%v to %d places is %v, want %v", x, places, got, want)
			}
			if w, ok := d.whole(want); ok && math.Float64bits(float64(w)/d.scale) != math.Float64bits(want) {
				t.Fatalf("%v is taken for %d / %v", want, w, d.scale)
			}
		}
		for _, x := range []float64{0, math.Copysign(0, -1), .05, -.05, .25, -.25, .35, .75, 1e300, -math.MaxFloat64, 5e-324, 1 << 31, 1<<52 + 1, 1<<51 + .5} {
			check(x)
		}
		for range 100_000 {
			check(r.NormFloat64())
			check(r.NormFloat64() * math.Ldexp(1, r.IntN(80)-40))
			half := (math.Trunc(r.NormFloat64()*1000) + .5) / d.scale
			check(half)
			check(math.Nextafter(half, 1e9))
			check(math.Nextafter(half, -1e9))
		}
	}
}
