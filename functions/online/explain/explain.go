// Package explain shows what models have learned: an online.Explanation as text,
// with trees drawn and coefficients in a table, its trees as SVG, and how one
// differs from another.
//
// The same explanation gives the same bytes. Nothing here is kept or shared, so
// that any number of goroutines may draw at once.
package explain

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"tripcast.dev/functions/online"
)

// Options bound what is shown. What is left out is counted in its place.
type Options struct {
	Depth int // levels below the root of a tree, all if it is not positive
	Rows  int // of a table, all if it is not positive
}

// deep reports whether a node at a depth is too deep for its children to be shown.
func (o Options) deep(depth int) bool { return o.Depth > 0 && depth >= o.Depth }

// shown is how many of n rows are.
func (o Options) shown(n int) int {
	if o.Rows > 0 {
		return min(n, o.Rows)
	}
	return n
}

// below counts the nodes below one, those of alternate trees among them.
func below(n *online.Node) int {
	if n.Leaf() {
		return 0
	}
	count := 2 + below(n.Left) + below(n.Right)
	if n.Alternate != nil {
		count += 1 + below(n.Alternate)
	}
	return count
}

// question is what a branch asks: what says yes goes to the left.
func question(n *online.Node) string { return n.Feature + " ≤ " + number(n.Threshold) }

// learned is what a node knows of labels.
func learned(n *online.Node) string {
	text := number(n.Samples) + " labels, mean "
	if n.Samples == 1 {
		text = "1 label, mean "
	}
	text += number(n.Mean)
	if n.Model {
		text += ", linear"
	}
	return text
}

// number is short: four digits are enough to look at, and whole ones are whole.
func number(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 || v == math.Trunc(v) && a < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// value is a parameter, or what else an explanation holds, as text.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case float64:
		return number(v)
	case []string, []any:
		return fmt.Sprint(v)
	}
	encoded, err := json.Marshal(v)
	if err != nil { // an explanation has nothing that JSON has not
		return fmt.Sprint(v)
	}
	return string(encoded)
}
