package tree_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/tree"
)

// small are trees that split early, of two features.
func small() map[string]func() online.Regressor {
	config := tree.DefaultConfig()
	config.GracePeriod, config.Delta, config.MaxLeaves, config.MaxKeys = 20, .1, 12, 8
	exact := config
	exact.Splitter, exact.LeafPrediction, exact.MaxDepth = tree.EBST, tree.Mean, 3
	adaptive := tree.DefaultAdaptiveConfig()
	adaptive.Config, adaptive.DriftWindowThreshold = config, 30
	compat := adaptive
	compat.Compat, compat.BootstrapSampling = true, false
	return map[string]func() online.Regressor{
		"hoeffding": func() online.Regressor { return tree.NewHoeffdingRegressor(2, config) },
		"exact":     func() online.Regressor { return tree.NewHoeffdingRegressor(2, exact) },
		"random": func() online.Regressor {
			return tree.NewRandomHoeffdingRegressor(2, config, tree.Subset{Size: 1, Rand: mt19937.New(1), Sorted: []int{1, 0}})
		},
		"adaptive": func() online.Regressor { return tree.NewAdaptiveRegressor(2, adaptive) },
		"compat":   func() online.Regressor { return tree.NewAdaptiveRegressor(2, compat) },
	}
}

// drifting teaches what depends on one feature and then on the other.
func drifting(m online.Regressor, events int) {
	r := rand.New(rand.NewPCG(1, 0))
	for i := range events {
		x := []float64{r.NormFloat64(), r.NormFloat64()}
		y := math.Round(x[i/400%2] * 4)
		if i%10 == 0 {
			x[i/10%2] = math.NaN()
		}
		m.Learn(x, y)
	}
}

func encoded(t interface {
	Helper()
	Fatal(...any)
}, m online.Regressor,
) []byte {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A decoded tree is the tree, with its alternate trees, and goes on as it does.
func TestState(t *testing.T) {
	for name, fresh := range small() {
		t.Run(name, func(t *testing.T) {
			if name == "random" {
				t.Skip("the generator is not the tree's")
			}
			for events := 100; events <= 2000; events += 100 {
				m, copied := fresh(), fresh()
				drifting(m, events)
				if err := copied.UnmarshalBinary(encoded(t, m)); err != nil {
					t.Fatalf("after %d events: %v", events, err)
				}
				drifting(m, 1000)
				drifting(copied, 1000)
				if !bytes.Equal(encoded(t, m), encoded(t, copied)) {
					t.Fatalf("decoded after %d events, it learns otherwise", events)
				}
			}
		})
	}
}

// A state that is read can be learned with, and the result can be read again.
func FuzzState(f *testing.F) {
	models := small()
	kinds := []string{"hoeffding", "exact", "random", "adaptive", "compat"}
	for i, kind := range kinds {
		for _, events := range []int{0, 50, 1000} {
			m := models[kind]()
			drifting(m, events)
			f.Add(uint8(i), encoded(f, m))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		fresh := models[kinds[int(kind)%len(kinds)]]
		m := fresh()
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil {
			if !errors.As(err, &format) {
				t.Fatalf("error %v, want a *state.FormatError", err)
			}
			return
		}
		drifting(m, 100)
		if err := fresh().UnmarshalBinary(encoded(t, m)); err != nil {
			t.Fatalf("what was read and learned with cannot be read again: %v", err)
		}
		if y := m.Predict([]float64{1, 2}); math.IsInf(y, 0) {
			t.Fatalf("predicts %v", y)
		}
	})
}
