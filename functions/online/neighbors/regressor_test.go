package neighbors_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/neighbors"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
)

func with(change func(*neighbors.Config)) func(width int) online.Regressor {
	c := neighbors.DefaultConfig()
	change(&c)
	return func(width int) online.Regressor { return neighbors.NewRegressor(width, c) }
}

func TestConforms(t *testing.T) {
	tests := []struct {
		name   string
		events int // that the window holds
		bytes  int // of a value
		new    func(width int) online.Regressor
	}{
		{"KNNRegressor", 1000, 8, with(func(*neighbors.Config) {})},
		{"KNNRegressor-float32", 500, 4, with(func(c *neighbors.Config) {
			c.WindowSize, c.Float32, c.P = 500, true, 1
			c.AggregationMethod, c.Smoothing = neighbors.WeightedMedian, 0.1
		})},
		{"KNNRegressor-indexed", 3000, 8, with(func(c *neighbors.Config) {
			c.WindowSize, c.AggregationMethod, c.MinDistanceKeep = 3000, neighbors.WeightedMean, 1e-12
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: 7*tt.bytes*tt.events + 32, Fixture: "testdata/migrations/" + tt.name}
			onlinetest.Regressor(t, opts, tt.new)
		})
	}
}

func TestGolden(t *testing.T) {
	tests := map[string]func(*neighbors.Config){
		"knn-default": func(*neighbors.Config) {},
		"knn-median": func(c *neighbors.Config) {
			c.WindowSize, c.NNeighbors, c.AggregationMethod = 200, 6, neighbors.Median
		},
		"knn-weighted": func(c *neighbors.Config) {
			c.WindowSize, c.NNeighbors, c.AggregationMethod = 200, 10, neighbors.WeightedMean
		},
		"knn-manhattan": func(c *neighbors.Config) { c.WindowSize, c.P = 300, 1 },
		"knn-keep":      func(c *neighbors.Config) { c.WindowSize, c.MinDistanceKeep = 150, 0.5 },
	}
	for name, change := range tests {
		golden.Run(t, name, 1e-12, 0, func(s golden.Stream) func(golden.Event) float64 {
			model, err := online.NewPipeline(s.Features,
				[]online.Transformer{preprocess.NewStandardScaler(len(s.Features))}, with(change)(len(s.Features)))
			if err != nil {
				t.Fatal(err)
			}
			return func(e golden.Event) float64 {
				y := model.Predict(e.X)
				model.Learn(e.X, e.Y)
				return y
			}
		}, nil)
	}
}

