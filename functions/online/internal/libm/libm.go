// Package libm has the elementary functions that models learn with, so that a
// model learns the same bits on every machine. Those of package math differ
// between architectures: some are assembly, and the compiler may fuse a product
// into a sum where the processor can. Here every product is rounded by itself.
//
// The algorithms and the constants are FreeBSD's msun (fdlibm), as package math
// has them, whose notice is in LICENSE. Errors are below one unit in the last place.
package libm

import "math"

const (
	ln2Hi = 6.93147180369123816490e-01 // 3fe62e42fee00000
	ln2Lo = 1.90821492927058770002e-10 // 3dea39ef35793c76
	log2E = 1.44269504088896338700e+00 // 3ff71547652b82fe
)

// Finite reports whether x is a number and not infinite.
func Finite(x float64) bool {
	// The conversions keep an inlined product from being fused into the difference,
	// which would then be its rounding error.
	return float64(x)-float64(x) == 0
}

// AllFinite reports whether all of values are.
func AllFinite(values []float64) bool {
	var r0, r1 float64 // stay 0: the difference of what is not finite is NaN
	i := 0
	for ; i+2 <= len(values); i += 2 {
		r0 += values[i] - values[i]
		r1 += values[i+1] - values[i+1]
	}
	if i < len(values) {
		r0 += values[i] - values[i]
	}
	return r0+r1 == 0
}

// Exp returns e**x: +Inf above 709.78, 0 below -745.13, NaN for NaN.
func Exp(x float64) float64 {
	const (
		overflow  = 7.09782712893383973096e+02
		underflow = -7.45133219101941108420e+02
		nearZero  = 1.0 / (1 << 28)

		p1 = 1.66666666666666657415e-01  // 3fc55555; 55555555
		p2 = -2.77777777770155933842e-03 // bf66c16c; 16bebd93
		p3 = 6.61375632143793436117e-05  // 3f11566a; af25de2c
		p4 = -1.65339022054652515390e-06 // bebbbd41; c5d26bf1
		p5 = 4.13813679705723846039e-08  // 3e663769; 72bea4d0
	)
	switch {
	case math.IsNaN(x):
		return x
	case x > overflow:
		return math.Inf(1)
	case x < underflow:
		return 0
	case -nearZero < x && x < nearZero:
		return 1 + x
	}
	k := nearest(x)
	hi := x - float64(float64(k)*ln2Hi)
	lo := float64(float64(k) * ln2Lo)
	r := hi - lo
	t := float64(r * r)
	c := r - mul(t, p1+mul(t, p2+mul(t, p3+mul(t, p4+mul(t, p5)))))
	y := 1 - ((lo - mul(r, c)/(2-c)) - hi)
	return math.Ldexp(y, k)
}

// nearest is the whole multiple of ln 2 nearest to x.
func nearest(x float64) int {
	if x < 0 {
		return int(mul(log2E, x) - 0.5)
	}
	return int(mul(log2E, x) + 0.5)
}

// Log returns the natural logarithm of x: NaN below 0, -Inf at 0.
func Log(x float64) float64 {
	const (
		l1 = 6.666666666666735130e-01 // 3fe55555 55555593
		l2 = 3.999999999940941908e-01 // 3fd99999 9997fa04
		l3 = 2.857142874366239149e-01 // 3fd24924 94229359
		l4 = 2.222219843214978396e-01 // 3fcc71c5 1d8e78af
		l5 = 1.818357216161805012e-01 // 3fc74664 96cb03de
		l6 = 1.531383769920937332e-01 // 3fc39a09 d078c69f
		l7 = 1.479819860511658591e-01 // 3fc2f112 df3e5244
	)
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	f1, ki := math.Frexp(x)
	if f1 < math.Sqrt2/2 {
		f1 *= 2
		ki--
	}
	f, k := f1-1, float64(ki)
	s := f / (2 + f)
	s2 := mul(s, s)
	s4 := mul(s2, s2)
	t1 := mul(s2, l1+mul(s4, l3+mul(s4, l5+mul(s4, l7))))
	t2 := mul(s4, l2+mul(s4, l4+mul(s4, l6)))
	half := mul(mul(0.5, f), f)
	return mul(k, ln2Hi) - ((half - (mul(s, half+(t1+t2)) + mul(k, ln2Lo))) - f)
}

// Log1p returns the natural logarithm of 1+x, exact near 0 as Log(1+x) is not.
func Log1p(x float64) float64 {
	// Kahan's correction: what 1+x has lost in rounding is put back by the ratio.
	u := 1 + x
	switch {
	case u == 1:
		return x
	case math.IsInf(u, 1):
		return u
	}
	return mul(Log(u), x/(u-1))
}

// Expm1 returns e**x - 1, exact near 0 as Exp(x)-1 is not.
func Expm1(x float64) float64 {
	if math.Abs(x) > 1 {
		return Exp(x) - 1
	}
	// Kahan's correction, as in Log1p.
	u := Exp(x)
	switch {
	case u == 1:
		return x
	case u-1 == -1:
		return -1
	}
	return mul(u-1, x/Log(u))
}

// mul rounds a product by itself: the conversion keeps it from being fused into a sum.
func mul(a, b float64) float64 { return float64(a * b) }
