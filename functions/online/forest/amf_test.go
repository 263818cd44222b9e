package forest_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/forest"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/state"
)

func amf(change func(*forest.AMFConfig)) func(width int) online.Regressor {
	c := forest.DefaultAMFConfig()
	change(&c)
	return func(width int) online.Regressor { return forest.NewAMFRegressor(width, c) }
}

func TestAMFConforms(t *testing.T) {
	const random = 2600 // bytes of a generator's state
	tests := []struct {
		name  string
		bytes int
		new   func(width int) online.Regressor
	}{
		{"AMFRegressor", 2 * (random + 301*80), amf(func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes = 2, 300 })},
		{"AMFRegressor-leaf", random + 101*80, amf(func(c *forest.AMFConfig) {
			c.NEstimators, c.MaxNodes, c.UseAggregation = 1, 100, false
		})},
		{"AMFRegressor-root", 3 * random, amf(func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes = 2, 1 })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: tt.bytes, Fixture: "testdata/migrations/" + tt.name}
			onlinetest.Regressor(t, opts, tt.new)
		})
	}
}

// minMax is river.preprocessing.MinMaxScaler.
type minMax struct{ low, high []float64 }

func (m *minMax) scale(x []float64) []float64 {
	scaled := make([]float64, len(x))
	for j, v := range x {
		if scaled[j] = (v - m.low[j]) / (m.high[j] - m.low[j]); m.high[j] == m.low[j] {
			scaled[j] = 0
		}
		if math.IsNaN(v) {
			scaled[j] = v
		}
	}
	return scaled
}

func (m *minMax) learn(x []float64) {
	for j, v := range x {
		if !math.IsNaN(v) {
			m.low[j], m.high[j] = min(m.low[j], v), max(m.high[j], v)
		}
	}
}

func newMinMax(width int) *minMax {
	m := &minMax{make([]float64, width), make([]float64, width)}
	for j := range m.low {
		m.low[j], m.high[j] = math.Inf(1), math.Inf(-1)
	}
	return m
}

func TestAMFGolden(t *testing.T) {
	tests := map[string]func(*forest.AMFConfig){
		"amf":         func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes, c.Seed = 5, 50_000, 1 },
		"amf-leaf":    func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes, c.UseAggregation, c.Seed = 2, 50_000, false, 2 },
		"amf-bounded": func(c *forest.AMFConfig) { c.NEstimators, c.Step, c.MaxNodes, c.Seed = 3, 0.01, 500, 3 },
	}
	for name, change := range tests {
		var model *forest.AMFRegressor
		golden.Run(t, name, 1e-9, 0, func(s golden.Stream) func(golden.Event) float64 {
			scaler := newMinMax(len(s.Features))
			model = amf(func(c *forest.AMFConfig) { c.Names = s.Features; change(c) })(len(s.Features)).(*forest.AMFRegressor)
			return func(e golden.Event) float64 {
				y := model.Predict(scaler.scale(e.X))
				scaler.learn(e.X)
				model.Learn(scaler.scale(e.X), e.Y)
				return y
			}
		}, func(t *testing.T, s golden.Stream) {
			want := golden.Lines(t, name, s)
			for i, got := range model.Shapes() {
				if got != want[i] {
					t.Errorf("tree %d is %s, River's %s", i, got, want[i])
				}
			}
		})
	}
}

func TestAMFBound(t *testing.T) {
	m := amf(func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes = 2, 101 })(1).(*forest.AMFRegressor)
	teach := func(n int, y float64) {
		r := rand.New(rand.NewPCG(1, 0))
		for range n {
			m.Learn([]float64{r.Float64()}, y)
		}
	}
	teach(2000, 1)
	for _, n := range m.Nodes() {
		if n != 101 {
			t.Errorf("%d nodes, want 101", n)
		}
	}
	// Trees that are full go on learning.
	before := m.Predict([]float64{0.5})
	teach(2000, 3)
	if after := m.Predict([]float64{0.5}); before != 1 || math.Abs(after-2) > 0.2 {
		t.Errorf("predicts %v and %v, want 1 and then about 2", before, after)
	}
}

// With several processors the trees are what they are with one.
func TestAMFTogether(t *testing.T) {
	learned := func(processors int) []byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		m := amf(func(c *forest.AMFConfig) { c.Seed = 9 })(3)
		r := rand.New(rand.NewPCG(1, 0))
		for range 2000 {
			x := []float64{r.Float64(), r.Float64(), r.Float64()}
			m.Learn(x, 10*x[0]+r.NormFloat64())
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if string(learned(1)) != string(learned(3)) {
		t.Error("the state depends on the number of processors")
	}
}

func TestAMFMissing(t *testing.T) {
	m := amf(func(c *forest.AMFConfig) { c.Step = 0.1 })(2)
	r := rand.New(rand.NewPCG(1, 0))
	for range 3000 {
		x := []float64{r.Float64(), r.Float64()}
		y := 10 * x[0]
		if r.IntN(3) == 0 {
			x[r.IntN(2)] = math.NaN()
		}
		m.Learn(x, y)
	}
	if got := m.Predict([]float64{0.9, math.NaN()}); math.Abs(got-9) > 1.5 {
		t.Errorf("predicts %v without the feature that does not matter, want about 9", got)
	}
	for _, x := range []float64{math.Inf(1), math.Inf(-1)} {
		if got, want := m.Predict([]float64{x, 0.5}), m.Predict([]float64{math.NaN(), 0.5}); got != want {
			t.Errorf("predicts %v for %v, want %v as for a missing feature", got, x, want)
		}
	}
}

func FuzzAMFState(f *testing.F) {
	build := func() online.Regressor {
		return amf(func(c *forest.AMFConfig) { c.NEstimators, c.MaxNodes = 1, 40 })(2)
	}
	m := build()
	r := rand.New(rand.NewPCG(1, 0))
	for i := range 30 {
		x := []float64{r.Float64(), float64(i % 3)}
		if i%7 == 0 {
			x[i%2] = math.NaN()
		}
		m.Learn(x, r.Float64())
		seed, err := m.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := build()
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil {
			if !errors.As(err, &format) {
				t.Errorf("error %v, want a *state.FormatError", err)
			}
			return
		}
		for i := range 50 {
			m.Learn([]float64{float64(i), 2}, 3)
			m.Predict([]float64{1, float64(i)})
		}
		again, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := build().UnmarshalBinary(again); err != nil {
			t.Errorf("having learned on, it cannot be read: %v", err)
		}
	})
}

