package optim

// Loss is what a prediction costs, as far as a gradient needs to know it. The
// losses are those of river/optim/losses.py of River 0.26.1.
type Loss interface {
	// Gradient returns the derivative of the loss by the prediction p where the
	// label is y. It is in the unit of the loss per unit of the label.
	Gradient(y, p float64) float64
}

// Squared is the loss (p-y)². It finds the mean.
type Squared struct{}

// Gradient is twice the error.
func (Squared) Gradient(y, p float64) float64 { return 2 * (p - y) }

// Absolute is the loss |p-y|. It finds the median.
type Absolute struct{}

// Gradient is the sign of the error, -1 where there is none.
func (Absolute) Gradient(y, p float64) float64 {
	if p > y {
		return 1
	}
	return -1
}

// Huber is the loss that is half the squared error up to Epsilon and goes on
// with that slope: it finds the mean, and large errors do not move it far.
type Huber struct {
	Epsilon float64 // in the label's unit, above 0
}

// DefaultHuber returns River's default.
func DefaultHuber() Huber { return Huber{Epsilon: 0.1} }

// Gradient is the error, held between -Epsilon and Epsilon.
func (l Huber) Gradient(y, p float64) float64 {
	return max(min(p-y, l.Epsilon), -l.Epsilon)
}

// Quantile is the loss of an error that costs Alpha per unit where the
// prediction is too low and 1-Alpha where it is too high: it finds the quantile.
type Quantile struct {
	Alpha float64 // in (0, 1)
}

// DefaultQuantile returns River's default, the median.
func DefaultQuantile() Quantile { return Quantile{Alpha: 0.5} }

// Gradient is 1-Alpha where the prediction is too high, and -Alpha elsewhere.
func (l Quantile) Gradient(y, p float64) float64 {
	if y < p {
		return 1 - l.Alpha
	}
	return -l.Alpha
}
