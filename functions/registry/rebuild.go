package registry

import (
	"context"
	"fmt"
	"strings"
)

// Rebuilt is a model that was made again from its labels.
type Rebuilt struct {
	State   []byte
	Version uint64   // that it is the state of
	Partial bool     // the last label lies within the version's commit: no version was ever like this
	Count   uint64   // labels behind the state
	Labels  int      // those of them that were taught
	From    uint64   // the version of the snapshot it began with, 0 if that was nothing
	Checked []uint64 // the versions on the way whose state is kept, and was the same, bit for bit

	model string
	of    Snapshot // of the version, as it would be if it was kept
}

// DifferenceError is a model that, rebuilt, is not what it was.
type DifferenceError struct {
	Model   string
	Version uint64 // the first one that is kept and differs
	Since   uint64 // the last one before that was the same, 0 if there is none
	Labels  int    // how many were learned between the two: one of them is at fault
	First   string // and their ids
	Last    string
	At      int // the first byte of the state that differs
}

func (e *DifferenceError) Error() string {
	since := ""
	if e.Since != 0 {
		since = fmt.Sprintf(", and at version %d it did not", e.Since)
	}
	return fmt.Sprintf("registry: model %s, rebuilt, differs from what is kept of version %d from byte %d of the state on%s: "+
		"one of the %d labels before it, %.100q to %.100q, was learned in another order, from other features or by another program, or what is kept is damaged",
		e.Model, e.Version, e.At, since, e.Labels, e.First, e.Last)
}

// MissingError is labels that a journey needs.
type MissingError struct {
	Model  string
	IDs    []string // in the order they were learned in
	Labels int      // that are needed, with them
}

func (e *MissingError) Error() string {
	const most = 10
	text, more := strings.Join(e.IDs[:min(most, len(e.IDs))], ", "), ""
	if len(e.IDs) > most {
		more = fmt.Sprintf(" and %d more", len(e.IDs)-most)
	}
	return fmt.Sprintf("registry: to rebuild model %s, %d of %d labels are missing: %s%s", e.Model, len(e.IDs), e.Labels, text, more)
}

// Rebuild makes the model of a journey from its labels, by their ids, as those
// who learned them have: in the same order with the same code. At every version
// on the way whose state is kept it compares the two, and returns a
// *DifferenceError at the first that is not the same. Labels that are not there
// are a *MissingError. Between two commits it looks whether ctx is done, and
// returns the cause of that.
func (j *Journey) Rebuild(ctx context.Context, labels map[string]Label) (*Rebuilt, error) {
	if err := j.missing(labels); err != nil {
		return nil, err
	}
	p, err := load(j.spec, head{version: j.base.Version, spec: j.base.Spec, state: j.state})
	if err != nil {
		return nil, fmt.Errorf("the snapshot of version %d: %w", j.base.Version, err)
	}
	r := &Rebuilt{Version: j.to.Version, Partial: j.partial, Count: j.base.Count, From: j.base.Version, model: j.spec.Name}
	since := span{version: j.base.Version}
	var x []float64
	for _, s := range j.steps {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("registry: rebuild model %s: %w", j.spec.Name, context.Cause(ctx))
		}
		for _, id := range s.labels {
			label := labels[id]
			x = p.Vector(x[:0], label.Features)
			if err := p.Teach(x, label.Y); err != nil {
				return nil, fmt.Errorf("registry: rebuild model %s, version %d: on label %.100q %w, which it did not when it learned", j.spec.Name, s.version, id, err)
			}
		}
		r.Labels += len(s.labels)
		if j.Progress != nil {
			j.Progress(r.Labels)
		}
		since.extend(s.labels)
		if len(s.stored) == 0 {
			continue
		}
		if r.State, err = p.AppendBinary(r.State[:0]); err != nil {
			return nil, fmt.Errorf("registry: rebuild model %s, version %d: encode: %w", j.spec.Name, s.version, err)
		}
		for _, kept := range s.stored {
			if err := j.compare(r.State, kept, since); err != nil {
				return nil, err
			}
			r.Checked = append(r.Checked, kept.version)
		}
		since = span{version: s.stored[len(s.stored)-1].version}
	}
	r.Count += uint64(r.Labels)
	if r.State, err = p.AppendBinary(r.State[:0]); err != nil {
		return nil, fmt.Errorf("registry: rebuild model %s: encode: %w", j.spec.Name, err)
	}
	r.of = Snapshot{
		Version: r.Version, Count: r.Count, Commit: j.to.Name, Spec: j.spec.Hash(), At: j.to.At, StateBytes: len(r.State), Last: j.last(),
	}
	return r, nil
}

// last is the id of the last label behind the state.
func (j *Journey) last() string {
	if len(j.steps) == 0 {
		return j.base.Last
	}
	labels := j.steps[len(j.steps)-1].labels
	return labels[len(labels)-1]
}

func (j *Journey) missing(labels map[string]Label) error {
	err := &MissingError{Model: j.spec.Name}
	for _, s := range j.steps {
		err.Labels += len(s.labels)
		for _, id := range s.labels {
			if _, ok := labels[id]; !ok {
				err.IDs = append(err.IDs, id)
			}
		}
	}
	if len(err.IDs) == 0 {
		return nil
	}
	return err
}

// span is what was learned since a version.
type span struct {
	version     uint64
	labels      int
	first, last string
}

func (s *span) extend(labels []string) {
	if s.labels == 0 {
		s.first = labels[0]
	}
	s.labels, s.last = s.labels+len(labels), labels[len(labels)-1]
}

// compare holds a state to the one that is kept. One that was written in an
// earlier format is the same if what it says is.
func (j *Journey) compare(state []byte, kept stored, since span) error {
	if string(state) == kept.state {
		return nil
	}
	was := []byte(kept.state)
	if p, err := load(j.spec, head{version: kept.version, spec: j.spec.Hash(), state: kept.state}); err == nil {
		if again, err := p.AppendBinary(nil); err == nil {
			was = again
		}
	}
	at := differAt(state, was)
	if at < 0 {
		return nil
	}
	return &DifferenceError{
		Model: j.spec.Name, Version: kept.version, Since: since.version,
		Labels: since.labels, First: since.first, Last: since.last, At: at,
	}
}

// differAt is where two states begin to differ, -1 if they do not.
func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
