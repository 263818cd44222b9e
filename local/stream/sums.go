package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sums is the state of a view of sums and counts: what Materialize calls an
// accumulable reduction. Its size is that of its groups, not of its input.
type sums struct {
	groups map[string]*group
	// layout of the query's columns: groups first, then what is to be added up,
	// then the sign: 1 for what came and -1 for what went.
	//
	// Of a plain view the query gives its rows, and the engine adds them up: for
	// every sum its argument, for every count(x) whether x is a value. Where a
	// table function makes many rows of one, DuckDB adds up first: there are, for
	// every aggregate, its sum and the number of values in it, and then the number
	// of rows.
	keys    []column
	grouped bool
	// plain are, of a view that only names columns, those of its keys and then
	// those that are added up: it needs no query. nil where it computes anything.
	plain []int
	kinds []aggregateKind
	// for every output column, the group column (>= 0) or aggregate (-1-n) it shows
	output []int
	global bool // no GROUP BY: one row always, from the first tick on
}

type aggregateKind uint8

const (
	sumOf aggregateKind = iota
	countOf
	countOfRows
)

type group struct {
	keys   []value
	rows   int64
	sums   []int64
	values []int64
}

// aggregate plans a GROUP BY: as sums if all aggregates are sums and counts of
// integers, else by recomputing the groups that changed.
func (p *planner) aggregate(ctx context.Context, v *view, t *tree) error {
	if contains(t.sel, isNow) {
		return fmt.Errorf("mz_now() beside aggregates is not incremental: put the temporal filter into a view below")
	}
	if t.modifier("DISTINCT_MODIFIER") != nil || t.modifier("ORDER_MODIFIER") != nil {
		return fmt.Errorf("DISTINCT or ORDER BY beside aggregates is not incremental")
	}
	if len(v.inputs) != 1 {
		return fmt.Errorf("an aggregate over a join is not incremental: put the join into a view below")
	}
	for _, grouped := range []bool{false, true} {
		copied, err := copyTree(t)
		if err != nil {
			return err
		}
		if err := p.summed(ctx, v, copied, grouped); err == nil {
			return nil
		}
	}
	copied, err := copyTree(t)
	if err != nil {
		return err
	}
	groups := list(copied.sel, "group_expressions")
	if len(groups) == 0 {
		return fmt.Errorf("an aggregate of everything other than sums and counts of integers is not incremental")
	}
	if err := p.partitionBy(v, copied, groups); err != nil {
		return err
	}
	key := p.lineage(v, copied)
	if key == nil {
		return fmt.Errorf("a group that is not in the SELECT list is not incremental")
	}
	items := copied.sel["select_list"].([]any)
	copied.sel["select_list"] = append(items, call("any_value", partitionColumn, refNode(v.inputs[0].alias, partitionColumn, "")))
	return p.finish(ctx, v, copied, key)
}

func copyTree(t *tree) (*tree, error) {
	b, err := json.Marshal(t.root)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(b)))
	decoder.UseNumber()
	c := &tree{}
	if err := decoder.Decode(&c.root); err != nil {
		return nil, err
	}
	c.sel = list(c.root, "statements")[0]["node"].(node)
	return c, nil
}

func call(function, alias string, arguments ...node) node {
	children := make([]any, len(arguments))
	for i, a := range arguments {
		children[i] = a
	}
	return node{
		"class": "FUNCTION", "type": "FUNCTION", "alias": alias, "query_location": json.Number("0"),
		"function_name": function, "schema": "", "catalog": "", "children": children, "filter": nil,
		"order_bys": node{"type": "ORDER_MODIFIER", "orders": []any{}}, "distinct": false, "is_operator": false, "export_state": false,
	}
}

// summed plans a view of sums and counts of integers.
func (p *planner) summed(ctx context.Context, v *view, t *tree, grouped bool) error {
	items := list(t.sel, "select_list")
	var names []string
	for i, item := range items {
		names = append(names, nameOf(item, i))
	}
	if !grouped && contains(t.sel["from_table"], isTableFunction) {
		return fmt.Errorf("a table function makes many rows of one")
	}
	s := &sums{groups: map[string]*group{}, grouped: grouped}
	if err := p.totals(t, s, refNode(v.inputs[0].alias, partitionColumn, "sign")); err != nil {
		return err
	}
	body, err := p.duck.print(ctx, t)
	if err != nil {
		return err
	}
	query := p.withFeeds(v, body)
	columns, types, err := p.duck.describe(ctx, query)
	if err != nil {
		return err
	}
	s.plain = v.plain(t)
	n := slices.IndexFunc(columns, func(c column) bool { return strings.HasPrefix(c.name, addend) || c.name == "sign" })
	for i := n; i < len(columns); i++ {
		if !slices.Contains(addends, types[i]) || !grouped && types[i] == "HUGEINT" {
			return fmt.Errorf("a sum of %s is not one of integers", types[i])
		}
		if types[i] != "BOOLEAN" {
			columns[i].kind = kindInt
		}
	}
	if s.plain == nil {
		if v.query, err = p.duck.prepare(ctx, query, columns); err != nil {
			return err
		}
	}
	s.keys = columns[:n]
	for i, o := range s.output {
		if o >= 0 {
			v.columns = append(v.columns, column{names[i], s.keys[o].kind})
		} else {
			v.columns = append(v.columns, column{names[i], outKind(items[i])})
		}
	}
	v.strategy, v.sums = summed, s
	var key []string
	for k := range s.keys {
		key = append(key, names[slices.Index(s.output, k)])
	}
	v.out = newRelation(v.name, v.columns, indexesOf(v.columns, key))
	v.pending = make([]delta, 1)
	return nil
}

