package stream

import (
	"context"
	"slices"
)

// updateSums adds the rows that came, takes away those that went, and shows the
// groups that changed.
func (v *view) updateSums(ctx context.Context, out *delta) error {
	touched := map[string]*group{}
	var order []string
	if v.sums.global {
		touched[""], order = v.sums.group("", nil), []string{""}
	}
	var scratch []byte
	err := v.signed(ctx, func(values []value) error {
		scratch = scratch[:0]
		for k, c := range v.sums.keys {
			scratch = appendKeyField(scratch, c.kind, values[k])
		}
		g := v.sums.group(string(scratch), values[:len(v.sums.keys)])
		if _, ok := touched[string(scratch)]; !ok {
			order = append(order, string(scratch))
			touched[string(scratch)] = g
		}
		return v.sums.add(g, values)
	})
	if err != nil {
		return err
	}
	for _, name := range order {
		rows := v.sums.rows(touched[name], v.columns)
		v.out.replace(name, rows, out)
		if len(rows) == 0 {
			delete(v.sums.groups, name)
		}
	}
	return nil
}

// signed calls each with what the rows that went take from the view's sums, and
// what those that came add.
func (v *view) signed(ctx context.Context, each func(values []value) error) error {
	if v.sums.plain != nil {
		return v.signedPlain(each)
	}
	rows := make([]fed, 0, v.waiting())
	for _, r := range v.pending[0].removed {
		rows = append(rows, fed{partition: -1, data: r.data})
	}
	for _, r := range v.pending[0].added {
		rows = append(rows, fed{partition: 1, data: r.data})
	}
	return v.signedQuery(ctx, rows, each)
}

// signedQuery asks DuckDB. Rows for which it has no answer are left out: they are
// when they come, and when they go.
func (v *view) signedQuery(ctx context.Context, rows []fed, each func(values []value) error) error {
	for len(rows) > atOnce {
		if err := v.signedQuery(ctx, rows[:atOnce], each); err != nil {
			return err
		}
		rows = rows[atOnce:]
	}
	if len(rows) == 0 {
		return nil
	}
	v.inputs[0].feed.rows = rows
	var answers [][]value
	err := v.query.run(ctx, nil, func(values []value) error {
		answers = append(answers, slices.Clone(values))
		return nil
	})
	switch half := len(rows) / 2; {
	case err == nil:
	case len(rows) == 1:
		v.failed(err)
		return nil
	default:
		if err := v.signedQuery(ctx, rows[:half], each); err != nil {
			return err
		}
		return v.signedQuery(ctx, rows[half:], each)
	}
	for _, values := range answers {
		if err := each(values); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) signedPlain(each func(values []value) error) error {
	columns := v.inputs[0].relation.columns
	decoded := make([]value, len(columns))
	values := make([]value, len(v.sums.plain)+1)
	for _, side := range []struct {
		rows []row
		sign int64
	}{{v.pending[0].removed, -1}, {v.pending[0].added, 1}} {
		values[len(v.sums.plain)] = intValue(side.sign)
		for _, r := range side.rows {
			decodeRow(r.data, columns, decoded)
			for i, c := range v.sums.plain {
				values[i] = decoded[c]
			}
			if err := each(values); err != nil {
				return err
			}
		}
	}
	return nil
}
