package tree

import "math"

// ebst is the extended binary search tree of Ikonomovska et al. (Learning model
// trees from evolving data streams, 2011): it watches one feature in a leaf and
// finds where best to split it. Every node holds a value of the feature and the
// moments of the labels that passed it on their way to it or to the left, so
// that a walk in order finds the moments on both sides of every value.
//
// It computes what river/tree/splitter/ebst_splitter.py computes.
type ebst struct {
	feature int32
	nodes   []ebstNode // the root first
}

type ebstNode struct {
	key         float64
	left, right uint32 // 0 is none: the root is no child
	labels      moments
}

// insert counts a label at a value of the feature and reports whether that is
// new. Where it may not grow it counts at the nearest value on the way.
func (t *ebst) insert(key, y, w float64, grow bool) bool {
	if len(t.nodes) == 0 {
		t.add(key, y, w)
		return true
	}
	if !grow {
		key = t.nearest(key)
	}
	at := uint32(0)
	for {
		n := &t.nodes[at]
		switch {
		case key == n.key:
			n.labels.add(y, w)
			return false
		case key < n.key:
			n.labels.add(y, w)
			if n.left == 0 {
				n.left = uint32(len(t.nodes))
				t.add(key, y, w)
				return true
			}
			at = n.left
		default:
			if n.right == 0 {
				n.right = uint32(len(t.nodes))
				t.add(key, y, w)
				return true
			}
			at = n.right
		}
	}
}

func (t *ebst) add(key, y, w float64) {
	n := ebstNode{key: key}
	n.labels.add(y, w)
	t.nodes = append(t.nodes, n)
}

// nearest returns the value nearest to key among those on the way to it.
func (t *ebst) nearest(key float64) float64 {
	best := t.nodes[0].key
	for at := uint32(0); ; {
		n := &t.nodes[at]
		if math.Abs(n.key-key) < math.Abs(best-key) {
			best = n.key
		}
		switch {
		case key == n.key:
			return key
		case key < n.key:
			at = n.left
		default:
			at = n.right
		}
		if at == 0 {
			return best
		}
	}
}

// split is a candidate: x <= key goes to the left.
type split struct {
	merit       float64 // by how much it reduces the variance of the labels
	feature     int32   // -1 for not to split
	key         float64
	left, right moments
}

// noSplit is River's null split.
func noSplit() split { return split{merit: math.Inf(-1), feature: -1} }

// walk is a walk through an ebst in the order of its values.
type walk struct {
	nodes      []ebstNode
	feature    int32
	minSamples float64 // on either side of a split
	pre        moments // of all labels
	variance   float64 // of all labels
	passed     moments // of those on the nodes whose right subtree is being walked
}

func (t *ebst) walk(labels *moments, minSamples float64) walk {
	return walk{nodes: t.nodes, feature: t.feature, minSamples: minSamples, pre: *labels, variance: labels.variance()}
}

// best returns the best split of labels, or noSplit. Of equals it is the first.
func (t *ebst) best(labels *moments, minSamples float64) split {
	best := noSplit()
	if len(t.nodes) > 0 {
		w := t.walk(labels, minSamples)
		w.search(0, &best)
	}
	return best
}

func (w *walk) search(at uint32, best *split) {
	n := &w.nodes[at]
	if n.left != 0 {
		w.search(n.left, best)
	}
	if s := w.split(n); s.merit > best.merit {
		*best = s
	}
	if n.right != 0 {
		w.passed.merge(&n.labels)
		w.search(n.right, best)
		w.passed.remove(&n.labels)
	}
}

// split is the split at a node: river/tree/split_criterion/variance_reduction_split_criterion.py.
func (w *walk) split(n *ebstNode) split {
	left := n.labels
	left.merge(&w.passed)
	if left.n < w.minSamples || w.pre.n-left.n < w.minSamples {
		return split{feature: w.feature, key: n.key} // of no merit, so never taken
	}
	right := w.pre
	right.remove(&left)
	merit := w.variance
	merit -= float64(left.n / w.pre.n * left.variance())
	merit -= float64(right.n / w.pre.n * right.variance())
	return split{merit, w.feature, n.key, left, right}
}

// removeBad takes out values that, after a split was decided against, are so
// much worse than the best that they will hardly ever be the best: those whose
// merit is below limit times that of the best, and all below which are as well.
// It returns how many they were.
func (t *ebst) removeBad(labels *moments, minSamples, best, limit float64) int {
	if len(t.nodes) == 0 {
		return 0
	}
	w := t.walk(labels, minSamples)
	if w.removeBad(0, best, limit) {
		removed := len(t.nodes)
		t.nodes = nil
		return removed
	}
	kept := count(t.nodes, 0)
	removed := len(t.nodes) - kept
	if removed > 0 {
		nodes := make([]ebstNode, 0, kept+kept/4)
		keep(&nodes, t.nodes, 0)
		t.nodes = nodes
	}
	return removed
}

// removeBad unlinks what is bad below a node and reports whether it is bad itself.
func (w *walk) removeBad(at uint32, best, limit float64) bool {
	n := &w.nodes[at]
	if n.left != 0 {
		if !w.removeBad(n.left, best, limit) {
			return false
		}
		n.left = 0
	}
	if n.right != 0 {
		w.passed.merge(&n.labels)
		bad := w.removeBad(n.right, best, limit)
		w.passed.remove(&n.labels)
		if !bad {
			return false
		}
		n.right = 0
	}
	s := w.split(n)
	return s.merit/best < limit
}

func count(nodes []ebstNode, at uint32) int {
	c := 1
	if l := nodes[at].left; l != 0 {
		c += count(nodes, l)
	}
	if r := nodes[at].right; r != 0 {
		c += count(nodes, r)
	}
	return c
}

// keep appends what hangs on a node to dst and returns where it is there.
func keep(dst *[]ebstNode, nodes []ebstNode, at uint32) uint32 {
	n := nodes[at]
	to := uint32(len(*dst))
	*dst = append(*dst, n)
	if n.left != 0 {
		l := keep(dst, nodes, n.left)
		(*dst)[to].left = l
	}
	if n.right != 0 {
		r := keep(dst, nodes, n.right)
		(*dst)[to].right = r
	}
	return to
}
