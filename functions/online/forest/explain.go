package forest

import (
	"fmt"

	"tripcast.dev/functions/online"
)

var (
	_ online.Explainer = (*AMFRegressor)(nil)
	_ online.Explainer = (*ARFRegressor)(nil)
)

// mondrianKind is River's name of a tree of an AMFRegressor.
const mondrianKind = "MondrianTreeRegressor"

// Explain tells every tree.
func (f *AMFRegressor) Explain(features []string) online.Explanation {
	e := online.Explanation{
		Kind: amfKind,
		Parameters: map[string]any{
			"n_estimators": f.config.NEstimators, "step": f.config.Step,
			"use_aggregation": f.config.UseAggregation, "max_nodes": f.config.MaxNodes,
		},
		Counts: map[string]int{"features": f.Width(), "models": len(f.trees), "nodes": 0},
	}
	for i := range f.trees {
		t := f.trees[i].explain(features)
		e.Counts["nodes"] += t.Counts["nodes"]
		e.Parts = append(e.Parts, online.Part{Role: fmt.Sprintf("tree %d", i+1), Explanation: t})
	}
	return e
}

// explain describes a tree. Its nodes all predict, and their means are mixed.
func (t *mondrian) explain(features []string) online.Explanation {
	e := online.Explanation{
		Kind:   mondrianKind,
		Counts: map[string]int{"features": len(features), "nodes": len(t.nodes), "leaves": 0, "depth": 0, "samples": 0},
	}
	if len(t.nodes) == 0 {
		return e
	}
	e.Tree = t.explainNode(&e, t.root, features, 0)
	e.Counts["samples"] = int(min(e.Tree.Samples, 1<<53))
	return e
}

func (t *mondrian) explainNode(e *online.Explanation, at int32, features []string, depth int) *online.Node {
	n := &t.nodes[at]
	e.Counts["depth"] = max(e.Counts["depth"], depth)
	node := &online.Node{Samples: n.n, Mean: n.mean}
	if n.feature == none {
		e.Counts["leaves"]++
		return node
	}
	node.Feature, node.Threshold = features[n.feature], n.threshold
	node.Left = t.explainNode(e, n.left, features, depth+1)
	node.Right = t.explainNode(e, n.right, features, depth+1)
	return node
}

// Explain tells every tree, and the one that grows in its background if there is
// one, and how often each was warned of and replaced.
func (f *ARFRegressor) Explain(features []string) online.Explanation {
	c := f.config
	generator, aggregation := "shared", "mean"
	if c.Generators {
		generator = "member"
	}
	if c.Median {
		aggregation = "median"
	}
	e := online.Explanation{
		Kind: arfKind,
		Parameters: map[string]any{
			"n_models": c.NModels, "max_features": c.MaxFeatures, "lambda_value": c.LambdaValue,
			"aggregation_method": aggregation, "disable_weighted_vote": c.DisableWeightedVote,
			"drift_delta": c.DriftDelta, "warning_delta": c.WarningDelta, "generator": generator,
		},
		Counts: map[string]int{"features": f.width, "models": len(f.members), "backgrounds": 0, "nodes": 0, "warnings": 0, "drift_alarms": 0},
	}
	for i := range f.members {
		m := &f.members[i]
		part := online.Part{
			Role:        fmt.Sprintf("tree %d", i+1),
			Values:      map[string]float64{"mean_squared_error": m.squared.Get(), "warnings": float64(m.warnings), "drift_alarms": float64(m.drifts)},
			Explanation: m.tree.Explain(features),
		}
		e.Parts = append(e.Parts, part)
		e.Counts["nodes"] += part.Explanation.Counts["nodes"]
		e.Counts["warnings"] += m.warnings
		e.Counts["drift_alarms"] += m.drifts
		if m.background != nil {
			e.Counts["backgrounds"]++
			e.Parts = append(e.Parts, online.Part{Role: fmt.Sprintf("background of tree %d", i+1), Explanation: m.background.Explain(features)})
		}
	}
	return e
}
