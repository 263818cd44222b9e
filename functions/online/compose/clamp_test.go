package compose_test

import (
	"fmt"
	"math"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/compose"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
)

func TestClampConforms(t *testing.T) {
	onlinetest.Regressor(t, onlinetest.Options{MaxStateBytes: 512, Fixture: "testdata/migrations/ClampRegressor"},
		func(width int) online.Regressor { return compose.NewClamp(pipeline(t, width, compose.Log1p)) })
}

func TestClamp(t *testing.T) {
	model := &fixed{p: 1e300}
	c := compose.NewClamp(model)
	x := []float64{1}
	if y := c.Predict(x); y != 1e300 {
		t.Errorf("before the first label it predicts %v, want what the model does", y)
	}
	for _, y := range []float64{30, 20, math.NaN(), math.Inf(1), 50} {
		c.Learn(x, y)
	}
	for p, want := range map[float64]float64{1e300: 50, -1: 20, 33: 33} {
		if model.p = p; c.Predict(x) != want {
			t.Errorf("where the model predicts %v it predicts %v, want %v", p, c.Predict(x), want)
		}
	}
	if model.p = math.NaN(); !math.IsNaN(c.Predict(x)) {
		t.Errorf("where the model has no answer it predicts %v", c.Predict(x))
	}
}

func ExampleClamp() {
	model := compose.NewClamp(linear.NewRegression(1, linear.DefaultConfig()))
	for range 500 {
		model.Learn([]float64{1}, 600)
		model.Learn([]float64{2}, 900)
	}
	fmt.Printf("%.0f", model.Predict([]float64{1000}))
	// Output: 900
}
