package tree

import (
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online/internal/mt19937"
)

// grown is a tree with a branch, whose leaves have seen both features.
func grown(config Config) *AdaptiveRegressor {
	m := NewAdaptiveRegressor(2, AdaptiveConfig{Config: config, BootstrapSampling: true, DriftWindowThreshold: 300, SwitchSignificance: .05})
	r := rand.New(rand.NewPCG(1, 0))
	for range 3000 {
		x := []float64{r.NormFloat64(), r.NormFloat64()}
		m.Learn(x, 8*math.Floor(x[0])+math.Floor(4*x[1]))
	}
	return m
}

// What learning and predicting rely on is checked when a state is read.
func TestImpossibleStates(t *testing.T) {
	tests := map[string]func(m *AdaptiveRegressor, l *leaf){
		"values in disorder": func(_ *AdaptiveRegressor, l *leaf) {
			s := l.splitters[0].nodes
			s[0].key, s[1].key = s[1].key, s[0].key
		},
		"a value twice":          func(_ *AdaptiveRegressor, l *leaf) { l.splitters[0].nodes[1].key = l.splitters[0].nodes[0].key },
		"a feature twice":        func(_ *AdaptiveRegressor, l *leaf) { l.splitters[1].feature = l.splitters[0].feature },
		"no such feature":        func(m *AdaptiveRegressor, _ *leaf) { m.root.feature = 2 },
		"no weight":              func(_ *AdaptiveRegressor, l *leaf) { l.splitters[0].nodes[0].labels.n = 0 },
		"a mean too large":       func(_ *AdaptiveRegressor, l *leaf) { l.labels.mean = 1e200 },
		"a deviation too large":  func(_ *AdaptiveRegressor, l *leaf) { l.splitters[0].nodes[0].labels.s = 1e300 },
		"an infinite weight":     func(_ *AdaptiveRegressor, l *leaf) { l.model.weights[0] = math.Inf(1) },
		"a negative error":       func(_ *AdaptiveRegressor, l *leaf) { l.meanError = -1 },
		"an attempt to come":     func(_ *AdaptiveRegressor, l *leaf) { l.lastAttempt = -1 },
		"a watched inner leaf":   func(m *AdaptiveRegressor, _ *leaf) { m.watchLeaf() },
		"an unwatched branch":    func(m *AdaptiveRegressor, _ *leaf) { m.root.watch = nil },
		"an unwatched alternate": func(m *AdaptiveRegressor, _ *leaf) { m.root.watch.alternate = m.newLeaf(0, moments{}, nil) },
		"alternates without end": func(m *AdaptiveRegressor, _ *leaf) {
			for range maxNested + 1 {
				root := *m.root
				root.watch = m.newWatch()
				root.watch.alternate = m.root
				m.root = &root
			}
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			m := grown(DefaultConfig())
			l := m.root.end([]float64{0, 0})
			if m.root.leaf != nil || len(l.splitters) != 2 || len(l.splitters[0].nodes) < 2 {
				t.Fatal("the tree has not grown")
			}
			spoil(m, l)
			mustNotRead(t, m, DefaultConfig())
		})
	}
}

// watchLeaf watches the first leaf.
func (t *AdaptiveRegressor) watchLeaf() {
	n := t.root
	for n.leaf == nil {
		n = n.left
	}
	n.watch = t.newWatch()
}

// A state that is larger than the parameters allow is not read.
func TestStateBeyondBounds(t *testing.T) {
	for name, bound := range map[string]func(*Config){
		"depth":  func(c *Config) { c.MaxDepth = 1 },
		"leaves": func(c *Config) { c.MaxLeaves = 2 },
		"keys":   func(c *Config) { c.MaxKeys = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			bound(&config)
			mustNotRead(t, grown(DefaultConfig()), config)
		})
	}
}

func mustNotRead(t *testing.T, m *AdaptiveRegressor, config Config) {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultAdaptiveConfig()
	c.Config = config
	if err := NewAdaptiveRegressor(2, c).UnmarshalBinary(b); err == nil {
		t.Error("was read")
	} else {
		t.Log(err)
	}
}

// Where two features split equally well the later is taken, as River sorts
// them, and of equal splits by one feature the first.
func TestTies(t *testing.T) {
	m := NewHoeffdingRegressor(2, DefaultConfig())
	for i := range 4000 {
		v := float64(i % 10)
		m.Learn([]float64{v, v}, v)
	}
	if m.root.leaf != nil || m.root.feature != 1 {
		t.Errorf("the root splits feature %d, want 1", m.root.feature)
	}

	var s ebst
	var all moments
	for i, y := range []float64{4, 0, -4} {
		for range 8 {
			s.insert(float64(i), y, 1, true)
		}
	}
	all = moments{n: 24, mean: 0, s: 2 * 8 * 16}
	first := s.best(&all, 5)
	w := s.walk(&all, 5)
	w.passed = s.nodes[0].labels
	if second := w.split(&s.nodes[1]); second.merit != first.merit {
		t.Fatalf("merits %v and %v, want equals", first.merit, second.merit)
	}
	if first.key != 0 {
		t.Errorf("splits at %v, want 0", first.key)
	}
}

// A leaf's features are random.sample of those that its first event has.
func TestSubset(t *testing.T) {
	sorted := []int{3, 0, 2, 1}
	m := NewRandomHoeffdingRegressor(4, DefaultConfig(), Subset{Size: 2, Rand: mt19937.New(3), Sorted: sorted})
	m.Learn([]float64{1, 1, math.NaN(), 1}, 1)
	drawn := make([]int, 2)
	mt19937.New(3).Sample(drawn, 3)
	present := []int{3, 0, 1}
	l := m.root.leaf
	if len(l.splitters) != 2 || int(l.splitters[0].feature) != present[drawn[0]] || int(l.splitters[1].feature) != present[drawn[1]] {
		t.Errorf("watches %+v, want features %d and %d", l.splitters, present[drawn[0]], present[drawn[1]])
	}
}
