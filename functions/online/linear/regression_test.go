package linear_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/optim"
	"tripcast.dev/functions/online/state"
)

var regressions = map[string]linear.Config{
	"LinearRegression": linear.DefaultConfig(),
	"LinearRegression-Momentum": {
		LR: 0.001, InterceptLR: 0.01, ClipGradient: 1e12, Optimizer: optim.DefaultMomentum(), L2: 0.01,
	},
	"LinearRegression-AdaGrad": {
		LR: 0.1, InterceptLR: 0.01, ClipGradient: 1e12, Optimizer: optim.DefaultAdaGrad(), Loss: optim.DefaultHuber(),
	},
	"LinearRegression-Adam": {
		LR: 0.1, InterceptLR: 0.01, ClipGradient: 1e12, Optimizer: optim.DefaultAdam(), Loss: optim.DefaultQuantile(), L1: 0.01,
	},
}

func TestRegressionConforms(t *testing.T) {
	for name, config := range regressions {
		t.Run(name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: 256, Fixture: "testdata/migrations/" + name}
			onlinetest.Regressor(t, opts, func(width int) online.Regressor { return linear.NewRegression(width, config) })
		})
	}
}

// A state says no more than it has to, and is not read by another optimizer.
func TestRegressionStateOfAnotherOptimizer(t *testing.T) {
	for name, config := range regressions {
		data, err := linear.NewRegression(6, config).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		for other, config := range regressions {
			err := linear.NewRegression(6, config).UnmarshalBinary(data)
			if strings.Contains(name+other, "Momentum") && strings.Contains(name+other, "AdaGrad") {
				continue // both remember one number for each weight: the specification tells them apart
			}
			if (err == nil) != (name == other) {
				t.Errorf("%s reads the state of %s: error %v", other, name, err)
			}
		}
	}
}

func TestRegressionParameters(t *testing.T) {
	for _, tt := range []struct{ parameters, want string }{
		{"rho: 0.5", "rho: is a parameter of Momentum, not of SGD"},
		{"optimizer: Momentum, eps: 0.5", "eps: is a parameter of AdaGrad and Adam, not of Momentum"},
		{"optimizer: Adam, beta_1: 1", "beta_1: 1 is not at most"},
		{"alpha: 0.5", "alpha: is a parameter of Quantile, not of Squared"},
		{"loss: Huber, epsilon: 0", "epsilon: 0 is not above 0"},
		{"loss: Cauchy", `loss: "Cauchy" is not one of Squared, Absolute, Huber, Quantile`},
		{"l1: 0.1, l2: 0.1", "l1: does not go with l2"},
		{"lr: 2", "lr: 2 is not at most 1"},
	} {
		_, err := parse([]string{"a"}, "[]", "LinearRegression: {"+tt.parameters+"}")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("{%s}: error %v, want %q in it", tt.parameters, err, tt.want)
		}
	}
}

func TestClippedGradient(t *testing.T) {
	m := linear.NewRegression(1, linear.Config{LR: 1, InterceptLR: 1, ClipGradient: 3})
	m.Learn([]float64{2}, 1e6)
	if m.Intercept() != 3 || m.Weights()[0] != 6 {
		t.Errorf("intercept %v and weights %v after a gradient clipped to -3, want 3 and [6]", m.Intercept(), m.Weights())
	}
}

func FuzzRegressionState(f *testing.F) {
	plain := linear.DefaultConfig()
	adam := regressions["LinearRegression-Adam"]
	for _, config := range []linear.Config{plain, adam} {
		m := linear.NewRegression(2, config)
		m.Learn([]float64{1, 2}, 3)
		seed, err := m.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
		f.Add(seed[:len(seed)-1])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, config := range []linear.Config{plain, adam} {
			m := linear.NewRegression(2, config)
			var format *state.FormatError
			if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
				t.Errorf("error %v, want a *state.FormatError", err)
			}
			m.Learn([]float64{1, 2}, 3)
			m.Predict([]float64{1, 2})
			if again, err := m.AppendBinary(nil); err != nil || linear.NewRegression(2, config).UnmarshalBinary(again) != nil {
				t.Errorf("%x is read but cannot be written and read again", data)
			}
		}
	})
}

func BenchmarkRegressionLearn(b *testing.B) {
	for name, config := range regressions {
		b.Run(name, func(b *testing.B) {
			m, x := linear.NewRegression(6, config), []float64{1, -1, 0.5, -0.5, 2, 0}
			b.ReportAllocs()
			for b.Loop() {
				m.Learn(x, 600)
			}
		})
	}
}

func BenchmarkRegressionPredict(b *testing.B) {
	m, x := linear.NewRegression(6, linear.DefaultConfig()), []float64{1, -1, 0.5, -0.5, 2, 0}
	b.ReportAllocs()
	for b.Loop() {
		m.Predict(x)
	}
}

func Example() {
	m := linear.NewRegression(1, linear.Config{LR: 0.1, InterceptLR: 0.1, ClipGradient: 1e12})
	for range 100 {
		for x := -1.0; x <= 1; x++ {
			m.Learn([]float64{x}, 2*x+1)
		}
	}
	fmt.Printf("%.3f", m.Predict([]float64{5}))
	// Output: 11.000
}
