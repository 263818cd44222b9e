package tree

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/drift"
	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/state"
)

const (
	adaptiveKind   = "HoeffdingAdaptiveTreeRegressor"
	adaptiveFormat = 1
)

// AdaptiveConfig are the parameters of an AdaptiveRegressor, with River's names
// and defaults but for Compat and Before022, which are ours. The detector is River's default.
type AdaptiveConfig struct {
	Config
	BootstrapSampling    bool    // a leaf learns an event with a weight drawn from Poisson(1), at least 1
	DriftWindowThreshold int     // errors of either tree before they are compared, at least 1
	SwitchSignificance   float64 // of the difference that decides between them, in [0, 1]
	// Compat makes alternate trees as River has them: the first split of one takes
	// the place of the branch that it is to be compared with, uncompared.
	Compat bool
	// Before022 watches branches by the ADWIN that River had before its version
	// 0.22. With Compat the tree is that of River 0.13.0, and of the first taxi demo.
	Before022 bool
	Seed      uint64
}

// DefaultAdaptiveConfig returns River's defaults, the seed 0 and no Compat.
func DefaultAdaptiveConfig() AdaptiveConfig {
	return AdaptiveConfig{
		Config: DefaultConfig(), BootstrapSampling: true, DriftWindowThreshold: 300, SwitchSignificance: 0.05,
	}
}

// AdaptiveRegressor is a HoeffdingRegressor that watches the errors of every
// branch by an ADWIN. Where they grow it raises an alternate tree beside the
// branch, which takes its place once its errors are significantly smaller and is
// dropped once they are larger (Bifet and Gavaldà: Adaptive learning from
// evolving data streams, 2009). It predicts with the mean of the leaf where x
// ends and of the leaves where it ends in alternate trees on the way.
//
// With Compat it computes what river/tree/hoeffding_adaptive_tree_regressor.py of
// River 0.26.1 computes, with whichever seed. There, the leaf that an alternate
// tree begins as learns in the place of the branch: when it splits, the branch
// and all below it are lost, whether or not it was worse, and no alternate tree
// is ever more than a leaf. On the streams of internal/golden it happens to 26 of
// 26 branches that are replaced (seed 1). Without Compat, alternate trees grow
// and are compared; mean absolute errors there are 4, 2 and 29 percent smaller.
type AdaptiveRegressor struct {
	growth
	config AdaptiveConfig
	rand   mt19937.Rand
	counts Counts
	lost   bool // something was cut off: what is left is to be counted
}

// Counts is what has become of alternate trees.
type Counts struct {
	Alternates int // begun
	Switched   int // that took the place of a branch
	Pruned     int // dropped, for being worse or within what was cut off
	Unchecked  int // that took a place without a test, in Compat only
}

var _ online.Regressor = (*AdaptiveRegressor)(nil)

// NewAdaptiveRegressor returns a tree on vectors of this width. Parameters
// outside their bounds are taken as the nearest within.
func NewAdaptiveRegressor(width int, config AdaptiveConfig) *AdaptiveRegressor {
	config.DriftWindowThreshold = max(config.DriftWindowThreshold, 1)
	t := &AdaptiveRegressor{growth: newGrowth(width, config.Config, nil), config: config}
	t.adapts, t.detector = true, drift.DefaultADWINConfig()
	t.detector.Before022 = config.Before022
	t.rand.Seed(config.Seed)
	return t
}

