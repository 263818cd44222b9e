package forest_test

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/forest"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/tree"
)

// smallARF is a forest whose state stays small.
func smallARF(width int, change func(*forest.ARFConfig)) *forest.ARFRegressor {
	c := forest.DefaultARFConfig()
	c.NModels, c.Tree.MaxLeaves, c.Tree.MaxKeys, c.Seed = 3, 16, 32, 42
	if change != nil {
		change(&c)
	}
	return forest.NewARFRegressor(width, c)
}

func TestARFConforms(t *testing.T) {
	for name, change := range map[string]func(*forest.ARFConfig){
		"":         nil,
		"-members": func(c *forest.ARFConfig) { c.Generators = true },
		"-weighted": func(c *forest.ARFConfig) {
			c.Median, c.DisableWeightedVote, c.Tree.LeafPrediction = false, false, tree.Mean
		},
	} {
		t.Run("ARF"+name, func(t *testing.T) {
			onlinetest.Regressor(t, onlinetest.Options{
				MaxStateBytes: 400 << 10, Fixture: "testdata/migrations/AdaptiveRandomForestRegressor" + name,
			}, func(width int) online.Regressor { return smallARF(width, change) })
		})
	}
}

// arfOf builds the forests of river/cases_arf.py.
var arfOf = map[string]func(s golden.Stream) *forest.ARFRegressor{
	"arf": func(s golden.Stream) *forest.ARFRegressor {
		c := forest.DefaultARFConfig()
		c.NModels, c.Tree.GracePeriod, c.Seed, c.Names = 5, 100, 42, s.Features
		return forest.NewARFRegressor(len(s.Features), c)
	},
	"arf_weighted": func(s golden.Stream) *forest.ARFRegressor {
		c := forest.DefaultARFConfig()
		c.NModels, c.MaxFeatures, c.LambdaValue, c.Seed, c.Names = 4, 3, 2, 7, s.Features
		c.Median, c.DisableWeightedVote = false, false
		c.Tree.GracePeriod, c.Tree.MaxDepth, c.Tree.LeafPrediction = 200, 6, tree.Mean
		return forest.NewARFRegressor(len(s.Features), c)
	},
}

func TestARFLikeRiver(t *testing.T) {
	for name, fresh := range arfOf {
		var model *forest.ARFRegressor
		golden.Run(t, name, 1e-9, 1e-3, func(s golden.Stream) func(golden.Event) float64 {
			model = fresh(s)
			p, err := online.NewPipeline(s.Features, []online.Transformer{preprocess.NewStandardScaler(len(s.Features))}, model)
			if err != nil {
				t.Fatal(err)
			}
			return func(e golden.Event) float64 {
				y := p.Predict(e.X)
				p.Learn(e.X, e.Y)
				return y
			}
		}, func(t *testing.T, s golden.Stream) {
			want := golden.Lines(t, name, s)
			last := len(want) - 1
			at := 0
			for line := range arfLines(model, s.Features) {
				if at == last || !sameLine(line, want[at]) {
					t.Fatalf("line %d of the trees is %q, River's %q", at, line, want[at])
				}
				at++
			}
			if at != last {
				t.Fatalf("River's trees go on with %q", want[at])
			}
			b, err := model.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d nodes, %d drifts, %d warnings, %d bytes of state, River's %s",
				last-len(model.Trees()), model.Drifts(), model.Warnings(), len(b), want[last])
		})
	}
}

// arfLines are the trees as river/cases_arf.py has them.
func arfLines(model *forest.ARFRegressor, features []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i, m := range model.Trees() {
			if !yield(fmt.Sprintf("tree %d drifts %d warnings %d", i, m.Drifts, m.Warnings)) {
				return
			}
			for n := range m.Tree.Walk {
				line := fmt.Sprintf("%d leaf %.1f", n.Depth, n.Weight)
				if !n.Leaf {
					line = fmt.Sprintf("%d %s %v %.1f", n.Depth, features[n.Feature], n.Threshold, n.Weight)
				}
				if !yield(line) {
					return
				}
			}
		}
	}
}

// sameLine compares numbers by their values: Python writes them otherwise.
func sameLine(a, b string) bool {
	as, bs := strings.Fields(a), strings.Fields(b)
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		x, errX := strconv.ParseFloat(as[i], 64)
		y, errY := strconv.ParseFloat(bs[i], 64)
		if as[i] != bs[i] && (errX != nil || errY != nil || x != y) {
			return false
		}
	}
	return true
}

