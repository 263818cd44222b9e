package explain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/explain"
)

func TestDiffGolden(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after online.Explanation
		options       explain.Options
	}{
		{"tree", learned(t, "tree", 300), learned(t, "tree", 1000), explain.Options{}},
		{"city", learned(t, "city", 300), learned(t, "city", 1000), explain.Options{Rows: 3}},
		{"models", learned(t, "tree", 300), learned(t, "experts", 300), explain.Options{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			changes := explain.Diff(tt.before, tt.after)
			if err := explain.WriteDiff(&b, changes, tt.options); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".diff.txt", b.Bytes())
			if _, err := json.Marshal(changes); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was read from JSON, where a whole number is no int, is no change.
func TestDiffOfTheSame(t *testing.T) {
	for _, name := range []string{"tree", "adaptive", "city", "experts"} {
		e := learned(t, name, 1200)
		encoded, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var read online.Explanation
		if err := json.Unmarshal(encoded, &read); err != nil {
			t.Fatal(err)
		}
		if changes := explain.Diff(e, read); len(changes) > 0 {
			t.Errorf("%s: %+v", name, changes)
		}
	}
}

func TestDiffOfTrees(t *testing.T) {
	leaf := &online.Node{Samples: 1}
	ask := func(feature string, threshold float64, left, right *online.Node) *online.Node {
		return &online.Node{Feature: feature, Threshold: threshold, Left: left, Right: right}
	}
	with := func(n, alternate *online.Node) *online.Node {
		n.Alternate = alternate
		return n
	}
	for _, tt := range []struct {
		name          string
		before, after *online.Node
		want          []string
	}{
		{"none", nil, nil, nil},
		{"leaves", leaf, &online.Node{Samples: 2}, nil},
		{"grown from nothing", nil, ask("a", 1, leaf, leaf), []string{"root: - a ≤ 1"}},
		{"grown", ask("a", 1, leaf, leaf), ask("a", 1, ask("b", 2, leaf, ask("c", 3, leaf, leaf)), leaf), []string{"yes: - b ≤ 2", "yes, no: - c ≤ 3"}},
		{"cut", ask("a", 1, leaf, ask("b", 2, leaf, leaf)), ask("a", 1, leaf, leaf), []string{"no: b ≤ 2 -"}},
		{"lost", ask("a", 1, leaf, leaf), leaf, []string{"root: a ≤ 1 -"}},
		{"another, and what is below it is not compared", ask("a", 1, ask("b", 2, leaf, leaf), leaf), ask("a", 1.0000000001, leaf, leaf), []string{"root: a ≤ 1 a ≤ 1.0000000001"}},
		{"an alternate tree begins", ask("a", 1, leaf, leaf), with(ask("a", 1, leaf, leaf), leaf), nil},
		{"an alternate tree grows", with(ask("a", 1, leaf, leaf), leaf), with(ask("a", 1, leaf, leaf), ask("b", 2, leaf, leaf)), []string{"or else: - b ≤ 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range explain.Diff(online.Explanation{Tree: tt.before}, online.Explanation{Tree: tt.after}) {
				text := func(v any) string {
					if v == nil {
						return "-"
					}
					return v.(string)
				}
				got = append(got, fmt.Sprintf("%s: %s %s", c.Name, text(c.Before), text(c.After)))
				if c.What != explain.OfSplit {
					t.Errorf("a change of %s", c.What)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Parts that have come and gone, and one that is of another kind.
func TestDiffOfParts(t *testing.T) {
	part := func(role, kind string, count int) online.Part {
		return online.Part{Role: role, Explanation: online.Explanation{Kind: kind, Counts: map[string]int{"n": count}}}
	}
	before := online.Explanation{Parts: []online.Part{part("tree 1", "T", 1), part("background of tree 1", "T", 2), part("tree 2", "T", 3)}}
	after := online.Explanation{Parts: []online.Part{part("tree 1", "T", 4), part("tree 2", "U", 5), part("tree 3", "T", 6)}}
	var b strings.Builder
	if err := explain.WriteDiff(&b, explain.Diff(before, after), explain.Options{}); err != nil {
		t.Fatal(err)
	}
	want := `tree 1: COUNT  BEFORE  AFTER  CHANGE
n              1       4      +3
background of tree 1: PART  BEFORE  AFTER  CHANGE
-                           T       -
tree 2: KIND  BEFORE  AFTER  CHANGE
-             T       U
tree 3: PART  BEFORE  AFTER  CHANGE
-             -       T
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
