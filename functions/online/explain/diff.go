package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"tripcast.dev/functions/online"
)

// What a Change is of.
const (
	OfKind        = "kind"
	OfParameter   = "parameter"
	OfCount       = "count"
	OfValue       = "value"
	OfIntercept   = "intercept"
	OfCoefficient = "coefficient"
	OfScale       = "scale"
	OfSplit       = "split"
	OfPart        = "part"
)

// Change is one thing that two explanations do not have in common.
type Change struct {
	Part   string   `json:"part,omitempty"`   // its role, after those of what it is part of; "" is the whole
	What   string   `json:"what"`             // one of the constants
	Name   string   `json:"name,omitempty"`   // of a split: the answers that lead to it
	Before any      `json:"before,omitempty"` // nil where there was none
	After  any      `json:"after,omitempty"`  // nil where there is none
	Change *float64 `json:"change,omitempty"` // After less Before, of numbers, where that is one
}

// Diff returns what has changed from one explanation to another, always in the
// same order: each part after what it is part of, and coefficients by how much
// they have changed. Parts are compared that have the same role. Where a part is
// of another kind, or a split another one, what is below it is not compared, as
// it means something else; splits that have come, or gone, are each a Change.
func Diff(before, after online.Explanation) []Change {
	var d differ
	d.whole("", before, after)
	return d.changes
}

// differ collects changes.
type differ struct{ changes []Change }

func (d *differ) whole(part string, a, b online.Explanation) {
	if a.Kind != b.Kind {
		d.add(part, OfKind, "", a.Kind, b.Kind)
		return
	}
	named(d, part, OfParameter, a.Parameters, b.Parameters)
	named(d, part, OfCount, a.Counts, b.Counts)
	named(d, part, OfValue, a.Values, b.Values)
	d.add(part, OfIntercept, "", pointed(a.Intercept), pointed(b.Intercept))
	d.coefficients(part, a.Coefficients, b.Coefficients)
	named(d, part, OfScale, scales(a.Scales), scales(b.Scales))
	d.tree(part, "", a.Tree, b.Tree)
	d.parts(part, a.Parts, b.Parts)
}

// add adds a change if it is one.
func (d *differ) add(part, what, name string, before, after any) {
	x, errX := json.Marshal(before)
	y, errY := json.Marshal(after)
	if errX == nil && errY == nil && bytes.Equal(x, y) {
		return
	}
	c := Change{Part: part, What: what, Name: name, Before: before, After: after}
	if a, ok := float(before); ok {
		if b, ok := float(after); ok {
			if change := b - a; !math.IsInf(change, 0) {
				c.Change = &change
			}
		}
	}
	d.changes = append(d.changes, c)
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// pointed is what a pointer points to, or nil.
func pointed[V any](p *V) any {
	if p == nil {
		return nil
	}
	return *p
}

// named compares values by their names.
func named[V any](d *differ, part, what string, a, b map[string]V) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		d.add(part, what, name, in(a, name), in(b, name))
	}
}

// in returns the value of a name, nil if there is none.
func in[V any](values map[string]V, name string) any {
	if v, ok := values[name]; ok {
		return v
	}
	return nil
}

// coefficients compares weights, and puts the largest change first.
func (d *differ) coefficients(part string, a, b []online.Coefficient) {
	weights := func(all []online.Coefficient) map[string]float64 {
		byName := map[string]float64{}
		for _, c := range all {
			byName[c.Feature] = c.Weight
		}
		return byName
	}
	from := len(d.changes)
	named(d, part, OfCoefficient, weights(a), weights(b))
	size := func(c Change) float64 {
		if c.Change == nil { // it came, or went
			return math.Inf(1)
		}
		return math.Abs(*c.Change)
	}
	slices.SortStableFunc(d.changes[from:], func(x, y Change) int { return cmp.Compare(size(y), size(x)) })
}

// scales are means and deviations by their names.
func scales(all []online.Scale) map[string]float64 {
	values := map[string]float64{}
	for _, s := range all {
		values[s.Feature+" mean"], values[s.Feature+" deviation"] = s.Mean, s.Deviation
	}
	return values
}

// tree compares splits, those at the same place with each other.
func (d *differ) tree(part, way string, a, b *online.Node) {
	x, y := split(a), split(b)
	name := cmp.Or(way, "root")
	switch {
	case x == nil && y == nil:
		return
	case x == nil:
		d.add(part, OfSplit, name, nil, y)
		d.tree(part, step(way, "yes"), nil, b.Left)
		d.tree(part, step(way, "no"), nil, b.Right)
	case y == nil:
		d.add(part, OfSplit, name, x, nil)
		d.tree(part, step(way, "yes"), a.Left, nil)
		d.tree(part, step(way, "no"), a.Right, nil)
	case a.Feature != b.Feature || a.Threshold != b.Threshold:
		d.add(part, OfSplit, name, x, y)
		return
	default:
		d.tree(part, step(way, "yes"), a.Left, b.Left)
		d.tree(part, step(way, "no"), a.Right, b.Right)
	}
	d.tree(part, step(way, "or else"), alternate(a), alternate(b))
}

// split is what a node asks, to the last digit, nil if it asks nothing.
func split(n *online.Node) any {
	if n == nil || n.Leaf() {
		return nil
	}
	return n.Feature + " ≤ " + strconv.FormatFloat(n.Threshold, 'g', -1, 64)
}

func alternate(n *online.Node) *online.Node {
	if n == nil {
		return nil
	}
	return n.Alternate
}

func step(way, answer string) string {
	if way == "" {
		return answer
	}
	return way + ", " + answer
}

// parts compares parts by their roles, in the order of what they were part of,
// and then those that have come.
func (d *differ) parts(of string, a, b []online.Part) {
	role := func(parts []online.Part, name string) (online.Part, bool) {
		i := slices.IndexFunc(parts, func(p online.Part) bool { return p.Role == name })
		if i < 0 {
			return online.Part{}, false
		}
		return parts[i], true
	}
	for _, p := range a {
		path := under(of, p.Role)
		q, ok := role(b, p.Role)
		if !ok {
			d.add(path, OfPart, "", p.Explanation.Kind, nil)
			continue
		}
		named(d, path, OfValue, p.Values, q.Values)
		d.whole(path, p.Explanation, q.Explanation)
	}
	for _, q := range b {
		if _, ok := role(a, q.Role); !ok {
			d.add(under(of, q.Role), OfPart, "", nil, q.Explanation.Kind)
		}
	}
}

func under(of, role string) string {
	if of == "" {
		return role
	}
	return of + " / " + role
}

// WriteDiff writes changes as tables, one for each part and what has changed of it.
func WriteDiff(w io.Writer, changes []Change, o Options) error {
	var b bytes.Buffer
	for len(changes) > 0 {
		first := changes[0]
		n := slices.IndexFunc(changes, func(c Change) bool { return c.Part != first.Part || c.What != first.What })
		if n < 0 {
			n = len(changes)
		}
		heading := strings.ToUpper(first.What)
		if first.Part != "" {
			heading = first.Part + ": " + heading
		}
		rows := [][]string{{heading, "BEFORE", "AFTER", "CHANGE"}}
		for _, c := range changes[:n] {
			row := []string{cmp.Or(c.Name, "-"), value(c.Before), value(c.After), ""}
			if c.Change != nil {
				row[3] = signed(*c.Change)
			}
			rows = append(rows, row)
		}
		writeTable(&b, "", rows, o)
		changes = changes[n:]
	}
	_, err := w.Write(b.Bytes())
	return err
}

func signed(v float64) string {
	if v > 0 {
		return "+" + number(v)
	}
	return number(v)
}
