package tree_test

import (
	"fmt"
	"math/rand/v2"

	"tripcast.dev/functions/online/tree"
)

func ExampleHoeffdingRegressor() {
	m := tree.NewHoeffdingRegressor(2, tree.DefaultConfig())
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		x := []float64{float64(r.IntN(11)) / 10, float64(r.IntN(11)) / 10}
		y := 10.0
		if x[1] > 0.5 {
			y = 20
		}
		m.Learn(x, y)
	}
	for n := range m.Walk {
		if !n.Leaf {
			fmt.Printf("feature %d <= %v\n", n.Feature, n.Threshold)
		}
	}
	fmt.Printf("%.0f %.0f", m.Predict([]float64{0.7, 0.1}), m.Predict([]float64{0.7, 0.9}))
	// Output:
	// feature 1 <= 0.5
	// 10 20
}
