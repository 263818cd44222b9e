package tree

import (
	"math"

	"tripcast.dev/functions/online"
)

var (
	_ online.Explainer = (*HoeffdingRegressor)(nil)
	_ online.Explainer = (*AdaptiveRegressor)(nil)
)

// Explain tells the tree, and how large it is.
func (t *HoeffdingRegressor) Explain(features []string) online.Explanation {
	return t.explain(hoeffdingKind, features)
}

// Explain tells the tree with its alternate trees, and what has become of those.
func (t *AdaptiveRegressor) Explain(features []string) online.Explanation {
	e := t.explain(adaptiveKind, features)
	e.Parameters["bootstrap_sampling"] = t.config.BootstrapSampling
	e.Parameters["drift_window_threshold"] = t.config.DriftWindowThreshold
	e.Parameters["switch_significance"] = t.config.SwitchSignificance
	e.Parameters["alternate_trees"] = "fixed"
	switch {
	case t.config.Before022:
		e.Parameters["alternate_trees"] = "compat-0.13"
	case t.config.Compat:
		e.Parameters["alternate_trees"] = "compat"
	}
	e.Counts["alternates_begun"] = t.counts.Alternates
	e.Counts["alternates_switched"] = t.counts.Switched
	e.Counts["alternates_pruned"] = t.counts.Pruned
	e.Counts["alternates_unchecked"] = t.counts.Unchecked
	return e
}

// explain describes a growing tree of a kind.
func (g *growth) explain(kind string, features []string) online.Explanation {
	c := g.config
	e := online.Explanation{
		Kind: kind,
		Parameters: map[string]any{
			"grace_period": c.GracePeriod, "max_depth": c.MaxDepth, "delta": c.Delta, "tau": c.Tau,
			"leaf_prediction": string(c.LeafPrediction), "model_selector_decay": c.ModelSelectorDecay,
			"splitter": string(c.Splitter), "digits": c.Digits, "min_samples_split": c.MinSamplesSplit,
			"max_leaves": c.MaxLeaves, "max_keys": c.MaxKeys,
		},
		Counts: map[string]int{
			"features": g.width, "nodes": 0, "leaves": g.leaves, "leaves_inactive": 0, "depth": 0, "keys": g.keys, "samples": 0,
		},
	}
	if g.subset != nil {
		e.Parameters["max_features"] = g.subset.Size
	}
	if g.adapts {
		e.Counts["alternates"], e.Counts["drift_alarms"] = 0, 0
	}
	if g.root != nil {
		e.Tree = g.root.explain(&e, features, c.LeafPrediction)
		e.Counts["samples"] = int(min(e.Tree.Samples, 1<<53))
	}
	return e
}

// explain describes a node and all below it, and counts them in e.
func (n *node) explain(e *online.Explanation, features []string, with LeafPrediction) *online.Node {
	e.Counts["nodes"]++
	e.Counts["depth"] = max(e.Counts["depth"], int(n.depth))
	if n.watch != nil {
		e.Counts["drift_alarms"] += n.watch.detector.Detections()
	}
	if l := n.leaf; l != nil {
		if l.inactive {
			e.Counts["leaves_inactive"]++
		}
		usesMean := with == Mean || with == Adaptive && l.meanError < l.modelError
		return &online.Node{Samples: l.labels.n, Mean: l.labels.mean, Model: !usesMean}
	}
	b := &online.Node{Feature: features[n.feature], Threshold: n.threshold, Samples: n.total()}
	b.Left = n.left.explain(e, features, with)
	b.Right = n.right.explain(e, features, with)
	b.Mean = meanOf(b.Left, b.Right)
	if n.watch != nil && n.watch.alternate != nil {
		e.Counts["alternates"]++
		b.Alternate = n.watch.alternate.explain(e, features, with)
	}
	return b
}

// meanOf is the mean of the labels of two nodes, as far from either as the
// other has learned more. It stays between the two, whatever they are.
func meanOf(a, b *online.Node) float64 {
	all := a.Samples + b.Samples
	if !(all > 0) || math.IsInf(all, 0) {
		return a.Mean
	}
	return float64(a.Mean*(a.Samples/all)) + float64(b.Mean*(b.Samples/all))
}
