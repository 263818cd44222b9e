package preprocess_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/preprocess"
)

// TestRiver holds transformers to the cases of internal/golden/river/cases_preprocess.py.
// Scaled features add up to about zero, so errors count by the size of one.
func TestRiver(t *testing.T) {
	transformed(t, "scaler", 1e-12, func(width int) []online.Transformer {
		return []online.Transformer{preprocess.NewStandardScaler(width)}
	})
	transformed(t, "polynomial", 1e-12, func(width int) []online.Transformer {
		return []online.Transformer{preprocess.NewPolynomialExtender(width, preprocess.PolynomialConfig{Degree: 3})}
	})
	transformed(t, "polynomial-interactions", 1e-12, func(width int) []online.Transformer {
		config := preprocess.PolynomialConfig{Degree: 4, InteractionOnly: true, IncludeBias: true}
		return []online.Transformer{preprocess.NewStandardScaler(width), preprocess.NewPolynomialExtender(width, config)}
	})
	golden.Run(t, "polynomial-bayesian", 1e-9, 1, func(s golden.Stream) func(golden.Event) float64 {
		p := pipeline(t, s.Features, "[StandardScaler, {PolynomialExtender: {include_bias: true}}]", "BayesianLinearRegression")
		return func(e golden.Event) float64 {
			y := p.Predict(e.X)
			p.Learn(e.X, e.Y)
			return y
		}
	}, nil)
}

// transformed holds the sum of what transformers give, one after the other, to River's.
func transformed(t *testing.T, name string, tolerance float64, new func(width int) []online.Transformer) {
	t.Helper()
	golden.Run(t, name, tolerance, 1, func(s golden.Stream) func(golden.Event) float64 {
		transformers := new(len(s.Features))
		return func(e golden.Event) float64 {
			x := e.X
			for _, tr := range transformers {
				tr.Learn(x)
				x = tr.Transform(nil, x)
			}
			var sum float64
			for _, v := range x {
				if !math.IsNaN(v) {
					sum += v
				}
			}
			return sum
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
	text := fmt.Sprintf(`{champion: m, models: [{name: m, features: [%s], transformers: %s, model: %s}]}`,
		strings.Join(features, ", "), transformers, model)
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		return nil, err
	}
	return c.Models[0].New()
}
