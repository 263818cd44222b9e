package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// strategy is how a view is kept up to date.
type strategy uint8

const (
	// keyed: the view falls into partitions, each computed from the rows of its
	// inputs that belong to it. Only partitions with changed input are computed
	// again. Filters, projections, DISTINCT ON, equality joins and aggregates by
	// plain columns are keyed.
	keyed strategy = iota
	// summed: sums and counts of integers by group. The changed rows alone are
	// aggregated and added to, or taken from, what is there.
	summed
	// whole: computed from scratch whenever an input changes, and compared.
	whole
	// asked: not kept at all, computed when somebody selects from it. Only views
	// that no sink needs and that are not materialized.
	asked
)

func (s strategy) String() string { return [...]string{"keyed", "summed", "whole", "asked"}[s] }

// view is a planned view.
type view struct {
	*viewDefinition
	strategy strategy
	reason   string // why it is whole or asked
	inputs   []*input
	out      *relation // nil if asked
	query    *prepared
	joined   *joined    // nil where DuckDB joins, or there is nothing to join
	first    []ordering // of DISTINCT ON: by what a partition's one row is chosen
	distinct bool
	until    bool // the query says when a row's life ends
	// failed is told why rows are left out.
	failed func(error)
	// deferred views feed no sink: they may lag behind by a moment.
	deferred bool
	asleep   bool      // and holds nothing: see engine.sleep
	asked    time.Time // when somebody last looked at a deferred view
	pending  []delta   // by input, not yet taken in
	sums     *sums
	columns  []column
}

// input is one relation in a view's FROM clause.
type input struct {
	relation *relation
	feed     *feed
	alias    string
	// driver: for the first input, the columns that name the partition; nil
	// means the partition of the input's own row.
	by *index
	// lookup: for every other input, how its rows are found from those of an
	// earlier one, and back.
	parent        int
	columns       []int // of this input
	parentColumns []int // of the parent, equal to columns
	index         *index
	parentIndex   *index
}

// planner turns definitions into views, in order.
type planner struct {
	duck      *duck
	function  string
	relations map[string]*relation // sources and maintained views
	needed    map[string]bool      // views that a sink stands on
	sources   map[string]*relation
}

// plan decides how a view is kept.
func (p *planner) plan(ctx context.Context, def *viewDefinition) (*view, error) {
	body, err := duckSQL(def.body)
	if err != nil {
		return nil, err
	}
	t, err := p.duck.parse(ctx, body)
	if err != nil {
		return nil, err
	}
	v := &view{viewDefinition: def, deferred: !p.needed[def.name]}
	reason := p.shape(ctx, v, t)
	if reason == nil {
		return v, p.readable(v)
	}
	v.reason = reason.Error()
	if p.needed[def.name] {
		return v, p.whole(ctx, v, body)
	}
	if def.materialized && p.whole(ctx, v, body) == nil {
		return v, nil
	}
	v.strategy, v.inputs = asked, nil
	return v, nil
}

// readable holds a view to what can be read of a source: its records pass by,
// one tick each, and are not kept.
func (p *planner) readable(v *view) error {
	for i, in := range v.inputs {
		if p.sources[in.relation.name] != in.relation {
			continue
		}
		v.deferred = false
		if v.strategy == keyed && (len(v.inputs) > 1 || i == 0 && in.columns != nil) {
			return fmt.Errorf("it joins or groups the source %s: select from it in a view of its own first, and from that view here", in.relation.name)
		}
	}
	return nil
}

// shape tries the incremental strategies. The error says what the view contains
// that rules them out; a view that is wrong altogether fails later, in whole or
// when it is asked, with DuckDB's own message.
func (p *planner) shape(ctx context.Context, v *view, t *tree) error {
	if str(t.sel, "type") != "SELECT_NODE" {
		return fmt.Errorf("UNION and the like are not incremental")
	}
	if contains(t.sel, isSubquery) || contains(t.sel, isWindow) {
		return fmt.Errorf("subqueries and window functions are not incremental")
	}
	if slices.ContainsFunc(list(t.sel, "select_list"), isStar) {
		return fmt.Errorf("SELECT * is not incremental: name the columns")
	}
	if m := t.modifier("LIMIT_MODIFIER"); m != nil {
		return fmt.Errorf("LIMIT is not incremental")
	}
	if t.sel["having"] != nil || t.sel["qualify"] != nil {
		return fmt.Errorf("HAVING and QUALIFY are not incremental")
	}
	if sets, _ := t.sel["group_sets"].([]any); len(sets) > 1 {
		return fmt.Errorf("GROUPING SETS are not incremental")
	}
	tables, conditions, err := t.from()
	if err != nil {
		return fmt.Errorf("%w is not incremental", err)
	}
	if len(tables) == 0 {
		return fmt.Errorf("it reads no relation")
	}
	for _, f := range tables {
		r, ok := p.relations[f.name]
		if !ok {
			return fmt.Errorf("%s is not maintained", f.name)
		}
		v.inputs = append(v.inputs, p.input(r, f))
	}
	if slices.ContainsFunc(list(t.sel, "select_list"), func(n node) bool { return contains(n, isAggregate) }) || len(list(t.sel, "group_expressions")) > 0 {
		return p.aggregate(ctx, v, t)
	}
	for _, c := range conjuncts(child(t.sel, "where_clause")) {
		conditions = append(conditions, condition{c, 0})
	}
	if err := p.link(v, conditions); err != nil {
		return err
	}
	return p.keyed(ctx, v, t)
}