func ExampleAMFRegressor() {
	c := forest.DefaultAMFConfig()
	c.Seed, c.MaxNodes = 1, 1000
	m := forest.NewAMFRegressor(2, c)
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		x := []float64{r.Float64(), r.Float64()}
		y := 0.0
		if x[0] > 0.5 && x[1] > 0.5 {
			y = 10
		}
		m.Learn(x, y)
	}
	fmt.Printf("%.0f %.0f", m.Predict([]float64{0.2, 0.7}), m.Predict([]float64{0.8, 0.7}))
	// Output: 0 10
}

// benchmark learns a forest of ten trees first.
func benchmarkAMF(b *testing.B, maxNodes int, each func(m online.Regressor, x []float64, y float64)) {
	m := amf(func(c *forest.AMFConfig) { c.Seed, c.Step, c.MaxNodes = 1, 1e-4, maxNodes })(6)
	s := golden.Streams()[0]
	scaler := newMinMax(6)
	var events []golden.Event
	for _, e := range s.Events {
		scaler.learn(e.X)
		events = append(events, golden.Event{X: scaler.scale(e.X), Y: e.Y})
	}
	for _, e := range events[:10_000] {
		m.Learn(e.X, e.Y)
	}
	state, err := m.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 10_000
	for b.Loop() {
		e := events[i%len(events)]
		each(m, e.X, e.Y)
		i++
	}
	b.ReportMetric(float64(len(state)), "state-bytes")
}

func BenchmarkAMFLearn(b *testing.B) {
	for _, maxNodes := range []int{1000, 5000, 50_000} {
		for _, processors := range []int{1, 2} {
			b.Run(fmt.Sprintf("nodes=%d,procs=%d", maxNodes, processors), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				benchmarkAMF(b, maxNodes, func(m online.Regressor, x []float64, y float64) { m.Learn(x, y) })
			})
		}
	}
}

func BenchmarkAMFPredict(b *testing.B) {
	for _, maxNodes := range []int{1000, 5000, 50_000} {
		b.Run(fmt.Sprintf("nodes=%d", maxNodes), func(b *testing.B) {
			benchmarkAMF(b, maxNodes, func(m online.Regressor, x []float64, _ float64) { m.Predict(x) })
		})
	}
}

// What a catalogue says is what is built, and names are drawn from in River's order.
func TestAMFKind(t *testing.T) {
	c, err := online.ParseCatalogue([]byte(`
champion: forest
models:
  - name: forest
    features: [b, a, c]
    seed: 7
    model:
      AMFRegressor: {n_estimators: 3, step: 0.5, use_aggregation: false, max_nodes: 200}
`), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	config := forest.AMFConfig{NEstimators: 3, Step: 0.5, MaxNodes: 200, Seed: 7}
	unnamed := forest.NewAMFRegressor(3, config)
	config.Names = []string{"b", "a", "c"}
	want := forest.NewAMFRegressor(3, config)
	r := rand.New(rand.NewPCG(1, 0))
	differs := false
	for range 200 {
		x, y := []float64{r.Float64(), r.Float64(), r.Float64()}, r.Float64()
		a, b := got.Predict(x), want.Predict(x)
		if a != b {
			t.Fatalf("predicts %v, want %v", a, b)
		}
		differs = differs || a != unnamed.Predict(x)
		got.Learn(x, y)
		want.Learn(x, y)
		unnamed.Learn(x, y)
	}
	if !differs {
		t.Error("the names' order makes no difference")
	}
}

func BenchmarkAMFState(b *testing.B) {
	m := amf(func(c *forest.AMFConfig) { c.MaxNodes = 1000 })(6)
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		m.Learn([]float64{r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64(), 0}, r.Float64())
	}
	var state []byte
	for b.Loop() {
		state, _ = m.AppendBinary(state[:0])
		if err := m.UnmarshalBinary(state); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(state)), "state-bytes")
}

func TestAMFConfigOutOfBounds(t *testing.T) {
	m := forest.NewAMFRegressor(1, forest.AMFConfig{Step: -1})
	m.Learn([]float64{1}, 5)
	m.Learn([]float64{2}, 7)
	if got, nodes := m.Predict([]float64{1}), m.Nodes(); got != 6 || len(nodes) != 1 || nodes[0] != 1 {
		t.Errorf("predicts %v with trees of %v, want 6 with one node", got, nodes)
	}
}
