package tree_test

import (
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/tree"
)

// flattened is a tree as Walk shows it, with the names of two features.
func flattened(n *online.Node, depth int, alternate bool, to *[]tree.Node) {
	at := tree.Node{Depth: depth, Weight: n.Samples, Alternate: alternate}
	if n.Leaf() {
		at.Leaf, at.Mean = true, n.Mean
		*to = append(*to, at)
		return
	}
	at.Feature, at.Threshold = int(n.Feature[0]-'a'), n.Threshold
	*to = append(*to, at)
	flattened(n.Left, depth+1, false, to)
	flattened(n.Right, depth+1, false, to)
	if n.Alternate != nil {
		flattened(n.Alternate, depth, true, to)
	}
}

// What is explained is what Walk shows, alternate trees among it.
func TestExplainIsWalk(t *testing.T) {
	alternates := 0
	for name, fresh := range small() {
		for events := 0; events <= 2000; events += 250 {
			m := fresh()
			drifting(m, events)
			var got, want []tree.Node
			e := online.Explain(m, []string{"a", "b"})
			if e.Tree != nil {
				flattened(e.Tree, 0, false, &got)
			}
			shown := 0
			for n := range m.(interface{ Walk(func(tree.Node) bool) }).Walk {
				want = append(want, n)
				if n.Alternate {
					shown++
				}
			}
			if len(got) != len(want) || e.Counts["alternates"] != shown {
				t.Fatalf("%s after %d events: %d nodes and %d alternate trees, Walk shows %d and %d", name, events, len(got), e.Counts["alternates"], len(want), shown)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("%s after %d events: node %d is %+v, Walk shows %+v", name, events, i, got[i], want[i])
				}
			}
			alternates += shown
		}
	}
	if alternates == 0 {
		t.Error("no alternate tree was seen: the test tests little")
	}
}
