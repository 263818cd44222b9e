package forest

import (
	"fmt"
	"strings"
)

// Shapes says of every tree what cases_amf.py says of River's.
func (f *AMFRegressor) Shapes() []string {
	var shapes []string
	for i := range f.trees {
		t := &f.trees[i]
		deepest, splits := 0, make([]int, len(f.x))
		for _, node := range t.nodes {
			if node.feature != none {
				splits[node.feature]++
			}
			depth := 0
			for at := node.parent; at != none; at = t.nodes[at].parent {
				depth++
			}
			deepest = max(deepest, depth)
		}
		left := t.nodes[t.nodes[t.root].left].n
		shape := fmt.Sprintln(len(t.nodes), deepest, left, splits)
		shapes = append(shapes, strings.TrimSpace(strings.NewReplacer("[", "", "]", "").Replace(shape)))
	}
	return shapes
}
