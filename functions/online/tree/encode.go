package tree

import (
	"tripcast.dev/functions/online/state"
)

// The encoding of a tree is its nodes, depth first. Whatever follows from them
// is left out: depths, the weights of branches, where nodes are in memory.
// Weights are whole numbers. Each node begins with flags.
const (
	isBranch = 1 << iota
	isWatched
	hasAlternate
	isInactive
	allFlags = 1<<iota - 1
)

// Each node of an ebst begins with its weight and, in the lowest bits, flags.
// In an ebst most of whose nodes hold sums there are two of them, so that weights
// up to 31 take a byte; a node that holds mean and deviation all the same has the
// weight 0 there and its own after the key. The feature of such an ebst is
// written with the width added to it.
const (
	hasLeft = 1 << iota
	hasRight
	hasDeviation // s is not 0; not in an ebst of sums

	sumFlags   = 2 // bits
	plainFlags = 3
)

func (g *growth) encode(b []byte) []byte {
	b = state.AppendUint(b, uint64(g.width))
	b = state.AppendBool(b, g.root != nil)
	if g.root != nil {
		b = g.encodeNode(b, g.root)
	}
	return b
}

func (g *growth) encodeNode(b []byte, n *node) []byte {
	var flags uint64
	if n.leaf == nil {
		flags |= isBranch
	} else if n.leaf.inactive {
		flags |= isInactive
	}
	if n.watch != nil {
		flags |= isWatched
		if n.watch.alternate != nil {
			flags |= hasAlternate
		}
	}
	b = state.AppendUint(b, flags)
	if n.watch != nil {
		b = n.watch.append(b)
		if n.watch.alternate != nil {
			b = g.encodeNode(b, n.watch.alternate)
		}
	}
	if n.leaf != nil {
		return g.encodeLeaf(b, n.leaf)
	}
	b = state.AppendUint(b, uint64(n.feature))
	b = g.appendKey(b, n.threshold)
	return g.encodeNode(g.encodeNode(b, n.left), n.right)
}

func (g *growth) encodeLeaf(b []byte, l *leaf) []byte {
	b = l.labels.append(b)
	b = state.AppendUint(b, uint64(l.labels.n-l.lastAttempt))
	if g.config.LeafPrediction == Adaptive {
		b = state.AppendFloat(b, l.meanError)
		b = state.AppendFloat(b, l.modelError)
	}
	if g.config.LeafPrediction != Mean {
		b = state.AppendFloat(b, l.model.intercept)
		for _, w := range l.model.weights {
			b = state.AppendFloat(b, w)
		}
	}
	if g.subset != nil {
		b = state.AppendUint(b, uint64(len(l.sampled)))
		for _, feature := range l.sampled {
			b = state.AppendUint(b, uint64(feature))
		}
	}
	b = state.AppendUint(b, uint64(len(l.splitters)))
	for i := range l.splitters {
		b = g.encodeEBST(b, &l.splitters[i])
	}
	return b
}

func (g *growth) encodeEBST(b []byte, s *ebst) []byte {
	withSums := 0
	for i := range s.nodes {
		if _, ok := s.nodes[i].labels.sums(); ok {
			withSums++
		}
	}
	sums := withSums*2 > len(s.nodes)
	feature := uint64(s.feature)
	if sums {
		feature += uint64(g.width)
	}
	b = state.AppendUint(b, feature)
	b = state.AppendUint(b, uint64(len(s.nodes)))
	if len(s.nodes) > 0 {
		b = g.encodeEBSTNode(b, s.nodes, 0, sums)
	}
	return b
}

func (g *growth) encodeEBSTNode(b []byte, nodes []ebstNode, at uint32, sums bool) []byte {
	n := &nodes[at]
	var head uint64
	if n.left != 0 {
		head |= hasLeft
	}
	if n.right != 0 {
		head |= hasRight
	}
	if sums {
		b = g.appendSums(b, head, n)
	} else {
		b = g.appendPlain(b, head, n)
	}
	if n.left != 0 {
		b = g.encodeEBSTNode(b, nodes, n.left, sums)
	}
	if n.right != 0 {
		b = g.encodeEBSTNode(b, nodes, n.right, sums)
	}
	return b
}

func (g *growth) appendSums(b []byte, head uint64, n *ebstNode) []byte {
	packed, ok := n.labels.sums()
	if !ok {
		return n.labels.append(g.appendKey(state.AppendUint(b, head), n.key))
	}
	head |= uint64(n.labels.n) << sumFlags
	return packed.append(g.appendKey(state.AppendUint(b, head), n.key), n.labels.n)
}

func (g *growth) appendPlain(b []byte, head uint64, n *ebstNode) []byte {
	head |= uint64(n.labels.n) << plainFlags
	if n.labels.s != 0 {
		head |= hasDeviation
	}
	b = state.AppendFloat(g.appendKey(state.AppendUint(b, head), n.key), n.labels.mean)
	if n.labels.s != 0 {
		b = state.AppendFloat(b, n.labels.s)
	}
	return b
}

// appendKey appends a value of a feature: where values are rounded, the whole
// number of units in its last place, with the sign in the lowest bit, plus one;
// or zero and the float.
func (g *growth) appendKey(b []byte, key float64) []byte {
	if g.config.Splitter == EBST {
		return state.AppendFloat(b, key)
	}
	units, exact := g.digits.whole(key)
	if !exact {
		return state.AppendFloat(state.AppendUint(b, 0), key)
	}
	return state.AppendUint(b, zigzag(units)+1)
}

func (m *moments) append(b []byte) []byte {
	b = state.AppendUint(b, uint64(m.n))
	b = state.AppendFloat(b, m.mean)
	return state.AppendFloat(b, m.s)
}
