package libm_test

import (
	"math"
	"testing"

	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
)

// ulps is the distance between two floats in units in the last place of want.
func ulps(got, want float64) float64 {
	if got == want || math.IsNaN(got) && math.IsNaN(want) {
		return 0
	}
	return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
}

func TestAgainstMath(t *testing.T) {
	r := mt19937.New(1)
	functions := []struct {
		name      string
		got, want func(float64) float64
		draw      func() float64
		within    float64 // ulps, of two results that are each off by one at most
	}{
		{"Exp", libm.Exp, math.Exp, func() float64 { return r.Uniform(-745, 709) }, 2},
		{"Exp near 0", libm.Exp, math.Exp, func() float64 { return r.Uniform(-1, 1) }, 2},
		{"Log", libm.Log, math.Log, func() float64 { return math.Exp(r.Uniform(-700, 700)) }, 2},
		{"Log near 1", libm.Log, math.Log, func() float64 { return 1 + r.Uniform(-.5, .5) }, 2},
		{"Log1p", libm.Log1p, math.Log1p, func() float64 { return math.Exp(r.Uniform(-60, 60)) }, 3},
		{"Log1p below 0", libm.Log1p, math.Log1p, func() float64 { return -r.Float64() }, 3},
		{"Expm1", libm.Expm1, math.Expm1, func() float64 { return r.Uniform(-40, 700) }, 3},
		{"Expm1 near 0", libm.Expm1, math.Expm1, func() float64 { return r.Uniform(-1, 1) * math.Exp(r.Uniform(-40, 0)) }, 3},
	}
	for _, f := range functions {
		t.Run(f.name, func(t *testing.T) {
			for range 200_000 {
				x := f.draw()
				if got, want := f.got(x), f.want(x); ulps(got, want) > f.within {
					t.Fatalf("%s(%v) = %v, want %v: %v ulps apart", f.name, x, got, want, ulps(got, want))
				}
			}
			for _, x := range []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), 1e-300, -1e-300, math.MaxFloat64, 710, -746} {
				if got, want := f.got(x), f.want(x); ulps(got, want) > f.within {
					t.Errorf("%s(%v) = %v, want %v", f.name, x, got, want)
				}
			}
		})
	}
}

// The bits are the contract: a state learned on one machine goes on on another.
func TestBits(t *testing.T) {
	var sum uint64
	for i := range 10_000 {
		x := float64(i)*0.0137 - 60
		for _, y := range []float64{libm.Exp(x), libm.Log(x + 61), libm.Log1p(x + 61), libm.Expm1(x)} {
			sum = sum*31 + math.Float64bits(y)
		}
	}
	const want = 0x6801f7db2ed61750
	if sum != want {
		t.Errorf("the results have the checksum %#x, want %#x", sum, uint64(want))
	}
}

func TestFinite(t *testing.T) {
	for x, want := range map[float64]bool{0: true, -math.MaxFloat64: true, math.Inf(1): false, math.Inf(-1): false} {
		if libm.Finite(x) != want {
			t.Errorf("Finite(%v) = %t", x, !want)
		}
	}
	if libm.Finite(math.NaN()) {
		t.Error("NaN is finite")
	}
	for n := range 5 {
		values := make([]float64, n)
		if !libm.AllFinite(values) {
			t.Errorf("%v are not all finite", values)
		}
		for i := range values {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				values[i] = bad
				if libm.AllFinite(values) {
					t.Errorf("%v are all finite", values)
				}
			}
			values[i] = 0
		}
	}
}
