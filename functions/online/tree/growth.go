package tree

import (
	"math"

	"tripcast.dev/functions/online/drift"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
)

// maxLabel is the largest absolute label that is learned: sums of squares of
// labels, and of their sums, stay finite below it.
const maxLabel = 1e100

// node is a leaf, or a branch: x[feature] <= threshold goes to the left.
type node struct {
	leaf *leaf // nil for a branch

	feature     int32
	depth       int32
	threshold   float64
	left, right *node
	seen        float64 // what total returns for a branch

	watch *watch // of an adaptive tree
}

// total is the weight of the labels that the leaves below have learned.
func (n *node) total() float64 {
	if n.leaf != nil {
		return n.leaf.labels.n
	}
	return n.seen
}

// recount puts right the weight of a branch below which a leaf has learned.
func (n *node) recount() { n.seen = n.left.total() + n.right.total() }

// next returns where x goes on from a branch. Where the feature is missing, that
// is the child which has learned more, and missing is true.
func (n *node) next(x []float64) (child **node, missing bool) {
	v := x[n.feature]
	if !libm.Finite(v) {
		if n.left.total() < n.right.total() {
			return &n.right, true
		}
		return &n.left, true
	}
	if v <= n.threshold {
		return &n.left, false
	}
	return &n.right, false
}

// end returns the leaf where x ends.
func (n *node) end(x []float64) *leaf {
	for n.leaf == nil {
		child, _ := n.next(x)
		n = *child
	}
	return n.leaf
}

// Subset makes every leaf watch a few features only, drawn when it learns its
// first event: the trees of river/forest/adaptive_random_forest.py.
type Subset struct {
	Size int // features for a leaf, at least 1
	// Rand is drawn from. Trees may share it, which then learn one after the
	// other. It is no part of a tree's state.
	Rand *mt19937.Rand
	// Sorted are the features in the order that River draws from, which is that
	// of their names.
	Sorted []int
}

// growth is a tree and what makes it grow.
type growth struct {
	config Config
	width  int
	digits decimals
	subset *Subset
	adapts bool // branches are watched

	detector drift.ADWINConfig // that watches them

	root   *node // nil before the first event
	leaves int
	keys   int // of all leaves

	present, drawn []int // scratch of a Subset
}

func newGrowth(width int, config Config, subset *Subset) growth {
	config = config.bounded()
	return growth{config: config, width: width, digits: newDecimals(config.Digits), subset: subset}
}

// keyBudget is how many keys all leaves may hold before only those of leaves that
// have none are added.
func (g *growth) keyBudget() int {
	return g.width * (64*g.config.MaxLeaves + g.config.MaxKeys)
}

// newLeaf returns a leaf that goes on from what its parent, if not nil, has learned.
func (g *growth) newLeaf(depth int32, labels moments, parent *leaf) *node {
	l := &leaf{labels: labels, lastAttempt: labels.n}
	if g.config.LeafPrediction != Mean {
		l.model.weights = make([]float64, g.width)
	}
	if parent != nil {
		l.model.intercept = parent.model.intercept
		copy(l.model.weights, parent.model.weights)
		l.meanError, l.modelError = parent.meanError, parent.modelError
	}
	g.leaves++
	return &node{leaf: l, depth: depth}
}

// learnIn makes a leaf learn an event of weight w.
func (g *growth) learnIn(n *node, x []float64, y, w float64) {
	l := n.leaf
	l.learn(x, y, w, &g.config)
	if l.inactive {
		return
	}
	if g.subset != nil {
		if len(l.sampled) == 0 {
			l.sampled = g.draw(x)
		}
		for at, feature := range l.sampled {
			g.observe(n, int(feature), at, x, y, w)
		}
		return
	}
	for feature := range x {
		g.observe(n, feature, feature, x, y, w)
	}
}

// observe shows a leaf's splitter of a feature, of which one thinks that it is
// the at-th, an event.
func (g *growth) observe(n *node, feature, at int, x []float64, y, w float64) {
	key := x[feature]
	if !libm.Finite(key) || int(n.depth) >= g.config.MaxDepth {
		return
	}
	if g.config.Splitter != EBST {
		key = g.digits.round(key)
	}
	s := n.leaf.splitter(feature, at, g.width)
	if s.insert(key, y, w, len(s.nodes) < g.config.MaxKeys && g.keys < g.keyBudget()) {
		g.keys++
	}
}

// draw draws the features that a leaf watches from those that are present.
func (g *growth) draw(x []float64) []int32 {
	g.present = g.present[:0]
	for _, feature := range g.subset.Sorted {
		if libm.Finite(x[feature]) {
			g.present = append(g.present, feature)
		}
	}
	n := min(g.subset.Size, len(g.present))
	sampled := make([]int32, n)
	if len(g.present) < g.subset.Size {
		for i := range sampled {
			sampled[i] = int32(g.present[i])
		}
		return sampled
	}
	g.drawn = append(g.drawn[:0], make([]int, n)...)
	g.subset.Rand.Sample(g.drawn, len(g.present))
	for i, at := range g.drawn {
		sampled[i] = int32(g.present[at])
	}
	return sampled
}

// due reports whether a leaf should try to split now.
func (g *growth) due(l *leaf) bool {
	return !l.inactive && l.labels.n-l.lastAttempt >= float64(g.config.GracePeriod) && g.leaves < g.config.MaxLeaves
}

// attempt splits a leaf if one of its splits is good enough, and then returns
// the branch that is to take its place.
func (g *growth) attempt(n *node) *node {
	l := n.leaf
	l.lastAttempt = l.labels.n
	minSamples := float64(g.config.MinSamplesSplit)
	best, second := noSplit(), noSplit()
	for i := range l.splitters {
		// As River sorts them, the last of equals is the best.
		switch s := l.splitters[i].best(&l.labels, minSamples); {
		case s.merit >= best.merit:
			best, second = s, best
		case s.merit >= second.merit:
			second = s
		}
	}
	if !(best.merit > 0) {
		return nil
	}
	bound := math.Sqrt(libm.Log(1/g.config.Delta) / (2 * l.labels.n))
	ratio := second.merit / best.merit
	if ratio < 1-bound || bound < g.config.Tau {
		return g.split(n, &best)
	}
	if second.merit > 0 {
		for i := range l.splitters {
			g.keys -= l.splitters[i].removeBad(&l.labels, minSamples, best.merit, ratio-float64(2*bound))
		}
	}
	return nil
}

func (g *growth) split(n *node, s *split) *node {
	branch := &node{feature: s.feature, threshold: s.key, depth: n.depth}
	branch.left = g.newLeaf(n.depth+1, s.left, n.leaf)
	branch.right = g.newLeaf(n.depth+1, s.right, n.leaf)
	branch.recount()
	g.leaves-- // the parent
	g.keys -= n.leaf.keys()
	return branch
}

// deactivate ends a leaf's search for splits.
func (g *growth) deactivate(l *leaf) {
	g.keys -= l.keys()
	l.inactive, l.splitters = true, nil
}