// plain are the columns of the input that a query's items are, but for the last,
// if all of them are columns and every row counts.
func (v *view) plain(t *tree) []int {
	if t.sel["where_clause"] != nil || len(list(t.sel, "group_expressions")) > 0 {
		return nil
	}
	items := list(t.sel, "select_list")
	columns := []int{}
	for _, item := range items[:len(items)-1] {
		ref, ok := refOf(item)
		if !ok {
			return nil
		}
		_, c, ok := v.column(ref)
		if !ok {
			return nil
		}
		columns = append(columns, c)
	}
	return columns
}

func isTableFunction(n node) bool { return str(n, "type") == "TABLE_FUNCTION" }

// addend is how the columns are called that are added up, and addends are the
// types that DuckDB may give them.
const addend = "add_"

var addends = []string{"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "BOOLEAN"}

// totals rewrites the SELECT list to the groups, what is added up, and the sign.
func (p *planner) totals(t *tree, s *sums, sign node) error {
	items := list(t.sel, "select_list")
	groups := list(t.sel, "group_expressions")
	s.global = len(groups) == 0
	var keys, adds []any
	for i, item := range items {
		if !contains(item, isAggregate) {
			if !slices.ContainsFunc(groups, func(g node) bool { return sameNode(p.item(t, g), item) }) {
				return fmt.Errorf("column %d is neither a group nor an aggregate", i+1)
			}
			s.output = append(s.output, len(keys))
			item["alias"] = fmt.Sprintf("k%d", len(keys))
			keys = append(keys, item)
			continue
		}
		kind, call, err := total(item)
		if err != nil {
			return err
		}
		adds = append(adds, s.adds(kind, call, len(adds))...)
		s.output = append(s.output, -1-len(s.kinds))
		s.kinds = append(s.kinds, kind)
	}
	for _, g := range groups {
		if !slices.ContainsFunc(keys, func(k any) bool { return sameNode(p.item(t, g), k.(node)) }) {
			return fmt.Errorf("a group is not in the SELECT list")
		}
	}
	if len(keys) != len(groups) {
		return fmt.Errorf("a group is twice in the SELECT list")
	}
	// GROUP BY 1 counts positions that have moved: name the expressions.
	expressions := []any{}
	if s.grouped {
		for _, k := range append(slices.Clone(keys), sign) {
			expressions = append(expressions, withoutAlias(k.(node)))
		}
		adds = append(adds, call("count_star", addend+"rows"))
	}
	t.sel["group_expressions"] = expressions
	t.sel["group_sets"] = groupSets(len(expressions))
	if !s.grouped {
		t.sel["aggregate_handling"] = "STANDARD_HANDLING"
	}
	t.sel["select_list"] = append(append(keys, adds...), sign)
	return nil
}

// adds are the columns that an aggregate needs.
func (s *sums) adds(kind aggregateKind, aggregate node, n int) []any {
	name := func(i int) string { return fmt.Sprintf("%s%d", addend, n+i) }
	arguments := list(aggregate, "children")
	switch {
	case s.grouped && kind == sumOf:
		return []any{call("sum", name(0), arguments...), call("count", name(1), arguments...)}
	case s.grouped && kind == countOf:
		return []any{call("count", name(0), arguments...), call("count_star", name(1))}
	case s.grouped:
		return []any{call("count_star", name(0)), call("count_star", name(1))}
	case kind == sumOf:
		argument := withoutAlias(arguments[0])
		argument["alias"] = name(0)
		return []any{argument}
	case kind == countOf:
		return []any{node{
			"class": "OPERATOR", "type": "OPERATOR_IS_NOT_NULL", "alias": name(0), "query_location": json.Number("0"), "children": []any{arguments[0]},
		}}
	}
	return nil
}

func groupSets(n int) []any {
	if n == 0 {
		return []any{}
	}
	set := make([]any, n)
	for i := range set {
		set[i] = json.Number(strconv.Itoa(i))
	}
	return []any{set}
}

func nameOf(item node, i int) string {
	if alias := str(item, "alias"); alias != "" {
		return alias
	}
	if ref, ok := refOf(item); ok {
		return ref.column
	}
	return fmt.Sprintf("column%d", i+1)
}

// sameNode compares expressions but for where they stand and what they are called.
func sameNode(a, b node) bool {
	print := func(n node) string {
		clean := withoutAlias(n)
		b, err := json.Marshal(clean)
		if err != nil {
			return ""
		}
		return string(b)
	}
	return print(a) == print(b)
}

func withoutAlias(n node) node {
	var strip func(v any) any
	strip = func(v any) any {
		switch v := v.(type) {
		case node:
			c := node{}
			for k, x := range v {
				switch k {
				case "query_location":
					c[k] = json.Number("0")
				case "alias":
					c[k] = ""
				default:
					c[k] = strip(x)
				}
			}
			return c
		case []any:
			c := make([]any, len(v))
			for i, x := range v {
				c[i] = strip(x)
			}
			return c
		}
		return v
	}
	return strip(n).(node)
}

// total recognises sum(x), count(x) and count(*), cast or not.
func total(item node) (aggregateKind, node, error) {
	for str(item, "class") == "CAST" {
		if to := str(child(item, "cast_type"), "id"); !slices.Contains(summable, to) {
			return 0, nil, fmt.Errorf("an aggregate cast to %s is not summed", to)
		}
		item = child(item, "child")
	}
	if !isAggregate(item) || item["filter"] != nil || item["distinct"] == true {
		return 0, nil, fmt.Errorf("an expression over aggregates is not summed")
	}
	switch str(item, "function_name") {
	case "count_star":
		return countOfRows, item, nil
	case "count":
		return countOf, item, nil
	case "sum":
		return sumOf, item, nil
	}
	return 0, nil, fmt.Errorf("%s is not summed", str(item, "function_name"))
}

// summable are the types that a sum may be cast to: those that outKind tells apart.
var summable = []string{"BIGINT", "HUGEINT", "DOUBLE", "DECIMAL"}

// outKind is the type that the view shows: what it casts to, or numeric for the
// sum of bigints, as in Materialize.
func outKind(item node) kind {
	if str(item, "class") == "CAST" {
		switch str(child(item, "cast_type"), "id") {
		case "DOUBLE":
			return kindFloat
		case "DECIMAL", "HUGEINT":
			return kindNumeric
		}
		return kindInt
	}
	if str(item, "function_name") == "sum" {
		return kindNumeric
	}
	return kindInt
}

// group finds the group of these keys, or makes it.
func (s *sums) group(name string, keys []value) *group {
	g, ok := s.groups[name]
	if !ok {
		g = &group{keys: slices.Clone(keys), sums: make([]int64, len(s.kinds)), values: make([]int64, len(s.kinds))}
		for i := range g.keys { // of a row that may go before its group
			g.keys[i].text = strings.Clone(g.keys[i].text)
		}
		s.groups[name] = g
	}
	return g
}

// add takes in one row of the query.
func (s *sums) add(g *group, values []value) error {
	at := len(s.keys)
	sign := values[len(values)-1].int()
	if s.grouped {
		for a := range s.kinds {
			if !values[at].null {
				if err := accumulate(&g.sums[a], values[at].int(), sign); err != nil {
					return err
				}
			}
			g.values[a] += sign * values[at+1].int()
			at += 2
		}
		g.rows += sign * values[at].int()
		return nil
	}
	for a, kind := range s.kinds {
		switch {
		case kind == countOfRows:
			g.sums[a] += sign
			continue
		case kind == countOf && values[at].bool():
			g.sums[a] += sign
		case kind == sumOf && !values[at].null:
			if err := accumulate(&g.sums[a], values[at].int(), sign); err != nil {
				return err
			}
			g.values[a] += sign
		}
		at++
	}
	g.rows += sign
	return nil
}

// accumulate adds a number with a sign to a sum.
func accumulate(sum *int64, n, sign int64) error {
	was := *sum
	*sum += sign * n
	if sign*n > 0 != (*sum > was) && n != 0 {
		return fmt.Errorf("a sum does not fit into int8: %d and %d more", was, sign*n)
	}
	return nil
}

// rows shows a group as the view does: nothing if no row is left in it.
func (s *sums) rows(g *group, columns []column) []string {
	if g.rows == 0 && !s.global {
		return nil
	}
	values := make([]value, len(s.output))
	for i, o := range s.output {
		if o >= 0 {
			values[i] = g.keys[o]
			continue
		}
		a := -1 - o
		switch {
		case g.values[a] == 0 && s.kinds[a] == sumOf:
			values[i] = value{null: true}
		case columns[i].kind == kindFloat:
			values[i] = floatValue(float64(g.sums[a]))
		case columns[i].kind == kindNumeric:
			values[i] = textValue(strconv.FormatInt(g.sums[a], 10))
		default:
			values[i] = intValue(g.sums[a])
		}
	}
	return []string{string(appendRow(nil, columns, values))}
}
