package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"tripcast.dev/functions/online"
)

// Text writes an explanation as plain text: parts below what they are parts of,
// coefficients the largest first, trees drawn with lines.
func Text(w io.Writer, e online.Explanation, o Options) error {
	t := &text{options: o}
	t.whole(e, "", "")
	_, err := w.Write(t.b.Bytes())
	return err
}

// text is what has been written.
type text struct {
	b       bytes.Buffer
	options Options
}

// whole writes an explanation, each line after the indent but the first, which
// comes after a title.
func (t *text) whole(e online.Explanation, indent, title string) {
	fmt.Fprintf(&t.b, "%s%s%s", indent, title, e.Kind)
	if e.Unexplained {
		t.b.WriteString(", which is not explained")
	}
	t.b.WriteByte('\n')
	indent += "  "
	t.pairs(indent, "parameters", sorted(e.Parameters))
	t.pairs(indent, "counts", sorted(e.Counts))
	t.pairs(indent, "values", sorted(e.Values))
	if e.Intercept != nil {
		fmt.Fprintf(&t.b, "%sintercept   %s\n", indent, number(*e.Intercept))
	}
	t.coefficients(indent, e.Coefficients)
	t.scales(indent, e.Scales)
	if e.Tree != nil {
		fmt.Fprintf(&t.b, "%stree\n", indent)
		t.node(e.Tree, indent+"  ", indent+"  ", "", 0)
	}
	for _, p := range e.Parts {
		title := p.Role
		if len(p.Values) > 0 {
			title += " (" + strings.Join(sorted(p.Values), ", ") + ")"
		}
		t.whole(p.Explanation, indent, title+": ")
	}
}

// sorted are names with their values, in the order of the names.
func sorted[V any](values map[string]V) []string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		texts = append(texts, name+" "+value(any(values[name])))
	}
	return texts
}

// pairs writes a list that goes on in further lines where one is full.
func (t *text) pairs(indent, title string, pairs []string) {
	const width = 100
	line := ""
	for i, pair := range pairs {
		if i < len(pairs)-1 {
			pair += ", "
		}
		if line != "" && len(line)+len(pair) > width {
			fmt.Fprintf(&t.b, "%s%-12s%s\n", indent, title, strings.TrimSpace(line))
			line, title = "", ""
		}
		line += pair
	}
	if line != "" {
		fmt.Fprintf(&t.b, "%s%-12s%s\n", indent, title, line)
	}
}

// coefficients writes those of a linear model, the largest first.
func (t *text) coefficients(indent string, all []online.Coefficient) {
	if len(all) == 0 {
		return
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b online.Coefficient) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), strings.Compare(a.Feature, b.Feature))
	})
	rows := [][]string{{"FEATURE", "WEIGHT"}}
	if all[0].Deviation != nil {
		rows[0] = append(rows[0], "±")
	}
	for _, c := range all {
		row := []string{c.Feature, number(c.Weight)}
		if c.Deviation != nil {
			row = append(row, number(*c.Deviation))
		}
		rows = append(rows, row)
	}
	t.table(indent, rows)
}

// scales writes those of a transformer, in the order of the features.
func (t *text) scales(indent string, all []online.Scale) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"FEATURE", "MEAN", "DEVIATION", "SAMPLES"}}
	for _, s := range all {
		row := []string{s.Feature, number(s.Mean), number(s.Deviation), ""}
		if s.Samples > 0 {
			row[3] = value(s.Samples)
		}
		rows = append(rows, row)
	}
	t.table(indent, rows)
}

// table writes rows, of which the first is the heading, as far as the options let it.
func (t *text) table(indent string, rows [][]string) {
	writeTable(&t.b, indent, rows, t.options)
}

func writeTable(w io.Writer, indent string, rows [][]string, o Options) {
	shown := o.shown(len(rows) - 1)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows[:shown+1] {
		fmt.Fprintf(columns, "%s%s\n", indent, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	columns.Flush() // of what is written to a buffer
	if left := len(rows) - 1 - shown; left > 0 {
		fmt.Fprintf(w, "%s… and %d more\n", indent, left)
	}
}

// node draws a node after the line that leads to it, and what is below it after
// the lines that go past.
func (t *text) node(n *online.Node, to, past, answer string, depth int) {
	if n.Leaf() {
		fmt.Fprintf(&t.b, "%s%s%s\n", to, answer, learned(n))
		return
	}
	if t.options.deep(depth) {
		fmt.Fprintf(&t.b, "%s%s%s?  %s, … %d nodes below\n", to, answer, question(n), learned(n), below(n))
		return
	}
	fmt.Fprintf(&t.b, "%s%s%s?  %s\n", to, answer, question(n), learned(n))
	t.node(n.Left, past+"├─ ", past+"│  ", "yes: ", depth+1)
	if n.Alternate == nil {
		t.node(n.Right, past+"└─ ", past+"   ", "no: ", depth+1)
		return
	}
	t.node(n.Right, past+"├─ ", past+"│  ", "no: ", depth+1)
	t.node(n.Alternate, past+"└┄ ", past+"   ", "or else: ", depth+1)
}
