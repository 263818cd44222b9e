package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// DuckDB parses queries for us: json_serialize_sql gives the syntax tree as
// JSON, json_deserialize_sql takes it back. What follows are the few questions
// the planner asks of that tree.

type node = map[string]any

// tree is the syntax tree of one SELECT.
type tree struct {
	root node // what json_deserialize_sql takes
	sel  node // its SELECT_NODE
}

func (d *duck) parse(ctx context.Context, query string) (*tree, error) {
	var text string
	err := d.conn.QueryRowContext(ctx, "SELECT json_serialize_sql("+literal(query)+")::VARCHAR").Scan(&text)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	t := &tree{}
	if err := decoder.Decode(&t.root); err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if failed, _ := t.root["error"].(bool); failed {
		return nil, fmt.Errorf("%v", t.root["error_message"])
	}
	if all := list(t.root, "statements"); len(all) == 1 {
		t.sel, _ = all[0]["node"].(node)
	}
	if t.sel == nil {
		return nil, fmt.Errorf("one SELECT is expected")
	}
	return t, nil
}

func (d *duck) print(ctx context.Context, t *tree) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(t.root); err != nil {
		return "", fmt.Errorf("printing: %w", err)
	}
	var text string
	err := d.conn.QueryRowContext(ctx, "SELECT json_deserialize_sql("+literal(strings.TrimSpace(b.String()))+"::JSON)").Scan(&text)
	if err != nil {
		return "", fmt.Errorf("printing: %w", err)
	}
	return text, nil
}

func list(n node, name string) []node {
	raw, _ := n[name].([]any)
	all := make([]node, 0, len(raw))
	for _, r := range raw {
		if m, ok := r.(node); ok {
			all = append(all, m)
		}
	}
	return all
}

func child(n node, name string) node {
	c, _ := n[name].(node)
	return c
}

func str(n node, name string) string {
	s, _ := n[name].(string)
	return s
}

// walk calls visit with every node of an expression; visit says whether to go
// into it.
func walk(v any, visit func(n node) bool) {
	switch v := v.(type) {
	case node:
		if !visit(v) {
			return
		}
		for _, c := range v {
			walk(c, visit)
		}
	case []any:
		for _, c := range v {
			walk(c, visit)
		}
	}
}

// contains reports whether an expression contains a node that is so.
func contains(v any, is func(n node) bool) bool {
	found := false
	walk(v, func(n node) bool {
		found = found || is(n)
		return !found
	})
	return found
}

// columnRef is alias.column, or column alone.
type columnRef struct{ table, column string }

func refOf(n node) (columnRef, bool) {
	if n == nil || str(n, "class") != "COLUMN_REF" {
		return columnRef{}, false
	}
	names, _ := n["column_names"].([]any)
	switch len(names) {
	case 1:
		return columnRef{"", fmt.Sprint(names[0])}, true
	case 2:
		return columnRef{fmt.Sprint(names[0]), fmt.Sprint(names[1])}, true
	}
	return columnRef{}, false
}

func refNode(table, column, alias string) node {
	return node{"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": alias, "column_names": []any{table, column}, "query_location": json.Number("0")}
}

// conjuncts splits a condition at its ANDs.
func conjuncts(n node) []node {
	if n == nil {
		return nil
	}
	if str(n, "type") == "CONJUNCTION_AND" {
		var all []node
		for _, c := range list(n, "children") {
			all = append(all, conjuncts(c)...)
		}
		return all
	}
	return []node{n}
}

func conjunction(all []node) any {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	children := make([]any, len(all))
	for i, c := range all {
		children[i] = c
	}
	return node{"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "query_location": json.Number("0"), "children": children}
}

func isCall(n node, names ...string) bool {
	if str(n, "class") != "FUNCTION" {
		return false
	}
	for _, name := range names {
		if str(n, "function_name") == name {
			return true
		}
	}
	return false
}

var aggregates = []string{
	"sum", "count", "count_star", "min", "max", "avg", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp",
	"bool_and", "bool_or", "string_agg", "array_agg", "list", "first", "last", "any_value", "median", "mode",
	"quantile_cont", "quantile_disc", "json_group_object", "json_group_array",
}

func isAggregate(n node) bool { return isCall(n, aggregates...) }
func isSubquery(n node) bool  { return str(n, "class") == "SUBQUERY" }
func isWindow(n node) bool    { return str(n, "class") == "WINDOW" }
func isStar(n node) bool      { return str(n, "class") == "STAR" }
func isNow(n node) bool       { return isCall(n, "mz_now") }

// fromTable is a relation in a FROM clause.
type fromTable struct {
	node  node
	name  string // of the relation
	alias string // by which columns name it
}

// condition is one that a row of the query meets, but for the rows of the
// relations before first: the ON of a LEFT JOIN only chooses rows of its right
// side.
type condition struct {
	node  node
	first int // in the list of relations
}

// from lists the relations of the FROM clause from left to right, and the
// conditions that join them. Table functions are left to DuckDB.
func (t *tree) from() (tables []*fromTable, conditions []condition, err error) {
	var visit func(n node) error
	visit = func(n node) error {
		switch kind := str(n, "type"); kind {
		case "BASE_TABLE":
			f := &fromTable{node: n, name: str(n, "table_name"), alias: str(n, "alias")}
			if f.alias == "" {
				f.alias = f.name
			}
			tables = append(tables, f)
		case "TABLE_FUNCTION":
		case "JOIN":
			join := str(n, "join_type")
			if join != "INNER" && join != "LEFT" {
				return fmt.Errorf("%s JOIN", join)
			}
			if using, _ := n["using_columns"].([]any); len(using) > 0 {
				return fmt.Errorf("JOIN … USING")
			}
			if err := visit(child(n, "left")); err != nil {
				return err
			}
			first := 0
			if join == "LEFT" {
				first = len(tables)
			}
			if err := visit(child(n, "right")); err != nil {
				return err
			}
			for _, c := range conjuncts(child(n, "condition")) {
				conditions = append(conditions, condition{c, first})
			}
		case "EMPTY":
		default:
			return fmt.Errorf("%s in FROM", strings.ToLower(kind))
		}
		return nil
	}
	err = visit(child(t.sel, "from_table"))
	return tables, conditions, err
}

// modifier finds a DISTINCT, ORDER or LIMIT of the query.
func (t *tree) modifier(kind string) node {
	for _, m := range list(t.sel, "modifiers") {
		if str(m, "type") == kind {
			return m
		}
	}
	return nil
}
