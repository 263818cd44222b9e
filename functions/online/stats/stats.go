// Package stats summarizes numbers as they come, as river.stats does: in one
// pass, with memory that does not grow.
//
// A number that is not finite, or that is above 1e145 in size, so that squares
// of what such numbers differ by could not be added up, is not counted. None of
// the types may be used by several goroutines at once while one of them updates.
package stats

import (
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/state"
)

// Univariate is a summary of numbers.
type Univariate interface {
	// Update counts x, or does nothing where it does not count.
	Update(x float64)
	// Get returns the summary of all that was counted.
	Get() float64
	online.State
}

// Revertible is a Univariate that can forget what it counted.
type Revertible interface {
	Univariate
	// Counts reports whether Update would count x, whatever was counted before.
	Counts(x float64) bool
	// Revert forgets x, which was counted before.
	Revert(x float64)
	// Reset forgets everything.
	Reset()
}

const (
	largest = 1e145       // that counts
	most    = 2 * largest // that an average is, however it is rounded
)

func counts(x float64) bool { return -largest <= x && x <= largest }

// part is a statistic without the header of its state.
type part interface {
	// Append appends the statistic to an encoding.
	Append(b []byte) []byte
	// Decode reads what Append has written. Where that is not to be had the
	// decoder fails, and the statistic is not to be used.
	Decode(d *state.Decoder)
}

const format = 1

func appendBinary(b []byte, kind string, p part) ([]byte, error) {
	return p.Append(state.AppendHeader(b, kind, format)), nil
}

// unmarshal reads into a new statistic, which is not to be used after an error.
func unmarshal(data []byte, kind string, read part) error {
	d, _ := state.NewDecoder(data, kind, format)
	read.Decode(d)
	return d.Close()
}
