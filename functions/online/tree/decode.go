package tree

import (
	"math"

	"tripcast.dev/functions/online/state"
)

// What moments that labels up to maxLabel have made cannot exceed, and from
// where they cannot overflow.
const (
	maxWeight = 1 << 53
	maxMean   = 1e120
	maxSquare = 1e260
)

// blank is a tree of the same parameters with nothing learned.
func (g *growth) blank() growth {
	return growth{config: g.config, width: g.width, digits: g.digits, subset: g.subset, adapts: g.adapts, detector: g.detector}
}

// decode reads what encode has written into a blank tree.
func (g *growth) decode(d *state.Decoder) {
	d.Width(g.width)
	if d.Bool() {
		g.root = g.decodeNode(d, 0, 0, false)
	}
	if g.keys > g.keyBudget()+g.width*g.config.MaxLeaves {
		d.Fail("holds %d values, more than it may", g.keys)
	}
}

// decodeNode reads a node that lies in an alternate tree of an alternate tree
// as often as nested says. roots are those of alternate trees.
func (g *growth) decodeNode(d *state.Decoder, depth, nested int, root bool) *node {
	flags := d.UintUpTo(allFlags)
	n := &node{depth: int32(depth)}
	branch := flags&isBranch != 0
	switch {
	case d.Err() != nil:
		return n
	case (flags&isWatched != 0) != (g.adapts && (branch || root)),
		flags&hasAlternate != 0 && (flags&isWatched == 0 || !branch || nested == maxNested),
		flags&isInactive != 0 && branch:
		d.Fail("holds a node with the flags %#b", flags)
		return n
	}
	if flags&isWatched != 0 {
		n.watch = g.decodeWatch(d)
		if flags&hasAlternate != 0 {
			n.watch.alternate = g.decodeNode(d, depth, nested+1, true)
		}
	}
	if !branch {
		n.leaf = g.decodeLeaf(d)
		n.leaf.inactive = flags&isInactive != 0
		return n
	}
	if depth >= g.config.MaxDepth {
		d.Fail("holds a branch at the depth %d, %d is the most of a leaf", depth, g.config.MaxDepth)
		return n
	}
	n.feature = g.decodeFeature(d)
	n.threshold = g.decodeKey(d)
	n.left = g.decodeNode(d, depth+1, nested, false)
	if d.Err() != nil {
		return n // which is not to be used
	}
	if n.right = g.decodeNode(d, depth+1, nested, false); d.Err() == nil {
		n.recount()
	}
	return n
}

func (g *growth) decodeFeature(d *state.Decoder) int32 {
	return int32(d.UintUpTo(uint64(g.width) - 1))
}

func (g *growth) decodeLeaf(d *state.Decoder) *leaf {
	if g.leaves++; g.leaves > g.config.MaxLeaves {
		d.Fail("holds more than %d leaves", g.config.MaxLeaves)
	}
	l := &leaf{labels: decodeMoments(d)}
	l.lastAttempt = l.labels.n - float64(d.UintUpTo(uint64(l.labels.n)))
	if g.config.LeafPrediction == Adaptive {
		l.meanError, l.modelError = d.FloatWithin(0, math.MaxFloat64), d.FloatWithin(0, math.MaxFloat64)
	}
	if g.config.LeafPrediction != Mean {
		l.model.intercept = d.Float()
		if d.Err() != nil {
			return l
		}
		l.model.weights = make([]float64, g.width)
		for i := range l.model.weights {
			l.model.weights[i] = d.Float()
		}
	}
	if g.subset != nil {
		l.sampled = g.decodeSampled(d)
	}
	g.decodeSplitters(d, l)
	return l
}

func (g *growth) decodeSampled(d *state.Decoder) []int32 {
	sampled := make([]int32, min(d.Len(1), g.subset.Size))
	for i := range sampled {
		sampled[i] = g.decodeFeature(d)
	}
	return sampled
}

func (g *growth) decodeSplitters(d *state.Decoder, l *leaf) {
	splitters := d.Len(2)
	if splitters > g.width {
		d.Fail("holds %d splitters of %d features", splitters, g.width)
	}
	for i := 0; i < splitters && d.Err() == nil; i++ {
		feature := int(d.UintUpTo(2*uint64(g.width) - 1))
		sums := feature >= g.width
		if sums {
			feature -= g.width
		}
		s := l.splitter(feature, i, splitters)
		if len(l.splitters) != i+1 {
			d.Fail("holds two splitters of feature %d", feature)
			return
		}
		g.decodeEBST(d, s, sums)
	}
}

func (g *growth) decodeEBST(d *state.Decoder, s *ebst, sums bool) {
	keys := d.Len(3) // head, key and sum take a byte each or more
	if keys > g.config.MaxKeys {
		d.Fail("holds %d values of a feature, %d are the most", keys, g.config.MaxKeys)
	}
	if keys == 0 || d.Err() != nil {
		return
	}
	s.nodes = make([]ebstNode, 0, keys)
	g.decodeEBSTNode(d, s, math.Inf(-1), math.Inf(1), sums)
	if len(s.nodes) != keys {
		d.Fail("claims %d values of a feature and holds %d", keys, len(s.nodes))
	}
	g.keys += keys
}

// decodeEBSTNode reads a node and those below it, whose values are to lie
// between above and below, and returns where it is.
func (g *growth) decodeEBSTNode(d *state.Decoder, s *ebst, above, below float64, sums bool) uint32 {
	head := d.Uint()
	n := ebstNode{key: g.decodeKey(d)}
	switch weight := head >> sumFlags; {
	case sums && weight > 0:
		n.labels = decodeSums(d, float64(weight))
	case sums:
		n.labels = decodeMoments(d)
	default:
		n.labels = moments{n: float64(head >> plainFlags), mean: d.FloatWithin(-maxMean, maxMean)}
		if head&hasDeviation != 0 {
			n.labels.s = d.FloatWithin(-maxSquare, maxSquare)
		}
	}
	if weight := n.labels.n; !(n.key > above && n.key < below) || !(weight >= 1 && weight <= maxWeight) {
		d.Fail("holds the value %v between %v and %v with the weight %v", n.key, above, below, weight)
	}
	if len(s.nodes) == cap(s.nodes) {
		d.Fail("holds more values of a feature than it claims")
	}
	if d.Err() != nil {
		return 0
	}
	at := uint32(len(s.nodes))
	s.nodes = append(s.nodes, n)
	if head&hasLeft != 0 {
		s.nodes[at].left = g.decodeEBSTNode(d, s, above, n.key, sums)
	}
	if head&hasRight != 0 {
		s.nodes[at].right = g.decodeEBSTNode(d, s, n.key, below, sums)
	}
	return at
}

func (g *growth) decodeKey(d *state.Decoder) float64 {
	if g.config.Splitter == EBST {
		return d.Float()
	}
	units := d.Uint()
	if units == 0 {
		return d.Float()
	}
	units--
	return float64(unzigzag(units)) / g.digits.scale
}

func decodeMoments(d *state.Decoder) moments {
	return moments{
		n:    float64(d.UintUpTo(maxWeight)),
		mean: d.FloatWithin(-maxMean, maxMean),
		s:    d.FloatWithin(-maxSquare, maxSquare),
	}
}
