package stream

import (
	"context"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// lookup is what a query asks of the key of the one view it reads: the rows of a
// single partition can answer it. It only says which rows DuckDB is given; the
// query keeps its conditions.
type lookup struct {
	view string
	by   []operand // the key's columns, in their order
}

// operand is a literal, or a parameter.
type operand struct {
	parameter int // from 1; 0 is a literal
	literal   value
}

// lookup finds in "SELECT … FROM view WHERE key = x AND …" the equalities that
// name a partition. nil means that the whole view is read, as it is if anything
// about the query is out of the ordinary.
func (q *queries) lookup(ctx context.Context, query string, parameters []uint32) *lookup {
	q.mu.Lock()
	defer q.mu.Unlock()
	t, err := q.duck.parse(ctx, query)
	if err != nil || str(t.sel, "type") != "SELECT_NODE" || contains(t.sel, isSubquery) {
		return nil
	}
	if ctes, _ := child(t.sel, "cte_map")["map"].([]any); len(ctes) > 0 {
		return nil
	}
	from := child(t.sel, "from_table")
	renamed, _ := from["column_name_alias"].([]any)
	if str(from, "type") != "BASE_TABLE" || str(from, "schema_name") != "" || len(renamed) > 0 {
		return nil
	}
	v := q.engine.byName[str(from, "table_name")]
	if v == nil || v.out == nil || len(v.out.key) == 0 {
		return nil
	}
	alias := str(from, "alias")
	if alias == "" {
		alias = v.name
	}
	given := map[int]operand{}
	for _, c := range conjuncts(child(t.sel, "where_clause")) {
		if at, o, ok := equality(c, v, alias, parameters); ok {
			given[at] = o
		}
	}
	l := &lookup{view: v.name}
	for _, k := range v.out.key {
		o, ok := given[k]
		if !ok {
			return nil
		}
		l.by = append(l.by, o)
	}
	return l
}

// equality reads column = operand, or the other way round.
func equality(n node, v *view, alias string, parameters []uint32) (at int, o operand, ok bool) {
	if str(n, "type") != "COMPARE_EQUAL" {
		return 0, operand{}, false
	}
	for _, sides := range [][2]string{{"left", "right"}, {"right", "left"}} {
		ref, isColumn := refOf(child(n, sides[0]))
		if !isColumn || ref.table != "" && ref.table != alias {
			continue
		}
		at := slices.IndexFunc(v.columns, func(c column) bool { return c.name == ref.column })
		if at < 0 {
			continue
		}
		if o, ok := operandOf(child(n, sides[1]), v.columns[at].kind, parameters); ok {
			return at, o, true
		}
	}
	return 0, operand{}, false
}

// operandOf reads a literal or a parameter of the very type of a column: where
// DuckDB would convert one to the other, equal need not mean equal bytes.
func operandOf(n node, k kind, parameters []uint32) (operand, bool) {
	if str(n, "class") == "CAST" && k == kindText && str(child(n, "cast_type"), "id") == "VARCHAR" {
		n = child(n, "child")
	}
	switch str(n, "class") {
	case "PARAMETER":
		number, err := strconv.Atoi(str(n, "identifier"))
		if err != nil || number < 1 || number > len(parameters) {
			return operand{}, false
		}
		oid := parameters[number-1]
		return operand{parameter: number}, k == kindText && oid == pgtype.TextOID || k == kindInt && oid == pgtype.Int8OID
	case "CONSTANT":
		constant := child(n, "value")
		text, isText := constant["value"].(string)
		return operand{literal: textValue(text)}, isText && k == kindText && str(child(constant, "type"), "id") == "VARCHAR"
	}
	return operand{}, false
}

// key is the name of the partition of v that is asked about. It is not ok if v is
// not what is looked up in, or an argument is not what was announced.
func (l *lookup) key(v *view, arguments []any) (key []byte, ok bool) {
	if l == nil || l.view != v.name {
		return nil, false
	}
	for i, o := range l.by {
		given := o.literal
		if o.parameter > 0 {
			switch a := arguments[o.parameter-1].(type) {
			case string:
				given = textValue(a)
			case int64:
				given = intValue(a)
			default:
				return nil, false
			}
		}
		key = appendKeyField(key, v.columns[v.out.key[i]].kind, given)
	}
	return key, true
}
