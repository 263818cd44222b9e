package tree_test

import (
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/tree"
)

func leaves(m walker) int {
	n := 0
	for node := range m.Walk {
		if node.Leaf {
			n++
		}
	}
	return n
}

func TestMaxLeaves(t *testing.T) {
	for name, fresh := range small() {
		m := fresh().(walker)
		most := 0
		for range 20 {
			drifting(m, 1000)
			most = max(most, leaves(m))
		}
		want := 12
		if name == "exact" {
			want = 8 // at the depth 3
		}
		if most != want {
			t.Errorf("%s: %d leaves at most, want %d", name, most, want)
		}
	}
}

// A tree that has all its leaves learns on and keeps nothing to split by.
func TestFullTree(t *testing.T) {
	for _, most := range []int{1, 4} {
		config := tree.DefaultConfig()
		config.MaxLeaves, config.GracePeriod = most, 50
		m := tree.NewHoeffdingRegressor(2, config)
		drifting(m, 20_000)
		if n := leaves(m); n != most {
			t.Errorf("%d leaves, want %d", n, most)
		}
		full := encoded(t, m)
		if len(full) > 100+100*most {
			t.Errorf("%d bytes of state for %d leaves", len(full), most)
		}
		before := m.Predict([]float64{1, 1})
		drifting(m, 1000)
		if m.Predict([]float64{1, 1}) == before {
			t.Error("does not learn any more")
		}
		if n := len(encoded(t, m)); n > len(full)+8 {
			t.Errorf("the state grows from %d to %d bytes", len(full), n)
		}
	}
}

// Values that never repeat do not fill a leaf that cannot split.
func TestMaxKeys(t *testing.T) {
	config := tree.DefaultConfig()
	config.Splitter, config.MaxKeys = tree.EBST, 100
	m := tree.NewHoeffdingRegressor(1, config)
	r := rand.New(rand.NewPCG(1, 0))
	for range 20_000 {
		m.Learn([]float64{r.Float64()}, 0)
	}
	if n := len(encoded(t, m)); n < 100*10 || n > 100*30 {
		t.Errorf("%d bytes of state, want 10 to 30 for each of 100 values", n)
	}
	// Where it can, the values that are kept are enough to split by.
	for range 20_000 {
		x := r.Float64()
		y := 0.0
		if x > .5 {
			y = 100
		}
		m.Learn([]float64{x}, y)
	}
	if leaves(m) < 2 {
		t.Error("does not split")
	}
}

// A deep branch of a degenerate splitter and a deep tree are read again.
func TestSortedValues(t *testing.T) {
	config := tree.DefaultConfig()
	config.Splitter = tree.EBST
	m := tree.NewHoeffdingRegressor(1, config)
	for i := range 10_000 {
		m.Learn([]float64{float64(i)}, 1)
	}
	if err := tree.NewHoeffdingRegressor(1, config).UnmarshalBinary(encoded(t, m)); err != nil {
		t.Error(err)
	}
}
