package stats

import "tripcast.dev/functions/online/state"

// Mean is the average, in the unit of the numbers, and 0 of none:
// river/stats/mean.py of River 0.26.1 with weights of 1.
type Mean struct {
	n    uint64
	mean float64
}

var _ Revertible = (*Mean)(nil)

// maxCount is how many numbers are counted at most.
const maxCount = 1 << 53

// N is how many numbers were counted.
func (m *Mean) N() uint64 { return m.n }

// Get returns the average.
func (m *Mean) Get() float64 { return m.mean }

// Counts reports whether x is finite and not too large.
func (m *Mean) Counts(x float64) bool { return counts(x) }

// Update counts x.
func (m *Mean) Update(x float64) {
	if !counts(x) || m.n == maxCount {
		return
	}
	m.n++
	m.mean += float64(1 / float64(m.n) * (x - m.mean)) // the conversion forbids a fused multiply-add
}

// Revert forgets x. Of an x that was not counted it makes nonsense, but a number.
func (m *Mean) Revert(x float64) {
	if !counts(x) || m.n == 0 {
		return
	}
	if m.n == 1 {
		m.Reset()
		return
	}
	mean := m.mean - float64(1/float64(m.n-1)*(x-m.mean))
	if -most <= mean && mean <= most {
		*m = Mean{m.n - 1, mean}
	}
}

// Reset forgets everything.
func (m *Mean) Reset() { *m = Mean{} }

// Append appends the mean to an encoding.
func (m *Mean) Append(b []byte) []byte {
	return state.AppendFloat(state.AppendUint(b, m.n), m.mean)
}

// Decode reads what Append has written. Where that is not to be had the decoder
// fails, and the mean is not to be used.
func (m *Mean) Decode(d *state.Decoder) {
	*m = Mean{d.UintUpTo(maxCount), d.Float()}
	if m.mean < -most || m.mean > most || m.n == 0 && m.mean != 0 {
		d.Fail("holds the mean %v of %d", m.mean, m.n)
	}
}

// AppendBinary appends the mean.
func (m *Mean) AppendBinary(b []byte) ([]byte, error) { return appendBinary(b, "Mean", m) }

// UnmarshalBinary reads what AppendBinary has written.
func (m *Mean) UnmarshalBinary(data []byte) error {
	var read Mean
	if err := unmarshal(data, "Mean", &read); err != nil {
		return err
	}
	*m = read
	return nil
}

// Var is the variance, in the unit of the numbers squared: river/stats/var.py of
// River 0.26.1 with weights of 1 (Welford). It is 0 of DDOF numbers or fewer.
type Var struct {
	// DDOF is subtracted from how many there are before dividing by it: 0 is the
	// variance of these very numbers, 1 that of what they are drawn from, as
	// River's default.
	DDOF uint64
	mean Mean
	sum  float64 // of squared differences, at least 0
}

var _ Revertible = (*Var)(nil)

// N is how many numbers were counted.
func (v *Var) N() uint64 { return v.mean.n }

// Mean is the average of the numbers.
func (v *Var) Mean() float64 { return v.mean.mean }

// Get returns the variance.
func (v *Var) Get() float64 {
	if v.mean.n <= v.DDOF {
		return 0
	}
	return v.sum / float64(v.mean.n-v.DDOF)
}

// Counts reports whether x is finite and not too large.
func (v *Var) Counts(x float64) bool { return counts(x) }

// Update counts x.
func (v *Var) Update(x float64) {
	if !counts(x) || v.mean.n == maxCount {
		return
	}
	before := v.mean.mean
	v.mean.Update(x)
	v.add(float64((x - before) * (x - v.mean.mean)))
}

// Revert forgets x. Of an x that was not counted it makes nonsense, but a number.
func (v *Var) Revert(x float64) {
	before := v.mean
	v.mean.Revert(x)
	if v.mean.n == before.n {
		return
	}
	v.add(-float64((x - before.mean) * (x - v.mean.mean)))
}

// add keeps the sum within what it can be, which rounding may miss.
func (v *Var) add(squares float64) { v.sum = min(max(v.sum+squares, 0), v.limit()) }

// limit is the largest sum that so many numbers can have.
func (v *Var) limit() float64 { return float64(v.mean.n) * most * most }

// Reset forgets everything.
func (v *Var) Reset() { *v = Var{DDOF: v.DDOF} }

// Append appends mean and variance to an encoding.
func (v *Var) Append(b []byte) []byte { return state.AppendFloat(v.mean.Append(b), v.sum) }

// Decode reads what Append has written. Where that is not to be had the decoder
// fails, and the variance is not to be used.
func (v *Var) Decode(d *state.Decoder) {
	v.mean.Decode(d)
	if v.sum = d.Float(); v.sum < 0 || v.sum > v.limit() {
		d.Fail("holds the sum of squares %v of %d", v.sum, v.mean.n)
	}
}

// AppendBinary appends mean and variance.
func (v *Var) AppendBinary(b []byte) ([]byte, error) { return appendBinary(b, "Var", v) }

// UnmarshalBinary reads what AppendBinary of a variance with the same DDOF has written.
func (v *Var) UnmarshalBinary(data []byte) error {
	read := Var{DDOF: v.DDOF}
	if err := unmarshal(data, "Var", &read); err != nil {
		return err
	}
	*v = read
	return nil
}
