package online_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/state"
)

// sum is a model of models: it predicts the sum of its members' predictions.
type sum struct{ members []online.Regressor }

func (s *sum) Width() int { return s.members[0].Width() }

func (s *sum) Predict(x []float64) (y float64) {
	for _, m := range s.members {
		y += m.Predict(x)
	}
	return y
}

func (s *sum) Learn(x []float64, y float64) {
	for _, m := range s.members {
		m.Learn(x, y)
	}
}

func (s *sum) AppendBinary(b []byte) ([]byte, error) { return state.AppendHeader(b, "Sum", 1), nil }
func (s *sum) UnmarshalBinary([]byte) error          { return nil }

// first gives the first feature under another name.
type first struct{ width int }

func (f *first) Width() (in, out int)                  { return f.width, 1 }
func (f *first) Transform(dst, x []float64) []float64  { return append(dst, x[0]) }
func (f *first) Learn([]float64)                       {}
func (f *first) Names(in []string) []string            { return []string{in[0] + "_only"} }
func (f *first) AppendBinary(b []byte) ([]byte, error) { return state.AppendHeader(b, "First", 1), nil }
func (f *first) UnmarshalBinary([]byte) error          { return nil }

// nestedKinds are those of the house with a model of models, one of many copies
// and one that takes every kind of parameter.
func nestedKinds(seen *[]string, seeds *[]uint64) online.Kinds {
	all := kinds.All()
	all.Transformers["First"] = func(p *online.Params) online.Transformer { return &first{p.Width()} }
	all.Regressors["Sum"] = func(p *online.Params) online.Regressor {
		s := &sum{}
		for i, build := range p.Models("models") {
			s.members = append(s.members, build(p.Seed()+uint64(i)))
		}
		return s
	}
	all.Regressors["Copies"] = func(p *online.Params) online.Regressor {
		n, build := p.Int("n", 2, online.AtLeast(1)), p.Model("model")
		s := &sum{}
		for range n {
			s.members = append(s.members, build(p.Seed()))
		}
		return s
	}
	linear := all.Regressors["LinearRegression"]
	all.Regressors["Picky"] = func(p *online.Params) online.Regressor {
		p.Choice("shape", "squared", "absolute")
		if p.Bool("bias", true) && p.Int("k", 3) > 5 {
			p.Fail("k", "is more than 5 with a bias")
		}
		if names := p.Texts("columns", p.Features()); names != nil {
			*seen = append(*seen, strings.Join(names, "+"))
		}
		*seeds = append(*seeds, p.Seed())
		return linear(p)
	}
	return all
}

