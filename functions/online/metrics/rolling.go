package metrics

import (
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/stats"
)

// Rolling is a metric of the last predictions: river/utils/rolling.py of River
// 0.26.1. As stats.Rolling it counts the window anew each time that all of it
// has been replaced, so that no error of rounding stays.
type Rolling struct {
	metric Revertible
	window stats.Window[pair]
	size   int
}

type pair struct{ yTrue, yPred float64 }

var _ Metric = (*Rolling)(nil)

// NewRolling returns the metric of the last size predictions, at least 1. metric
// has judged nothing, and is not to be used by others.
func NewRolling(metric Revertible, size int) *Rolling {
	return &Rolling{metric, stats.NewWindow[pair](size), size}
}

// Get returns the metric of the window.
func (r *Rolling) Get() float64 { return r.metric.Get() }

// N is how many pairs are in the window.
func (r *Rolling) N() int { return r.window.Len() }

// Update judges a prediction, and forgets the oldest pair if the window is full.
func (r *Rolling) Update(yTrue, yPred float64) {
	if !r.metric.Counts(yTrue, yPred) {
		return
	}
	if oldest, full := r.window.Push(pair{yTrue, yPred}); full {
		r.metric.Revert(oldest.yTrue, oldest.yPred)
	}
	r.metric.Update(yTrue, yPred)
	if r.window.Renewed() {
		r.metric.Reset()
		r.window.Each(func(p pair) { r.metric.Update(p.yTrue, p.yPred) })
	}
}

// AppendBinary appends the window and the metric.
func (r *Rolling) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, "Rolling", format)
	b = r.window.Append(b, func(b []byte, p pair) []byte {
		return state.AppendFloat(state.AppendFloat(b, p.yTrue), p.yPred)
	})
	return state.AppendPart(b, r.metric.AppendBinary)
}

// UnmarshalBinary reads what AppendBinary of the same metric of as many pairs has written.
func (r *Rolling) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, "Rolling", format)
	window := stats.NewWindow[pair](r.size)
	window.Decode(d, 16, func(d *state.Decoder) pair {
		p := pair{d.Float(), d.Float()}
		if !r.metric.Counts(p.yTrue, p.yPred) {
			d.Fail("holds the pair %v", p)
		}
		return p
	})
	metric := d.Bytes()
	if err := d.Close(); err != nil {
		return err
	}
	if err := r.metric.UnmarshalBinary(metric); err != nil {
		return err
	}
	r.window = window
	return nil
}
