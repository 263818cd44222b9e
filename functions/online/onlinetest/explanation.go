package onlinetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"tripcast.dev/functions/online"
)

// explanation asks a model what it is, which must be the same every time, follow
// from its state, and change nothing.
func explanation(t *testing.T, m, copied online.Regressor) {
	t.Helper()
	features := make([]string, m.Width())
	for i := range features {
		features[i] = fmt.Sprint("f", i)
	}
	before := encode(t, m)
	first := make(chan []byte)
	go func() { first <- explained(t, m, features) }() // at once, so that the race detector sees a write
	second := explained(t, m, features)
	if !bytes.Equal(<-first, second) {
		t.Error("a model is explained in two ways")
	}
	if !bytes.Equal(before, encode(t, m)) {
		t.Error("explaining changed the state")
	}
	if err := copied.UnmarshalBinary(before); err != nil {
		t.Fatal(err)
	}
	if again := explained(t, copied, features); !bytes.Equal(second, again) {
		t.Errorf("decoded, a model is explained otherwise:\n%s\n%s", second, again)
	}
	var read online.Explanation
	if err := json.Unmarshal(second, &read); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(read); err != nil || !bytes.Equal(second, again) {
		t.Errorf("read from JSON, an explanation is another (%v):\n%s\n%s", err, second, again)
	}
	addsUp(t, read)
}

// explained is an explanation as JSON, which is what says that its numbers are finite.
func explained(t *testing.T, m online.Regressor, features []string) []byte {
	data, err := json.Marshal(online.Explain(m, features))
	if err != nil {
		t.Errorf("the explanation cannot be encoded: %v", err)
	}
	return data
}

// addsUp holds the counts of an explanation to what it shows.
func addsUp(t *testing.T, e online.Explanation) {
	t.Helper()
	if e.Kind == "" {
		t.Errorf("an explanation without a kind: %+v", e)
	}
	width := e.Counts["features"]
	if width < 1 {
		t.Errorf("%s: %d features", e.Kind, width)
	}
	if n := len(e.Coefficients); n != 0 && n != width {
		t.Errorf("%s: %d coefficients of %d features", e.Kind, n, width)
	}
	if n := len(e.Scales); n != 0 && n != width {
		t.Errorf("%s: %d scales of %d features", e.Kind, n, width)
	}
	for name, n := range e.Counts {
		if n < 0 {
			t.Errorf("%s: the count %s is %d", e.Kind, name, n)
		}
	}
	if e.Tree != nil {
		var s shape
		s.add(t, e.Tree, 0)
		if got := (shape{e.Counts["nodes"], e.Counts["leaves"], e.Counts["depth"]}); got != s {
			t.Errorf("%s: counts are %+v, the tree has %+v", e.Kind, got, s)
		}
		if samples := e.Counts["samples"]; float64(samples) != e.Tree.Samples {
			t.Errorf("%s: %d samples, the tree has %v", e.Kind, samples, e.Tree.Samples)
		}
	}
	seen := map[string]bool{}
	for _, p := range e.Parts {
		if p.Role == "" || seen[p.Role] {
			t.Errorf("%s: a part without a role, or of one that another has: %q", e.Kind, p.Role)
		}
		seen[p.Role] = true
		addsUp(t, p.Explanation)
	}
}

// shape is what a tree is counted by.
type shape struct{ nodes, leaves, depth int }

func (s *shape) add(t *testing.T, n *online.Node, depth int) {
	t.Helper()
	s.nodes++
	s.depth = max(s.depth, depth)
	if n.Samples < 0 {
		t.Errorf("a node of %v samples", n.Samples)
	}
	if n.Leaf() {
		s.leaves++
		if n.Feature != "" || n.Left != nil || n.Right != nil || n.Alternate != nil {
			t.Errorf("a leaf that splits: %+v", n)
		}
		return
	}
	if n.Feature == "" {
		t.Errorf("a branch without a feature: %+v", n)
	}
	s.add(t, n.Left, depth+1)
	s.add(t, n.Right, depth+1)
	if n.Alternate != nil { // it stands beside its branch
		s.add(t, n.Alternate, depth)
	}
}
