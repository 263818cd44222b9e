package tree

import (
	"math"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/linear"
)

// The regression of a leaf is that of package linear.
func TestLine(t *testing.T) {
	s := golden.Streams()[0]
	m := linear.NewRegression(len(s.Features), linear.DefaultConfig())
	l := line{weights: make([]float64, len(s.Features))}
	for i, e := range s.Events {
		got, want := l.raw(e.X), m.Predict(e.X)
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("event %d: predicts %v, the regression %v", i, got, want)
		}
		l.step(e.X, 2*(got-e.Y))
		m.Learn(e.X, e.Y)
	}
}

// Where a model diverges the leaf falls back on the mean.
func TestDivergence(t *testing.T) {
	m := NewHoeffdingRegressor(1, DefaultConfig())
	for i := range 400 {
		m.Learn([]float64{1e9}, float64(i%2))
	}
	if y := m.Predict([]float64{1e9}); math.Abs(y-.5) > 1e-9 {
		t.Errorf("predicts %v where the mean is 0.5", y)
	}
}

func TestNearestKey(t *testing.T) {
	var s ebst
	for _, key := range []float64{5, 2, 8} {
		if !s.insert(key, 1, 1, true) {
			t.Fatalf("%v is not new", key)
		}
	}
	for _, key := range []float64{1, 2, 3.4, 3.6, 5, 7, 9} {
		if s.insert(key, 1, 1, false) {
			t.Fatalf("%v was added", key)
		}
	}
	// To the left of 5 and at it: 5, 2, 1, 2, 3.4, 5 and 3.6, which is nearer to
	// 5 by 0.2 than it is to 2.
	for i, want := range []float64{7, 4, 3} {
		if got := s.nodes[i].labels.n; got != want {
			t.Errorf("%v labels at or left of %v, want %v", got, s.nodes[i].key, want)
		}
	}
}
