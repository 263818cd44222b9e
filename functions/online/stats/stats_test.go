package stats_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/stats"
)

var all = map[string]func() stats.Univariate{
	"Mean":            func() stats.Univariate { return new(stats.Mean) },
	"Var":             func() stats.Univariate { return &stats.Var{DDOF: 1} },
	"Quantile":        func() stats.Univariate { return stats.NewQuantile(0.9) },
	"Rolling":         func() stats.Univariate { return stats.NewRolling(&stats.Var{DDOF: 1}, 20) },
	"RollingQuantile": func() stats.Univariate { return stats.NewRollingQuantile(0.9, 20) },
}

// TestRiver holds statistics to the cases of internal/golden/river/cases_stats.py.
func TestRiver(t *testing.T) {
	for name, new := range map[string]func() stats.Univariate{
		"mean":             all["Mean"],
		"var":              all["Var"],
		"rolling-mean":     func() stats.Univariate { return stats.NewRolling(new(stats.Mean), 100) },
		"rolling-var":      func() stats.Univariate { return stats.NewRolling(new(stats.Var), 30) },
		"quantile-10":      func() stats.Univariate { return stats.NewQuantile(0.1) },
		"quantile-50":      func() stats.Univariate { return stats.NewQuantile(0.5) },
		"quantile-99":      func() stats.Univariate { return stats.NewQuantile(0.99) },
		"rolling-quantile": func() stats.Univariate { return stats.NewRollingQuantile(0.9, 101) },
		"rolling-median":   func() stats.Univariate { return stats.NewRollingQuantile(0.5, 40) },
	} {
		golden.Run(t, name, 1e-12, 0, func(golden.Stream) func(golden.Event) float64 {
			s := new()
			return func(e golden.Event) float64 {
				s.Update(e.Y)
				return s.Get()
			}
		}, nil)
	}
}

func TestConformance(t *testing.T) {
	for name, new := range all {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{0, 1, 3, 5, 6, 7, 19, 20, 21, 47, 500} {
				decodedEqualsEncoded(t, counted(new(), n), new())
			}
			onlinetest.HostileState(t, counted(new(), 50), encode(t, counted(new(), 30)))
			absurd(t, new)
			fixture(t, "testdata/migrations/"+name, counted(new(), 300), new())
		})
	}
}

func counted(s stats.Univariate, n int) stats.Univariate {
	r := rand.New(rand.NewPCG(1, 0))
	for range n {
		s.Update(600 + 100*r.NormFloat64())
	}
	return s
}

func encode(t *testing.T, s stats.Univariate) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodedEqualsEncoded(t *testing.T, s, copied stats.Univariate) {
	t.Helper()
	if err := copied.UnmarshalBinary(encode(t, s)); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(2, 0))
	for i := range 100 {
		if a, b := s.Get(), copied.Get(); math.Float64bits(a) != math.Float64bits(b) {
			t.Fatalf("%d numbers after decoding: %v, want %v", i, b, a)
		}
		x := math.Round(50 * r.NormFloat64()) // some are equal
		s.Update(x)
		copied.Update(x)
	}
	if !bytes.Equal(encode(t, s), encode(t, copied)) {
		t.Error("states differ 100 numbers after decoding")
	}
}

// absurd counts what no feed should send: it leaves no trace, or one that can be read.
func absurd(t *testing.T, new func() stats.Univariate) {
	t.Helper()
	s := counted(new(), 30)
	before := encode(t, s)
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -1e146} {
		s.Update(x)
	}
	if !bytes.Equal(before, encode(t, s)) {
		t.Error("what does not count has left a trace")
	}
	for i := range 100 {
		s.Update([]float64{1e145, -1e145, 5e-324, math.Copysign(0, -1), 0}[i*i%5])
		if v := s.Get(); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%v after numbers at the limit", v)
		}
		if err := new().UnmarshalBinary(encode(t, s)); err != nil {
			t.Fatal(err)
		}
	}
}

// fixture holds a statistic to what it was in every format that was ever written.
func fixture(t *testing.T, prefix string, want, read stats.Univariate) {
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

func TestNothingCounted(t *testing.T) {
	for name, want := range map[string]float64{"Mean": 0, "Var": 0, "Quantile": math.NaN(), "Rolling": 0, "RollingQuantile": math.NaN()} {
		if got := all[name]().Get(); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s of nothing is %v, want %v", name, got, want)
		}
	}
}

