package ensemble_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/ensemble"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/tree"
)

// behindScaler is a model behind a scaler.
func behindScaler(model online.Regressor) online.Regressor {
	names := make([]string, model.Width())
	for i := range names {
		names[i] = fmt.Sprint("x", i)
	}
	scaler := preprocess.NewStandardScaler(len(names))
	return must(online.NewPipeline(names, []online.Transformer{scaler}, model))
}

// scaled is a linear regression of this learning rate behind a scaler.
func scaled(width int, lr float64) online.Regressor { return behindScaler(unscaled(width, lr)) }

func unscaled(width int, lr float64) online.Regressor {
	c := linear.DefaultConfig()
	c.LR, c.InterceptLR = lr, lr
	return linear.NewRegression(width, c)
}

func bagging(width int) online.Regressor {
	c := ensemble.DefaultBaggingConfig()
	c.NModels, c.Seed = 3, 42
	return ensemble.NewBagging(c, func(uint64) online.Regressor { return scaled(width, .01) })
}

func hedge(width int, config ensemble.HedgeConfig) online.Regressor {
	return must(ensemble.NewHedge(config, scaled(width, .01), scaled(width, .001), unscaled(width, 1)))
}

func residual(width int) online.Regressor {
	return must(ensemble.NewResidual(100, scaled(width, .01), bagging(width), scaled(width, .01)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func median() ensemble.HedgeConfig {
	c := ensemble.DefaultHedgeConfig()
	c.Aggregation = ensemble.Median
	return c
}

var regressors = map[string]func(width int) online.Regressor{
	"BaggingRegressor":      bagging,
	"ResidualRegressor":     residual,
	"HedgeRegressor":        func(width int) online.Regressor { return hedge(width, ensemble.DefaultHedgeConfig()) },
	"HedgeRegressor-median": func(width int) online.Regressor { return hedge(width, median()) },
}

func TestConformance(t *testing.T) {
	for name, fresh := range regressors {
		t.Run(name, func(t *testing.T) {
			onlinetest.Regressor(t, onlinetest.Options{MaxStateBytes: 6 << 10, Fixture: "testdata/migrations/" + name}, fresh)
		})
	}
}

func TestRiver(t *testing.T) {
	for _, tt := range []struct {
		golden    string
		models    int
		tolerance float64
		member    func(width int) online.Regressor
	}{
		{"bagging_linear", 10, 1e-12, func(width int) online.Regressor { return linear.NewRegression(width, linear.DefaultConfig()) }},
		{"bagging_tree", 3, 1e-9, func(width int) online.Regressor { return tree.NewHoeffdingRegressor(width, tree.DefaultConfig()) }},
	} {
		golden.Run(t, tt.golden, tt.tolerance, 1e-3, func(s golden.Stream) func(golden.Event) float64 {
			b := ensemble.NewBagging(ensemble.BaggingConfig{NModels: tt.models, Seed: 42}, func(uint64) online.Regressor {
				return behindScaler(tt.member(len(s.Features)))
			})
			return func(e golden.Event) float64 {
				y := b.Predict(e.X)
				b.Learn(e.X, e.Y)
				return y
			}
		}, nil)
	}
}

// said predicts what a test says, and remembers what it was taught.
type said struct {
	online.Regressor // for its state
	y                float64
	learned          []float64
}

func (s *said) Width() int                   { return 1 }
func (s *said) Predict([]float64) float64    { return s.y }
func (s *said) Learn(_ []float64, y float64) { s.learned = append(s.learned, y) }

func TestBaggingLeavesOutWhoHasNoAnswer(t *testing.T) {
	answers := []float64{1, math.NaN(), 3}
	b := ensemble.NewBagging(ensemble.BaggingConfig{NModels: 3}, func(uint64) online.Regressor {
		m := &said{y: answers[0]}
		answers = answers[1:]
		return m
	})
	if got := b.Predict(nil); got != 2 {
		t.Errorf("the mean of 1, no answer and 3 is %v, want 2", got)
	}
}

// Poisson(1) is 1 on average.
func TestBaggingLearnsAsOftenAsABootstrapHolds(t *testing.T) {
	m := &said{}
	b := ensemble.NewBagging(ensemble.BaggingConfig{NModels: 1}, func(uint64) online.Regressor { return m })
	for range 100_000 {
		b.Learn(nil, 1)
	}
	if n := len(m.learned); n < 99_000 || n > 101_000 {
		t.Errorf("100,000 events were learned %d times", n)
	}
}

func TestResidualChain(t *testing.T) {
	a, b, c := &said{y: 60}, &said{y: math.NaN()}, &said{y: 30}
	r := must(ensemble.NewResidual(0, a, b, c))
	r.Learn(nil, 100)
	for name, tt := range map[string]struct {
		m    *said
		want float64
	}{"first": {a, 100}, "second": {b, 40}, "third, after one without an answer": {c, 40}} {
		if len(tt.m.learned) != 1 || tt.m.learned[0] != tt.want {
			t.Errorf("the %s learned %v, want %v", name, tt.m.learned, tt.want)
		}
	}
	if got := r.Predict(nil); got != 90 {
		t.Errorf("predicts %v, want 90", got)
	}
}

func TestResidualWarmUp(t *testing.T) {
	a, b, c := &said{y: 60}, &said{y: 10}, &said{y: 1}
	r := must(ensemble.NewResidual(3, a, b, c))
	for i, want := range []float64{60, 60, 60, 70, 70, 70, 71, 71} {
		if got := r.Predict(nil); got != want {
			t.Errorf("after %d events it predicts %v, want %v", i, got, want)
		}
		r.Learn(nil, math.NaN()) // is no event
		r.Learn(nil, 100)
	}
	if len(a.learned) != 8 || len(b.learned) != 5 || len(c.learned) != 2 {
		t.Errorf("of 8 events the models learned %d, %d and %d, want 8, 5 and 2", len(a.learned), len(b.learned), len(c.learned))
	}
	if c.learned[0] != 30 {
		t.Errorf("the third began with %v, want 30: what the first two leave over", c.learned[0])
	}
}

func TestMembersMustFit(t *testing.T) {
	if _, err := ensemble.NewHedge(ensemble.DefaultHedgeConfig()); err == nil {
		t.Error("a hedge of nothing")
	}
	if _, err := ensemble.NewResidual(0, scaled(1, .1), scaled(2, .1)); err == nil || !strings.Contains(err.Error(), "model 1 takes 2 features") {
		t.Errorf("models of different widths: error %v", err)
	}
}

func TestCatalogue(t *testing.T) {
	const text = `
champion: m
models:
  - name: m
    features: [a, b]
    seed: 7
    model:
      HedgeRegressor:
        aggregation: median
        models:
          - LinearRegression
          - BaggingRegressor: {n_models: 2, model: LinearRegression}
          - ResidualRegressor:
              models:
                - {transformers: [StandardScaler], model: LinearRegression}
                - {transformers: [{Select: {features: [b]}}], model: LinearRegression}
`
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	p := must(c.Models[0].New())
	for i := range 2000 {
		p.Learn([]float64{float64(i % 3), 1}, float64(10*(i%3)))
	}
	if y := p.Predict([]float64{2, 1}); math.Abs(y-20) > 1 {
		t.Errorf("predicts %v, want 20", y)
	}
	for change, want := range map[string]string{
		"aggregation: median|aggregation: mode":                `"mode" is not one of mean, median`,
		"n_models: 2|n_models: 0":                              "0 is not at least 1",
		"features: [b]|features: [c]":                          `"c" is not, or is no longer, one of a, b`,
		"ResidualRegressor:|Residual:":                         `"Residual" is not a known model`,
		"models:\n                -|parts:\n                -": "models[2].ResidualRegressor.models: is not a list of models",
	} {
		before, after, _ := strings.Cut(change, "|")
		_, err := online.ParseCatalogue([]byte(strings.Replace(text, before, after, 1)), kinds.All())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: error %v, want %q", after, err, want)
		}
	}
}

// A member's state that is not good leaves the others, too, as they were.
func TestDecodingIsAllOrNothing(t *testing.T) {
	for name, fresh := range regressors {
		m, other := fresh(1), fresh(1)
		for i := range 10 {
			other.Learn([]float64{float64(i)}, float64(i))
		}
		good := must(other.AppendBinary(nil))
		before := must(m.AppendBinary(nil))
		bad := append([]byte(nil), good...)
		copy(bad[len(bad)-8:], "\xff\xff\xff\xff\xff\xff\xff\x7f") // the last weight is NaN
		if err := m.UnmarshalBinary(bad); err == nil {
			t.Errorf("%s: NaN was read", name)
		}
		if after := must(m.AppendBinary(nil)); string(after) != string(before) {
			t.Errorf("%s: refused, but the state has changed", name)
		}
	}
}

func FuzzState(f *testing.F) {
	for _, fresh := range regressors {
		m := fresh(2)
		m.Learn([]float64{1, 2}, 3)
		f.Add(must(m.AppendBinary(nil)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, fresh := range regressors {
			m := fresh(2)
			var format *state.FormatError
			if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
				t.Errorf("%s: error %v, want a *state.FormatError", name, err)
			}
			m.Learn([]float64{1, 2}, 3)
			m.Predict([]float64{1, 2})
			if err := fresh(2).UnmarshalBinary(must(m.AppendBinary(nil))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func BenchmarkEnsemble(b *testing.B) {
	for name, fresh := range regressors {
		m := fresh(6)
		x := []float64{1, 0, .1, 1e-5, .5, .5}
		m.Learn(x, 600)
		b.Run(name+"/Learn", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Learn(x, 600)
			}
		})
		b.Run(name+"/Predict", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Predict(x)
			}
		})
	}
}
