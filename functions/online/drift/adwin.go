// Package drift tells when the values of a stream have begun to come from
// elsewhere, as river.drift does.
package drift

import (
	"math"

	"tripcast.dev/functions/online/internal/libm"
)

const (
	// maxRows bounds what an ADWIN holds, whatever it sees: a window of more
	// than MaxBuckets<<maxRows values, which takes years at a million values a
	// second, forgets its oldest.
	maxRows = 48
	// maxValue bounds what is learned, so that no sum or square can overflow.
	maxValue = 1e100
	maxTotal = maxValue * (1 << (maxRows + 8))
)

// ADWINConfig are the parameters of an ADWIN, with River's names and defaults.
// A value outside its bounds is taken as the nearest within.
type ADWINConfig struct {
	Delta           float64 // significance, in (0, 1): smaller means fewer false alarms, and later true ones
	Clock           int     // look for a change at every so many values, at least 1
	MaxBuckets      int     // buckets of one size, from 2 to 100: more mean finer cuts and a larger state
	MinWindowLength int     // values on either side of a cut, at least 1
	GracePeriod     int     // values before the first look, at least 0

	// Before022 looks for a change as River did before its version 0.22, and so
	// the first taxi demo: it leaves the newest bucket of every length out of
	// the older part (river#1614).
	Before022 bool
}

// DefaultADWINConfig returns River's defaults.
func DefaultADWINConfig() ADWINConfig {
	return ADWINConfig{Delta: 0.002, Clock: 32, MaxBuckets: 5, MinWindowLength: 5, GracePeriod: 10}
}

// ADWIN is a window that grows while its values look alike. When the means of
// an older and a newer part differ by more than chance allows, that is a drift,
// and it loses its oldest values until they do not (Bifet and Gavaldà, 2007:
// Learning from time-changing data with adaptive windowing). The first value
// after a drift starts a new window.
//
// The window is not kept value by value but as sums over runs of 1, 2, 4, ...
// values, MaxBuckets of each length (Babcock et al., 2003): a window of n
// values takes O(log n) memory, at most 5 KB at the defaults.
//
// It computes what rust_src/adwin.rs and river/drift/adwin.py of River 0.26.1
// compute, in the same order. A value that is not finite, or whose absolute
// value is above 1e100, is ignored. Reads may run concurrently; Update and
// Decode need the ADWIN for themselves.
type ADWIN struct {
	config ADWINConfig

	total    float64 // of the values in the window
	variance float64 // the sum of squared deviations from their mean
	width    float64 // how many they are
	tick     int     // values since the last look, below Clock

	drifted    bool // by the last value
	detections int

	// Row i is counts[i] buckets of 1<<i values each, the oldest first. The last
	// row holds at least one, and so does every row if there is more than one.
	counts  []int
	buckets []bucket // MaxBuckets+1 for each row
}

type bucket struct{ total, variance float64 }

// NewADWIN returns an ADWIN that has seen nothing.
func NewADWIN(config ADWINConfig) *ADWIN {
	config.Delta = max(min(config.Delta, 1-1e-16), math.SmallestNonzeroFloat64)
	config.Clock = max(config.Clock, 1)
	config.MaxBuckets = max(min(config.MaxBuckets, 100), 2)
	config.MinWindowLength = max(config.MinWindowLength, 1)
	config.GracePeriod = max(config.GracePeriod, 0)
	a := &ADWIN{config: config}
	a.forget()
	return a
}

// forget starts a new window.
func (a *ADWIN) forget() {
	a.total, a.variance, a.width, a.tick, a.drifted = 0, 0, 0, 0, false
	a.counts, a.buckets = a.counts[:0], a.buckets[:0]
	a.addRow()
}

// DriftDetected reports whether the last value revealed a drift.
func (a *ADWIN) DriftDetected() bool { return a.drifted }

// Detections is the number of drifts so far. River's n_detections begins anew
// with every window, so that it is never above 1; this one counts on.
func (a *ADWIN) Detections() int { return a.detections }

// Width is the number of values in the window.
func (a *ADWIN) Width() int { return int(a.width) }

// Total is the sum of the values in the window.
func (a *ADWIN) Total() float64 { return a.total }

// Estimation is the mean of the values in the window, 0 if there is none.
func (a *ADWIN) Estimation() float64 {
	if a.width == 0 {
		return 0
	}
	return a.total / a.width
}

