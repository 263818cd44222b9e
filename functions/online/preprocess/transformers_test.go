package preprocess_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
)

var transformers = map[string]func(width int) online.Transformer{
	"FixedScaler": func(width int) online.Transformer {
		return preprocess.NewFixedScaler(slices.Repeat([]float64{2}, width), slices.Repeat([]float64{0.5}, width))
	},
	"FunctionTransformer": func(width int) online.Transformer {
		return preprocess.NewFunctionTransformer(width, preprocess.Log1p, []int{0, 2})
	},
	"Harmonics": func(width int) online.Transformer {
		return preprocess.NewHarmonics(width, []int{1, 3}, 24, 3)
	},
	"PolynomialExtender": func(width int) online.Transformer {
		return preprocess.NewPolynomialExtender(width, preprocess.PolynomialConfig{Degree: 3, IncludeBias: true})
	},
}

func TestTransformersConform(t *testing.T) {
	for name, new := range transformers {
		t.Run(name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: 32, Fixture: "testdata/migrations/" + name}
			onlinetest.Transformer(t, opts, new)
		})
	}
}

func TestTransform(t *testing.T) {
	nan := math.NaN()
	columns := []int{0, 2, 7}
	for _, tt := range []struct {
		name  string
		t     online.Transformer
		x     []float64
		want  []float64
		names string
	}{
		{
			"log1p", preprocess.NewFunctionTransformer(3, preprocess.Log1p, columns),
			[]float64{math.E - 1, 5, -1},
			[]float64{1, 5, nan},
			"log1p(a) b log1p(c)",
		},
		{
			"sqrt", preprocess.NewFunctionTransformer(3, preprocess.Sqrt, columns),
			[]float64{4, nan, -1},
			[]float64{2, nan, nan},
			"sqrt(a) b sqrt(c)",
		},
		{
			"abs", preprocess.NewFunctionTransformer(3, preprocess.Abs, columns),
			[]float64{-4, -5, math.Inf(-1)},
			[]float64{4, -5, nan},
			"abs(a) b abs(c)",
		},
		{
			"fixed", preprocess.NewFixedScaler([]float64{1, 2, 0}, []float64{2, 1, 1e-300}),
			[]float64{4, nan, 1e300},
			[]float64{1.5, nan, nan},
			"",
		},
		{
			"harmonics", preprocess.NewHarmonics(3, []int{1}, 24, 2),
			[]float64{7, 6, 8},
			[]float64{7, 0, 1, -1, 0, 8},
			"a cos1(b) sin1(b) cos2(b) sin2(b) c",
		},
		{
			"no angle", preprocess.NewHarmonics(3, []int{1}, 24, 1),
			[]float64{7, nan, 8},
			[]float64{7, nan, nan, 8},
			"a cos1(b) sin1(b) c",
		},
		{
			"polynomial", preprocess.NewPolynomialExtender(3, preprocess.PolynomialConfig{Degree: 2, IncludeBias: true}),
			[]float64{2, nan, 3},
			[]float64{2, nan, 3, 4, nan, 6, nan, nan, 9, 1},
			"a b c a*a a*b a*c b*b b*c c*c bias",
		},
		{
			"interactions", preprocess.NewPolynomialExtender(3, preprocess.PolynomialConfig{Degree: 3, InteractionOnly: true}),
			[]float64{2, 5, 1e308},
			[]float64{2, 5, 1e308, 10, nan, nan, nan},
			"a b c a*b a*c b*c a*b*c",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.t.Transform(nil, tt.x)
			same := func(a, b float64) bool { return math.Abs(a-b) < 1e-15 || math.IsNaN(a) && math.IsNaN(b) || a == b }
			if !slices.EqualFunc(got, tt.want, same) {
				t.Errorf("%v becomes %v, want %v", tt.x, got, tt.want)
			}
			if _, out := tt.t.Width(); out != len(got) {
				t.Errorf("gives %d features, says %d", len(got), out)
			}
			if n, ok := tt.t.(online.Namer); ok {
				if names := strings.Join(n.Names([]string{"a", "b", "c"}), " "); names != tt.names {
					t.Errorf("names %q, want %q", names, tt.names)
				}
			}
		})
	}
}

