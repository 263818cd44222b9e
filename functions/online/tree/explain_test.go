package tree_test

import (
	"math/rand/v2"
	"slices"
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

// What is explained is what Walk shows.
func TestExplainIsWalk(t *testing.T) {
	for name, fresh := range small() {
		for events := 0; events <= 2000; events += 250 {
			m := fresh()
			drifting(m, events)
			t.Logf("%s after %d events", name, events)
			explainedAsWalk(t, m)
		}
	}
}

// So are alternate trees, where errors grow all the time.
func TestExplainAlternates(t *testing.T) {
	c := tree.DefaultAdaptiveConfig()
	c.GracePeriod, c.DriftWindowThreshold, c.SwitchSignificance = 30, 20, 0.5
	m := tree.NewAdaptiveRegressor(2, c)
	r := rand.New(rand.NewPCG(1, 0))
	alternates := 0
	for i := range 15_000 {
		x := []float64{r.NormFloat64(), r.NormFloat64()}
		m.Learn(x, 100*x[i/400%2]+float64(i/700%5)*r.ExpFloat64()*300)
		if i%50 == 0 {
			alternates += explainedAsWalk(t, m)
		}
	}
	e := m.Explain([]string{"a", "b"})
	if alternates < 10 || e.Counts["alternates_begun"] != m.Counts().Alternates || e.Counts["drift_alarms"] == 0 {
		t.Errorf("%d alternate trees were seen, want at least 10; counts %v of %+v", alternates, e.Counts, m.Counts())
	}
}

// explainedAsWalk returns how many alternate trees there are.
func explainedAsWalk(t *testing.T, m online.Regressor) (alternates int) {
	t.Helper()
	var got, want []tree.Node
	e := online.Explain(m, []string{"a", "b"})
	if e.Tree != nil {
		flattened(e.Tree, 0, false, &got)
	}
	for n := range m.(interface{ Walk(func(tree.Node) bool) }).Walk {
		want = append(want, n)
		if n.Alternate {
			alternates++
		}
	}
	if !slices.Equal(got, want) || e.Counts["alternates"] != alternates {
		t.Fatalf("the nodes are %+v, with %d alternate trees; Walk shows %+v, with %d", got, e.Counts["alternates"], want, alternates)
	}
	return alternates
}
