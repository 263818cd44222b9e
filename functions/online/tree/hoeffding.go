// Package tree holds decision trees that grow while they learn, as river.tree
// does. A leaf splits once it has seen enough to be sure, by Hoeffding's bound,
// that its best split is better than its second best (Domingos and Hulten:
// Mining high-speed data streams, 2000).
package tree

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	hoeffdingKind   = "HoeffdingTreeRegressor"
	hoeffdingFormat = 1
)

// HoeffdingRegressor is a regression tree that splits where the variance of the
// labels falls most, and predicts with a mean or a linear regression in every
// leaf (Ikonomovska et al.: Learning model trees from evolving data streams, 2011).
// All splits are binary. Features should be scaled first, for the regressions
// and because a TEBST rounds them to one decimal.
//
// It computes what river/tree/hoeffding_tree_regressor.py of River 0.26.1
// computes with its default leaf model, in the same order. Where the feature of
// a split is missing, an event goes to the child that has learned more, and
// gives no leaf occasion to split. A label above 1e100 or below -1e100 is not
// learned.
type HoeffdingRegressor struct {
	growth
	path []*node // scratch
}

var _ online.Regressor = (*HoeffdingRegressor)(nil)

// NewHoeffdingRegressor returns a tree on vectors of this width. Parameters
// outside their bounds are taken as the nearest within.
func NewHoeffdingRegressor(width int, config Config) *HoeffdingRegressor {
	return &HoeffdingRegressor{growth: newGrowth(width, config, nil)}
}

// NewRandomHoeffdingRegressor returns a tree whose leaves watch a few features each.
func NewRandomHoeffdingRegressor(width int, config Config, subset Subset) *HoeffdingRegressor {
	subset.Size = max(subset.Size, 1)
	return &HoeffdingRegressor{growth: newGrowth(width, config, &subset)}
}

// HoeffdingRegressorKind builds a HoeffdingRegressor from a catalogue. Its
// parameters are those of ReadConfig.
func HoeffdingRegressorKind(p *online.Params) online.Regressor {
	return NewHoeffdingRegressor(p.Width(), ReadConfig(p))
}

// Width is the number of features.
func (t *HoeffdingRegressor) Width() int { return t.width }

// Predict returns what the leaf where x ends predicts, 0 with nothing learned.
func (t *HoeffdingRegressor) Predict(x []float64) float64 {
	if t.root == nil {
		return 0
	}
	return orNaN(t.root.end(x).predict(x, t.config.LeafPrediction))
}

func orNaN(y float64) float64 {
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

// Learn learns an event of weight 1.
func (t *HoeffdingRegressor) Learn(x []float64, y float64) { t.LearnWeighted(x, y, 1) }

// LearnWeighted learns an event that counts as w, a whole number. With w below 1
// nothing is learned.
func (t *HoeffdingRegressor) LearnWeighted(x []float64, y float64, w int) {
	if !(math.Abs(y) <= maxLabel) || w < 1 {
		return
	}
	if t.root == nil {
		t.root = t.newLeaf(0, moments{}, nil)
		t.root.leaf.inactive = t.config.MaxLeaves == 1
	}
	slot, missed := &t.root, false
	t.path = t.path[:0]
	for n := *slot; n.leaf == nil; n = *slot {
		t.path = append(t.path, n)
		child, missing := n.next(x)
		slot, missed = child, missed || missing
	}
	t.learnIn(*slot, x, y, float64(w))
	if !missed {
		t.grow(slot)
	}
	for i := len(t.path) - 1; i >= 0; i-- {
		t.path[i].recount()
	}
}

// grow splits a leaf if it is time, or ends its search where it lies too deep.
func (t *HoeffdingRegressor) grow(slot **node) {
	n := *slot
	if int(n.depth) >= t.config.MaxDepth {
		t.deactivate(n.leaf)
		return
	}
	if !t.due(n.leaf) {
		return
	}
	if branch := t.attempt(n); branch != nil {
		*slot = branch
		if t.leaves >= t.config.MaxLeaves {
			t.rest(t.root)
		}
	}
}

// rest ends the search of all leaves: none will ever split.
func (t *HoeffdingRegressor) rest(n *node) {
	if n.leaf != nil {
		t.deactivate(n.leaf)
		return
	}
	t.rest(n.left)
	t.rest(n.right)
}

// AppendBinary appends the tree.
func (t *HoeffdingRegressor) AppendBinary(b []byte) ([]byte, error) {
	return t.encode(state.AppendHeader(b, hoeffdingKind, hoeffdingFormat)), nil
}

// UnmarshalBinary reads what a tree of the same width and parameters has written.
func (t *HoeffdingRegressor) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, hoeffdingKind, hoeffdingFormat)
	read := t.blank()
	read.decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	t.growth, t.path = read, nil
	return nil
}
