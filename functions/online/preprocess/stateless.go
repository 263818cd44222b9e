package preprocess

import "tripcast.dev/functions/online/state"

// stateless is the part of a transformer that has nothing to learn. Its state
// is only what it is of.
type stateless struct {
	kind    string
	in, out int
}

const statelessFormat = 1

// Width is the number of features it takes and of those it gives.
func (s stateless) Width() (in, out int) { return s.in, s.out }

// Learn does nothing.
func (s stateless) Learn([]float64) {}

// AppendBinary appends how many features it takes and gives.
func (s stateless) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, s.kind, statelessFormat)
	b = state.AppendUint(b, uint64(s.in))
	return state.AppendUint(b, uint64(s.out)), nil
}

// UnmarshalBinary checks that the state is of such a transformer.
func (s stateless) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, s.kind, statelessFormat)
	d.Width(s.in)
	d.Width(s.out)
	return d.Close()
}
