package forest

import (
	"math"

	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
)

const (
	none = -1 // the index of no node, and the feature of a leaf

	// latest is the time after which a node is not split. Only an event that
	// lies outside by next to nothing asks for it.
	latest = 1e300
)

// mondrian is a tree whose nodes lie in one slice and their boxes in another.
// The zero value has learned nothing. River's is in
// river/tree/mondrian/mondrian_tree_regressor.py and rust_src/mondrian.rs.
type mondrian struct {
	nodes []mondrianNode
	// boxes hold for every node and feature the smallest and the largest value,
	// NaN where there was none.
	boxes []float64
	root  int32
	rng   mt19937.Rand
}

type mondrianNode struct {
	mean      float64 // of the labels
	n         float64 // how many
	weight    float64 // the logarithm of its weight: -step times its loss so far
	logWeight float64 // the logarithm of the weight of the tree below it

	// A leaf has the feature none and no children.
	threshold           float64
	time                float64 // of the split: when the children began
	feature             int32
	parent, left, right int32
}

func (t *mondrian) box(node int32, width int) []float64 {
	at := int(node) * 2 * width
	return t.boxes[at : at+2*width : at+2*width]
}

// learn takes an event down the tree, which may split one node on the way, and
// the weights up again. In x what is missing is NaN.
func (t *mondrian) learn(x []float64, y float64, c *AMFConfig, order []int) {
	if len(t.nodes) == 0 {
		t.root = t.grow(mondrianNode{feature: none, parent: none, left: none, right: none}, len(x))
		t.update(t.root, x, y, 0)
		return
	}
	step := c.Step
	if !c.UseAggregation {
		step = 0
	}
	at, began := t.root, 0.0
	for {
		if len(t.nodes) < c.MaxNodes {
			if time, split := t.splits(at, began, x); split {
				leaf := t.split(at, time, x, order)
				t.update(at, x, y, step)
				t.update(leaf, x, y, 0)
				at = leaf
				break
			}
		}
		t.update(at, x, y, step)
		node := &t.nodes[at]
		if node.feature == none {
			break
		}
		at, began = t.next(node, x), node.time
	}
	if c.UseAggregation {
		t.reweigh(at)
	}
}

// next is the child that x belongs to.
func (t *mondrian) next(node *mondrianNode, x []float64) int32 {
	xi := x[node.feature]
	right := xi > node.threshold
	if !libm.Finite(xi) {
		right = t.nodes[node.left].weight < t.nodes[node.right].weight
	}
	if right {
		return node.right
	}
	return node.left
}

// splits draws whether the node, which began at a time, is split by x before
// the time at which it was, and when.
func (t *mondrian) splits(at int32, began float64, x []float64) (time float64, ok bool) {
	var outside float64
	box := t.box(at, len(x))
	for j, xi := range x {
		outside += extension(box[2*j], box[2*j+1], xi)
	}
	if !(outside > 0) {
		return 0, false
	}
	time = began + -libm.Log(1-t.rng.Float64())/outside
	node := &t.nodes[at]
	ok = time > 0 && time <= latest && (node.feature == none || time < node.time)
	return time, ok
}

// extension is how far x lies outside of a side of a box, 0 where one of them is missing.
func extension(low, high, x float64) float64 {
	switch {
	case x < low:
		return low - x
	case x > high:
		return x - high
	}
	return 0
}

// split puts a node of all that was below at and a new leaf, for x, below at,
// and returns the leaf. The feature is drawn by how far x lies outside, the
// threshold between the box and x.
func (t *mondrian) split(at int32, time float64, x []float64, order []int) (leaf int32) {
	box := t.box(at, len(x))
	feature := t.draw(box, x, order)
	low, high, xi := box[2*feature], box[2*feature+1], x[feature]
	right := xi > high
	var threshold float64
	if right {
		threshold = t.rng.Uniform(high, xi)
	} else {
		threshold = t.rng.Uniform(xi, low)
	}

	lower := t.grow(t.nodes[at], len(x))
	copy(t.box(lower, len(x)), t.box(at, len(x)))
	leaf = t.grow(mondrianNode{feature: none, parent: at, left: none, right: none}, len(x))
	if node := &t.nodes[lower]; node.feature != none {
		t.nodes[node.left].parent, t.nodes[node.right].parent = lower, lower
	}
	t.nodes[lower].parent = at
	node := &t.nodes[at]
	node.feature, node.threshold, node.time = int32(feature), threshold, time
	node.left, node.right = lower, leaf
	if !right {
		node.left, node.right = leaf, lower
	}
	return leaf
}

// draw is random.choices of Python: a feature, with the extension as its weight.
func (t *mondrian) draw(box, x []float64, order []int) int {
	var total float64
	for _, j := range order {
		total += extension(box[2*j], box[2*j+1], x[j])
	}
	limit := t.rng.Float64() * total
	var sum float64
	last := none
	for _, j := range order {
		e := extension(box[2*j], box[2*j+1], x[j])
		if e == 0 {
			continue // it is not among River's choices
		}
		last = j
		if sum += e; sum > limit {
			break
		}
	}
	return last
}

// grow adds a node with an empty box.
func (t *mondrian) grow(node mondrianNode, width int) int32 {
	t.nodes = append(t.nodes, node)
	for range 2 * width {
		t.boxes = append(t.boxes, math.NaN())
	}
	return int32(len(t.nodes) - 1)
}

// update is an event at a node: its box, its weight by the loss of its mean, and its mean.
func (t *mondrian) update(at int32, x []float64, y, step float64) {
	box := t.box(at, len(x))
	for j, xi := range x {
		low, high := &box[2*j], &box[2*j+1]
		if xi < *low || *low != *low {
			*low = xi
		}
		if xi > *high || *high != *high {
			*high = xi
		}
	}
	node := &t.nodes[at]
	r := node.mean - y
	node.weight -= float64(step * (float64(r*r) / 2))
	node.n++
	node.mean += float64(1 / node.n * (y - node.mean))
}

// reweigh computes the weights of the trees below a leaf and all nodes above it.
func (t *mondrian) reweigh(at int32) {
	for ; at != none; at = t.nodes[at].parent {
		t.reweighOne(at)
	}
}

func (t *mondrian) reweighOne(at int32) {
	node := &t.nodes[at]
	node.logWeight = node.weight
	if node.feature != none {
		node.logWeight = logMean(node.weight, t.nodes[node.left].logWeight+t.nodes[node.right].logWeight)
	}
}

// logMean is log((exp(a) + exp(b)) / 2).
func logMean(a, b float64) float64 {
	a, b = max(a, b), min(a, b)
	return a - math.Ln2 + libm.Log1p(libm.Exp(b-a))
}

// predict mixes the means on the way to the leaf of x, or returns that of the leaf.
func (t *mondrian) predict(x []float64, aggregate bool) float64 {
	at := t.root
	for t.nodes[at].feature != none {
		at = t.next(&t.nodes[at], x)
	}
	leaf := &t.nodes[at]
	y := leaf.mean
	if !aggregate {
		return y
	}
	for at = leaf.parent; at != none; at = t.nodes[at].parent {
		node := &t.nodes[at]
		half := float64(0.5 * libm.Exp(node.weight-node.logWeight))
		y = float64(half*node.mean) + float64((1-half)*y)
	}
	return y
}
