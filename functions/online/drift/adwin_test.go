package drift

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/state"
)

func TestRiver(t *testing.T) {
	for _, tt := range []struct {
		golden string
		config ADWINConfig
		value  func(i int, y float64) float64
		drifts int // at least
	}{
		{"adwin", DefaultADWINConfig(), func(_ int, y float64) float64 { return y }, 0},
		{
			"adwin_shift",
			ADWINConfig{Delta: .05, Clock: 3, MaxBuckets: 9, MinWindowLength: 2, GracePeriod: 50},
			func(i int, y float64) float64 { return y * float64(1+i/3000%2) / 1024 }, 6,
		},
		{"adwin-0.13", before022(), func(i int, y float64) float64 { return y * float64(1+i/3000%2) / 1024 }, 6},
	} {
		var a *ADWIN
		golden.Run(t, tt.golden, 1e-12, 1, func(golden.Stream) func(golden.Event) float64 {
			a = NewADWIN(tt.config)
			i := -1
			return func(e golden.Event) float64 {
				i++
				a.Update(tt.value(i, e.Y))
				v := a.Estimation() + float64(a.Width())/1024
				if a.DriftDetected() {
					v += 1000
				}
				return v
			}
		}, func(t *testing.T, _ golden.Stream) {
			if a.Detections() < tt.drifts {
				t.Errorf("%d drifts, want at least %d", a.Detections(), tt.drifts)
			}
		})
	}
}

func before022() ADWINConfig {
	c := DefaultADWINConfig()
	c.Before022 = true
	return c
}

// The sums of the window are those of the values in it.
func TestWindow(t *testing.T) {
	a := NewADWIN(DefaultADWINConfig())
	r := rand.New(rand.NewPCG(1, 0))
	var values []float64
	for i := range 10_000 {
		x := r.NormFloat64() + float64(i/3000)
		if a.DriftDetected() {
			values = values[:0]
		}
		a.Update(x)
		values = append(values, x)
		if n := a.Width(); n > len(values) || !a.DriftDetected() && n < len(values) {
			t.Fatalf("value %d: a window of %d of %d values", i, n, len(values))
		}
		window := values[len(values)-a.Width():]
		var sum, squares float64
		for _, v := range window {
			sum += v
		}
		for _, v := range window {
			squares += (v - sum/float64(len(window))) * (v - sum/float64(len(window)))
		}
		if math.Abs(sum-a.Total()) > 1e-9*(1+math.Abs(sum)) || math.Abs(squares-a.Variance()) > 1e-9*(1+squares) {
			t.Fatalf("value %d: total %v and variance %v, want %v and %v", i, a.Total(), a.Variance(), sum, squares)
		}
	}
	if a.Detections() != 3 {
		t.Errorf("%d drifts, want 3", a.Detections())
	}
}

func TestAbsurdValues(t *testing.T) {
	plain, salted := NewADWIN(DefaultADWINConfig()), NewADWIN(DefaultADWINConfig())
	for i := range 1000 {
		x := float64(i % 7)
		plain.Update(x)
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 2e100, -math.MaxFloat64} {
			salted.Update(bad)
		}
		salted.Update(x)
	}
	if !bytes.Equal(plain.Append(nil), salted.Append(nil)) {
		t.Error("values that are not to be learned have left a trace")
	}
	for range 10_000 {
		plain.Update(1e100)
		plain.Update(-1e100)
	}
	mustDecode(t, DefaultADWINConfig(), plain.Append(nil))
}

// A window that has filled all rows loses its oldest values and no more.
func TestRowsAreBounded(t *testing.T) {
	a := NewADWIN(DefaultADWINConfig())
	for i := range maxRows { // all rows full
		for len(a.counts) <= i {
			a.addRow()
		}
		for range a.config.MaxBuckets {
			a.push(i, bucket{total: size(i)})
			a.width += size(i)
			a.total += size(i)
		}
	}
	width := a.width
	for range 100_000 {
		a.Update(1)
	}
	if len(a.counts) != maxRows || a.DriftDetected() || math.Abs(a.Estimation()-1) > 1e-9 {
		t.Errorf("%d rows, drift %v, mean %v, want %d, false and 1", len(a.counts), a.DriftDetected(), a.Estimation(), maxRows)
	}
	if want := width - 2*size(maxRows-1) + 100_000; a.width != want {
		t.Errorf("a window of %v, want %v: two buckets fewer", a.width, want)
	}
}

func TestDecodedEqualsEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	a := NewADWIN(DefaultADWINConfig())
	for i := range 6000 {
		b := mustDecode(t, a.config, a.Append(nil))
		if !bytes.Equal(a.Append(nil), b.Append(nil)) {
			t.Fatalf("after %d values: the state read back is another", i)
		}
		x := r.Float64() + float64(i/1000%2)
		b.Update(x)
		a.Update(x)
		if !bytes.Equal(a.Append(nil), b.Append(nil)) {
			t.Fatalf("after %d values: what was read back learns otherwise", i)
		}
	}
	if a.Detections() < 5 {
		t.Errorf("%d drifts, want at least 5", a.Detections())
	}
}

func mustDecode(t *testing.T, config ADWINConfig, data []byte) *ADWIN {
	t.Helper()
	a := NewADWIN(config)
	d, _ := state.NewDecoder(append(state.AppendHeader(nil, "test", 1), data...), "test", 1)
	a.Decode(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return a
}

func FuzzState(f *testing.F) {
	seed := NewADWIN(DefaultADWINConfig())
	f.Add(seed.Append(nil))
	for i := range 1100 {
		seed.Update(float64(i % 10))
	}
	f.Add(seed.Append(nil))
	for !seed.DriftDetected() {
		seed.Update(100)
	}
	f.Add(seed.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := NewADWIN(DefaultADWINConfig())
		a.Update(3)
		before := a.Append(nil)
		d, _ := state.NewDecoder(append(state.AppendHeader(nil, "fuzz", 1), data...), "fuzz", 1)
		a.Decode(d)
		var format *state.FormatError
		if err := d.Err(); err != nil {
			if !errors.As(err, &format) {
				t.Errorf("error %v, want a *state.FormatError", err)
			}
			if !bytes.Equal(before, a.Append(nil)) {
				t.Error("refused, but the state has changed")
			}
		}
		for i := range 200 {
			a.Update(float64(i))
		}
		mustDecode(t, a.config, a.Append(nil))
	})
}

func ExampleADWIN() {
	detector := NewADWIN(DefaultADWINConfig())
	for i := range 2000 {
		x := float64(i % 2)
		if i >= 1000 {
			x += 4
		}
		detector.Update(x)
		if detector.DriftDetected() {
			fmt.Printf("drift at value %d", i)
		}
	}
	// Output: drift at value 1023
}

func BenchmarkADWINUpdate(b *testing.B) {
	for _, window := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(window), func(b *testing.B) {
			a := NewADWIN(DefaultADWINConfig())
			r := rand.New(rand.NewPCG(3, 0))
			values := make([]float64, 4096)
			for i := range values {
				values[i] = r.Float64()
			}
			for i := range window {
				a.Update(values[i%len(values)])
			}
			b.ReportMetric(float64(len(a.Append(nil))), "state-bytes")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.Update(values[i%len(values)])
			}
		})
	}
}
