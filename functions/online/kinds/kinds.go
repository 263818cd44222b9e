// Package kinds names every model and transformer that tripcast ships, so that
// a catalogue can be read with all of them.
package kinds

import (
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/compose"
	"tripcast.dev/functions/online/ensemble"
	"tripcast.dev/functions/online/forest"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/neighbors"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/tree"
)

// All returns them under River's names. The maps are the caller's: add your own.
func All() online.Kinds {
	return online.Kinds{
		Transformers: map[string]func(*online.Params) online.Transformer{
			"Select":              compose.SelectKind,
			"StandardScaler":      preprocess.StandardScalerKind,
			"FixedScaler":         preprocess.FixedScalerKind,
			"FunctionTransformer": preprocess.FunctionTransformerKind,
			"Harmonics":           preprocess.HarmonicsKind,
			"PolynomialExtender":  preprocess.PolynomialExtenderKind,
		},
		Regressors: map[string]func(*online.Params) online.Regressor{
			"AdaptiveRandomForestRegressor":  forest.ARFRegressorKind,
			"AMFRegressor":                   forest.AMFRegressorKind,
			"BaggingRegressor":               ensemble.BaggingKind,
			"HedgeRegressor":                 ensemble.HedgeKind,
			"ResidualRegressor":              ensemble.ResidualKind,
			"HoeffdingTreeRegressor":         tree.HoeffdingRegressorKind,
			"HoeffdingAdaptiveTreeRegressor": tree.AdaptiveRegressorKind,
			"KNNRegressor":                   neighbors.RegressorKind,
			"LinearRegression":               linear.RegressionKind,
			"BayesianLinearRegression":       linear.BayesianRegressionKind,
			"ClampRegressor":                 compose.ClampKind,
			"TargetTransformRegressor":       compose.TargetTransformKind,
		},
	}
}
