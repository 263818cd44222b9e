package kinds_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
)

// Every kind of the house says what it has learned, and which parameters it has
// by the names that the catalogue takes.
func TestExplained(t *testing.T) {
	needed := map[string]string{
		"Select": "features: [a]", "FunctionTransformer": "features: [a]", "Harmonics": "features: [a]",
		"BaggingRegressor": "model: LinearRegression", "ClampRegressor": "model: LinearRegression",
		"TargetTransformRegressor": "model: LinearRegression",
		"HedgeRegressor":           "models: [LinearRegression]", "ResidualRegressor": "models: [LinearRegression]",
	}
	all := kinds.All()
	for kind := range all.Transformers {
		t.Run(kind, func(t *testing.T) {
			e := explained(t, fmt.Sprintf("transformers: [{%s: {%s}}], model: LinearRegression", kind, needed[kind]))
			checkKind(t, kind, e.Parts[0].Explanation, func(parameter string) error {
				_, err := parse(fmt.Sprintf("transformers: [{%s: {%s}}], model: LinearRegression", kind, parameter))
				return err
			})
		})
	}
	for kind := range all.Regressors {
		t.Run(kind, func(t *testing.T) {
			e := explained(t, fmt.Sprintf("model: {%s: {%s}}", kind, needed[kind]))
			checkKind(t, kind, e.Parts[0].Explanation, func(parameter string) error {
				_, err := parse(fmt.Sprintf("model: {%s: {%s}}", kind, parameter))
				return err
			})
		})
	}
}

func checkKind(t *testing.T, kind string, e online.Explanation, with func(parameter string) error) {
	t.Helper()
	if e.Unexplained || e.Kind != kind {
		t.Errorf("it is explained as %+v", e)
	}
	for name := range e.Parameters {
		if err := with(name + ": {}"); err != nil && strings.Contains(err.Error(), "is unknown: "+kind) {
			t.Errorf("the parameter %s is not one of the catalogue: %v", name, err)
		}
	}
}

func parse(steps string) (*online.Catalogue, error) {
	text := fmt.Sprintf("champion: m\nmodels: [{name: m, features: [a, b], %s}]", steps)
	return online.ParseCatalogue([]byte(text), kinds.All())
}

func explained(t *testing.T, steps string) online.Explanation {
	t.Helper()
	c, err := parse(steps)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		p.Learn([]float64{float64(i % 7), float64(i % 5)}, float64(i))
	}
	return online.Explain(p, nil)
}

// The models that are shipped are explained, part by part.
func TestShippedExplained(t *testing.T) {
	data, err := os.ReadFile("../../../infra/models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := online.ParseCatalogue(data, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range c.Models {
		p, err := spec.New()
		if err != nil {
			t.Fatal(err)
		}
		everyPart(online.Explain(p, nil), func(e online.Explanation) {
			if e.Unexplained {
				t.Errorf("%s: %s is not explained", spec.Name, e.Kind)
			}
		})
	}
}

func everyPart(e online.Explanation, visit func(online.Explanation)) {
	visit(e)
	for _, p := range e.Parts {
		everyPart(p.Explanation, visit)
	}
}
