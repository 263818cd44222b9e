// Package state is the binary form of what a model has learned.
//
// Every encoding starts with the model's kind and a format version, so that
// bytes are never read as what they are not, and so that an old format stays
// readable when a new one is written. Integers are unsigned varints, floats are
// eight bytes, little-endian, bit by bit. Parameters are not part of a state:
// they come from the specification the model is built from.
//
// Reading is safe on hostile bytes: it returns a *FormatError, never panics,
// and never allocates more than a small multiple of the input.
package state

import (
	"encoding/binary"
	"fmt"
	"math"
)

// FormatError says why bytes are not the state they are read as.
type FormatError struct {
	Kind   string // the kind that was expected
	Reason string
	// Newer is set when the bytes are of a format version this program does not
	// know yet: the state is not broken, the program is old.
	Newer bool
}

func (e *FormatError) Error() string { return "state of " + e.Kind + ": " + e.Reason }

// AppendHeader starts an encoding: the kind (1 to 255 bytes) and its format version.
func AppendHeader(b []byte, kind string, version uint64) []byte {
	b = append(b, byte(len(kind)))
	b = append(b, kind...)
	return binary.AppendUvarint(b, version)
}

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendFloat appends a float, every bit of it.
func AppendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// AppendBool appends a truth value.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendUint32 appends 32 bits as four bytes, little-endian, for what would not
// get shorter as a varint.
func AppendUint32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendBytes appends a length and that many bytes.
func AppendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendPart appends what part appends, as AppendBytes would, without a copy of
// its own: the length is put before it when it is known.
func AppendPart(b []byte, part func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b)
	b, err := part(b)
	if err != nil {
		return nil, err
	}
	var head [binary.MaxVarintLen64]byte
	length := len(b) - start
	n := binary.PutUvarint(head[:], uint64(length))
	b = append(b, head[:n]...)
	copy(b[start+n:], b[start:start+length])
	copy(b[start:], head[:n])
	return b, nil
}

// Decoder reads an encoding from its start to its end. The first error sticks:
// every read after it returns a zero value, and Close returns it.
type Decoder struct {
	kind string
	data []byte
	err  error
}

// NewDecoder reads the header of data and returns what follows it and its
// format version, which is between 1 and newest unless Close returns an error.
func NewDecoder(data []byte, kind string, newest uint64) (*Decoder, uint64) {
	d := &Decoder{kind: kind, data: data}
	got := d.take(uint64(d.byte()))
	if d.err == nil && string(got) != kind {
		d.Fail("is of kind %.64q", got)
	}
	version := d.Uint()
	switch {
	case d.err != nil:
	case version == 0:
		d.Fail("has format version 0")
	case version > newest:
		d.Fail("has format version %d, newer than %d", version, newest)
		d.err.(*FormatError).Newer = true
	}
	return d, version
}

// Kind returns the kind in the header of an encoding, "" where there is none.
func Kind(data []byte) string {
	if len(data) == 0 || len(data) <= int(data[0]) {
		return ""
	}
	return string(data[1 : 1+int(data[0])])
}

// Fail makes the decoder fail for a reason of the caller's, unless it has failed before.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = &FormatError{Kind: d.kind, Reason: fmt.Sprintf(format, args...)}
		d.data = nil
	}
}

// Uint reads an unsigned integer.
func (d *Decoder) Uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.Fail("ends in the middle of an integer, or the integer is too large")
		return 0
	}
	d.data = d.data[n:]
	return v
}

// UintUpTo reads an unsigned integer and fails unless it is at most limit.
func (d *Decoder) UintUpTo(limit uint64) uint64 {
	v := d.Uint()
	if v > limit {
		d.Fail("holds %d where %d is the most", v, limit)
		return 0
	}
	return v
}

// Uint32 reads four bytes.
func (d *Decoder) Uint32() uint32 {
	raw := d.take(4)
	if raw == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(raw)
}

// Bool reads a truth value.
func (d *Decoder) Bool() bool { return d.UintUpTo(1) == 1 }

// Err returns the decoder's first error, a *FormatError. Loops over what the
// bytes claim to hold end on it.
func (d *Decoder) Err() error { return d.err }

// Len reads the length of a sequence whose elements take at least size bytes
// each, and fails when so many cannot follow: what it returns is safe to allocate.
func (d *Decoder) Len(size int) int {
	n := d.Uint()
	if n > uint64(len(d.data)/max(size, 1)) {
		d.Fail("claims %d elements where %d bytes are left", n, len(d.data))
		return 0
	}
	return int(n)
}

// Width reads a length and fails unless it is want, the width the model was built with.
func (d *Decoder) Width(want int) {
	if n := d.Uint(); d.err == nil && n != uint64(want) {
		d.Fail("has %d features, want %d", n, want)
	}
}

// Float reads a float and fails unless it is finite: no model keeps another.
func (d *Decoder) Float() float64 {
	raw := d.take(8)
	if raw == nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(raw))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		d.Fail("holds %v", v)
		return 0
	}
	return v
}

// FloatWithin reads a float and fails unless it is at least low and at most high.
func (d *Decoder) FloatWithin(low, high float64) float64 {
	v := d.Float()
	if d.err == nil && !(v >= low && v <= high) {
		d.Fail("holds %v where %v to %v is possible", v, low, high)
	}
	if d.err != nil {
		return 0
	}
	return v
}

// Bytes reads a length and that many bytes, which are not copied.
func (d *Decoder) Bytes() []byte { return d.take(d.Uint()) }

// Close fails when bytes are left, and returns the decoder's first error, a *FormatError.
func (d *Decoder) Close() error {
	if len(d.data) > 0 {
		d.Fail("has %d bytes after its end", len(d.data))
	}
	return d.err
}

func (d *Decoder) byte() byte {
	raw := d.take(1)
	if raw == nil {
		return 0
	}
	return raw[0]
}

func (d *Decoder) take(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.data)) {
		d.Fail("ends %d bytes early", n-uint64(len(d.data)))
		return nil
	}
	raw := d.data[:n:n]
	d.data = d.data[n:]
	return raw
}
