package linear

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	bayesianKind   = "BayesianLinearRegression"
	bayesianFormat = 1

	// maxBayesianWidth bounds what a catalogue may ask for: the state grows with
	// the square of the width, to 67 KB for this many features.
	maxBayesianWidth = 128
)

// BayesianConfig are the parameters of a BayesianRegression. Alpha, Beta and
// Smoothing are River's, the others are ours and off by default.
type BayesianConfig struct {
	// Alpha is the precision of the prior: weights are expected within about
	// 1/sqrt(Alpha) of zero. Above 0.
	Alpha float64
	// Beta is the precision of the noise, in the label's unit to the power -2.
	// Above 0.
	Beta float64
	// Smoothing is how much of what is known stays with each event, in (0, 1),
	// or 0 to forget nothing. An event then adds 1-Smoothing of itself, so that
	// the precision becomes an average where it was a sum. Recursive least
	// squares with forgetting factor l and prior precision p is the same with
	// Smoothing l and Alpha p*(1-l).
	Smoothing float64
	// Huber is the residual, in standard deviations of the noise 1/sqrt(Beta),
	// from which an event counts less the further off it is, as in a regression
	// under Huber's loss. 0 is never.
	Huber float64
	// MaxWindup bounds the variance of what has not been seen for long, which
	// grows as a model forgets: at most so many times the prior's. At least 1.
	MaxWindup float64
}

// DefaultBayesianConfig returns River's defaults.
func DefaultBayesianConfig() BayesianConfig {
	return BayesianConfig{Alpha: 1, Beta: 1, MaxWindup: 1e6}
}

// BayesianRegression is linear regression that knows how sure it is of every
// weight, and so makes for each event the step that is right and not a fixed
// part of it: recursive least squares. A step takes time in the square of the
// width, and features need not be scaled. There is no intercept: a feature that
// is always 1 makes one (PolynomialExtender with include_bias). Features that
// are missing count as 0, as in River.
//
// It computes what river/linear_model/bayesian_lin_reg.py of River 0.26.1
// computes (Bishop, Pattern Recognition and Machine Learning, 3.50 to 3.59).
// River keeps the precision and updates or computes its inverse; here the
// covariance is kept as U*D*Uᵀ with a unit upper triangle U and a diagonal D and
// updated as such (Bierman, Factorization Methods for Discrete Sequential
// Estimation, 1977). That costs no more, needs no inverse with Smoothing, and
// the covariance is symmetric and positive whatever is learned and however it
// is rounded: D is only ever multiplied by what is not negative. Forgetting
// cannot blow it up either, as every element of D is held below
// MaxWindup/Alpha.
type BayesianRegression struct {
	config  BayesianConfig
	weights []float64
	now     factors
	next    factors // where a step is taken, until it is known to be finite
	x       []float64
	gain    []float64
}

// factors are U, column after column without the unit diagonal, and D.
type factors struct{ u, d []float64 }

var _ online.Regressor = (*BayesianRegression)(nil)

// NewBayesianRegression returns a regression on vectors of this width. It takes
// about 8*width² bytes.
func NewBayesianRegression(width int, config BayesianConfig) *BayesianRegression {
	r := &BayesianRegression{
		config: config, weights: make([]float64, width), now: newFactors(width), next: newFactors(width),
		x: make([]float64, width), gain: make([]float64, width),
	}
	for i := range r.now.d {
		r.now.d[i] = 1 / config.Alpha
	}
	return r
}

func newFactors(width int) factors {
	return factors{u: make([]float64, width*(width-1)/2), d: make([]float64, width)}
}

// BayesianRegressionKind builds a BayesianRegression from a catalogue, on at
// most 128 features. Parameters: alpha, beta, smoothing, huber and max_windup.
func BayesianRegressionKind(p *online.Params) online.Regressor {
	c := DefaultBayesianConfig()
	c.Alpha = p.Float("alpha", c.Alpha, online.AtLeast(1e-12), online.AtMost(1e12))
	c.Beta = p.Float("beta", c.Beta, online.AtLeast(1e-12), online.AtMost(1e12))
	c.Smoothing = p.Float("smoothing", c.Smoothing, online.AtLeast(0.01), online.AtMost(1-1e-9))
	c.Huber = p.Float("huber", c.Huber, online.Above(0))
	c.MaxWindup = p.Float("max_windup", c.MaxWindup, online.AtLeast(1), online.AtMost(1e12))
	if p.Width() > maxBayesianWidth {
		p.Fail("", "takes %d features, %d are the most", p.Width(), maxBayesianWidth)
		return NewBayesianRegression(1, c)
	}
	return NewBayesianRegression(p.Width(), c)
}

