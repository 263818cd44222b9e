package online

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"tripcast.dev/functions/online/state"
)

// What a model made of models is held to.
const (
	maxDepth = 4    // models within models
	maxInner = 1000 // models in all, within one
)

// steps are the transformers and the model of a pipeline, as data.
type steps struct {
	transformers []step
	model        step
}

// step is a kind and its parameters.
type step struct {
	kind   string
	path   string
	params *yaml.Node // a mapping, or nil
	node   *yaml.Node
}

// inner is where in a specification a step stands.
type inner struct {
	kinds  Kinds
	depth  int
	budget *budget
}

// budget bounds how many models a specification may make within one while it is
// read. Later, ensembles build members as they need them.
type budget struct {
	built int
	read  bool // the specification has been read
}

// build makes a pipeline on features of these names.
func (s steps) build(names []string, seed uint64, in *inner) (*Pipeline, canonicalPipeline, mistakes) {
	var errs mistakes
	var canonical canonicalPipeline
	var transformers []Transformer
	at := names
	for _, st := range s.transformers {
		t, given, mistakes := buildStep(st, in.kinds.Transformers, "transformer", at, seed, in)
		canonical.Transformers = append(canonical.Transformers, canonicalStep{st.kind: given})
		if errs = append(errs, mistakes...); len(mistakes) == 0 {
			transformers = append(transformers, t)
			at = namesAfter(t, at)
		}
	}
	model, given, mistakes := buildStep(s.model, in.kinds.Regressors, "model", at, seed, in)
	canonical.Model = canonicalStep{s.model.kind: given}
	if errs = append(errs, mistakes...); len(errs) > 0 {
		return nil, canonical, errs
	}
	pipeline, err := NewPipeline(names, transformers, model)
	if err != nil {
		errs.add(s.model.node, s.model.path, "%v", err)
	}
	return pipeline, canonical, errs
}

// Namer is a Transformer whose features are not those it is given.
type Namer interface {
	// Names returns the names of the features it gives for those it takes.
	Names(in []string) []string
}

// namesAfter are the names of what a transformer gives.
func namesAfter(t Transformer, in []string) []string {
	if n, ok := t.(Namer); ok {
		return n.Names(in)
	}
	_, width := t.Width()
	if width == len(in) {
		return in
	}
	out := make([]string, width)
	for i := range out {
		out[i] = fmt.Sprintf("x%d", i)
	}
	return out
}

func buildStep[T any](st step, kinds map[string]func(*Params) T, what string, names []string, seed uint64, in *inner) (built T, given map[string]any, errs mistakes) {
	build, ok := kinds[st.kind]
	if !ok {
		errs.add(st.node, st.path, "%q is not a known %s", st.kind, what)
		return built, nil, errs
	}
	p := newParams(st, names, seed, in)
	built = build(p)
	return built, p.given, p.close()
}

// Model reads a model within the model: a kind with its parameters, as in
// {HoeffdingTreeRegressor: {max_depth: 5}}, or a pipeline of its own with
// transformers and model. What it returns builds one with nothing learned, on
// the features that reach this step, which draws with the seed it is given.
func (p *Params) Model(name string) func(seed uint64) Regressor {
	node, ok := p.take(name)
	if !ok {
		p.fail(p.node, name, "is missing")
		return p.nothing
	}
	build, canonical := p.model(node, p.path+"."+name)
	p.given[name] = canonical
	return build
}

// Models reads a list of at least one such model.
func (p *Params) Models(name string) []func(seed uint64) Regressor {
	node, ok := p.take(name)
	if !ok || node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		p.fail(firstNode(node, p.node), name, "is not a list of models")
		return nil
	}
	var builders []func(uint64) Regressor
	var canonical []any
	for i, item := range node.Content {
		build, c := p.model(resolve(item), fmt.Sprintf("%s.%s[%d]", p.path, name, i))
		builders, canonical = append(builders, build), append(canonical, c)
	}
	p.given[name] = canonical
	return builders
}

// Texts reads a list of at least one of the words that are allowed, each once.
func (p *Params) Texts(name string, allowed []string) []string {
	node, ok := p.take(name)
	if !ok || node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		p.fail(firstNode(node, p.node), name, "is not a list of at least one of %s", strings.Join(allowed, ", "))
		return nil
	}
	left := map[string]bool{}
	for _, a := range allowed {
		left[a] = true
	}
	var texts []string
	for _, item := range node.Content {
		item = resolve(item)
		if item.Kind != yaml.ScalarNode || !left[item.Value] {
			p.fail(item, name, "%q is not, or is no longer, one of %s", item.Value, strings.Join(allowed, ", "))
			continue
		}
		left[item.Value] = false
		texts = append(texts, item.Value)
	}
	p.given[name] = texts
	return texts
}

func (p *Params) model(node *yaml.Node, path string) (func(uint64) Regressor, any) {
	in := &inner{kinds: p.inner.kinds, depth: p.inner.depth + 1, budget: p.inner.budget}
	if in.depth > maxDepth {
		p.errs.add(node, path, "is the %dth model within a model, %d are the most", in.depth, maxDepth)
		return p.nothing, nil
	}
	read := parser{kinds: in.kinds}
	var s steps
	if node.Kind == yaml.MappingNode && hasKey(node, "model") {
		s = read.steps(node, path, read.fields(node, path, path+".", "transformers", "model"))
	} else {
		s.model = read.step(node, path)
	}
	if len(read.errs) > 0 {
		p.errs = append(p.errs, read.errs...)
		return p.nothing, nil
	}
	_, canonical, errs := s.build(p.names, p.seed, in)
	if len(errs) > 0 {
		p.errs = append(p.errs, errs...)
		return p.nothing, nil
	}
	build := func(seed uint64) Regressor {
		if !in.budget.read {
			if in.budget.built++; in.budget.built == maxInner+1 {
				p.errs.add(node, path, "makes more than %d models within one", maxInner)
			}
			if in.budget.built > maxInner {
				return p.nothing(seed)
			}
		}
		pipeline, _, errs := s.build(p.names, seed, in)
		if len(errs) > 0 {
			p.errs = append(p.errs, errs...)
			return p.nothing(seed)
		}
		if len(s.transformers) == 0 {
			return pipeline.model
		}
		return pipeline
	}
	if len(s.transformers) == 0 {
		return build, canonical.Model
	}
	return build, canonical
}

// nothing stands where a model has a mistake, until the mistake is reported.
func (p *Params) nothing(uint64) Regressor { return nothing(p.Width()) }

type nothing int

func (n nothing) Width() int                            { return int(n) }
func (n nothing) Predict([]float64) float64             { return 0 }
func (n nothing) Learn([]float64, float64)              {}
func (n nothing) AppendBinary(b []byte) ([]byte, error) { return b, nil }
func (n nothing) UnmarshalBinary([]byte) error {
	return &state.FormatError{Kind: "nothing", Reason: "is never written"}
}

func hasKey(node *yaml.Node, key string) bool {
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return true
		}
	}
	return false
}