func TestModelsWithinModels(t *testing.T) {
	var seen []string
	var seeds []uint64
	all := nestedKinds(&seen, &seeds)
	c, err := online.ParseCatalogue([]byte(`
champion: m
models:
  - name: m
    features: [a, b]
    seed: 40
    model:
      Sum:
        models:
          - LinearRegression
          - transformers: [First]
            model: {Picky: {columns: [a_only], shape: absolute}}
          - Copies: {n: 2, model: {LinearRegression: {lr: 0.5}}}
`), all)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen, " "); !strings.Contains(got, "a_only") {
		t.Errorf("the inner model saw the columns %q, want a_only", got)
	}
	if last := seeds[len(seeds)-1]; last != 41 {
		t.Errorf("the second model draws with seed %d, want 41", last)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	p.Learn([]float64{1, 1}, 10)
	if got := p.Predict([]float64{1, 1}); got == 0 {
		t.Error("nothing was learned")
	}
	canonical, err := json.Marshal(c.Models[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"m","features":["a","b"],"model":{"Sum":{"models":[{"LinearRegression":{}},` +
		`{"transformers":[{"First":{}}],"model":{"Picky":{"columns":["a_only"],"shape":"absolute"}}},` +
		`{"Copies":{"model":{"LinearRegression":{"lr":0.5}}}}]}},"seed":40}`
	if string(canonical) != want {
		t.Errorf("canonical form\n%s\nwant\n%s", canonical, want)
	}
	again, err := online.ParseCatalogue([]byte(`{"champion":"m","models":[`+want+`]}`), all)
	if err != nil {
		t.Fatal(err)
	}
	if again.Models[0].Hash() != c.Models[0].Hash() {
		t.Error("read back, the specification has another hash")
	}
}

func TestMistakesWithin(t *testing.T) {
	tests := []struct {
		name, model string
		want        []string
	}{
		{"no models", "{Sum: {}}", []string{"line 5: models[0].model.Sum.models: is not a list of models"}},
		{"empty list", "{Sum: {models: []}}", []string{"Sum.models: is not a list of models"}},
		{"no model", "{Copies: {n: 3}}", []string{"Copies.model: is missing"}},
		{"unknown inside", "\n      Sum:\n        models:\n          - Oracle", []string{`line 8: models[0].model.Sum.models[0]: "Oracle" is not a known model`}},
		{"range inside", "\n      Copies:\n        model: {LinearRegression: {lr: 7}}", []string{"line 7: models[0].model.Copies.model.LinearRegression.lr: 7 is not at most 1"}},
		{"features inside", "\n      Copies:\n        model: {features: [a], model: LinearRegression}", []string{"models[0].model.Copies.model.features: is unknown: there are transformers, model"}},
		{"too deep", "{Copies: {model: {Copies: {model: {Copies: {model: {Copies: {model: {Copies: {model: LinearRegression}}}}}}}}}}", []string{"is the 5th model within a model, 4 are the most"}},
		{"too many", "{Copies: {n: 11, model: {Copies: {n: 10, model: {Copies: {n: 10, model: LinearRegression}}}}}}", []string{"makes more than 1000 models within one"}},
		{"of itself", "&m\n      Copies:\n        model: *m", []string{"is the 5th model within a model"}},
		{"choice", "{Picky: {shape: cubic, columns: [a]}}", []string{`Picky.shape: "cubic" is not one of squared, absolute`}},
		{"bool", "{Picky: {bias: 3, columns: [a]}}", []string{`Picky.bias: "3" is not true or false`}},
		{"together", "{Picky: {k: 6, columns: [a]}}", []string{"line 5: models[0].model.Picky.k: is more than 5 with a bias"}},
		{"not a mapping of numbers", "{KNNRegressor: {weights: 3}}", []string{"line 5: models[0].model.KNNRegressor.weights: is not a mapping of a, b to numbers"}},
		{"unknown key of a mapping", "{KNNRegressor: {weights: {a: 2, c: 1}}}", []string{"KNNRegressor.weights.c: is not one of a, b"}},
		{"bound of a mapping", "{KNNRegressor: {weights: {a: -2, b: x}}}", []string{"KNNRegressor.weights.a: -2 is not at least 0", `KNNRegressor.weights.b: "x" is not a finite number`}},
		{"smoothing of no weights", "{KNNRegressor: {smoothing: 1}}", []string{"KNNRegressor.smoothing: is of the weights, and mean has none"}},
		{"column", "{Picky: {columns: [c]}}", []string{`Picky.columns: "c" is not, or is no longer, one of a, b`}},
		{"column twice", "{Picky: {columns: [a, a]}}", []string{`Picky.columns: "a" is not, or is no longer, one of a, b`}},
	}
	var seen []string
	var seeds []uint64
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := online.ParseCatalogue([]byte(one("    features: [a, b]\n    model: "+tt.model+"\n")), nestedKinds(&seen, &seeds))
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("mistake %q, want %q in it", lines[i], want)
				}
			}
		})
	}
}

// Members that are built later, as an ensemble does that replaces them, are not
// counted against the bound on a specification.
func TestMembersAreReplaced(t *testing.T) {
	all := kinds.All()
	var again func(uint64) online.Regressor
	all.Regressors["Replacing"] = func(p *online.Params) online.Regressor {
		again = p.Model("model")
		return again(p.Seed())
	}
	if _, err := online.ParseCatalogue([]byte(one("    features: [a]\n    model: {Replacing: {model: LinearRegression}}\n")), all); err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		m := again(1)
		if m.Learn([]float64{1}, 1); m.Predict([]float64{1}) == 0 {
			t.Fatal("a member that was built later does not learn")
		}
	}
}

// A specification that asks for a million models is refused before they are built.
func TestTooManyAreNotBuilt(t *testing.T) {
	var seen []string
	var seeds []uint64
	all := nestedKinds(&seen, &seeds)
	built, linear := 0, all.Regressors["LinearRegression"]
	all.Regressors["LinearRegression"] = func(p *online.Params) online.Regressor {
		built++
		return linear(p)
	}
	_, err := online.ParseCatalogue([]byte(one("    features: [a]\n    model: {Copies: {n: 1000, model: {Copies: {n: 1000, model: LinearRegression}}}}\n")), all)
	if err == nil || !strings.Contains(err.Error(), "more than 1000 models") {
		t.Errorf("error %v", err)
	}
	if built > 2000 {
		t.Errorf("%d models were built", built)
	}
}
