package metrics

import (
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/stats"
)

// R2 is the share of the labels' variance that the predictions explain: 1 at
// best, 0 for a model that always predicts the mean, below 0 for a worse one.
// It is river/metrics/r2.py of River 0.26.1, and as there 0 of fewer than two
// labels and of labels that are all the same.
type R2 struct {
	labels stats.Var // with DDOF 0: only its sum of squares is used
	errors float64   // sum of squares, at least 0
}

// N is how many pairs were judged.
func (r *R2) N() uint64 { return r.labels.N() }

// Get returns the metric.
func (r *R2) Get() float64 {
	n := float64(r.labels.N())
	if n < 2 {
		return 0
	}
	labels := r.labels
	labels.DDOF = 1
	total := float64((n - 1) * labels.Get())
	if total == 0 {
		return 0
	}
	return max(1-r.errors/total, -largest*largest)
}

// Counts reports whether the pair can be judged.
func (r *R2) Counts(yTrue, yPred float64) bool { return counts(yTrue, yPred) }

// Update judges a prediction.
func (r *R2) Update(yTrue, yPred float64) {
	if counts(yTrue, yPred) {
		r.labels.Update(yTrue)
		r.add(square(yTrue - yPred))
	}
}

// Revert forgets a pair that was judged before.
func (r *R2) Revert(yTrue, yPred float64) {
	if counts(yTrue, yPred) && r.labels.N() > 0 {
		r.labels.Revert(yTrue)
		r.add(-square(yTrue - yPred))
	}
}

// add keeps the sum within what it can be, which rounding may miss.
func (r *R2) add(squares float64) { r.errors = min(max(r.errors+squares, 0), r.limit()) }

func (r *R2) limit() float64 { return float64(r.labels.N()) * square(2*largest) }

// Reset forgets everything.
func (r *R2) Reset() { *r = R2{} }

// AppendBinary appends the sums.
func (r *R2) AppendBinary(b []byte) ([]byte, error) {
	b = r.labels.Append(state.AppendHeader(b, "R2", format))
	return state.AppendFloat(b, r.errors), nil
}

// UnmarshalBinary reads what AppendBinary has written.
func (r *R2) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, "R2", format)
	var read R2
	read.labels.Decode(d)
	if read.errors = d.Float(); read.errors < 0 || read.errors > read.limit() {
		d.Fail("holds the sum of squared errors %v of %d", read.errors, read.N())
	}
	if err := d.Close(); err != nil {
		return err
	}
	*r = read
	return nil
}
