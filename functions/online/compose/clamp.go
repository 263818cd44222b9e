package compose

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	clampKind   = "ClampRegressor"
	clampFormat = 1
)

// Clamp keeps a regressor's predictions within the labels learned so far. A
// model that extrapolates, above all on a logarithmic scale, has no sense of
// what never happens. River has none of this kind.
type Clamp struct {
	model     online.Regressor
	low, high float64 // low is above high before the first label
}

var _ online.Regressor = (*Clamp)(nil)

// NewClamp returns a regressor that keeps a model's predictions within its labels.
func NewClamp(model online.Regressor) *Clamp {
	return &Clamp{model: model, low: math.MaxFloat64, high: -math.MaxFloat64}
}

// ClampKind builds a Clamp from a catalogue. Parameters: model.
func ClampKind(p *online.Params) online.Regressor { return NewClamp(p.Model("model")(p.Seed())) }

// Width is the number of features.
func (c *Clamp) Width() int { return c.model.Width() }

// Predict returns the model's prediction, or the smallest or largest label where
// that is beyond it. With nothing learned it is the model's.
func (c *Clamp) Predict(x []float64) float64 {
	y := c.model.Predict(x)
	if c.low > c.high {
		return y
	}
	return min(max(y, c.low), c.high)
}

// Learn teaches the model.
func (c *Clamp) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	c.low, c.high = min(c.low, y), max(c.high, y)
	c.model.Learn(x, y)
}

// AppendBinary appends the range of the labels and the state of the model.
func (c *Clamp) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, clampKind, clampFormat)
	b = state.AppendFloat(state.AppendFloat(b, c.low), c.high)
	return state.AppendPart(b, c.model.AppendBinary)
}

// UnmarshalBinary reads what a Clamp of a model of the same parameters has written.
func (c *Clamp) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, clampKind, clampFormat)
	low, high := d.Float(), d.Float()
	if low > high && (low != math.MaxFloat64 || high != -math.MaxFloat64) {
		d.Fail("holds labels from %v to %v", low, high)
	}
	model := d.Bytes()
	if err := d.Close(); err != nil {
		return err
	}
	if err := c.model.UnmarshalBinary(model); err != nil {
		return err
	}
	c.low, c.high = low, high
	return nil
}
