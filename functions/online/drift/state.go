package drift

import (
	"math"

	"tripcast.dev/functions/online/state"
)

// Append appends the state to the encoding of what the ADWIN is a part of:
// 16 bytes for a bucket, 8 for one of a single value.
func (a *ADWIN) Append(b []byte) []byte {
	b = state.AppendBool(b, a.drifted)
	b = state.AppendUint(b, uint64(a.tick))
	b = state.AppendUint(b, uint64(a.detections))
	b = state.AppendFloat(b, a.total)
	b = state.AppendFloat(b, a.variance)
	b = state.AppendUint(b, uint64(len(a.counts)))
	for i := range a.counts {
		row := a.row(i)
		b = state.AppendUint(b, uint64(len(row)))
		for _, bucket := range row {
			b = state.AppendFloat(b, bucket.total)
			if i > 0 {
				b = state.AppendFloat(b, bucket.variance)
			}
		}
	}
	return b
}

// Decode reads what Append of an ADWIN of the same parameters has written.
// Where that is not to be had the decoder fails and the ADWIN is unchanged.
func (a *ADWIN) Decode(d *state.Decoder) {
	read := ADWIN{config: a.config}
	read.drifted = d.Bool()
	read.tick = int(d.UintUpTo(uint64(a.config.Clock - 1)))
	read.detections = int(d.UintUpTo(math.MaxInt))
	read.total = d.FloatWithin(-maxTotal, maxTotal)
	read.variance = d.Float()
	rows := d.Len(1)
	if rows < 1 || rows > maxRows {
		d.Fail("holds %d rows of buckets, want 1 to %d", rows, maxRows)
	}
	for i := 0; i < rows && d.Err() == nil; i++ {
		read.addRow()
		read.decodeRow(d, i)
		if read.counts[i] == 0 && rows > 1 {
			d.Fail("holds a row without buckets")
		}
	}
	if d.Err() == nil {
		*a = read
	}
}

func (a *ADWIN) decodeRow(d *state.Decoder, i int) {
	n := size(i)
	for range d.UintUpTo(uint64(a.config.MaxBuckets)) {
		// Beyond, sums of what has been read could overflow.
		b := bucket{total: d.FloatWithin(-2*maxValue*n, 2*maxValue*n)}
		if i > 0 {
			b.variance = d.FloatWithin(0, 8*maxValue*maxValue*n)
		}
		if d.Err() != nil {
			return
		}
		a.push(i, b)
		a.width += n
	}
}