func TestAggregation(t *testing.T) {
	// At 0 the neighbours are at the distances 1, 4, 9 and 16.
	labels := []float64{40, 10, 30, 20}
	tests := []struct {
		name   string
		change func(*neighbors.Config)
		want   float64
	}{
		{"mean", func(*neighbors.Config) {}, 25},
		{"median", func(c *neighbors.Config) { c.AggregationMethod = neighbors.Median }, 25},
		{"median of three", func(c *neighbors.Config) { c.AggregationMethod, c.NNeighbors = neighbors.Median, 3 }, 30},
		{"weighted mean", func(c *neighbors.Config) { c.AggregationMethod, c.NNeighbors = neighbors.WeightedMean, 2 }, 34},
		{"weighted mean, Manhattan", func(c *neighbors.Config) { c.AggregationMethod, c.NNeighbors, c.P = neighbors.WeightedMean, 2, 1 }, 30},
		{"weighted median", func(c *neighbors.Config) { c.AggregationMethod = neighbors.WeightedMedian }, 40},
		{"smoothed weighted median", func(c *neighbors.Config) { c.AggregationMethod, c.Smoothing = neighbors.WeightedMedian, 1e9 }, 30},
		{"smoothed weighted mean", func(c *neighbors.Config) {
			c.AggregationMethod, c.NNeighbors, c.Smoothing = neighbors.WeightedMean, 2, 2
		}, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := with(func(c *neighbors.Config) { c.NNeighbors = 4; tt.change(c) })(1)
			for i, y := range labels {
				m.Learn([]float64{float64(i + 1)}, y)
			}
			if got := m.Predict([]float64{0}); math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("predicts %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDistanceZero(t *testing.T) {
	for _, tt := range []struct{ smoothing, want float64 }{{0, 7}, {1, 8}} {
		m := with(func(c *neighbors.Config) { c.AggregationMethod, c.Smoothing = neighbors.WeightedMean, tt.smoothing })(1)
		m.Learn([]float64{1}, 7) // the older of two at distance 0
		m.Learn([]float64{1}, 9)
		if got := m.Predict([]float64{1}); got != tt.want {
			t.Errorf("smoothing %v: predicts %v, want %v", tt.smoothing, got, tt.want)
		}
	}
}

func TestMissingIsZero(t *testing.T) {
	m := with(func(c *neighbors.Config) { c.NNeighbors = 1 })(2)
	m.Learn([]float64{1, math.NaN()}, 1)
	m.Learn([]float64{1, 5}, 2)
	for _, tt := range []struct{ x, want float64 }{{math.NaN(), 1}, {0, 1}, {math.Inf(1), 1}, {2, 1}, {3, 2}} {
		if got := m.Predict([]float64{1, tt.x}); got != tt.want {
			t.Errorf("%v: predicts %v, want %v", tt.x, got, tt.want)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, tt := range []struct {
		weights []float64
		want    float64
	}{{nil, 2}, {[]float64{1, 1}, 2}, {[]float64{3, 1}, 1}, {[]float64{0, 1}, 2}} {
		m := with(func(c *neighbors.Config) { c.NNeighbors, c.Weights = 1, tt.weights })(2)
		m.Learn([]float64{0, 3}, 1)
		m.Learn([]float64{2, 0}, 2)
		if got := m.Predict([]float64{0, 0}); got != tt.want {
			t.Errorf("weights %v: predicts %v, want %v", tt.weights, got, tt.want)
		}
	}
}

// A state of float32 is half as large and holds all there is.
func TestFloat32(t *testing.T) {
	m := with(func(c *neighbors.Config) { c.Float32 = true })(6)
	r := rand.New(rand.NewPCG(1, 0))
	for range 1000 {
		m.Learn([]float64{r.NormFloat64(), 1e-9 * r.NormFloat64(), 1e300, 0, 1, 2}, r.NormFloat64())
	}
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 40 { // 1e300 is infinite as a float32
		t.Errorf("%d bytes of state, and nothing can have been learned", len(b))
	}
	m.Learn([]float64{0.1, 0.2, 0.3, 0, 1, 2}, 0.7)
	m.Learn([]float64{7, 7, 7, 7, 7, 7}, 0.9)
	if got, want := m.Predict([]float64{0.1, 0.2, 0.3, 0, 1, 2}), float64(float32(0.7)); got != want {
		t.Errorf("predicts %v, want %v, of the event that is the same once rounded", got, want)
	}
}

func FuzzState(f *testing.F) {
	build := func(single bool) online.Regressor {
		return with(func(c *neighbors.Config) { c.WindowSize, c.Float32 = 3, single })(2)
	}
	for _, single := range []bool{false, true} {
		m := build(single)
		for i := range 4 {
			m.Learn([]float64{float64(i), 2}, 3)
			seed, err := m.AppendBinary(nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed, single)
			f.Add(seed[:len(seed)-1], single)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, single bool) {
		m := build(single)
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		m.Learn([]float64{1, 2}, 3)
		m.Predict([]float64{1, 2})
	})
}

func Example() {
	c := neighbors.DefaultConfig()
	c.NNeighbors, c.AggregationMethod = 3, neighbors.WeightedMean
	m := neighbors.NewRegressor(1, c)
	for x := range 20 {
		m.Learn([]float64{float64(x)}, float64(10*x))
	}
	fmt.Printf("%.1f", m.Predict([]float64{7.5}))
	// Output: 74.2
}

func benchmark(b *testing.B, each func(m online.Regressor, x []float64, y float64)) {
	for _, size := range []struct{ window, k, width int }{{1000, 5, 6}, {10_000, 25, 6}, {20_000, 25, 6}, {20_000, 25, 12}} {
		b.Run(fmt.Sprintf("window=%d,k=%d,width=%d", size.window, size.k, size.width), func(b *testing.B) {
			m := with(func(c *neighbors.Config) { c.WindowSize, c.NNeighbors = size.window, size.k })(size.width)
			r := rand.New(rand.NewPCG(1, 2))
			x := make([]float64, 4096+size.width)
			for i := range x {
				x[i] = r.NormFloat64()
			}
			for range size.window {
				row := make([]float64, size.width)
				for j := range row {
					row[j] = r.NormFloat64()
				}
				m.Learn(row, r.NormFloat64())
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				at := i % 4096
				each(m, x[at:at+size.width], x[at])
				i++
			}
		})
	}
}

func BenchmarkPredict(b *testing.B) {
	benchmark(b, func(m online.Regressor, x []float64, _ float64) { m.Predict(x) })
}

func BenchmarkLearn(b *testing.B) {
	benchmark(b, func(m online.Regressor, x []float64, y float64) { m.Learn(x, y) })
}

// What a catalogue says is what is built.
func TestKind(t *testing.T) {
	c, err := online.ParseCatalogue([]byte(`
champion: near
models:
  - name: near
    features: [a, b]
    model:
      KNNRegressor: {n_neighbors: 7, window_size: 30, aggregation_method: weighted_median, p: 1,
        min_distance_keep: 0.01, smoothing: 0.5, weights: {b: 3}, precision: float32}
`), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	want := neighbors.NewRegressor(2, neighbors.Config{
		NNeighbors: 7, WindowSize: 30, AggregationMethod: neighbors.WeightedMedian, P: 1,
		MinDistanceKeep: 0.01, Smoothing: 0.5, Weights: []float64{1, 3}, Float32: true,
	})
	r := rand.New(rand.NewPCG(1, 0))
	for range 100 {
		x, y := []float64{r.Float64(), r.Float64()}, r.Float64()
		if a, b := got.Predict(x), want.Predict(x); a != b {
			t.Fatalf("predicts %v, want %v", a, b)
		}
		got.Learn(x, y)
		want.Learn(x, y)
	}
	if want.Len() != 30 {
		t.Errorf("the window holds %d events, want 30", want.Len())
	}
}

func BenchmarkState(b *testing.B) {
	for _, single := range []bool{false, true} {
		b.Run(fmt.Sprintf("window=20000,width=7,float32=%v", single), func(b *testing.B) {
			m := with(func(c *neighbors.Config) { c.WindowSize, c.Float32 = 20_000, single })(7)
			r := rand.New(rand.NewPCG(1, 2))
			for range 20_000 {
				m.Learn([]float64{r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64(), 0, 1}, r.Float64())
			}
			var state []byte
			for b.Loop() {
				state, _ = m.AppendBinary(state[:0])
				if err := m.UnmarshalBinary(state); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(state)), "state-bytes")
		})
	}
}

func TestConfigOutOfBounds(t *testing.T) {
	m := neighbors.NewRegressor(2, neighbors.Config{Weights: []float64{2, 3, 4}})
	m.Learn([]float64{1, 1}, 5)
	m.Learn([]float64{1, 1}, 6)
	if got := m.Predict([]float64{0, 0}); got != 6 || m.Len() != 1 {
		t.Errorf("predicts %v with a window of %d, want 6 with one of 1", got, m.Len())
	}
}