// A forest that is told of a change by its detectors is better after it than
// one that is not.
func TestARFDrift(t *testing.T) {
	after := func(delta float64) (err float64, m *forest.ARFRegressor) {
		m = smallARF(2, func(c *forest.ARFConfig) {
			c.DriftDelta, c.WarningDelta, c.Tree.LeafPrediction = delta, 10*delta, tree.Mean
		})
		for i := range 12_000 {
			x := []float64{float64(i%10)/5 - 1, float64(i/10%10)/5 - 1}
			y := 100 * x[i/6000]
			if i >= 6500 {
				err += math.Abs(m.Predict(x) - y)
			}
			m.Learn(x, y)
		}
		return err / 5500, m
	}
	without, _ := after(0)
	with, m := after(0.001)
	t.Logf("mean error after the change %.2f, without detectors %.2f; %d drifts, %d warnings", with, without, m.Drifts(), m.Warnings())
	if m.Drifts() < 3 || m.Warnings() < 3 {
		t.Errorf("%d drifts and %d warnings of three trees", m.Drifts(), m.Warnings())
	}
	if !(with < without/2) {
		t.Errorf("a mean error of %v after the change, %v without detectors", with, without)
	}
}

func TestARFCatalogue(t *testing.T) {
	const text = `
champion: m
models:
  - name: m
    features: [b, a]
    transformers: [StandardScaler]
    model: {AdaptiveRandomForestRegressor: {n_models: 2, max_features: 1, generator: member, aggregation_method: mean, grace_period: 10}}
`
	c, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		p.Learn([]float64{float64(i % 2), 3}, float64(i%2*100))
	}
	if y := p.Predict([]float64{1, 3}); math.Abs(y-100) > 10 {
		t.Errorf("predicts %v, want about 100", y)
	}
	for change, want := range map[string]string{
		"max_features: 1|max_features: 3":   `"3" is not one of sqrt, log2, all, 1, 2`,
		"generator: member|generator: mine": `"mine" is not one of shared, member`,
		"n_models: 2|n_models: 0":           "0 is not at least 1",
	} {
		before, after, _ := strings.Cut(change, "|")
		_, err := online.ParseCatalogue([]byte(strings.Replace(text, before, after, 1)), kinds.All())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: error %v, want %q", after, err, want)
		}
	}
}

func FuzzARFState(f *testing.F) {
	tiny := func() *forest.ARFRegressor {
		return smallARF(2, func(c *forest.ARFConfig) { c.NModels, c.Tree.GracePeriod = 2, 5 })
	}
	m := tiny()
	for i := range 200 {
		m.Learn([]float64{float64(i % 5), float64(i % 3)}, float64(i%5))
	}
	seed, err := m.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		m := tiny()
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		for i := range 20 {
			m.Predict([]float64{1, float64(i)})
			m.Learn([]float64{1, float64(i)}, 3)
		}
		again, err := m.AppendBinary(nil)
		if err != nil || tiny().UnmarshalBinary(again) != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}

func ExampleARFRegressor() {
	m := forest.NewARFRegressor(2, forest.DefaultARFConfig())
	for i := range 5000 {
		x := []float64{float64(i%10) / 10, float64(i%7) / 10}
		y := 300.
		if x[0] > 0.5 {
			y = 900
		}
		m.Learn(x, y)
	}
	fmt.Printf("%.0f %.0f", m.Predict([]float64{0.2, 0}), m.Predict([]float64{0.8, 0}))
	// Output: 300 900
}

func BenchmarkARF(b *testing.B) {
	s := golden.Streams()[0]
	scaler := preprocess.NewStandardScaler(len(s.Features))
	var xs [][]float64
	for _, e := range s.Events {
		scaler.Learn(e.X)
		xs = append(xs, scaler.Transform(nil, e.X))
	}
	for _, generators := range []bool{false, true} {
		name := map[bool]string{false: "Shared", true: "Members"}[generators]
		c := forest.DefaultARFConfig()
		c.Generators, c.Names = generators, s.Features
		m := forest.NewARFRegressor(len(s.Features), c)
		for i, e := range s.Events[:10_000] {
			m.Learn(xs[i], e.Y)
		}
		state, err := m.AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/Learn", func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(state)), "state-bytes")
			for i := 0; b.Loop(); i++ {
				at := 10_000 + i%10_000
				m.Learn(xs[at], s.Events[at].Y)
			}
		})
		b.Run(name+"/Predict", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Predict(xs[i%len(xs)])
			}
		})
	}
}