// AdaptiveRegressorKind builds an AdaptiveRegressor from a catalogue. Parameters:
// those of ReadConfig, bootstrap_sampling, drift_window_threshold,
// switch_significance and alternate_trees, which is fixed, compat or
// compat-0.13: as they should be, as River 0.26.1 has them, or as River 0.13.0
// has them, with its ADWIN.
func AdaptiveRegressorKind(p *online.Params) online.Regressor {
	c := DefaultAdaptiveConfig()
	alternates := p.Choice("alternate_trees", "fixed", "compat", "compat-0.13")
	return NewAdaptiveRegressor(p.Width(), AdaptiveConfig{
		Config:               ReadConfig(p),
		BootstrapSampling:    p.Bool("bootstrap_sampling", c.BootstrapSampling),
		DriftWindowThreshold: p.Int("drift_window_threshold", c.DriftWindowThreshold, online.AtLeast(1), online.AtMost(1e9)),
		SwitchSignificance:   p.Float("switch_significance", c.SwitchSignificance, online.AtLeast(0), online.AtMost(1)),
		Compat:               alternates != "fixed",
		Before022:            alternates == "compat-0.13",
		Seed:                 p.Seed(),
	})
}

// Width is the number of features.
func (t *AdaptiveRegressor) Width() int { return t.width }

// Counts returns what has become of alternate trees so far.
func (t *AdaptiveRegressor) Counts() Counts { return t.counts }

// Predict returns the mean of what the leaves where x ends predict, 0 with
// nothing learned.
func (t *AdaptiveRegressor) Predict(x []float64) float64 {
	if t.root == nil {
		return 0
	}
	var sum float64
	n := t.sum(&sum, t.root, x)
	return orNaN(sum / float64(n))
}

// sum adds up what the leaves where x ends predict, and returns how many they are.
func (t *AdaptiveRegressor) sum(sum *float64, n *node, x []float64) int {
	leaves := 1
	times := 1
	for n.leaf == nil {
		if alternate := n.watch.alternate; alternate != nil {
			for range times {
				leaves += t.sum(sum, alternate, x)
			}
		}
		child, missing := n.next(x)
		n = *child
		if times = 1; missing && t.config.Compat {
			times = 2 // River visits what is below a missing feature twice
		}
	}
	*sum += n.leaf.predict(x, t.growth.config.LeafPrediction)
	return leaves
}

// Learn learns an event.
func (t *AdaptiveRegressor) Learn(x []float64, y float64) {
	if !(math.Abs(y) <= maxLabel) {
		return
	}
	if t.root == nil {
		t.root = t.newLeaf(0, moments{}, nil)
	}
	t.learnAt(&t.root, t.root, x, y, 0)
	if t.lost {
		t.lost = false
		t.leaves, t.keys = 0, 0
		t.count(t.root)
	}
}

// learnAt makes a tree learn an event. slot is what its first split is to be put
// into, which is where it hangs but for what Compat does.
func (t *AdaptiveRegressor) learnAt(slot **node, n *node, x []float64, y float64, nested int) {
	e := math.Abs(y - n.end(x).predict(x, t.growth.config.LeafPrediction))
	t.learn(slot, n, x, y, e, nested, nested > 0)
}

// learn makes a node learn an event, with the error of the leaf where it ends.
// What is learned on the way cannot change that leaf before it is reached.
// alternate is set for the root of an alternate tree.
func (t *AdaptiveRegressor) learn(slot **node, n *node, x []float64, y, e float64, nested int, alternate bool) {
	if n.leaf != nil {
		t.learnLeaf(slot, n, x, y, e)
		return
	}
	w := n.watch
	switch worse := w.observe(e); {
	case w.alternate != nil:
		t.decide(slot, n, alternate)
	case worse && t.leaves < t.growth.config.MaxLeaves && nested < maxNested:
		w.errors = moments{}
		w.alternate = t.newLeaf(n.depth, moments{}, nil)
		w.alternate.watch = t.newWatch()
		t.counts.Alternates++
	}
	if w.alternate != nil {
		grows := &w.alternate
		if t.config.Compat {
			grows = slot
		}
		t.learnAt(grows, w.alternate, x, y, nested+1)
	}
	child, _ := n.next(x)
	t.learn(child, *child, x, y, e, nested, false)
	n.recount()
}

