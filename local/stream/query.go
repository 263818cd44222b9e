package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// queries answers SELECTs over the views, maintained or not. A tick waits for a
// question only as long as it takes to bring what is asked about up to date and
// to note its rows: DuckDB evaluates them after that.
type queries struct {
	engine *engine

	// mu guards what follows: a DuckDB session serves one question at a time. It
	// is taken before the engine's.
	mu       sync.Mutex
	duck     *duck
	catalog  *catalog
	kept     []*view // by feed, whose rows it reads
	observed map[string]*observed
}

const keptRows = "kept_rows"

func newQueries(ctx context.Context, e *engine) (*queries, error) {
	d, err := newDuck(ctx, e.db, keptRows)
	if err != nil {
		return nil, err
	}
	q := &queries{engine: e, duck: d, observed: map[string]*observed{}}
	if q.catalog, err = openCatalog(ctx, d.conn); err != nil {
		return nil, errors.Join(err, d.conn.Close())
	}
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
	d.kindOf = answerKindOf
	if err := q.catalog.fill(ctx, d, e.program, e.byName); err != nil {
		return nil, errors.Join(err, d.conn.Close())
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
	q.duck.feeds = append(q.duck.feeds, &feed{columns: v.columns})
	q.kept = append(q.kept, v)
	query := fmt.Sprintf("CREATE VIEW %s AS SELECT * EXCLUDE (%s) FROM (%s)", quoteName(v.name), partitionColumn, q.duck.feeding(keptRows, n))
	_, err := q.duck.conn.ExecContext(ctx, query)
	return err
}

// question is a compiled query.
type question struct {
	*prepared
	feeds []int          // what DuckDB reads for it
	views map[*view]bool // what those rows are computed from, and the views themselves
}

// compile prepares a query whose columns are known. The caller holds mu.
func (q *queries) compile(ctx context.Context, query string, columns []column) (*question, error) {
	q.duck.bound = nil
	p, err := q.duck.prepare(ctx, query, columns)
	if err != nil {
		return nil, err
	}
	c := &question{prepared: p, feeds: q.duck.bound}
	slices.Sort(c.feeds)
	c.feeds = slices.Compact(c.feeds)
	var read []*view
	for _, n := range c.feeds {
		read = append(read, q.kept[n])
	}
	c.views = q.engine.below(read...)
	return c, nil
}

// result is a query's answer.
type result struct {
	columns []column
	rows    [][]value
}

// run evaluates a query on the views as of now. Where by says so, one of them is
// read as far as a key goes, and no further.
func (q *queries) run(ctx context.Context, query string, arguments []any, columns []column, by *lookup) (*result, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c, err := q.compile(ctx, query, columns)
	if err != nil {
		return nil, err
	}
	defer c.statement.Close()
	if err := q.load(ctx, c, by, arguments); err != nil {
		return nil, err
	}
	defer q.unload(c)
	r := &result{columns: columns}
	err = c.run(ctx, arguments, func(values []value) error {
		r.rows = append(r.rows, slices.Clone(values))
		return nil
	})
	return r, err
}

// load notes the rows that a question reads, of one moment. The caller holds mu.
func (q *queries) load(ctx context.Context, c *question, by *lookup, arguments []any) error {
	q.engine.mu.Lock()
	defer q.engine.mu.Unlock()
	if err := q.engine.catchUp(ctx, time.Now(), c.views); err != nil {
		return err
	}
	q.note(c, by, arguments)
	return nil
}

// note gives DuckDB the rows that a question reads. The caller holds mu and the
// engine's.
func (q *queries) note(c *question, by *lookup, arguments []any) {
	for _, n := range c.feeds {
		f, r := q.duck.feeds[n], q.kept[n].out
		if key, ok := by.key(q.kept[n], arguments); ok {
			r.find(nil, key, func(_, data string) { f.rows = append(f.rows, fed{data: data}) })
			continue
		}
		f.rows = r.all(f.rows[:0])
	}
}

// unload lets go of the rows: they are the views' own no longer.
func (q *queries) unload(c *question) {
	for _, n := range c.feeds {
		q.duck.feeds[n].rows = nil
	}
}
