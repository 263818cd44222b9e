package ensemble

import (
	"fmt"

	"tripcast.dev/functions/online"
)

var (
	_ online.Explainer = (*Bagging)(nil)
	_ online.Explainer = (*Hedge)(nil)
	_ online.Explainer = (*Residual)(nil)
)

// explain describes the members, which are called so.
func (m members) explain(role string, features []string) []online.Part {
	parts := make([]online.Part, len(m))
	for i, model := range m {
		parts[i] = online.Part{Role: fmt.Sprintf("%s %d", role, i+1), Explanation: online.Explain(model, features)}
	}
	return parts
}

// Explain tells of every copy of the model.
func (b *Bagging) Explain(features []string) online.Explanation {
	return online.Explanation{
		Kind:       baggingKind,
		Parameters: map[string]any{"n_models": len(b.members)},
		Counts:     map[string]int{"features": b.Width(), "models": len(b.members)},
		Parts:      b.explain("model", features),
	}
}

// Explain tells of every expert, and its weight and its mean absolute error, in
// the label's unit.
func (h *Hedge) Explain(features []string) online.Explanation {
	e := online.Explanation{
		Kind: hedgeKind,
		Parameters: map[string]any{
			"learning_rate": h.config.LearningRate, "share": h.config.Share, "window": h.config.Window, "aggregation": "mean",
		},
		Counts: map[string]int{"features": h.Width(), "models": len(h.members)},
		Parts:  h.explain("expert", features),
	}
	if h.config.Aggregation == Median {
		e.Parameters["aggregation"] = "median"
	}
	for i, x := range h.experts {
		e.Parts[i].Values = map[string]float64{"weight": x.weight, "error": x.err, "judged": float64(x.n)}
	}
	return e
}

// Explain tells of every model of the chain, and how many of them learn by now.
func (r *Residual) Explain(features []string) online.Explanation {
	return online.Explanation{
		Kind:       residualKind,
		Parameters: map[string]any{"warm_up": r.warmUp},
		Counts:     map[string]int{"features": r.Width(), "models": len(r.members), "awake": len(r.awake())},
		Parts:      r.explain("stage", features),
	}
}