func TestRevert(t *testing.T) {
	a, b := &stats.Var{DDOF: 1}, &stats.Var{DDOF: 1}
	for i := range 10 {
		a.Update(float64(i * i))
		b.Update(float64(i * i))
	}
	for _, x := range []float64{7, -3, 1e3} {
		a.Update(x)
	}
	for _, x := range []float64{1e3, 7, -3} {
		a.Revert(x)
	}
	if math.Abs(a.Get()-b.Get()) > 1e-9 || math.Abs(a.Mean()-b.Mean()) > 1e-9 || a.N() != b.N() {
		t.Errorf("variance %v about %v of %d after reverting, want %v about %v of %d", a.Get(), a.Mean(), a.N(), b.Get(), b.Mean(), b.N())
	}
	for i := range 10 {
		a.Revert(float64(i * i))
	}
	a.Revert(5)
	if a.Get() != 0 || a.Mean() != 0 || a.N() != 0 {
		t.Errorf("variance %v about %v of %d after reverting everything", a.Get(), a.Mean(), a.N())
	}
}

// Reverting what was never counted is a mistake, but leaves a state that can be read.
func TestRevertOfOthers(t *testing.T) {
	v := &stats.Var{DDOF: 1}
	for range 1000 {
		v.Update(1e145)
		v.Update(1e145)
		v.Revert(-1e145)
		b, err := v.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := new(stats.Var).UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
	}
}

// A number that drowned the others leaves nothing behind once the window has
// been renewed, where in River it does.
func TestRollingForgets(t *testing.T) {
	r := stats.NewRolling(new(stats.Mean), 10)
	r.Update(1e30)
	for range 20 {
		r.Update(0.1)
	}
	if got := r.Get(); math.Abs(got-0.1) > 1e-15 {
		t.Errorf("mean %v of a window of 0.1", got)
	}
}

// What updating relies on is checked in what is read.
func TestStateOutOfOrder(t *testing.T) {
	quantile := func(third uint64) []byte {
		b := state.AppendUint(state.AppendHeader(nil, "Quantile", 1), 10)
		for h := range 5 {
			b = state.AppendFloat(b, float64(h))
		}
		for _, at := range []uint64{2, third, 7} {
			b = state.AppendFloat(state.AppendUint(b, at), 3)
		}
		return b
	}
	if err := stats.NewQuantile(0.5).UnmarshalBinary(quantile(4)); err != nil {
		t.Error(err)
	}
	for _, third := range []uint64{2, 7} {
		if stats.NewQuantile(0.5).UnmarshalBinary(quantile(third)) == nil {
			t.Errorf("markers at 2, %d and 7 were read", third)
		}
	}
	window := func(next, n uint64) []byte {
		b := state.AppendHeader(nil, "RollingQuantile", 1)
		for _, v := range []uint64{3, next, n} { // of 3
			b = state.AppendUint(b, v)
		}
		for range n {
			b = state.AppendFloat(b, 1)
		}
		return b
	}
	for _, tt := range []struct {
		next, n uint64
		ok      bool
	}{{0, 2, true}, {2, 3, true}, {1, 2, false}, {3, 3, false}, {0, 4, false}} {
		if err := stats.NewRollingQuantile(0.5, 3).UnmarshalBinary(window(tt.next, tt.n)); (err == nil) != tt.ok {
			t.Errorf("a window of %d, the next at %d: error %v", tt.n, tt.next, err)
		}
	}
}

func FuzzState(f *testing.F) {
	for name, new := range all {
		b, err := counted(new(), 30).AppendBinary(nil)
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
		s := new()
		var format *state.FormatError
		if err := s.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		for i := range 50 {
			s.Update(float64(i % 7))
		}
		if v := s.Get(); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%v", v)
		}
		if err := new().UnmarshalBinary(encode(t, s)); err != nil {
			t.Errorf("%x is read but cannot be written and read again: %v", data, err)
		}
	})
}

func Example() {
	r := rand.New(rand.NewPCG(4, 0))
	median, spread := stats.NewQuantile(0.5), &stats.Var{DDOF: 1}
	recent := stats.NewRolling(new(stats.Mean), 3)
	for range 10_000 {
		x := 600 + 100*r.NormFloat64()
		median.Update(x)
		spread.Update(x)
	}
	for _, x := range []float64{1, 2, 3, 10} {
		recent.Update(x)
	}
	fmt.Printf("median %.0f, deviation %.0f, mean of the last three %v", median.Get(), math.Sqrt(spread.Get()), recent.Get())
	// Output: median 599, deviation 100, mean of the last three 5
}

func BenchmarkUpdate(b *testing.B) {
	for name, new := range all {
		b.Run(name, func(b *testing.B) {
			s, i := counted(new(), 100), 0
			b.ReportAllocs()
			for b.Loop() {
				s.Update(float64(i % 97))
				i += 31
			}
		})
	}
}
