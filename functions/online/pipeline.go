package online

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sync"

	"tripcast.dev/functions/online/state"
)

const (
	pipelineKind   = "Pipeline"
	pipelineFormat = 1
)

// Pipeline is a model that knows the names of its features and prepares them
// with transformers. It is itself a Regressor.
//
// It follows River from 0.19 on: learning updates and applies each transformer
// in turn and then the model; predicting updates nothing.
type Pipeline struct {
	features     []string
	transformers []Transformer
	model        Regressor
	scratch      sync.Pool // *buffers
}

// buffers hold the vector on its way through the transformers.
type buffers struct{ from, to []float64 }

var _ Regressor = (*Pipeline)(nil)

// NewPipeline returns a pipeline on the named features, in this order. The
// order is part of what a pipeline is: sums are taken in it.
func NewPipeline(features []string, transformers []Transformer, model Regressor) (*Pipeline, error) {
	if len(features) == 0 {
		return nil, fmt.Errorf("online: a pipeline needs at least one feature")
	}
	width := len(features)
	for i, t := range transformers {
		in, out := t.Width()
		if in != width {
			return nil, fmt.Errorf("online: transformer %d takes %d features where there are %d", i, in, width)
		}
		width = out
	}
	if model.Width() != width {
		return nil, fmt.Errorf("online: the model takes %d features where there are %d", model.Width(), width)
	}
	return &Pipeline{
		features:     slices.Clone(features),
		transformers: slices.Clone(transformers),
		model:        model,
		scratch:      sync.Pool{New: func() any { return new(buffers) }},
	}, nil
}

// Features returns the names of the features, in the order of the vector.
func (p *Pipeline) Features() []string { return slices.Clone(p.features) }

// Width is the number of features.
func (p *Pipeline) Width() int { return len(p.features) }

// Vector appends the pipeline's features to dst in the order it wants them.
// One that is missing or not finite is NaN; others are left out.
func (p *Pipeline) Vector(dst []float64, features map[string]float64) []float64 {
	for _, name := range p.features {
		v, ok := features[name]
		if !ok || math.IsInf(v, 0) {
			v = math.NaN()
		}
		dst = append(dst, v)
	}
	return dst
}

// Predict returns the model's prediction for x. It does not allocate once warm.
func (p *Pipeline) Predict(x []float64) float64 {
	b := p.scratch.Get().(*buffers)
	for _, t := range p.transformers {
		x = b.next(t, x)
	}
	y := p.model.Predict(x)
	p.scratch.Put(b)
	return y
}

// Learn updates every transformer and then the model.
func (p *Pipeline) Learn(x []float64, y float64) {
	if math.IsNaN(y) || math.IsInf(y, 0) {
		return
	}
	b := p.scratch.Get().(*buffers)
	for _, t := range p.transformers {
		t.Learn(x)
		x = b.next(t, x)
	}
	p.model.Learn(x, y)
	p.scratch.Put(b)
}

// next transforms x, which may be the result of the last call.
func (b *buffers) next(t Transformer, x []float64) []float64 {
	b.to = t.Transform(b.to[:0], x)
	b.from, b.to = b.to, b.from
	return b.from
}

// AppendBinary appends the states of the transformers and of the model.
func (p *Pipeline) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, pipelineKind, pipelineFormat)
	b = state.AppendUint(b, p.fingerprint())
	b = state.AppendUint(b, uint64(len(p.transformers)+1))
	for s := range p.parts {
		var err error
		if b, err = state.AppendPart(b, s.AppendBinary); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary of a pipeline on the same features
// and of the same parts has written. On an error nothing is changed.
func (p *Pipeline) UnmarshalBinary(data []byte) error {
	before, err := p.AppendBinary(nil)
	if err != nil {
		return err
	}
	if err := p.decode(data); err != nil {
		if undo := p.decode(before); undo != nil {
			return fmt.Errorf("%w (and the state before it could not be restored: %w)", err, undo)
		}
		return err
	}
	return nil
}

func (p *Pipeline) decode(data []byte) error {
	d, _ := state.NewDecoder(data, pipelineKind, pipelineFormat)
	if print := d.Uint(); print != p.fingerprint() {
		d.Fail("is of other features, or in another order, than %q", p.features)
	}
	d.Width(len(p.transformers) + 1)
	for s := range p.parts {
		part := d.Bytes()
		if part == nil {
			break // the decoder has failed
		}
		if err := s.UnmarshalBinary(part); err != nil {
			return err
		}
	}
	return d.Close()
}

// parts yields everything that has a state, in the order it is encoded.
func (p *Pipeline) parts(yield func(State) bool) {
	for _, t := range p.transformers {
		if !yield(t) {
			return
		}
	}
	yield(p.model)
}

// fingerprint stands for the names of the features and their order in a state,
// so that one is never read into a pipeline that means something else by it.
func (p *Pipeline) fingerprint() uint64 {
	h := fnv.New64a()
	for _, name := range p.features {
		h.Write([]byte(name))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
