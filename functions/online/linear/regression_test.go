package linear_test

import (
	"errors"
	"fmt"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/state"
)

func TestRegressionConforms(t *testing.T) {
	onlinetest.Regressor(t, onlinetest.Options{MaxStateBytes: 128}, func(width int) online.Regressor {
		return linear.NewRegression(width, linear.DefaultConfig())
	})
}

func TestClippedGradient(t *testing.T) {
	m := linear.NewRegression(1, linear.Config{LR: 1, InterceptLR: 1, ClipGradient: 3})
	m.Learn([]float64{2}, 1e6)
	if m.Intercept() != 3 || m.Weights()[0] != 6 {
		t.Errorf("intercept %v and weights %v after a gradient clipped to -3, want 3 and [6]", m.Intercept(), m.Weights())
	}
}

func FuzzRegressionState(f *testing.F) {
	m := linear.NewRegression(2, linear.DefaultConfig())
	m.Learn([]float64{1, 2}, 3)
	seed, err := m.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := linear.NewRegression(2, linear.DefaultConfig())
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		m.Learn([]float64{1, 2}, 3)
		m.Predict([]float64{1, 2})
	})
}

func Example() {
	m := linear.NewRegression(1, linear.Config{LR: 0.1, InterceptLR: 0.1, ClipGradient: 1e12})
	for range 100 {
		for x := -1.0; x <= 1; x++ {
			m.Learn([]float64{x}, 2*x+1)
		}
	}
	fmt.Printf("%.3f", m.Predict([]float64{5}))
	// Output: 11.000
}
