package online

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kinds are the transformers and models that a catalogue may name, and how each
// is built from its parameters. A builder reads every parameter it knows, once;
// mistakes are collected in Params, so that it always returns something.
type Kinds struct {
	Transformers map[string]func(*Params) Transformer
	Regressors   map[string]func(*Params) Regressor
}

// Params are the parameters of one step of a pipeline. Those that the builder
// does not read are reported as unknown.
type Params struct {
	kind  string
	path  string
	names []string // of the features that reach the step
	seed  uint64
	inner *inner
	node  *yaml.Node // the mapping, or the step where it has none
	nodes map[string]*yaml.Node
	known []string
	given map[string]any // what differs from the default
	errs  mistakes
}

// Width is the number of features that reach the step.
func (p *Params) Width() int { return len(p.names) }

// Features are the names of the features that reach the step. They are not to be changed.
func (p *Params) Features() []string { return p.names }

// Seed is the pipeline's seed, for steps that draw at random.
func (p *Params) Seed() uint64 { return p.seed }

// Float reads a number. A default is part of the catalogue's contract: it never
// changes, because a state belongs to the parameters it was learned with.
func (p *Params) Float(name string, byDefault float64, bounds ...Bound) float64 {
	node, ok := p.take(name)
	if !ok {
		return byDefault
	}
	v, ok := number(node)
	if !ok {
		p.fail(node, name, "%q is not a finite number", node.Value)
		return byDefault
	}
	if !p.within(node, name, v, bounds) {
		return byDefault
	}
	if v != byDefault {
		p.given[name] = v
	}
	return v
}

// Int reads a whole number.
func (p *Params) Int(name string, byDefault int, bounds ...Bound) int {
	v := p.Float(name, float64(byDefault), append([]Bound{whole}, bounds...)...)
	return int(v)
}

// Bool reads true or false.
func (p *Params) Bool(name string, byDefault bool) bool {
	node, ok := p.take(name)
	if !ok {
		return byDefault
	}
	var v bool
	if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" || node.Decode(&v) != nil {
		p.fail(node, name, "%q is not true or false", node.Value)
		return byDefault
	}
	if v != byDefault {
		p.given[name] = v
	}
	return v
}

// Choice reads one of a few words.
func (p *Params) Choice(name, byDefault string, others ...string) string {
	node, ok := p.take(name)
	if !ok {
		return byDefault
	}
	choices := append([]string{byDefault}, others...)
	if node.Kind != yaml.ScalarNode || !slices.Contains(choices, node.Value) {
		p.fail(node, name, "%q is not one of %s", node.Value, strings.Join(choices, ", "))
		return byDefault
	}
	if node.Value != byDefault {
		p.given[name] = node.Value
	}
	return node.Value
}

// FloatMap reads a mapping of some of these keys to numbers, such as of features
// to weights, and returns a number for each of them.
func (p *Params) FloatMap(name string, keys []string, byDefault float64, bounds ...Bound) map[string]float64 {
	values := map[string]float64{}
	for _, key := range keys {
		values[key] = byDefault
	}
	node, ok := p.take(name)
	if !ok {
		return values
	}
	if node.Kind != yaml.MappingNode {
		p.fail(node, name, "is not a mapping of %s to numbers", strings.Join(keys, ", "))
		return values
	}
	given := map[string]float64{}
	eachPair(node, p.path+"."+name, &p.errs, func(key, value *yaml.Node) {
		v, isNumber := number(value)
		at := name + "." + key.Value
		switch {
		case !slices.Contains(keys, key.Value):
			p.fail(key, at, "is not one of %s", strings.Join(keys, ", "))
		case !isNumber:
			p.fail(value, at, "%q is not a finite number", value.Value)
		case p.within(value, at, v, bounds) && v != byDefault:
			values[key.Value], given[key.Value] = v, v
		}
	})
	if len(given) > 0 {
		p.given[name] = given
	}
	return values
}

// within reports whether v is within its bounds, and where it is not, the mistake.
func (p *Params) within(node *yaml.Node, name string, v float64, bounds []Bound) bool {
	for _, b := range bounds {
		if !b.holds(v) {
			p.fail(node, name, "%v is not %s", v, b.text)
			return false
		}
	}
	return true
}

// Fail reports a mistake that lies in no single parameter's range, such as two
// that do not go together.
func (p *Params) Fail(name, format string, args ...any) {
	p.fail(firstNode(p.nodes[name], p.node), name, format, args...)
}

// Bound is what a parameter is held to.
type Bound struct {
	text  string
	holds func(float64) bool
}

// Above holds a parameter above a limit.
func Above(limit float64) Bound {
	return Bound{fmt.Sprintf("above %v", limit), func(v float64) bool { return v > limit }}
}

// AtLeast holds a parameter at or above a limit.
func AtLeast(limit float64) Bound {
	return Bound{fmt.Sprintf("at least %v", limit), func(v float64) bool { return v >= limit }}
}

// AtMost holds a parameter at or below a limit.
func AtMost(limit float64) Bound {
	return Bound{fmt.Sprintf("at most %v", limit), func(v float64) bool { return v <= limit }}
}

var whole = Bound{"a whole number", func(v float64) bool { return v == math.Trunc(v) && math.Abs(v) <= 1<<53 }}

// newParams reads the parameters of a step, a mapping or nothing.
func newParams(st step, names []string, seed uint64, in *inner) *Params {
	p := &Params{
		kind: st.kind, path: st.path + "." + st.kind, names: names, seed: seed, inner: in, node: st.node,
		nodes: map[string]*yaml.Node{}, given: map[string]any{},
	}
	if st.params == nil || st.params.Tag == "!!null" {
		return p
	}
	p.node = st.params
	if st.params.Kind != yaml.MappingNode {
		p.errs.add(st.params, p.path, "is not a mapping of parameters")
		return p
	}
	eachPair(st.params, p.path, &p.errs, func(key, value *yaml.Node) { p.nodes[key.Value] = value })
	return p
}

func (p *Params) take(name string) (*yaml.Node, bool) {
	p.known = append(p.known, name)
	node, ok := p.nodes[name]
	return node, ok
}

func (p *Params) fail(node *yaml.Node, name, format string, args ...any) {
	p.errs.add(node, p.path+"."+name, format, args...)
}

// close reports the parameters that were not read.
func (p *Params) close() mistakes {
	known := map[string]bool{}
	for _, name := range p.known {
		known[name] = true
	}
	for name, node := range p.nodes {
		switch {
		case known[name]:
		case len(p.known) == 0:
			p.fail(node, name, "is unknown: %s has no parameters", p.kind)
		default:
			p.fail(node, name, "is unknown: %s has %s", p.kind, strings.Join(p.known, ", "))
		}
	}
	return p.errs
}

func number(node *yaml.Node) (float64, bool) {
	var v float64
	if node.Kind != yaml.ScalarNode || (node.Tag != "!!float" && node.Tag != "!!int") || node.Decode(&v) != nil {
		return 0, false
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}
