package linear_test

import (
	"fmt"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
)

// TestRegressionRiver holds the cases of internal/golden/river/cases_linear.py,
// written as a catalogue has them, to River's predictions.
func TestRegressionRiver(t *testing.T) {
	for name, model := range map[string]string{
		"linear-sgd":      "{}",
		"linear-clipped":  "{lr: 0.005, intercept_lr: 0.02, intercept_init: 600, clip_gradient: 1000}",
		"linear-momentum": "{optimizer: Momentum, lr: 0.001}",
		"linear-adagrad":  "{optimizer: AdaGrad, lr: 1, intercept_lr: 0.05}",
		"linear-adam":     "{optimizer: Adam, lr: 0.5, beta_1: 0.8, beta_2: 0.99}",
		"linear-l1":       "{l1: 0.05}",
		"linear-l2":       "{l2: 0.01}",
		"linear-absolute": "{optimizer: AdaGrad, lr: 2, loss: Absolute, intercept_lr: 1}",
		"linear-huber":    "{optimizer: Momentum, lr: 0.01, rho: 0.5, loss: Huber, epsilon: 20, intercept_lr: 0.1}",
		"linear-quantile": "{optimizer: Adam, lr: 0.3, loss: Quantile, alpha: 0.9, intercept_lr: 1, l2: 0.001}",
	} {
		river(t, name, 1e-12, "[StandardScaler]", "LinearRegression: "+model)
	}
}

// river holds a pipeline to River's predictions.
func river(t *testing.T, name string, tolerance float64, transformers, model string) {
	t.Helper()
	golden.Run(t, name, tolerance, 0, func(s golden.Stream) func(golden.Event) float64 {
		p := pipeline(t, s.Features, transformers, model)
		return func(e golden.Event) float64 {
			y := p.Predict(e.X)
			p.Learn(e.X, e.Y)
			return y
		}
	}, nil)
}

// pipeline builds one from its YAML.
func pipeline(t testing.TB, features []string, transformers, model string) *online.Pipeline {
	t.Helper()
	p, err := parse(features, transformers, model)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(features []string, transformers, model string) (*online.Pipeline, error) {
	text := fmt.Sprintf(`{champion: m, models: [{name: m, features: [%s], transformers: %s, model: {%s}}]}`,
		strings.Join(features, ", "), transformers, model)
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		return nil, err
	}
	return c.Models[0].New()
}

// TestBayesianRiver does the same for the Bayesian regression. River lets what
// is forgotten wind up: a speed of 1e-5 tells so little of its weight that the
// prior is all there is, and that is 5e8 times weaker at the end.
func TestBayesianRiver(t *testing.T) {
	river(t, "bayesian", 1e-9, "[]", "BayesianLinearRegression: {}")
	river(t, "bayesian-scaled", 1e-9, "[StandardScaler]", "BayesianLinearRegression: {alpha: 0.1, beta: 0.01}")
	river(t, "bayesian-smoothing", 1e-9, "[]", "BayesianLinearRegression: {smoothing: 0.999, max_windup: 1e10}")
}