// Sines and cosines of our own are those of package math, but for the rounding of the angle.
func TestHarmonicsAreExact(t *testing.T) {
	h := preprocess.NewHarmonics(1, []int{0}, 2*math.Pi, 3)
	for x := -6.0; x <= 6; x += 0.001 {
		got := h.Transform(nil, []float64{x})
		for k := range 3 {
			sin, cos := math.Sincos(float64(k+1) * x)
			if math.Abs(got[2*k]-cos) > 1e-14 || math.Abs(got[2*k+1]-sin) > 1e-14 {
				t.Fatalf("cosine and sine of %v are %v, want %v and %v", float64(k+1)*x, got[2*k:2*k+2], cos, sin)
			}
		}
	}
	week := preprocess.NewHarmonics(1, []int{0}, 7, 1)
	if got, want := week.Transform(nil, []float64{7e12 + 1}), week.Transform(nil, []float64{1}); !slices.Equal(got, want) {
		t.Errorf("after a million million turns it is %v, want %v", got, want)
	}
}

func TestTransformerParameters(t *testing.T) {
	for _, tt := range []struct{ transformers, want string }{
		{"[PolynomialExtender, {PolynomialExtender: {degree: 5}}]", "degree: makes more than 512 features of 9"},
		{"[{Harmonics: {features: [a], order: 17}}]", "order: 17 is not at most 16"},
		{"[{Harmonics: {features: [a], period: 0}}]", "period: 0 is not at least"},
		{"[{FunctionTransformer: {features: [d]}}]", `features: "d" is not`},
		{"[{FunctionTransformer: {function: exp, features: [a]}}]", `function: "exp" is not one of log1p, sqrt, abs`},
		{"[{FixedScaler: {scale: {a: 0}}}]", "scale.a: 0 is not at least"},
	} {
		_, err := parse([]string{"a", "b", "c"}, tt.transformers, "LinearRegression")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", tt.transformers, err, tt.want)
		}
	}
}

func FuzzTransformerState(f *testing.F) {
	for name, new := range transformers {
		seed, err := new(4).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, seed)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		new, ok := transformers[name]
		if !ok {
			return
		}
		var format *state.FormatError
		if err := new(4).UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
	})
}

// A pipeline that has a trip's bearing and distance makes of them all that the
// grid of a city's streets may mean for its duration.
func ExamplePolynomialExtender() {
	names := []string{"bearing", "distance"}
	x := []float64{30, 1}
	for _, t := range []online.Transformer{
		preprocess.NewHarmonics(2, []int{0}, 180, 1),
		preprocess.NewFunctionTransformer(3, preprocess.Log1p, []int{2}),
		preprocess.NewPolynomialExtender(3, preprocess.PolynomialConfig{Degree: 2, InteractionOnly: true, IncludeBias: true}),
	} {
		if n, ok := t.(online.Namer); ok {
			names = n.Names(names)
		}
		x = t.Transform(nil, x)
	}
	for i, name := range names {
		fmt.Printf("%.3f %s\n", x[i], name)
	}
	// Output:
	// 0.500 cos1(bearing)
	// 0.866 sin1(bearing)
	// 0.693 log1p(distance)
	// 0.433 cos1(bearing)*sin1(bearing)
	// 0.347 cos1(bearing)*log1p(distance)
	// 0.600 log1p(distance)*sin1(bearing)
	// 1.000 bias
}

func BenchmarkTransform(b *testing.B) {
	x := []float64{3, 1, 0.02, 1e-5, 0.5, -0.5}
	for name, new := range transformers {
		b.Run(name, func(b *testing.B) {
			t := new(len(x))
			var dst []float64
			b.ReportAllocs()
			for b.Loop() {
				dst = t.Transform(dst[:0], x)
			}
		})
	}
}
