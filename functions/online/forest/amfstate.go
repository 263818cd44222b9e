package forest

import (
	"math"

	"tripcast.dev/functions/online/state"
)

const (
	amfKind   = "AMFRegressor"
	amfFormat = 1
)

// How a node begins in a state: a branch with branchTag plus its feature.
const (
	singleTag = iota // a leaf of one event that lacks no feature: label and features
	leafTag          // any other leaf
	branchTag
)

// What is known of a feature in a leaf's box.
const (
	neverSeen = iota
	oneValue
	someRange
)

// AppendBinary appends every tree from its root down, the left side first. What
// follows from the leaves is left out: counts, boxes and the weights of trees.
func (f *AMFRegressor) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, amfKind, amfFormat)
	b = state.AppendUint(b, uint64(len(f.x)))
	b = state.AppendUint(b, uint64(len(f.trees)))
	for i := range f.trees {
		t := &f.trees[i]
		b = t.rng.Append(b)
		b = t.append(b, len(f.x))
	}
	return b, nil
}

// UnmarshalBinary reads what a forest of the same width, number of trees and
// MaxNodes has written.
func (f *AMFRegressor) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, amfKind, amfFormat)
	d.Width(len(f.x))
	if n := d.Uint(); d.Err() == nil && n != uint64(len(f.trees)) {
		d.Fail("has %d trees, want %d", n, len(f.trees))
	}
	var trees []mondrian
	for range f.trees {
		if d.Err() != nil {
			break
		}
		var t mondrian
		t.rng.Decode(d)
		t.decode(d, len(f.x), f.config.MaxNodes)
		trees = append(trees, t)
		if t.learned() != trees[0].learned() {
			d.Fail("has trees that learned %v and %v events", trees[0].learned(), t.learned())
		}
	}
	if err := d.Close(); err != nil {
		return err
	}
	f.trees = trees
	return nil
}

// learned is the number of events.
func (t *mondrian) learned() float64 {
	if len(t.nodes) == 0 {
		return 0
	}
	return t.nodes[t.root].n
}

func (t *mondrian) append(b []byte, width int) []byte {
	b = state.AppendUint(b, uint64(len(t.nodes)))
	if len(t.nodes) == 0 {
		return b
	}
	from := int32(none)
	for at := t.root; at != none; { // by the links, as a tree may be deep
		node := &t.nodes[at]
		back := from != node.parent
		if !back {
			b = t.appendNode(b, at, width)
		}
		from, at = at, node.following(from, back)
	}
	return b
}

// following is the node that a walk comes to after this one: the left child,
// back from that the right one, back from that the parent.
func (n *mondrianNode) following(from int32, back bool) int32 {
	switch {
	case n.feature == none:
		return n.parent
	case !back:
		return n.left
	case from == n.left:
		return n.right
	}
	return n.parent
}

func (t *mondrian) appendNode(b []byte, at int32, width int) []byte {
	node := &t.nodes[at]
	if node.feature != none {
		b = state.AppendUint(b, branchTag+uint64(node.feature))
		b = state.AppendFloat(b, node.threshold)
		b = state.AppendFloat(b, node.time)
		b = state.AppendFloat(b, node.mean)
		return state.AppendFloat(b, node.weight)
	}
	box := t.box(at, width)
	if node.isSingle(box) {
		b = state.AppendUint(b, singleTag)
		b = state.AppendFloat(b, node.mean)
		for j := range width {
			b = state.AppendFloat(b, box[2*j])
		}
		return b
	}
	b = state.AppendUint(b, leafTag)
	b = state.AppendUint(b, uint64(node.n))
	b = state.AppendFloat(b, node.mean)
	b = state.AppendFloat(b, node.weight)
	for j := range width {
		b = appendRange(b, box[2*j], box[2*j+1])
	}
	return b
}

// isSingle reports whether a leaf holds what singleTag says and no more.
func (n *mondrianNode) isSingle(box []float64) bool {
	if n.n != 1 || n.weight != 0 {
		return false
	}
	for j := 0; j < len(box); j += 2 {
		if box[j] != box[j+1] { // also where it is NaN
			return false
		}
	}
	return true
}

func appendRange(b []byte, low, high float64) []byte {
	switch {
	case math.IsNaN(low):
		return state.AppendUint(b, neverSeen)
	case low == high:
		return state.AppendFloat(state.AppendUint(b, oneValue), low)
	}
	return state.AppendFloat(state.AppendFloat(state.AppendUint(b, someRange), low), high)
}

