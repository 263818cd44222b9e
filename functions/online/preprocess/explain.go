package preprocess

import "tripcast.dev/functions/online"

var (
	_ online.Explainer = (*StandardScaler)(nil)
	_ online.Explainer = (*FixedScaler)(nil)
	_ online.Explainer = (*FunctionTransformer)(nil)
	_ online.Explainer = (*Harmonics)(nil)
	_ online.Explainer = (*PolynomialExtender)(nil)
)

// Explain tells the mean and the standard deviation of every feature.
func (s *StandardScaler) Explain(features []string) online.Explanation {
	e := online.Explanation{Kind: scalerKind, Counts: map[string]int{"features": len(s.columns), "features_out": len(s.columns)}}
	for i, c := range s.columns {
		e.Scales = append(e.Scales, online.Scale{Feature: features[i], Samples: int(c.n), Mean: c.mean, Deviation: c.deviation})
	}
	return e
}

// Explain tells the offset of every feature, as its mean, and the scale, as its deviation.
func (s *FixedScaler) Explain(features []string) online.Explanation {
	e := s.explain(nil)
	for i, offset := range s.offset {
		e.Scales = append(e.Scales, online.Scale{Feature: features[i], Mean: offset, Deviation: s.scale[i]})
	}
	return e
}

// Explain tells which function is of which features.
func (t *FunctionTransformer) Explain(features []string) online.Explanation {
	return t.explain(map[string]any{"function": functions[t.function], "features": named(t.columns, features)})
}

// Explain tells which features are angles.
func (h *Harmonics) Explain(features []string) online.Explanation {
	return h.explain(map[string]any{"features": named(h.columns, features), "period": h.period, "order": h.order})
}

// Explain tells how many features it makes.
func (e *PolynomialExtender) Explain([]string) online.Explanation {
	return e.explain(map[string]any{
		"degree": e.config.Degree, "interaction_only": e.config.InteractionOnly, "include_bias": e.config.IncludeBias,
	})
}

// explain describes what has learned nothing.
func (s stateless) explain(parameters map[string]any) online.Explanation {
	return online.Explanation{
		Kind: s.kind, Parameters: parameters,
		Counts: map[string]int{"features": s.in, "features_out": s.out},
	}
}

func named(columns []int, features []string) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = features[c]
	}
	return names
}
