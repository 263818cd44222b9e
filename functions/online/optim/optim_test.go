package optim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"tripcast.dev/functions/online/optim"
	"tripcast.dev/functions/online/state"
)

var optimizers = []optim.Optimizer{optim.SGD{}, optim.DefaultMomentum(), optim.DefaultAdaGrad(), optim.DefaultAdam()}

// Every optimizer finds the weights of a plane.
func TestDescent(t *testing.T) {
	for k, o := range optimizers {
		w := optim.NewWeights(2, optim.Config{Optimizer: o, LR: []float64{0.05, 0.005, 0.5, 0.05}[k]})
		for i := range 2000 {
			x := []float64{float64(i%3) - 1, float64(i%5) - 2}
			w.Step(x, optim.Squared{}.Gradient(3*x[0]-2*x[1], w.Dot(x)))
		}
		if got := w.Values(); math.Abs(got[0]-3) > 0.05 || math.Abs(got[1]+2) > 0.05 {
			t.Errorf("%T finds %v, want [3 -2]", o, got)
		}
	}
}

// What is missing does not move, and nothing that is remembered of it changes.
func TestMissing(t *testing.T) {
	for _, o := range optimizers {
		one := optim.NewWeights(1, optim.Config{Optimizer: o, LR: 0.05, L2: 0.1})
		two := optim.NewWeights(2, optim.Config{Optimizer: o, LR: 0.05, L2: 0.1})
		for range 10 {
			one.Step([]float64{1}, 2)
			two.Step([]float64{1, math.NaN()}, 2)
		}
		if got := two.Values(); got[0] != one.Values()[0] || got[1] != 0 {
			t.Errorf("%T: %v with a feature missing, want %v and 0", o, got, one.Values())
		}
	}
}

// A step that does not stay finite leaves no trace.
func TestStepIsWhole(t *testing.T) {
	for _, o := range optimizers {
		w := optim.NewWeights(2, optim.Config{Optimizer: o, LR: 1, L1: 0.1})
		w.Step([]float64{1, 1}, 1)
		before := w.Append(nil)
		for _, gradient := range []float64{math.MaxFloat64, math.NaN(), math.Inf(1)} {
			if w.Step([]float64{1, math.MaxFloat64}, gradient) {
				t.Errorf("%T: a step of %v was taken", o, gradient)
			}
			if !slices.Equal(before, w.Append(nil)) {
				t.Fatalf("%T: a step that was not taken left a trace", o)
			}
		}
	}
}

// The cumulative penalty takes a weight to 0 and leaves it there.
func TestL1(t *testing.T) {
	w := optim.NewWeights(2, optim.Config{LR: 0.1, L1: 0.5})
	for i := range 500 {
		x := []float64{1, float64(i%2) - 0.5}
		w.Step(x, optim.Squared{}.Gradient(3+0.1*x[1], w.Dot(x)))
	}
	if got := w.Values(); got[1] != 0 || got[0] < 2 {
		t.Errorf("weights %v, want one above 2, and one that is 0", got)
	}
}

func TestNegativeSumOfSquares(t *testing.T) {
	w := optim.NewWeights(1, optim.Config{Optimizer: optim.DefaultAdaGrad(), LR: 1})
	b := state.AppendUint(state.AppendFloat(state.AppendUint(nil, 1), 0), 1) // steps, penalty, width
	b = state.AppendFloat(state.AppendFloat(state.AppendUint(b, 2), 0.5), -1)
	d, _ := state.NewDecoder(append(state.AppendHeader(nil, "w", 1), b...), "w", 1)
	if w.Decode(d); d.Close() == nil {
		t.Error("a negative sum of squares was read")
	}
}

func TestGradients(t *testing.T) {
	for _, tt := range []struct {
		loss           optim.Loss
		low, same, top float64 // where the prediction is 2 below the label, equal, 2 above
	}{
		{optim.Squared{}, -4, 0, 4},
		{optim.Absolute{}, -1, -1, 1},
		{optim.Huber{Epsilon: 0.5}, -0.5, 0, 0.5},
		{optim.Huber{Epsilon: 3}, -2, 0, 2},
		{optim.Quantile{Alpha: 0.75}, -0.75, -0.75, 0.25},
	} {
		got := [3]float64{tt.loss.Gradient(10, 8), tt.loss.Gradient(10, 10), tt.loss.Gradient(10, 12)}
		if want := [3]float64{tt.low, tt.same, tt.top}; got != want {
			t.Errorf("%T%v: gradients %v, want %v", tt.loss, tt.loss, got, want)
		}
	}
}

func Example() {
	w := optim.NewWeights(1, optim.Config{Optimizer: optim.DefaultAdam(), LR: 0.1})
	loss := optim.Quantile{Alpha: 0.5}
	for i := range 3000 {
		x, y := []float64{1}, []float64{1, 2, 1000}[i%3]
		w.Step(x, loss.Gradient(y, w.Dot(x)))
	}
	fmt.Printf("the median of 1, 2 and 1000 is about %.0f", w.Dot([]float64{1}))
	// Output: the median of 1, 2 and 1000 is about 2
}

func BenchmarkStep(b *testing.B) {
	x := []float64{1, -1, 0.5, -0.5, 2, 0}
	for _, o := range optimizers {
		b.Run(fmt.Sprintf("%T", o), func(b *testing.B) {
			w := optim.NewWeights(len(x), optim.Config{Optimizer: o, LR: 0.01})
			b.ReportAllocs()
			for b.Loop() {
				w.Step(x, optim.Squared{}.Gradient(600, w.Dot(x)))
			}
		})
	}
}
