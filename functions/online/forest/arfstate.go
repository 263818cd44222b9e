package forest

import (
	"math"

	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/online/tree"
)

const (
	arfKind   = "AdaptiveRandomForestRegressor"
	arfFormat = 1
)

// AppendBinary appends the trees, what is known of them, and the generators.
func (f *ARFRegressor) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, arfKind, arfFormat)
	b = state.AppendUint(b, uint64(f.width))
	b = state.AppendUint(b, uint64(len(f.members)))
	for _, random := range generators(f.members) {
		b = random.Append(b)
	}
	for i := range f.members {
		var err error
		if b, err = f.members[i].append(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// UnmarshalBinary reads what a forest of the same width and parameters has written.
func (f *ARFRegressor) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, arfKind, arfFormat)
	d.Width(f.width)
	if n := d.Uint(); n != uint64(len(f.members)) {
		d.Fail("has %d trees, want %d", n, len(f.members))
	}
	members := f.newMembers()
	for _, random := range generators(members) {
		random.Decode(d)
	}
	for i := range members {
		if err := f.decode(&members[i], d); err != nil {
			return err
		}
	}
	if err := d.Close(); err != nil {
		return err
	}
	f.members = members
	return nil
}

// generators returns the generator of every tree, or the one that all share.
func generators(members []arfMember) []*mt19937.Rand {
	var found []*mt19937.Rand
	for i := range members {
		if random := members[i].random; i == 0 || random != found[0] {
			found = append(found, random)
		}
	}
	return found
}

func (m *arfMember) append(b []byte) ([]byte, error) {
	b = state.AppendUint(b, uint64(m.warnings))
	b = state.AppendUint(b, uint64(m.drifts))
	b = m.errors.Append(m.squared.Append(b))
	b = m.alarm.Append(m.warning.Append(b))
	b, err := appendTree(b, m.tree)
	if err != nil {
		return nil, err
	}
	b = state.AppendBool(b, m.background != nil)
	if m.background == nil {
		return b, nil
	}
	return appendTree(b, m.background)
}

// appendTree appends a tree with its own header: formats of trees may come that
// do not concern the forest.
func appendTree(b []byte, t *tree.HoeffdingRegressor) ([]byte, error) {
	return state.AppendPart(b, t.AppendBinary)
}

// decode reads a member. The decoder's own error is left to it.
func (f *ARFRegressor) decode(m *arfMember, d *state.Decoder) error {
	m.warnings = int(d.UintUpTo(math.MaxInt))
	m.drifts = int(d.UintUpTo(math.MaxInt))
	m.squared.Decode(d)
	m.errors.Decode(d)
	m.warning.Decode(d)
	m.alarm.Decode(d)
	if err := decodeTree(d, m.tree); err != nil {
		return err
	}
	if !d.Bool() {
		return nil
	}
	m.background = f.newTree(m)
	return decodeTree(d, m.background)
}

func decodeTree(d *state.Decoder, t *tree.HoeffdingRegressor) error {
	data := d.Bytes()
	if d.Err() != nil {
		return nil
	}
	return t.UnmarshalBinary(data)
}