func (t *AdaptiveRegressor) learnLeaf(slot **node, n *node, x []float64, y, e float64) {
	weight := 1
	if t.config.BootstrapSampling {
		weight = max(t.rand.Poisson(1), 1)
	}
	if n.watch != nil {
		n.watch.observe(e)
	}
	t.learnIn(n, x, y, float64(weight))
	l := n.leaf
	if int(n.depth) >= t.growth.config.MaxDepth || !t.due(l) {
		return
	}
	branch := t.attempt(n)
	if branch == nil {
		return
	}
	branch.watch = t.newWatch()
	if n.watch != nil && t.config.Compat && *slot != n {
		t.counts.Unchecked++
		t.lost = true
	}
	*slot = branch
}

// decide compares a branch with its alternate tree, by a two-sided z-test of
// their errors, and keeps the better one if there is one. within is set where
// the branch is itself the root of an alternate tree.
func (t *AdaptiveRegressor) decide(slot **node, n *node, within bool) {
	alternate, main := n.watch.alternate, &n.watch.errors
	other := &alternate.watch.errors
	least := float64(t.config.DriftWindowThreshold)
	if other.n <= least || main.n <= least || !t.differ(main, other) {
		return
	}
	t.lost = true
	if other.mean >= main.mean {
		t.cut(alternate)
		n.watch.alternate = nil
		t.counts.Pruned++
		return
	}
	t.cut(n)
	*slot = alternate
	t.counts.Switched++
	if !t.config.Compat || slot != &t.root {
		n.watch.alternate = nil // River's goes on to learn this event where it was the root's
	}
	if alternate.leaf != nil && !within {
		alternate.watch = nil // nothing will ask it again
	}
}

// differ reports whether the means of errors differ significantly.
func (t *AdaptiveRegressor) differ(a, b *moments) bool {
	z := (a.mean - b.mean) / math.Sqrt(a.variance()/a.n+b.variance()/b.n)
	// Twice the normal distribution's value at -|z|. Nothing learned depends on
	// the last bits of Erf, which are not the same on all machines.
	p := 1 + math.Erf(-math.Abs(z)/math.Sqrt2)
	return p <= t.config.SwitchSignificance
}

// cut drops the alternate trees below a branch that is to go, because it learns
// this event still, and they do not.
func (t *AdaptiveRegressor) cut(n *node) {
	if n.leaf != nil {
		return
	}
	for _, child := range [...]*node{n.left, n.right} {
		if child.leaf != nil {
			continue
		}
		if alternate := child.watch.alternate; alternate != nil {
			t.cut(alternate)
			child.watch.alternate = nil
			t.counts.Pruned++
		}
		t.cut(child)
	}
}

// count counts the leaves of a tree and their keys.
func (t *AdaptiveRegressor) count(n *node) {
	if n.leaf != nil {
		t.leaves++
		t.keys += n.leaf.keys()
		return
	}
	t.count(n.left)
	t.count(n.right)
	if n.watch.alternate != nil {
		t.count(n.watch.alternate)
	}
}

// AppendBinary appends the tree, the counts and, with BootstrapSampling, the
// generator of random numbers.
func (t *AdaptiveRegressor) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, adaptiveKind, adaptiveFormat)
	b = t.encode(b)
	for _, c := range t.counts.fields() {
		b = state.AppendUint(b, uint64(*c))
	}
	if t.config.BootstrapSampling {
		b = t.rand.Append(b)
	}
	return b, nil
}

// UnmarshalBinary reads what a tree of the same width and parameters has written.
func (t *AdaptiveRegressor) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, adaptiveKind, adaptiveFormat)
	read := AdaptiveRegressor{growth: t.blank(), config: t.config, rand: t.rand}
	read.decode(d)
	for _, c := range read.counts.fields() {
		*c = int(d.UintUpTo(math.MaxInt))
	}
	if t.config.BootstrapSampling {
		read.rand.Decode(d)
	}
	if err := d.Close(); err != nil {
		return err
	}
	*t = read
	return nil
}

func (c *Counts) fields() [4]*int {
	return [...]*int{&c.Alternates, &c.Switched, &c.Pruned, &c.Unchecked}
}