// input gives a relation of the FROM clause its feed, under a name that is the
// feed's alone: a relation may be joined with itself.
func (p *planner) input(r *relation, f *fromTable) *input {
	n := len(p.duck.feeds)
	p.duck.feeds = append(p.duck.feeds, &feed{columns: r.columns})
	f.node["table_name"] = fmt.Sprintf("feed_%d", n)
	f.node["alias"] = f.alias
	return &input{relation: r, feed: p.duck.feeds[n], alias: f.alias}
}

// withFeeds puts the feeds in front of a query as common table expressions.
func (p *planner) withFeeds(v *view, query string) string {
	var feeds []*feed
	if v.joined != nil {
		feeds = []*feed{v.joined.feed}
	} else {
		for _, in := range v.inputs {
			feeds = append(feeds, in.feed)
		}
	}
	var with []string
	for _, f := range feeds {
		n := slices.Index(p.duck.feeds, f)
		with = append(with, fmt.Sprintf("feed_%d AS (%s)", n, p.duck.feeding(p.function, n)))
	}
	return "WITH " + strings.Join(with, ", ") + " " + query
}

// column resolves a reference to an input and a column of it.
func (v *view) column(ref columnRef) (in, column int, ok bool) {
	found := 0
	for i, input := range v.inputs {
		if ref.table != "" && ref.table != input.alias {
			continue
		}
		for c, col := range input.relation.columns {
			if col.name == ref.column {
				in, column = i, c
				found++
			}
		}
	}
	return in, column, found == 1
}

// link finds, for every input but the first, the equalities that tie it to an
// earlier one.
func (p *planner) link(v *view, conditions []condition) error {
	type pair struct{ parent, parentColumn, column int }
	pairs := make([][]pair, len(v.inputs))
	for _, c := range conditions {
		if str(c.node, "type") != "COMPARE_EQUAL" {
			continue
		}
		left, ok1 := refOf(child(c.node, "left"))
		right, ok2 := refOf(child(c.node, "right"))
		if !ok1 || !ok2 {
			continue
		}
		li, lc, ok1 := v.column(left)
		ri, rc, ok2 := v.column(right)
		if !ok1 || !ok2 || li == ri {
			continue
		}
		if li > ri {
			li, lc, ri, rc = ri, rc, li, lc
		}
		if ri >= c.first {
			pairs[ri] = append(pairs[ri], pair{li, lc, rc})
		}
	}
	for i := 1; i < len(v.inputs); i++ {
		in := v.inputs[i]
		if len(pairs[i]) == 0 {
			return fmt.Errorf("%s is joined by no equality of columns: that is not incremental", in.alias)
		}
		in.parent = pairs[i][0].parent
		chosen := slices.DeleteFunc(pairs[i], func(q pair) bool { return q.parent != in.parent })
		// In the order of the key, the partition map serves as the index.
		slices.SortStableFunc(chosen, func(a, b pair) int {
			return slices.Index(in.relation.key, a.column) - slices.Index(in.relation.key, b.column)
		})
		for _, q := range chosen {
			in.columns = append(in.columns, q.column)
			in.parentColumns = append(in.parentColumns, q.parentColumn)
		}
		parent := v.inputs[in.parent].relation
		for k := range in.columns {
			if in.relation.columns[in.columns[k]].kind != parent.columns[in.parentColumns[k]].kind {
				return fmt.Errorf("%s is joined on columns of different types: that is not incremental", in.alias)
			}
		}
		in.index = in.relation.indexOn(in.columns, false)
		in.parentIndex = parent.indexOn(in.parentColumns, false)
	}
	return nil
}

// keyed plans filters, projections, DISTINCT ON and joins.
func (p *planner) keyed(ctx context.Context, v *view, t *tree) error {
	driver := v.inputs[0]
	until, err := temporal(t)
	if err != nil {
		return err
	}
	distinct := t.modifier("DISTINCT_MODIFIER")
	switch {
	case distinct == nil && t.modifier("ORDER_MODIFIER") != nil:
		return fmt.Errorf("ORDER BY without DISTINCT ON is not incremental")
	case distinct == nil:
	case until != nil:
		return fmt.Errorf("mz_now() beside DISTINCT is not incremental: put the temporal filter into a view below")
	default:
		targets := list(distinct, "distinct_on_targets")
		if len(targets) == 0 {
			return fmt.Errorf("DISTINCT without ON is not incremental")
		}
		for _, target := range targets {
			if err := t.hidden(target); err != nil {
				return err
			}
		}
		if err := p.partitionBy(v, t, targets); err != nil {
			return err
		}
		v.distinct = true
	}
	key := p.lineage(v, t)
	more := []any{refNode(driver.alias, partitionColumn, partitionColumn)}
	if until != nil {
		v.until = true
		more = append(more, until)
	}
	if v.distinct {
		var by []any
		by, v.first = p.orderings(t)
		more = append(more, by...)
	}
	t.sel["select_list"] = append(t.sel["select_list"].([]any), more...)
	p.join(v, t)
	return p.finish(ctx, v, t, key)
}

