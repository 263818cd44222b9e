package metrics_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/metrics"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/state"
)

var all = map[string]func() metrics.Metric{
	"MAE":     func() metrics.Metric { return new(metrics.MAE) },
	"MSE":     func() metrics.Metric { return new(metrics.MSE) },
	"RMSE":    func() metrics.Metric { return new(metrics.RMSE) },
	"RMSLE":   func() metrics.Metric { return new(metrics.RMSLE) },
	"R2":      func() metrics.Metric { return new(metrics.R2) },
	"Rolling": func() metrics.Metric { return metrics.NewRolling(new(metrics.R2), 20) },
}

// TestRiver holds metrics to the cases of internal/golden/river/cases_stats.py,
// in which a model predicts the label before.
func TestRiver(t *testing.T) {
	for name, new := range map[string]func() metrics.Metric{
		"mae":          all["MAE"],
		"rmse":         all["RMSE"],
		"r2":           all["R2"],
		"rmsle":        all["RMSLE"],
		"rolling-mae":  func() metrics.Metric { return metrics.NewRolling(new(metrics.MAE), 100) },
		"rolling-rmse": func() metrics.Metric { return metrics.NewRolling(new(metrics.RMSE), 50) },
		"rolling-r2":   func() metrics.Metric { return metrics.NewRolling(new(metrics.R2), 200) },
	} {
		golden.Run(t, name, 1e-12, 0, func(golden.Stream) func(golden.Event) float64 {
			m, before := new(), 0.0
			return func(e golden.Event) float64 {
				y := e.Y
				if name == "rmsle" {
					y = math.Abs(y)
				}
				m.Update(y, before)
				before = y
				return m.Get()
			}
		}, nil)
	}
}

// The examples in River's documentation.
func TestRiverExamples(t *testing.T) {
	for name, want := range map[string]float64{"MAE": 0.5, "MSE": 0.375, "RMSE": 0.612372, "RMSLE": 0.357826, "R2": 0.948608} {
		m := all[name]()
		for i, y := range []float64{3, -0.5, 2, 7} {
			m.Update(y, []float64{2.5, 0, 2, 8}[i])
		}
		if got := m.Get(); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestConformance(t *testing.T) {
	for name, new := range all {
		t.Run(name, func(t *testing.T) {
			if got := new().Get(); got != 0 {
				t.Errorf("%v of nothing, want 0 as in River", got)
			}
			for _, n := range []int{0, 1, 2, 19, 20, 21, 47, 500} {
				decodedEqualsEncoded(t, judged(new(), n), new())
			}
			onlinetest.HostileState(t, judged(new(), 50), encode(t, judged(new(), 30)))
			absurd(t, new)
			fixture(t, "testdata/migrations/"+name, judged(new(), 300), new())
		})
	}
}

func judged(m metrics.Metric, n int) metrics.Metric {
	r := rand.New(rand.NewPCG(1, 0))
	for range n {
		y := 600 + 100*r.NormFloat64()
		m.Update(y, y+20*r.NormFloat64())
	}
	return m
}

func encode(t *testing.T, m metrics.Metric) []byte {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodedEqualsEncoded(t *testing.T, m, copied metrics.Metric) {
	t.Helper()
	if err := copied.UnmarshalBinary(encode(t, m)); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(2, 0))
	for i := range 100 {
		if a, b := m.Get(), copied.Get(); math.Float64bits(a) != math.Float64bits(b) {
			t.Fatalf("%d pairs after decoding: %v, want %v", i, b, a)
		}
		y, p := r.NormFloat64(), r.NormFloat64()
		m.Update(y, p)
		copied.Update(y, p)
	}
	if !bytes.Equal(encode(t, m), encode(t, copied)) {
		t.Error("states differ 100 pairs after decoding")
	}
}

// absurd judges what is not to be judged: it leaves no trace, or one that can be read.
func absurd(t *testing.T, new func() metrics.Metric) {
	t.Helper()
	m := judged(new(), 30)
	before := encode(t, m)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -1e71} {
		m.Update(600, v)
		m.Update(v, 600)
	}
	if !bytes.Equal(before, encode(t, m)) {
		t.Error("what does not count has left a trace")
	}
	odd := []float64{1e70, -1e70, 5e-324, math.Copysign(0, -1), 0}
	for i := range 100 {
		m.Update(odd[i*i%5], odd[i%5])
		if v := m.Get(); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%v after numbers at the limit", v)
		}
		if err := new().UnmarshalBinary(encode(t, m)); err != nil {
			t.Fatal(err)
		}
	}
}