// decode reads a tree into t, which has no nodes.
func (t *mondrian) decode(d *state.Decoder, width, limit int) {
	const smallest = 9 // a node of no features at all
	count := d.Len(smallest)
	if count > limit+1 || count > 0 && count%2 == 0 {
		d.Fail("has a tree of %d nodes, where an odd number up to %d is possible", count, limit+1)
	}
	parent := int32(none)
	for i := range count {
		at := t.decodeNode(d, parent, width)
		if d.Err() != nil {
			return
		}
		parent = t.attach(d, at, width)
		if (parent == none) != (i == count-1) {
			d.Fail("has a tree that does not end with its last node")
		}
	}
}

// attach makes a node that was read its parent's child and returns the node
// whose child comes next, having completed all those that have both.
func (t *mondrian) attach(d *state.Decoder, at int32, width int) int32 {
	node := &t.nodes[at]
	if node.parent != none {
		parent := &t.nodes[node.parent]
		if parent.left == none {
			parent.left = at
		} else {
			parent.right = at
		}
		if node.feature != none && node.time < parent.time {
			d.Fail("has a split before the one above it")
		}
	}
	if node.feature != none {
		return at
	}
	t.reweighOne(at)
	for at = node.parent; at != none && t.nodes[at].right != none; at = t.nodes[at].parent {
		t.complete(d, at, width)
	}
	return at
}

// complete computes what a branch is by its children.
func (t *mondrian) complete(d *state.Decoder, at int32, width int) {
	node := &t.nodes[at]
	node.n = t.nodes[node.left].n + t.nodes[node.right].n
	if node.n > most {
		d.Fail("has learned more than %v events", uint64(most))
	}
	box := t.box(at, width)
	for _, child := range []int32{node.left, node.right} {
		widen(box, t.box(child, width))
	}
	t.reweighOne(at)
}

// widen makes a box hold another one.
func widen(box, other []float64) {
	for j := 0; j < len(box); j += 2 {
		if other[j] < box[j] || math.IsNaN(box[j]) {
			box[j] = other[j]
		}
		if other[j+1] > box[j+1] || math.IsNaN(box[j+1]) {
			box[j+1] = other[j+1]
		}
	}
}

// What learning can come to, whatever it learns.
const (
	most     = 1 << 53 // events
	heaviest = 1e250   // the largest loss: 2**53 times the largest step times a squared error
)

// decodeNode appends a node that has no children yet.
func (t *mondrian) decodeNode(d *state.Decoder, parent int32, width int) int32 {
	node := mondrianNode{feature: none, parent: parent, left: none, right: none}
	switch tag := d.UintUpTo(branchTag + uint64(max(width-1, 0))); tag {
	case singleTag:
		node.n, node.mean = 1, d.FloatWithin(-beyond, beyond)
		at := t.grow(node, width)
		box := t.box(at, width)
		for j := 0; j < len(box); j += 2 {
			box[j] = d.FloatWithin(-beyond, beyond)
			box[j+1] = box[j]
		}
		return at
	case leafTag:
		if node.n = float64(d.UintUpTo(most)); node.n == 0 {
			d.Fail("has a leaf without events")
		}
		node.mean, node.weight = d.FloatWithin(-beyond, beyond), d.FloatWithin(-heaviest, 0)
		at := t.grow(node, width)
		box := t.box(at, width)
		for j := 0; j < len(box); j += 2 {
			box[j], box[j+1] = decodeRange(d)
		}
		return at
	default:
		node.feature = int32(tag - branchTag)
		node.threshold = d.FloatWithin(-beyond, beyond)
		node.time = d.FloatWithin(0, latest)
		node.mean, node.weight = d.FloatWithin(-beyond, beyond), d.FloatWithin(-heaviest, 0)
		return t.grow(node, width)
	}
}

func decodeRange(d *state.Decoder) (low, high float64) {
	switch d.UintUpTo(someRange) {
	case neverSeen:
		return math.NaN(), math.NaN()
	case oneValue:
		low = d.FloatWithin(-beyond, beyond)
		return low, low
	}
	low, high = d.FloatWithin(-beyond, beyond), d.FloatWithin(-beyond, beyond)
	if low > high {
		d.Fail("has a range from %v to %v", low, high)
	}
	return low, high
}
