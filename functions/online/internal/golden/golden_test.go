package golden_test

import (
	"math"
	"testing"

	"tripcast.dev/functions/online/internal/golden"
)

// The streams of Go and of Python are the same.
func TestStreams(t *testing.T) {
	golden.Run(t, "label", 0, 0, func(golden.Stream) func(golden.Event) float64 {
		return func(e golden.Event) float64 { return e.Y }
	}, nil)
	golden.Run(t, "features", 1e-15, 0, func(golden.Stream) func(golden.Event) float64 {
		return func(e golden.Event) float64 {
			var sum float64
			for _, x := range e.X {
				if !math.IsNaN(x) {
					sum += x
				}
			}
			return sum
		}
	}, nil)
}