// hidden says if a name in DISTINCT ON means something of the SELECT list, which
// comes before the column of the same name.
func (t *tree) hidden(target node) error {
	ref, ok := refOf(target)
	if !ok || ref.table != "" {
		return nil
	}
	for _, item := range list(t.sel, "select_list") {
		if str(item, "alias") != ref.column {
			continue
		}
		if of, ok := refOf(item); !ok || of.column != ref.column {
			return fmt.Errorf("DISTINCT ON (%s) means an output column that is computed: that is not incremental", ref.column)
		}
	}
	return nil
}

// partitionBy makes the values of some columns of the driver the partition.
func (p *planner) partitionBy(v *view, t *tree, targets []node) error {
	var columns []int
	for _, target := range targets {
		ref, ok := refOf(p.item(t, target))
		if !ok {
			return fmt.Errorf("an expression as a key is not incremental: compute it in a view below")
		}
		in, c, ok := v.column(ref)
		if !ok || in != 0 {
			return fmt.Errorf("the key %s is not a column of %s: that is not incremental", ref.column, v.inputs[0].alias)
		}
		columns = append(columns, c)
	}
	driver := v.inputs[0]
	driver.columns = columns
	driver.by = driver.relation.indexOn(columns, true)
	return nil
}

// item resolves "GROUP BY 1" to what stands first in the SELECT list.
func (p *planner) item(t *tree, n node) node {
	if str(n, "class") != "CONSTANT" {
		return n
	}
	number, _ := child(n, "value")["value"].(json.Number)
	position, err := number.Int64()
	items := list(t.sel, "select_list")
	if err != nil || position < 1 || int(position) > len(items) {
		return n
	}
	return items[position-1]
}

// lineage finds the output columns that hold the partition's name.
func (p *planner) lineage(v *view, t *tree) []string {
	driver := v.inputs[0]
	key := driver.columns
	if key == nil {
		key = driver.relation.key
	}
	var names []string
	for _, k := range key {
		for _, item := range list(t.sel, "select_list") {
			ref, ok := refOf(item)
			if !ok {
				continue
			}
			if in, c, ok := v.column(ref); ok && in == 0 && c == k {
				names = append(names, outputName(item, ref))
				break
			}
		}
	}
	if len(names) != len(key) {
		return nil
	}
	return names
}

func outputName(item node, ref columnRef) string {
	if alias := str(item, "alias"); alias != "" {
		return alias
	}
	return ref.column
}

// finish compiles the query of a keyed view and makes the relation. The query
// ends with the partition, the row's end where there is a temporal filter, and
// what its partition's row is chosen by where there is DISTINCT ON.
func (p *planner) finish(ctx context.Context, v *view, t *tree, key []string) error {
	body, err := p.duck.print(ctx, t)
	if err != nil {
		return err
	}
	query := p.withFeeds(v, body)
	columns, _, err := p.duck.describe(ctx, query)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(columns, func(c column) bool { return c.name == partitionColumn })
	if v.until && columns[n+1].kind != kindTime {
		return fmt.Errorf("mz_now() is compared with a timestamp only here, not with %s", columns[n+1].kind)
	}
	if v.query, err = p.duck.prepare(ctx, query, columns); err != nil {
		return err
	}
	v.strategy, v.columns = keyed, columns[:n]
	v.out = newRelation(v.name, v.columns, indexesOf(v.columns, key))
	v.pending = make([]delta, len(v.inputs))
	return nil
}

func indexesOf(columns []column, names []string) []int {
	var at []int
	for _, n := range names {
		i := slices.IndexFunc(columns, func(c column) bool { return c.name == n })
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return at
}

// temporal takes "mz_now() <= expression" out of the WHERE clause and returns
// the expression as a column: when the row's life ends.
func temporal(t *tree) (node, error) {
	var until node
	var kept []node
	for _, c := range conjuncts(child(t.sel, "where_clause")) {
		if !contains(c, isNow) {
			kept = append(kept, c)
			continue
		}
		left, right := child(c, "left"), child(c, "right")
		switch kind := str(c, "type"); {
		case until != nil:
			return nil, fmt.Errorf("two temporal filters are not supported")
		case isNow(left) && !contains(right, isNow) && kind == "COMPARE_LESSTHANOREQUALTO":
			until = right
		case isNow(right) && !contains(left, isNow) && kind == "COMPARE_GREATERTHANOREQUALTO":
			until = left
		default:
			return nil, fmt.Errorf("mz_now() is supported as mz_now() <= expression only")
		}
	}
	if contains(t.sel["select_list"], isNow) || contains(t.sel["from_table"], isNow) {
		return nil, fmt.Errorf("mz_now() is supported in WHERE only")
	}
	if until == nil {
		return nil, nil
	}
	t.sel["where_clause"] = conjunction(kept)
	until["alias"] = untilColumn
	return until, nil
}
