package compose

import "tripcast.dev/functions/online"

var (
	_ online.Explainer = (*Select)(nil)
	_ online.Explainer = (*Clamp)(nil)
	_ online.Explainer = (*TargetTransform)(nil)
)

// Explain tells what is selected.
func (s *Select) Explain(features []string) online.Explanation {
	return online.Explanation{
		Kind:       selectKind,
		Parameters: map[string]any{"features": s.Names(features)},
		Counts:     map[string]int{"features": s.width, "features_out": len(s.columns)},
	}
}

// Explain tells the range of the labels, if there were any, and of the model.
func (c *Clamp) Explain(features []string) online.Explanation {
	e := online.Explanation{
		Kind:   clampKind,
		Counts: map[string]int{"features": c.Width()},
		Parts:  []online.Part{{Role: "model", Explanation: online.Explain(c.model, features)}},
	}
	if c.low <= c.high {
		e.Values = map[string]float64{"lowest_label": c.low, "highest_label": c.high}
	}
	return e
}

// Explain tells the scale, and of the model, whose labels are on it.
func (t *TargetTransform) Explain(features []string) online.Explanation {
	return online.Explanation{
		Kind:       targetKind,
		Parameters: map[string]any{"transform": t.transform.String()},
		Counts:     map[string]int{"features": t.Width()},
		Parts:      []online.Part{{Role: "model", Explanation: online.Explain(t.model, features)}},
	}
}

// String is the name of the scale in a catalogue.
func (t Transform) String() string {
	if t == Sqrt {
		return "sqrt"
	}
	return "log1p"
}
