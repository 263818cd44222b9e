package stream

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// DISTINCT ON (key) … ORDER BY takes the first row of every key. The key names
// the partition, so the engine can choose among the rows of each by itself, and
// is spared a sort and a hash table of DuckDB's at every tick.

// ordering is one expression of ORDER BY.
type ordering struct {
	descending bool
	nullsFirst bool
}

const orderColumn = "__order_%d"

// orderings takes ORDER BY out of a query, and returns its expressions as items
// for the SELECT list. As in Postgres, NULL is larger than everything.
func (p *planner) orderings(t *tree) (items []any, by []ordering) {
	for i, o := range list(t.modifier("ORDER_MODIFIER"), "orders") {
		descending := str(o, "type") == "DESCENDING"
		first := descending
		switch str(o, "null_order") {
		case "NULLS FIRST", "NULLS_FIRST":
			first = true
		case "NULLS LAST", "NULLS_LAST":
			first = false
		}
		expression := withoutAlias(p.output(t, child(o, "expression")))
		expression["alias"] = fmt.Sprintf(orderColumn, i)
		items, by = append(items, expression), append(by, ordering{descending, first})
	}
	t.sel["modifiers"] = slices.DeleteFunc(t.sel["modifiers"].([]any), func(m any) bool {
		kind := str(m.(node), "type")
		return kind == "ORDER_MODIFIER" || kind == "DISTINCT_MODIFIER"
	})
	return items, by
}

// output resolves what ORDER BY names: a position, or a name of the SELECT list,
// which comes before the column of the same name.
func (p *planner) output(t *tree, n node) node {
	ref, ok := refOf(n)
	if !ok || ref.table != "" {
		return p.item(t, n)
	}
	for _, item := range list(t.sel, "select_list") {
		of, isColumn := refOf(item)
		if str(item, "alias") == ref.column || isColumn && str(item, "alias") == "" && of.column == ref.column {
			return item
		}
	}
	return n
}

// before reports whether a row comes before another, by the values of ORDER BY.
func before(a, b []value, columns []column, by []ordering) bool {
	for i, o := range by {
		c := compare(a[i], b[i], columns[i].kind, o.nullsFirst)
		if o.descending && !a[i].null && !b[i].null {
			c = -c
		}
		if c != 0 {
			return c < 0
		}
	}
	return false
}

func compare(a, b value, k kind, nullsFirst bool) int {
	switch {
	case a.null && b.null:
		return 0
	case a.null || b.null:
		if a.null == nullsFirst {
			return -1
		}
		return 1
	}
	switch k {
	case kindBool, kindInt, kindTime:
		return cmp.Compare(a.int(), b.int())
	case kindFloat:
		return compareFloats(a.float(), b.float())
	case kindNumeric:
		return rational(a.text).Cmp(rational(b.text))
	default:
		return bytes.Compare([]byte(a.text), []byte(b.text))
	}
}

// compareFloats has NaN equal to itself and above all others, as SQL has.
func compareFloats(a, b float64) int {
	if math.IsNaN(a) || math.IsNaN(b) {
		return -cmp.Compare(a, b) // which has NaN below all others
	}
	return cmp.Compare(a, b)
}

func rational(decimal string) *big.Rat {
	r, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return new(big.Rat) // DuckDB prints decimals that read
	}
	return r
}
