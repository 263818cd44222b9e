// Package optim descends a loss by gradients, one event at a time, as
// river.optim does. A Loss says which way is down, an Optimizer how far to go,
// and Weights are what goes there, with all that has to be remembered between
// two steps.
package optim

import (
	"math"

	"tripcast.dev/functions/online/internal/libm"
)

// Optimizer is a rule by which weights follow a gradient. It is only its
// parameters: what it remembers of every weight is in vectors that it is given.
type Optimizer interface {
	// Moments says what the optimizer remembers of every weight: a sum of its
	// gradients (first), and a sum of their squares, which is never negative
	// (second).
	Moments() (first, second bool)
	// Step moves the weights w, in place, against their gradients g, where g is
	// not NaN, and remembers what it has to in m (first) and v (second), which
	// are zero before the first step and empty if they were not asked for. t
	// counts the steps from 1 and lr is the learning rate. A step after which
	// anything is not finite is undone by the caller.
	Step(t uint64, lr float64, w, g, m, v []float64)
}

// SGD is stochastic gradient descent (river/optim/sgd.py): w -= lr*g.
// River's learning rate is 0.01.
type SGD struct{}

// Moments are none.
func (SGD) Moments() (first, second bool) { return false, false }

// Step takes a step.
func (SGD) Step(_ uint64, lr float64, w, g, _, _ []float64) {
	for i, gi := range g {
		if !math.IsNaN(gi) {
			w[i] -= float64(lr * gi) // the conversion forbids a fused multiply-add, here and below
		}
	}
}

// Momentum is gradient descent with a memory of its direction
// (river/optim/momentum.py): m = rho*m + lr*g, w -= m. River's learning rate is 0.1.
type Momentum struct {
	Rho float64 // how much of the last step is in the next, in [0, 1)
}

// DefaultMomentum returns River's defaults.
func DefaultMomentum() Momentum { return Momentum{Rho: 0.9} }

// Moments is the direction.
func (Momentum) Moments() (first, second bool) { return true, false }

// Step takes a step.
func (o Momentum) Step(_ uint64, lr float64, w, g, m, _ []float64) {
	for i, gi := range g {
		if !math.IsNaN(gi) {
			m[i] = float64(o.Rho*m[i]) + float64(lr*gi)
			w[i] -= m[i]
		}
	}
}

// AdaGrad makes a weight slower the more it has moved (river/optim/ada_grad.py,
// Duchi et al. 2011): v += g², w -= lr/sqrt(v+eps)*g. River's learning rate is 0.1.
type AdaGrad struct {
	Eps float64 // above 0
}

// DefaultAdaGrad returns River's defaults.
func DefaultAdaGrad() AdaGrad { return AdaGrad{Eps: 1e-8} }

// Moments is the sum of squares.
func (AdaGrad) Moments() (first, second bool) { return false, true }

// Step takes a step.
func (o AdaGrad) Step(_ uint64, lr float64, w, g, _, v []float64) {
	for i, gi := range g {
		if !math.IsNaN(gi) {
			v[i] += float64(gi * gi)
			w[i] -= float64(lr / math.Sqrt(v[i]+o.Eps) * gi)
		}
	}
}

// Adam divides an average of the gradients by that of their squares
// (river/optim/adam.py, Kingma and Ba 2014), so that a step has the size of the
// learning rate whatever that of the gradient. River's learning rate is 0.1.
//
// The averages of a weight whose feature is missing stand still, but the
// correction of their bias counts every step, as in River.
type Adam struct {
	Beta1 float64 // how much of the average stays, in [0, 1)
	Beta2 float64 // the same of the squares, in [0, 1)
	Eps   float64 // above 0
}

// DefaultAdam returns River's defaults.
func DefaultAdam() Adam { return Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8} }

// Moments are both averages.
func (Adam) Moments() (first, second bool) { return true, true }

// Step takes a step.
func (o Adam) Step(t uint64, lr float64, w, g, m, v []float64) {
	lr = lr * math.Sqrt(oneMinusPower(o.Beta2, t)) / oneMinusPower(o.Beta1, t)
	for i, gi := range g {
		if math.IsNaN(gi) {
			continue
		}
		m[i] = float64(o.Beta1*m[i]) + float64((1-o.Beta1)*gi)
		v[i] = float64(o.Beta2*v[i]) + float64((1-o.Beta2)*float64(gi*gi))
		w[i] -= lr * m[i] / (math.Sqrt(v[i]) + o.Eps)
	}
}

// oneMinusPower returns 1 - beta**t, with the power rounded as River's is: in
// the first steps the subtraction leaves little else than that rounding. By
// logarithms there is nothing to remember and no error that grows with t, as
// there would be with a running product.
func oneMinusPower(beta float64, t uint64) float64 {
	if beta == 0 {
		return 1
	}
	exponent := float64(t) * libm.Log(beta)
	if exponent < -40 { // beta**t is less than half a unit in the last place of 1
		return 1
	}
	power := 1 + libm.Expm1(exponent)
	return 1 - power
}
