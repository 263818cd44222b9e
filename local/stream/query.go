package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// queries answers SELECTs over the views, maintained or not.
type queries struct {
	engine *engine
	duck   *duck
}

const keptRows = "kept_rows"

func newQueries(ctx context.Context, e *engine) (*queries, error) {
	d, err := session(ctx, e.db, keptRows)
	if err != nil {
		return nil, err
	}
	q := &queries{engine: e, duck: d}
	for name, s := range e.program.sources {
		if err := q.createSource(ctx, name, s); err != nil {
			return nil, errors.Join(err, d.conn.Close())
		}
	}
	for _, v := range e.views {
		if err := q.createView(ctx, v); err != nil {
			return nil, errors.Join(fmt.Errorf("stream: %s: view %s: %w", v.at, v.name, err), d.conn.Close())
		}
	}
	return q, nil
}

func (q *queries) close() error { return q.duck.conn.Close() }

// createSource makes a name that explains itself: records are not kept.
func (q *queries) createSource(ctx context.Context, name string, s *source) error {
	var items []string
	for _, c := range s.columns {
		items = append(items, "NULL AS "+quoteName(c.name))
	}
	message := fmt.Sprintf("the stand-in does not keep the records of source %s: select from a view over it, or read topic %s", name, s.topic)
	_, err := q.duck.conn.ExecContext(ctx, fmt.Sprintf("CREATE VIEW %s AS SELECT %s WHERE error(%s) IS NULL", quoteName(name), strings.Join(items, ", "), literal(message)))
	if err != nil {
		return fmt.Errorf("stream: %s: source %s: %w", s.at, name, err)
	}
	return nil
}

func (q *queries) createView(ctx context.Context, v *view) error {
	if v.out == nil {
		body, err := duckSQL(v.body)
		if err != nil {
			return err
		}
		query := fmt.Sprintf("CREATE VIEW %s AS %s", quoteName(v.name), body)
		if _, err := q.duck.conn.ExecContext(ctx, query); err != nil {
			return err
		}
		v.columns, _, err = q.duck.describe(ctx, "SELECT * FROM "+quoteName(v.name))
		return err
	}
	n := len(q.duck.feeds)
	q.duck.feeds = append(q.duck.feeds, &feed{columns: v.columns, each: v.out})
	query := fmt.Sprintf("CREATE VIEW %s AS SELECT * EXCLUDE (%s) FROM (%s)", quoteName(v.name), partitionColumn, q.duck.feeding(keptRows, n))
	_, err := q.duck.conn.ExecContext(ctx, query)
	return err
}

// result is a query's answer.
type result struct {
	columns []column
	rows    [][]value
}

// run evaluates a query on the views as of now.
func (q *queries) run(ctx context.Context, query string, arguments []any, columns []column) (*result, error) {
	q.engine.mu.Lock()
	defer q.engine.mu.Unlock()
	if err := q.engine.catchUp(ctx, time.Now()); err != nil {
		return nil, err
	}
	p, err := q.duck.prepare(ctx, query, columns)
	if err != nil {
		return nil, err
	}
	defer p.statement.Close()
	r := &result{columns: columns}
	err = p.run(ctx, arguments, func(values []value) error {
		r.rows = append(r.rows, slices.Clone(values))
		return nil
	})
	return r, err
}
