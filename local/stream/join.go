package stream

import (
	"fmt"
	"slices"
)

// joined is the FROM clause of a view whose relations are joined by equal
// columns alone. The engine finds the rows that belong together through its
// indexes and hands them to DuckDB side by side, as rows of one wide relation:
// for the few rows of a tick, a hash table for every join cost more than all the
// rest of a view.
type joined struct {
	feed *feed
	// outer says of every input whether what is left of it stays without a row of it.
	outer  []bool
	beside []string // of the feed's rows
}

const joinedAlias = "joined"

// join plans the FROM clause as one wide relation, if it can be one.
func (p *planner) join(v *view, t *tree) {
	joins, driver, above, ok := t.spine()
	if !ok || len(joins) == 0 || len(joins)+1 != len(v.inputs) {
		return
	}
	j := &joined{outer: make([]bool, len(v.inputs))}
	conditions := conjuncts(child(t.sel, "where_clause"))
	for i, n := range joins {
		j.outer[i+1] = str(n, "join_type") == "LEFT"
		for _, c := range conjuncts(child(n, "condition")) {
			switch {
			case v.enforces(i+1, c):
			case j.outer[i+1]:
				return // it chooses among the rows of one side
			default:
				conditions = append(conditions, c)
			}
		}
	}
	number := len(p.duck.feeds)
	j.feed = &feed{}
	for i, in := range v.inputs {
		if slices.ContainsFunc(in.columns, func(c int) bool { return i > 0 && !bytewise(in.relation.columns[c].kind) }) {
			return
		}
		for _, c := range in.relation.columns {
			j.feed.columns = append(j.feed.columns, column{wideName(i, c.name), c.kind})
		}
		j.feed.parts = append(j.feed.parts, len(j.feed.columns))
	}
	p.duck.feeds = append(p.duck.feeds, j.feed)
	driver["table_name"], driver["alias"] = fmt.Sprintf("feed_%d", number), joinedAlias
	if above == nil {
		t.sel["from_table"] = driver
	} else {
		above["left"] = driver
	}
	t.sel["where_clause"] = conjunction(conditions)
	v.widen(t)
	v.joined = j
}

// bytewise reports whether values of a kind are equal exactly if their bytes are.
func bytewise(k kind) bool { return k != kindJSON && k != kindMap }

// wideName is what a column of input i is called in the wide relation.
func wideName(i int, name string) string { return fmt.Sprintf("%d.%s", i, name) }

// spine lists the joins of the FROM clause from the inside out, where each adds
// one relation on the right. driver is the relation that they begin with; above is
// the join with a table function that they stand in, if there is one.
func (t *tree) spine() (joins []node, driver, above node, ok bool) {
	n := child(t.sel, "from_table")
	for str(n, "type") == "JOIN" && !contains(n["right"], isBaseTable) {
		above, n = n, child(n, "left")
	}
	for str(n, "type") == "JOIN" {
		if !isBaseTable(child(n, "right")) {
			return nil, nil, nil, false
		}
		joins = append(joins, n)
		n = child(n, "left")
	}
	slices.Reverse(joins)
	return joins, n, above, isBaseTable(n)
}

func isBaseTable(n node) bool { return str(n, "type") == "BASE_TABLE" }

// enforces reports whether a condition is one by which the rows of an input are
// found.
func (v *view) enforces(i int, condition node) bool {
	if str(condition, "type") != "COMPARE_EQUAL" {
		return false
	}
	left, ok1 := refOf(child(condition, "left"))
	right, ok2 := refOf(child(condition, "right"))
	if !ok1 || !ok2 {
		return false
	}
	li, lc, ok1 := v.column(left)
	ri, rc, ok2 := v.column(right)
	if !ok1 || !ok2 {
		return false
	}
	if li == i {
		li, lc, ri, rc = ri, rc, li, lc
	}
	in := v.inputs[i]
	for k := range in.columns {
		if ri == i && in.columns[k] == rc && li == in.parent && in.parentColumns[k] == lc {
			return true
		}
	}
	return false
}

// widen makes every column of an input the one of the wide relation.
func (v *view) widen(t *tree) {
	for _, item := range list(t.sel, "select_list") {
		if ref, ok := refOf(item); ok && str(item, "alias") == "" {
			item["alias"] = ref.column
		}
	}
	walk(t.sel, func(n node) bool {
		if ref, ok := refOf(n); ok {
			if in, c, ok := v.column(ref); ok {
				n["column_names"] = []any{joinedAlias, wideName(in, v.inputs[in].relation.columns[c].name)}
			} else if ref.column == partitionColumn {
				n["column_names"] = []any{joinedAlias, partitionColumn}
			}
		}
		return true
	})
}

// fill feeds the rows that belong together, side by side, for every row of the
// driver.
func (j *joined) fill(v *view, driver []fed) {
	j.feed.rows, j.beside = j.feed.rows[:0], j.beside[:0]
	row := make([]string, len(v.inputs))
	keys := make([][]byte, len(v.inputs))
	var add func(partition int64, i int)
	add = func(partition int64, i int) {
		if i == len(v.inputs) {
			j.beside = append(j.beside, row[1:]...)
			beside := j.beside[len(j.beside)-len(row)+1:]
			j.feed.rows = append(j.feed.rows, fed{partition, row[0], beside})
			return
		}
		in, found := v.inputs[i], false
		if parent := row[in.parent]; parent != "" {
			key, ok := appendKey(keys[i][:0], parent, v.inputs[in.parent].relation.columns, in.parentColumns)
			keys[i] = key
			if ok {
				in.relation.find(in.index, key, func(_, data string) {
					found, row[i] = true, data
					add(partition, i+1)
				})
			}
		}
		if !found && j.outer[i] {
			row[i] = ""
			add(partition, i+1)
		}
	}
	for _, f := range driver {
		row[0] = f.data
		add(f.partition, 1)
	}
}
