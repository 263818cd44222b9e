// Package ensemble holds models that are made of other models and predict
// better together: copies that differ by chance (Bagging, as in
// river.ensemble), experts weighted by what they have been worth (Hedge), and
// models of what other models leave over (Residual).
//
// Each predicts as concurrently as its members do, and its state is its own
// followed by theirs. Members are the ensemble's alone: where they take long to
// learn, they do so at once.
package ensemble

import (
	"fmt"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/state"
)

// members are models on the same vectors, at least one.
type members []online.Regressor

func newMembers(models []online.Regressor) (members, error) {
	if len(models) == 0 {
		return nil, fmt.Errorf("ensemble: no models")
	}
	for i, m := range models {
		if m.Width() != models[0].Width() {
			return nil, fmt.Errorf("ensemble: model %d takes %d features, the first %d", i, m.Width(), models[0].Width())
		}
	}
	return append(members(nil), models...), nil
}

// build builds the models of a catalogue. Each draws with a seed of its own, so
// that two of a kind do not draw the same.
func build(p *online.Params, name string) []online.Regressor {
	var models []online.Regressor
	for i, build := range p.Models(name) {
		models = append(models, build(p.Seed()+uint64(i)))
	}
	return models
}

// Width is the number of features.
func (m members) Width() int { return m[0].Width() }

// append appends the number of members and their states.
func (m members) append(b []byte) ([]byte, error) {
	b = state.AppendUint(b, uint64(len(m)))
	for _, model := range m {
		var err error
		if b, err = state.AppendPart(b, model.AppendBinary); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// decode reads the states of as many members, and changes nothing yet.
func (m members) decode(d *state.Decoder) [][]byte {
	if n := d.Uint(); n != uint64(len(m)) {
		d.Fail("has %d models, want %d", n, len(m))
	}
	parts := make([][]byte, len(m))
	for i := range parts {
		parts[i] = d.Bytes()
	}
	return parts
}

// replace gives every member the state that decode has read for it, or none of
// them if one of the states is not good.
func (m members) replace(parts [][]byte) error {
	before := make([][]byte, 0, len(m))
	for i, model := range m {
		old, err := model.AppendBinary(nil)
		if err == nil {
			err = model.UnmarshalBinary(parts[i])
		}
		if err != nil {
			return m.undo(before, err)
		}
		before = append(before, old)
	}
	return nil
}

func (m members) undo(before [][]byte, because error) error {
	for i, old := range before {
		if err := m[i].UnmarshalBinary(old); err != nil {
			return fmt.Errorf("%w (and the state before it could not be restored: %w)", because, err)
		}
	}
	return because
}
