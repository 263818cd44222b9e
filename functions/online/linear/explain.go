package linear

import (
	"fmt"
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/optim"
)

var (
	_ online.Explainer = (*Regression)(nil)
	_ online.Explainer = (*BayesianRegression)(nil)
)

// Explain tells the intercept, the weights, and how many steps were taken where
// the optimizer counts them.
func (r *Regression) Explain(features []string) online.Explanation {
	intercept := r.intercept
	e := online.Explanation{
		Kind: regressionKind,
		Parameters: map[string]any{
			"intercept_lr": r.config.InterceptLR, "intercept_init": r.config.InterceptInit,
			"clip_gradient": r.config.ClipGradient, "lr": r.config.LR, "l1": r.config.L1, "l2": r.config.L2,
		},
		Counts:    map[string]int{"features": r.Width()},
		Intercept: &intercept,
	}
	if !r.weights.Plain() {
		e.Counts["steps"] = int(r.weights.Steps())
	}
	describeOptimizer(r.config.Optimizer, e.Parameters)
	describeLoss(r.config.Loss, e.Parameters)
	for i, w := range r.weights.Values() {
		e.Coefficients = append(e.Coefficients, online.Coefficient{Feature: features[i], Weight: w})
	}
	return e
}

// describeOptimizer names an optimizer and its parameters as the catalogue does.
func describeOptimizer(o optim.Optimizer, to map[string]any) {
	switch o := o.(type) {
	case nil, optim.SGD:
		to["optimizer"] = "SGD"
	case optim.Momentum:
		to["optimizer"], to["rho"] = "Momentum", o.Rho
	case optim.AdaGrad:
		to["optimizer"], to["eps"] = "AdaGrad", o.Eps
	case optim.Adam:
		to["optimizer"], to["beta_1"], to["beta_2"], to["eps"] = "Adam", o.Beta1, o.Beta2, o.Eps
	default:
		to["optimizer"] = fmt.Sprintf("%T", o)
	}
}

func describeLoss(l optim.Loss, to map[string]any) {
	switch l := l.(type) {
	case optim.Squared:
		to["loss"] = "Squared"
	case optim.Absolute:
		to["loss"] = "Absolute"
	case optim.Huber:
		to["loss"], to["epsilon"] = "Huber", l.Epsilon
	case optim.Quantile:
		to["loss"], to["alpha"] = "Quantile", l.Alpha
	default:
		to["loss"] = fmt.Sprintf("%T", l)
	}
}

// Explain tells the mean and the standard deviation of every weight. There is no
// intercept.
func (r *BayesianRegression) Explain(features []string) online.Explanation {
	e := online.Explanation{
		Kind: bayesianKind,
		Parameters: map[string]any{
			"alpha": r.config.Alpha, "beta": r.config.Beta, "smoothing": r.config.Smoothing,
			"huber": r.config.Huber, "max_windup": r.config.MaxWindup,
		},
		Counts: map[string]int{"features": r.Width()},
	}
	for i, variance := range r.now.variances() {
		deviation := min(math.Sqrt(variance), math.MaxFloat64)
		e.Coefficients = append(e.Coefficients, online.Coefficient{Feature: features[i], Weight: r.weights[i], Deviation: &deviation})
	}
	return e
}

// variances are the diagonal of U*D*Uᵀ: that of every weight. One may be
// infinite where it is too large to tell.
func (f factors) variances() []float64 {
	variances := append([]float64(nil), f.d...)
	u := f.u
	for j, d := range f.d {
		for i, uij := range u[:j] {
			if d != 0 {
				variances[i] += float64(float64(uij*uij) * d)
			}
		}
		u = u[j:]
	}
	return variances
}
