package neighbors

import (
	"math"

	"tripcast.dev/functions/online"
)

var _ online.Explainer = (*Regressor)(nil)

// Explain tells how full the window is, and the range of the labels in it. The
// events themselves are the model; there is no shorter account of them.
func (r *Regressor) Explain(features []string) online.Explanation {
	weights := map[string]float64{}
	for i, w := range r.config.Weights {
		weights[features[i]] = w
	}
	precision := "float64"
	if r.config.Float32 {
		precision = "float32"
	}
	e := online.Explanation{
		Kind: regressorKind,
		Parameters: map[string]any{
			"n_neighbors": r.config.NNeighbors, "window_size": r.config.WindowSize,
			"aggregation_method": string(r.config.AggregationMethod), "p": r.config.P,
			"min_distance_keep": r.config.MinDistanceKeep, "smoothing": r.config.Smoothing, "precision": precision,
		},
		Counts: map[string]int{"features": r.width, "events": r.window.len()},
	}
	if len(weights) > 0 {
		e.Parameters["weights"] = weights
	}
	if r.window.len() == 0 {
		return e
	}
	low, high, mean := math.MaxFloat64, -math.MaxFloat64, 0.0
	n := 0.0
	for _, y := range r.window.all {
		low, high = min(low, y), max(high, y)
		n++
		mean += y/n - mean/n // cannot be larger than the largest label
	}
	e.Values = map[string]float64{"lowest_label": low, "highest_label": high, "mean_label": mean}
	return e
}
