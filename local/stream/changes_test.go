package stream

import (
	"fmt"
	"slices"
	"testing"
)

func rowsOf(data ...string) []row {
	all := make([]row, len(data))
	for i, d := range data {
		all[i] = row{d, d}
	}
	return all
}

func TestChangesAreNetted(t *testing.T) {
	for name, c := range map[string]struct {
		deltas []delta
		want   string
	}{
		"nothing":           {nil, "[]"},
		"came":              {[]delta{{added: rowsOf("b", "a")}}, "[{b 1} {a 1}]"},
		"went comes first":  {[]delta{{added: rowsOf("b")}, {removed: rowsOf("a")}}, "[{a -1} {b 1}]"},
		"came and went":     {[]delta{{added: rowsOf("a", "b")}, {removed: rowsOf("a")}}, "[{b 1}]"},
		"went and came":     {[]delta{{removed: rowsOf("a")}, {added: rowsOf("a")}}, "[]"},
		"twice":             {[]delta{{added: rowsOf("a", "a")}}, "[{a 2}]"},
		"replaced, twice":   {[]delta{{rowsOf("b"), rowsOf("a")}, {rowsOf("c"), rowsOf("b")}}, "[{a -1} {c 1}]"},
		"moved in one tick": {[]delta{{rowsOf("a"), rowsOf("a")}}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			var all changes
			for _, d := range c.deltas {
				all.add(d)
			}
			if got := fmt.Sprint(all.take()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if again := all.take(); len(again) > 0 {
				t.Errorf("and again %v", again)
			}
		})
	}
}

// A count that moves on and on leaves the first and the last of its values.
func TestChangesDoNotGrow(t *testing.T) {
	var c changes
	for n := range 100_000 {
		c.add(delta{removed: rowsOf(fmt.Sprint(n)), added: rowsOf(fmt.Sprint(n + 1))})
	}
	if len(c.net) != 2 || len(c.order) > 2_000 {
		t.Errorf("%d rows and %d places are kept", len(c.net), len(c.order))
	}
	if got := c.take(); !slices.Equal(got, []change{{"0", -1}, {"100000", 1}}) {
		t.Errorf("got %v", got)
	}
}
