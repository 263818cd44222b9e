package compose_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/compose"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
)

func TestSelectConforms(t *testing.T) {
	onlinetest.Transformer(t, onlinetest.Options{MaxStateBytes: 16, Fixture: "testdata/migrations/Select"},
		func(width int) online.Transformer { return newSelect(t, width, 4, 1) })
}

func newSelect(t testing.TB, width int, columns ...int) *compose.Select {
	t.Helper()
	s, err := compose.NewSelect(width, columns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelectMistakes(t *testing.T) {
	for want, columns := range map[string][]int{
		"nothing is selected":        nil,
		"column 3 is selected where": {0, 3},
		"column -1 is selected":      {-1},
		"column 2 is selected twice": {2, 1, 2},
	} {
		if _, err := compose.NewSelect(3, columns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("columns %v: error %v, want %q", columns, err, want)
		}
	}
}

func TestCatalogue(t *testing.T) {
	const text = `
champion: m
models:
  - name: m
    features: [a, b, c]
    transformers: [{Select: {features: [c, a]}}]
    model: {TargetTransformRegressor: {transform: sqrt, model: {LinearRegression: {lr: 0.1}}}}
`
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		p.Learn([]float64{1, 100, 2}, 9)
		p.Learn([]float64{2, -100, 1}, 16)
	}
	if y := p.Predict([]float64{2, 1e6, 1}); math.Abs(y-16) > 1e-6 {
		t.Errorf("predicts %v, want 16 whatever b is", y)
	}
	_, err = online.ParseCatalogue([]byte(strings.Replace(text, "[c, a]", "[c, d]", 1)), kinds.All())
	if want := `"d" is not, or is no longer, one of a, b, c`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestNames(t *testing.T) {
	if got := newSelect(t, 3, 2, 0).Names([]string{"a", "b", "c"}); !slices.Equal(got, []string{"c", "a"}) {
		t.Errorf("names %v, want [c a]", got)
	}
}

func TestTargetTransformConforms(t *testing.T) {
	for name, transform := range map[string]compose.Transform{"log1p": compose.Log1p, "sqrt": compose.Sqrt} {
		t.Run(name, func(t *testing.T) {
			onlinetest.Regressor(t, onlinetest.Options{
				MaxStateBytes: 512, Fixture: "testdata/migrations/TargetTransformRegressor-" + name,
			}, func(width int) online.Regressor { return pipeline(t, width, transform) })
		})
	}
}

// pipeline is a scaler before a linear regression of the transformed label.
func pipeline(t testing.TB, width int, transform compose.Transform) online.Regressor {
	names := make([]string, width)
	for i := range names {
		names[i] = fmt.Sprint("x", i)
	}
	model := linear.NewRegression(width, linear.DefaultConfig())
	p, err := online.NewPipeline(names, []online.Transformer{preprocess.NewStandardScaler(width)}, model)
	if err != nil {
		t.Fatal(err)
	}
	return compose.NewTargetTransform(transform, p)
}

func TestRiver(t *testing.T) {
	golden.Run(t, "target_log1p", 1e-12, 1e-3, func(s golden.Stream) func(golden.Event) float64 {
		model := compose.NewTargetTransform(compose.Log1p, linear.NewRegression(len(s.Features), linear.DefaultConfig()))
		p, err := online.NewPipeline(s.Features, []online.Transformer{preprocess.NewStandardScaler(len(s.Features))}, model)
		if err != nil {
			t.Fatal(err)
		}
		return func(e golden.Event) float64 {
			y := p.Predict(e.X)
			p.Learn(e.X, e.Y)
			return y
		}
	}, nil)
}

// fixed predicts a number and remembers the last label.
type fixed struct {
	online.Regressor // for its width and state
	p, y             float64
}

func (f *fixed) Predict([]float64) float64    { return f.p }
func (f *fixed) Learn(_ []float64, y float64) { f.y = y }

func TestScales(t *testing.T) {
	nothing := math.Inf(1)
	for _, tt := range []struct {
		transform compose.Transform
		label     float64
		learned   float64
		predicted float64 // by the model
		want      float64
	}{
		{compose.Log1p, math.E - 1, 1, 1, math.E - 1},
		{compose.Log1p, 0, 0, 0, 0},
		{compose.Log1p, -1, nothing, -1e9, -1},
		{compose.Log1p, -2, nothing, 1e9, math.MaxFloat64},
		{compose.Log1p, math.MaxFloat64, math.Log(math.MaxFloat64), 709.8, math.MaxFloat64},
		{compose.Log1p, math.NaN(), nothing, math.NaN(), math.NaN()},
		{compose.Log1p, math.Inf(1), nothing, 0, 0},
		{compose.Sqrt, 9, 3, 3, 9},
		{compose.Sqrt, 0, 0, -3, 0},
		{compose.Sqrt, -1, nothing, 1e200, math.MaxFloat64},
		{compose.Sqrt, math.NaN(), nothing, math.NaN(), math.NaN()},
	} {
		inner := &fixed{p: tt.predicted, y: nothing}
		m := compose.NewTargetTransform(tt.transform, inner)
		m.Learn(nil, tt.label)
		if !same(inner.y, tt.learned) {
			t.Errorf("%v on scale %v is learned as %v, want %v", tt.label, tt.transform, inner.y, tt.learned)
		}
		if got := m.Predict(nil); !same(got, tt.want) {
			t.Errorf("%v on scale %v is predicted as %v, want %v", tt.predicted, tt.transform, got, tt.want)
		}
	}
}

func same(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-15*math.Abs(b)
}

func FuzzState(f *testing.F) {
	m := pipeline(f, 2, compose.Log1p)
	m.Learn([]float64{1, 2}, 3)
	seed, err := m.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	selected, err := newSelect(f, 2, 1).AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(selected)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := pipeline(t, 2, compose.Log1p)
		var format *state.FormatError
		for _, s := range []online.State{m, newSelect(t, 2, 1)} {
			if err := s.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
				t.Errorf("error %v, want a *state.FormatError", err)
			}
		}
		m.Learn([]float64{1, 2}, 3)
		m.Predict([]float64{1, 2})
	})
}

// A model that learns the logarithm of a label that grows exponentially.
func Example() {
	config := linear.DefaultConfig()
	config.LR, config.InterceptLR = .1, .1
	m := compose.NewTargetTransform(compose.Log1p, linear.NewRegression(1, config))
	for range 300 {
		for x := 0.; x < 3; x++ {
			m.Learn([]float64{x}, math.Exp(2*x)-1)
		}
	}
	fmt.Printf("%.0f", m.Predict([]float64{4}))
	// Output: 2980
}

func BenchmarkTargetTransform(b *testing.B) {
	m := pipeline(b, 6, compose.Log1p)
	x := []float64{1, 0, .1, 1e-5, .5, .5}
	b.Run("Learn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Learn(x, 600)
		}
	})
	b.Run("Predict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Predict(x)
		}
	})
}
