package tree

// Node is a node of a tree, as Walk shows it.
type Node struct {
	Depth     int
	Leaf      bool
	Feature   int     // of a branch, the place in the vector
	Threshold float64 // of a branch: at most this goes to the left
	Weight    float64 // of the labels learned by the leaf, or by those below the branch
	Mean      float64 // of the labels learned by the leaf
	Alternate bool    // it is the root of an alternate tree of the branch before it
}

// Walk yields the nodes, depth first: a branch, then what is left and right of it.
func (t *HoeffdingRegressor) Walk(yield func(Node) bool) { t.walk(yield) }

// Walk yields the nodes, depth first: a branch, what is left and right of it,
// and its alternate tree.
func (t *AdaptiveRegressor) Walk(yield func(Node) bool) { t.walk(yield) }

func (g *growth) walk(yield func(Node) bool) {
	if g.root != nil {
		g.root.walk(false, yield)
	}
}

func (n *node) walk(alternate bool, yield func(Node) bool) bool {
	at := Node{Depth: int(n.depth), Weight: n.total(), Alternate: alternate}
	if n.leaf != nil {
		at.Leaf, at.Mean = true, n.leaf.labels.mean
		return yield(at)
	}
	at.Feature, at.Threshold = int(n.feature), n.threshold
	if !yield(at) || !n.left.walk(false, yield) || !n.right.walk(false, yield) {
		return false
	}
	if n.watch == nil || n.watch.alternate == nil {
		return true
	}
	return n.watch.alternate.walk(true, yield)
}
