package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// whole plans a view that a sink needs and that no incremental strategy fits.
func (p *planner) whole(ctx context.Context, v *view, body string) error {
	t, err := p.duck.parse(ctx, body)
	if err != nil {
		return err
	}
	if contains(t.sel, isNow) {
		return fmt.Errorf("mz_now() needs a view of its own over one relation, without DISTINCT or aggregates (%s)", v.reason)
	}
	v.inputs = nil
	var with []string
	var unreadable error
	walk(t.sel, func(n node) bool {
		if str(n, "type") != "BASE_TABLE" {
			return true
		}
		name := str(n, "table_name")
		r, ok := p.relations[name]
		if !ok {
			return true // a common table expression of the body's own
		}
		if p.sources[name] == r {
			unreadable = fmt.Errorf("it reads the source %s, whose records are not kept, and %s", name, v.reason)
		}
		if slices.ContainsFunc(v.inputs, func(in *input) bool { return in.relation == r }) {
			return true
		}
		number := len(p.duck.feeds)
		p.duck.feeds = append(p.duck.feeds, &feed{columns: r.columns, each: r})
		v.inputs = append(v.inputs, &input{relation: r, feed: p.duck.feeds[number], alias: name})
		with = append(with, fmt.Sprintf("%s AS (SELECT * EXCLUDE (%s) FROM (%s))", quoteName(name), partitionColumn, p.duck.feeding(p.function, number)))
		return true
	})
	if unreadable != nil {
		return unreadable
	}
	if len(v.inputs) == 0 {
		return fmt.Errorf("it reads no relation that is kept (%s)", v.reason)
	}
	query := "WITH " + strings.Join(with, ", ") + " SELECT * FROM (" + body + ") AS body"
	columns, _, err := p.duck.describe(ctx, query)
	if err != nil {
		return err
	}
	if v.query, err = p.duck.prepare(ctx, query, columns); err != nil {
		return err
	}
	v.strategy, v.columns = whole, columns
	v.out = newRelation(v.name, columns, nil)
	v.pending = make([]delta, len(v.inputs))
	return nil
}

// updateWhole computes the view from all its input and keeps what differs. Where
// that fails it stays what it was.
func (v *view) updateWhole(ctx context.Context, out *delta) {
	if err := v.out.recompute(ctx, v.query, out); err != nil {
		v.failed(err)
	}
}

// recompute makes the relation what a query gives, and keeps what does not
// differ.
func (r *relation) recompute(ctx context.Context, query *prepared, out *delta) error {
	now := map[string][]string{}
	var order []string
	var scratch []byte
	err := query.run(ctx, nil, func(values []value) error {
		scratch = appendRow(scratch[:0], r.columns, values)
		data := string(scratch)
		if now[data] == nil {
			order = append(order, data)
		}
		now[data] = append(now[data], data)
		return nil
	})
	if err != nil {
		return err
	}
	var gone []string
	for n := range r.kept.all() {
		if name := r.kept.name(n); now[name] == nil {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		r.replace(name, nil, out)
	}
	for _, data := range order {
		r.replace(data, now[data], out)
	}
	return nil
}