// Variance is the sum of the squared deviations of the values in the window
// from their mean, in the square of their unit. River calls it so; divide it by
// Width for what is usually meant.
func (a *ADWIN) Variance() float64 { return a.variance }

// Update takes the next value.
func (a *ADWIN) Update(x float64) {
	if !(math.Abs(x) <= maxValue) {
		return
	}
	if a.drifted {
		a.forget()
	}
	a.insert(x)
	if a.tick++; a.tick < a.config.Clock {
		return
	}
	a.tick = 0
	if a.width > float64(a.config.GracePeriod) {
		for a.cut() {
			a.drifted = true
			a.dropOldest()
		}
	}
	if a.drifted {
		a.detections++
	}
}

func (a *ADWIN) insert(x float64) {
	a.push(0, bucket{total: x})
	a.width++
	if a.width > 1 {
		n := a.width - 1
		delta := x - a.total/n
		a.variance += float64(float64(n*delta)*delta) / a.width
	}
	a.total += x
	a.merge()
}

// merge joins the two oldest buckets of every row that has one too many.
func (a *ADWIN) merge() {
	for i := 0; a.counts[i] > a.config.MaxBuckets; i++ {
		row := a.row(i)
		n := size(i)
		delta := row[0].total/n - row[1].total/n
		joined := bucket{
			total:    row[0].total + row[1].total,
			variance: row[0].variance + row[1].variance + float64(float64(float64(n*0.5)*delta)*delta),
		}
		copy(row, row[2:])
		a.counts[i] -= 2
		if i+1 == maxRows { // they were the oldest of all
			a.subtract(joined, n*2)
			return
		}
		if i+1 == len(a.counts) {
			a.addRow()
		}
		a.push(i+1, joined)
	}
}

// cut reports whether the window falls into an older and a newer part whose
// means differ by more than chance allows.
func (a *ADWIN) cut() bool {
	least := float64(a.config.MinWindowLength)
	variance := a.variance / a.width
	prime := libm.Log(2 * libm.Log(a.width) / a.config.Delta)
	var n0, u0 float64
	n1, u1 := a.width, a.total
	for i := len(a.counts) - 1; i >= 0; i-- {
		n := size(i)
		row := a.row(i)
		if a.config.Before022 && len(row) > 0 {
			row = row[:len(row)-1]
		}
		for _, b := range row {
			n0 += n
			n1 -= n
			u0 += b.total
			u1 -= b.total
			if n0 < least || n1 < least {
				continue // also where nothing is newer
			}
			delta := math.Abs(u0/n0 - u1/n1)
			m := 1/(n0-least+1) + 1/(n1-least+1)
			rest := float64(2.0 / 3.0 * prime * m)
			// The bound is at least the rest: the root is seldom needed.
			if delta > rest && delta > math.Sqrt(2*m*variance*prime)+rest {
				return true
			}
		}
	}
	return false
}

// dropOldest takes the oldest bucket out of the window.
func (a *ADWIN) dropOldest() {
	last := len(a.counts) - 1
	row := a.row(last)
	oldest := row[0]
	copy(row, row[1:])
	a.counts[last]--
	if a.counts[last] == 0 {
		a.counts = a.counts[:last]
		a.buckets = a.buckets[:last*a.stride()]
	}
	a.subtract(oldest, size(last))
}

// subtract takes a bucket of n values out of the sums. Others are left.
func (a *ADWIN) subtract(b bucket, n float64) {
	a.width -= n
	a.total -= b.total
	delta := b.total/n - a.total/a.width
	a.variance -= b.variance + float64(float64(float64(n*a.width)*delta)*delta)/(n+a.width)
}

func (a *ADWIN) stride() int { return a.config.MaxBuckets + 1 }

func (a *ADWIN) addRow() {
	a.counts = append(a.counts, 0)
	for range a.stride() {
		a.buckets = append(a.buckets, bucket{})
	}
}

// row returns the buckets of row i, the oldest first.
func (a *ADWIN) row(i int) []bucket {
	at := i * a.stride()
	return a.buckets[at : at+a.counts[i]]
}

func (a *ADWIN) push(i int, b bucket) {
	a.buckets[i*a.stride()+a.counts[i]] = b
	a.counts[i]++
}

// size is the number of values in a bucket of row i.
func size(i int) float64 { return float64(uint64(1) << i) }
