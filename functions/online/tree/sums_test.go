package tree

import (
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/state"
)

// Sums are the moments they stand for, to the bit, or are not taken.
func TestSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	labels := map[string]func() float64{
		"whole":    func() float64 { return float64(r.IntN(3000) - 500) },
		"equal":    func() float64 { return 600 },
		"halves":   func() float64 { return float64(r.IntN(6000)) / 2 },
		"any":      r.NormFloat64,
		"tiny":     func() float64 { return 5e-324 * float64(r.IntN(9)) },
		"huge":     func() float64 { return 1e99 * r.NormFloat64() },
		"zero":     func() float64 { return math.Copysign(0, -1) },
		"opposite": func() float64 { return float64(2*r.IntN(2) - 1) },
	}
	for name, label := range labels {
		taken := 0
		for range 200 {
			var m moments
			for range 1 + r.IntN(500) {
				m.add(label(), float64(1+r.IntN(3)))
				s, ok := m.sums()
				if !ok {
					continue
				}
				taken++
				d, _ := state.NewDecoder(s.append(state.AppendHeader(nil, "Sums", 1), m.n), "Sums", 1)
				got := decodeSums(d, m.n)
				if err := d.Close(); err != nil || got != m {
					t.Fatalf("%s: %+v of %+v is read as %+v (%v)", name, s, m, got, err)
				}
			}
		}
		if name == "whole" && taken < 40_000 {
			t.Errorf("%d moments of whole labels were put as sums, want nearly all", taken)
		}
	}
}

// The state of a tree that has learned trips of whole seconds.
func TestStateOfWholeLabels(t *testing.T) {
	s := golden.Streams()[0]
	size := func(round bool) int {
		m := NewHoeffdingRegressor(len(s.Features), DefaultConfig())
		for _, e := range s.Events {
			if round {
				e.Y = float64(int(e.Y))
			}
			x := append([]float64(nil), e.X...)
			x[2], x[3] = x[2]*20, x[3]*1e5
			m.Learn(x, e.Y)
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	whole, any := size(true), size(false)
	t.Logf("%d bytes, %d where labels are not whole", whole, any)
	if whole*3 > any*2 {
		t.Errorf("%d bytes, want at most two thirds of %d", whole, any)
	}
}
