package linear

import (
	"math"
	"strings"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/optim"
)

// RegressionKind builds a Regression from a catalogue. Parameters, all flat:
//
//	lr               0.01 for SGD, else 0.1; at most 1 for SGD and Momentum, else 1000
//	intercept_lr     0.01
//	intercept_init   0
//	clip_gradient    1e12
//	optimizer        SGD, Momentum (rho), AdaGrad (eps) or Adam (beta_1, beta_2, eps)
//	loss             Squared, Absolute, Huber (epsilon) or Quantile (alpha)
//	l1, l2           0; one of them
//
// A parameter of an optimizer or a loss that was not chosen is a mistake.
func RegressionKind(p *online.Params) online.Regressor {
	c := DefaultConfig()
	chosen := parts{p: p, of: p.Choice("optimizer", "SGD", "Momentum", "AdaGrad", "Adam")}
	c.LR = chosen.lr()
	c.Optimizer = chosen.optimizer()
	c.Loss = loss(p)
	c.InterceptLR = p.Float("intercept_lr", c.InterceptLR, online.AtLeast(0), online.AtMost(1))
	c.InterceptInit = p.Float("intercept_init", c.InterceptInit)
	c.ClipGradient = p.Float("clip_gradient", c.ClipGradient, online.Above(0))
	c.L1 = p.Float("l1", 0, online.AtLeast(0), online.AtMost(1))
	c.L2 = p.Float("l2", 0, online.AtLeast(0), online.AtMost(1))
	if c.L1 != 0 && c.L2 != 0 {
		p.Fail("l1", "does not go with l2, as in River")
	}
	return NewRegression(p.Width(), c)
}

func (c parts) lr() float64 {
	switch c.of {
	case "Adam", "AdaGrad": // their steps do not grow with the gradient
		return c.p.Float("lr", 0.1, online.Above(0), online.AtMost(1000))
	case "Momentum":
		return c.p.Float("lr", 0.1, online.Above(0), online.AtMost(1))
	}
	return c.p.Float("lr", 0.01, online.Above(0), online.AtMost(1))
}

func (c parts) optimizer() optim.Optimizer {
	momentum, adaGrad, adam := optim.DefaultMomentum(), optim.DefaultAdaGrad(), optim.DefaultAdam()
	fraction := []online.Bound{online.AtLeast(0), online.AtMost(0.999999)}
	momentum.Rho = c.float("rho", momentum.Rho, []string{"Momentum"}, fraction...)
	adam.Beta1 = c.float("beta_1", adam.Beta1, []string{"Adam"}, fraction...)
	adam.Beta2 = c.float("beta_2", adam.Beta2, []string{"Adam"}, fraction...)
	adam.Eps = c.float("eps", adam.Eps, []string{"AdaGrad", "Adam"}, online.Above(0), online.AtMost(1))
	adaGrad.Eps = adam.Eps
	switch c.of {
	case "Momentum":
		return momentum
	case "AdaGrad":
		return adaGrad
	case "Adam":
		return adam
	}
	return optim.SGD{}
}

func loss(p *online.Params) optim.Loss {
	chosen := parts{p: p, of: p.Choice("loss", "Squared", "Absolute", "Huber", "Quantile")}
	huber, quantile := optim.DefaultHuber(), optim.DefaultQuantile()
	huber.Epsilon = chosen.float("epsilon", huber.Epsilon, []string{"Huber"}, online.Above(0))
	quantile.Alpha = chosen.float("alpha", quantile.Alpha, []string{"Quantile"}, online.AtLeast(0.0001), online.AtMost(0.9999))
	switch chosen.of {
	case "Absolute":
		return optim.Absolute{}
	case "Huber":
		return huber
	case "Quantile":
		return quantile
	}
	return optim.Squared{}
}

// parts reads parameters that only some choices have.
type parts struct {
	p  *online.Params
	of string
}

func (c parts) float(name string, byDefault float64, owners []string, bounds ...online.Bound) float64 {
	for _, owner := range owners {
		if owner == c.of {
			return c.p.Float(name, byDefault, bounds...)
		}
	}
	if v := c.p.Float(name, math.NaN()); !math.IsNaN(v) {
		c.p.Fail(name, "is a parameter of %s, not of %s", strings.Join(owners, " and "), c.of)
	}
	return byDefault
}
