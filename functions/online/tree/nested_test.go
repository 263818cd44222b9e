package tree_test

import (
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/tree"
)

// Where drifts come fast, alternate trees have alternate trees, and one of those
// can win: it is then what the branch above is compared with.
func TestAlternatesOfAlternates(t *testing.T) {
	var total tree.Counts
	for seed := range uint64(20) {
		c := tree.DefaultAdaptiveConfig()
		c.GracePeriod, c.DriftWindowThreshold, c.SwitchSignificance, c.Seed = 30, 20, 0.5, seed
		m := tree.NewAdaptiveRegressor(2, c)
		r := rand.New(rand.NewPCG(seed, 0))
		x := make([]float64, 2)
		for i := range 15_000 {
			x[0], x[1] = r.NormFloat64(), r.NormFloat64()
			y := 100*x[i/400%2] + float64(i/700%5)*r.ExpFloat64()*300
			m.Learn(x, y)
		}
		counts := m.Counts()
		total.Alternates += counts.Alternates
		total.Switched += counts.Switched
		data, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.NewAdaptiveRegressor(2, c).UnmarshalBinary(data); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	if total.Switched < 100 {
		t.Errorf("%d of %d alternate trees took a place, want at least 100: the test tests little", total.Switched, total.Alternates)
	}
}