// Width is the number of features.
func (r *BayesianRegression) Width() int { return len(r.weights) }

// Weights returns the mean of every weight, in the label's unit per unit of the feature.
func (r *BayesianRegression) Weights() []float64 { return append([]float64(nil), r.weights...) }

// Predict returns the mean of the predictive distribution.
func (r *BayesianRegression) Predict(x []float64) float64 {
	var y float64
	for i, w := range r.weights {
		if xi := x[i]; libm.Finite(xi) {
			y += float64(w * xi)
		}
	}
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

// Variance returns the variance of the predictive distribution, in the label's
// unit squared: that of the noise and that of the weights. It is infinite where
// it is too large to tell.
func (r *BayesianRegression) Variance(x []float64) float64 {
	variance, u := 1/r.config.Beta, r.now.u
	for j, d := range r.now.d {
		f := present(x[j])
		for i, uij := range u[:j] {
			f += float64(uij * present(x[i]))
		}
		u = u[j:]
		variance += float64(d * float64(f*f))
	}
	if math.IsNaN(variance) {
		return math.Inf(1)
	}
	return variance
}

// Learn updates the distribution of the weights.
func (r *BayesianRegression) Learn(x []float64, y float64) {
	residual := y - r.Predict(x)
	if !libm.Finite(residual) {
		return
	}
	for i := range r.x {
		r.x[i] = present(x[i])
	}
	precision, keep := r.config.Beta, 1.0
	if s := r.config.Smoothing; s != 0 {
		precision, keep = (1-s)*precision, s
	}
	if h := r.config.Huber; h != 0 {
		if z := math.Abs(residual) * math.Sqrt(r.config.Beta); z > h {
			precision *= h / z
		}
	}
	noise := r.update(keep/precision, keep)
	step := residual / noise
	for i, w := range r.weights {
		r.gain[i] = w + float64(r.gain[i]*step) // the weight after the step
	}
	if !libm.AllFinite(r.gain) || !libm.AllFinite(r.next.d) || !libm.AllFinite(r.next.u) {
		return
	}
	r.weights, r.gain = r.gain, r.weights
	r.now, r.next = r.next, r.now
}

// update writes to next the factors of the covariance after an observation of
// x with noise of this variance, of which a part is kept. It leaves in gain the
// covariance times x, and returns the variance of the observation.
func (r *BayesianRegression) update(noise, keep float64) float64 {
	from, to := r.now.u, r.next.u
	most := r.config.MaxWindup / r.config.Alpha
	for j, d := range r.now.d {
		column, out, gain := from[:j], to[:j], r.gain[:j]
		from, to = from[j:], to[j:]
		f := r.x[j] + dot(column, r.x)
		v := d * f
		after := noise + float64(v*f)
		slope := -f / noise
		for i, u := range column {
			out[i] = u + float64(slope*gain[i])
			gain[i] += float64(v * u)
		}
		r.gain[j] = v
		d *= noise / after
		if keep != 1 {
			d = min(d/keep, most)
		}
		r.next.d[j] = d
		noise = after
	}
	return noise
}

// AppendBinary appends the mean and the factors of the covariance.
func (r *BayesianRegression) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, bayesianKind, bayesianFormat)
	b = state.AppendUint(b, uint64(len(r.weights)))
	for _, part := range [][]float64{r.weights, r.now.d, r.now.u} {
		for _, v := range part {
			b = state.AppendFloat(b, v)
		}
	}
	return b, nil
}

// UnmarshalBinary reads what a regression of the same width and parameters has written.
func (r *BayesianRegression) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, bayesianKind, bayesianFormat)
	d.Width(len(r.weights))
	read := NewBayesianRegression(len(r.weights), r.config)
	for _, part := range [][]float64{read.weights, read.now.d, read.now.u} {
		for i := range part {
			part[i] = d.Float()
		}
	}
	for _, v := range read.now.d {
		if v < 0 || v > r.config.MaxWindup/r.config.Alpha {
			d.Fail("holds the variance %v", v)
		}
	}
	if err := d.Close(); err != nil {
		return err
	}
	*r = *read
	return nil
}

// present is x, or 0 if it is missing.
func present(x float64) float64 {
	if libm.Finite(x) {
		return x
	}
	return 0
}

// dot returns the sum of a[i]*x[i], in four parts that do not wait for one another.
func dot(a, x []float64) float64 {
	x = x[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i] * x[i])
		s1 += float64(a[i+1] * x[i+1])
		s2 += float64(a[i+2] * x[i+2])
		s3 += float64(a[i+3] * x[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i] * x[i])
	}
	return (s0 + s1) + (s2 + s3)
}
