package stats

import (
	"math"
	"slices"

	"tripcast.dev/functions/online/state"
)

// Rolling is a statistic of the last numbers: river/utils/rolling.py of River 0.26.1.
//
// River adds what comes and takes away what goes, so that what rounding has once
// missed, as after a very large number, stays for ever. Here the statistic is
// counted anew from the window each time that all of it has been replaced, which
// costs one more update for each number.
type Rolling struct {
	stat   Revertible
	window Window[float64]
}

var _ Univariate = (*Rolling)(nil)

// NewRolling returns the statistic of the last size numbers, at least 1. stat
// has counted nothing, and is not to be used by others.
func NewRolling(stat Revertible, size int) *Rolling {
	return &Rolling{stat, NewWindow[float64](size)}
}

// Get returns the statistic of the window.
func (r *Rolling) Get() float64 { return r.stat.Get() }

// N is how many numbers are in the window.
func (r *Rolling) N() int { return r.window.Len() }

// Update counts x, and forgets the oldest number if the window is full.
func (r *Rolling) Update(x float64) {
	if !r.stat.Counts(x) {
		return
	}
	if oldest, full := r.window.Push(x); full {
		r.stat.Revert(oldest)
	}
	r.stat.Update(x)
	if r.window.Renewed() {
		r.stat.Reset()
		r.window.Each(r.stat.Update)
	}
}

// AppendBinary appends the window and the statistic.
func (r *Rolling) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, "Rolling", format)
	b = r.window.Append(b, state.AppendFloat)
	return state.AppendPart(b, r.stat.AppendBinary)
}

// UnmarshalBinary reads what AppendBinary of the same statistic of as many numbers has written.
func (r *Rolling) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, "Rolling", format)
	window := NewWindow[float64](r.window.size)
	window.Decode(d, 8, func(d *state.Decoder) float64 {
		x := d.Float()
		if !r.stat.Counts(x) {
			d.Fail("holds the number %v", x)
		}
		return x
	})
	stat := d.Bytes()
	if err := d.Close(); err != nil {
		return err
	}
	if err := r.stat.UnmarshalBinary(stat); err != nil {
		return err
	}
	r.window = window
	return nil
}

// RollingQuantile is the exact quantile of the last numbers, between two of them
// where it falls there: RollingQuantile in rust_src/quantile.rs of River 0.26.1.
// An update takes time in the size of the window, but moves memory only.
type RollingQuantile struct {
	q      float64
	window Window[float64]
	sorted []float64
}

var _ Univariate = (*RollingQuantile)(nil)

// NewRollingQuantile returns the quantile q, in [0, 1], of the last size numbers, at least 1.
func NewRollingQuantile(q float64, size int) *RollingQuantile {
	return &RollingQuantile{q: q, window: NewWindow[float64](size)}
}

// Get returns the quantile, which is NaN if nothing was counted.
func (r *RollingQuantile) Get() float64 {
	if len(r.sorted) == 0 {
		return math.NaN()
	}
	at := float64(r.q * float64(len(r.sorted)-1))
	lower := math.Floor(at)
	below := r.sorted[int(lower)]
	above := r.sorted[min(int(lower)+1, len(r.sorted)-1)]
	return below + float64((above-below)*(at-lower))
}

// N is how many numbers are in the window.
func (r *RollingQuantile) N() int { return r.window.Len() }

// Update counts x, and forgets the oldest number if the window is full.
func (r *RollingQuantile) Update(x float64) {
	if !counts(x) {
		return
	}
	if oldest, full := r.window.Push(x); full {
		i, _ := slices.BinarySearch(r.sorted, oldest)
		r.sorted = slices.Delete(r.sorted, i, i+1)
	}
	i, _ := slices.BinarySearch(r.sorted, x)
	r.sorted = slices.Insert(r.sorted, i, x)
}

// AppendBinary appends the window.
func (r *RollingQuantile) AppendBinary(b []byte) ([]byte, error) {
	return r.window.Append(state.AppendHeader(b, "RollingQuantile", format), state.AppendFloat), nil
}

// UnmarshalBinary reads what AppendBinary of a quantile of as many numbers has written.
func (r *RollingQuantile) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, "RollingQuantile", format)
	window := NewWindow[float64](r.window.size)
	window.Decode(d, 8, func(d *state.Decoder) float64 {
		x := d.Float()
		if !counts(x) {
			d.Fail("holds the number %v", x)
		}
		return x
	})
	if err := d.Close(); err != nil {
		return err
	}
	r.window, r.sorted = window, slices.Sorted(slices.Values(window.values))
	return nil
}