// fixture holds a metric to what it was in every format that was ever written.
func fixture(t *testing.T, prefix string, want, read metrics.Metric) {
	t.Helper()
	onlinetest.Fixtures(t, prefix, want, func(name string, data []byte) {
		if err := read.UnmarshalBinary(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a, b := want.Get(), read.Get(); math.Abs(a-b) > 1e-9*math.Abs(a) {
			t.Errorf("%s: %v, want %v", name, b, a)
		}
	})
}

func TestRevert(t *testing.T) {
	for _, m := range []metrics.Revertible{new(metrics.MAE), new(metrics.MSE), new(metrics.RMSE), new(metrics.RMSLE), new(metrics.R2)} {
		judged(m, 10)
		want := m.Get()
		for _, p := range []float64{3, 4, 5} {
			m.Update(100, p)
		}
		for _, p := range []float64{4, 5, 3} {
			m.Revert(100, p)
		}
		m.Revert(100, math.NaN())
		if got := m.Get(); math.Abs(got-want) > 1e-9*math.Abs(want) {
			t.Errorf("%T is %v after reverting, want %v", m, got, want)
		}
		m.Reset()
		m.Revert(100, 5)
		if got := m.Get(); got != 0 {
			t.Errorf("%T is %v after a reset, want 0", m, got)
		}
	}
}

// Reverting what was never judged is a mistake, but leaves a state that can be read.
func TestRevertOfOthers(t *testing.T) {
	for _, m := range []metrics.Revertible{new(metrics.MAE), new(metrics.MSE), new(metrics.RMSE), new(metrics.RMSLE), new(metrics.R2)} {
		for range 100 {
			m.Update(0, 1)
			m.Update(3, 2)
			m.Revert(0, 1e70)
			if v := m.Get(); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%T is %v", m, v)
			}
			if err := m.UnmarshalBinary(encode(t, m)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNoLogarithm(t *testing.T) {
	var m metrics.RMSLE
	m.Update(1, 3)
	want := m.Get()
	for _, pair := range [][2]float64{{1, -1}, {-2, 1}} {
		if m.Counts(pair[0], pair[1]) {
			t.Errorf("%v counts", pair)
		}
		m.Update(pair[0], pair[1])
	}
	if m.Get() != want || m.N() != 1 {
		t.Errorf("RMSLE %v of %d, want %v of 1", m.Get(), m.N(), want)
	}
}

func FuzzState(f *testing.F) {
	for name, new := range all {
		b, err := judged(new(), 30).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, b)
		f.Add(name, b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		new, ok := all[name]
		if !ok {
			return
		}
		m := new()
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		for i := range 50 {
			m.Update(float64(i%7), float64(i%3))
		}
		if v := m.Get(); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%v", v)
		}
		if err := new().UnmarshalBinary(encode(t, m)); err != nil {
			t.Errorf("%x is read but cannot be written and read again: %v", data, err)
		}
	})
}

func Example() {
	var mae metrics.MAE
	recent := metrics.NewRolling(new(metrics.MAE), 2)
	for i, predicted := range []float64{500, 700, 640, 590} {
		actual := []float64{600, 600, 600, 600}[i]
		mae.Update(actual, predicted)
		recent.Update(actual, predicted)
	}
	fmt.Printf("off by %.1f s, lately by %.1f s", mae.Get(), recent.Get())
	// Output: off by 62.5 s, lately by 25.0 s
}

func BenchmarkUpdate(b *testing.B) {
	for name, new := range all {
		b.Run(name, func(b *testing.B) {
			m, i := judged(new(), 100), 0
			b.ReportAllocs()
			for b.Loop() {
				m.Update(600, float64(500+i%97))
				i += 31
			}
		})
	}
}
