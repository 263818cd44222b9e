package stream

import (
	"context"
	"slices"
	"time"

	tripsql "tripcast.dev/sql"
)

// watched is what a cursor can subscribe to.
type watched interface {
	// subscribe tells c of every change from now on. With a snapshot, the rows that
	// are there now come back.
	subscribe(ctx context.Context, c *changes, snapshot bool) ([]fed, error)
	unsubscribe(c *changes)
	// refresh makes the changes of late known, if it is time.
	refresh(ctx context.Context) error
}

// watchedView is a view that is maintained: what it gains and loses is there for
// the taking.
type watchedView struct {
	engine *engine
	view   *view
	below  map[*view]bool
}

func (w *watchedView) subscribe(ctx context.Context, c *changes, snapshot bool) ([]fed, error) {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	// What changed before is no news.
	if err := w.engine.catchUp(ctx, time.Now(), w.below); err != nil {
		return nil, err
	}
	w.view.out.cursors = append(w.view.out.cursors, c)
	w.engine.want(w.below, 1)
	if !snapshot {
		return nil, nil
	}
	return w.view.out.all(nil), nil
}

func (w *watchedView) unsubscribe(c *changes) {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	w.view.out.cursors = without(w.view.out.cursors, c)
	w.engine.want(w.below, -1)
}

func (w *watchedView) refresh(ctx context.Context) error { return w.engine.refresh(ctx) }

func without(all []*changes, c *changes) []*changes {
	return slices.DeleteFunc(all, func(o *changes) bool { return o == c })
}

// watchedQuery is a view that is not maintained, or a query: it is asked again
// when something that it reads has changed, and compared with what it said.
type watchedQuery struct {
	queries *queries
	query   string
	columns []column
	clocked bool // it changes by itself
	*observed
}

// observed is a query that cursors are subscribed to, shared by all of them.
type observed struct {
	question *question
	out      *relation
	version  uint64 // of what it read; 0 makes it ask again
	next     time.Time
}

func (w *watchedQuery) subscribe(ctx context.Context, c *changes, snapshot bool) ([]fed, error) {
	q := w.queries
	q.mu.Lock()
	defer q.mu.Unlock()
	o, shared := q.observed[w.query]
	if !shared {
		compiled, err := q.compile(ctx, w.query, w.columns)
		if err != nil {
			return nil, err
		}
		o = &observed{question: compiled, out: newRelation("", w.columns, nil)}
	}
	if err := w.evaluate(ctx, o, true); err != nil {
		if !shared {
			_ = o.question.statement.Close()
		}
		return nil, err
	}
	w.observed, q.observed[w.query] = o, o
	o.out.cursors = append(o.out.cursors, c)
	q.engine.mu.Lock()
	q.engine.want(o.question.views, 1)
	q.engine.mu.Unlock()
	if !snapshot {
		return nil, nil
	}
	return o.out.all(nil), nil
}

func (w *watchedQuery) unsubscribe(c *changes) {
	q, o := w.queries, w.observed
	q.mu.Lock()
	defer q.mu.Unlock()
	o.out.cursors = without(o.out.cursors, c)
	q.engine.mu.Lock()
	q.engine.want(o.question.views, -1)
	q.engine.mu.Unlock()
	if len(o.out.cursors) == 0 {
		delete(q.observed, w.query)
		_ = o.question.statement.Close() // frees it; it has run for the last time
	}
}

func (w *watchedQuery) refresh(ctx context.Context) error {
	if err := w.queries.engine.refresh(ctx); err != nil {
		return err
	}
	w.queries.mu.Lock()
	defer w.queries.mu.Unlock()
	if time.Now().Before(w.observed.next) {
		return nil
	}
	return w.evaluate(ctx, w.observed, false)
}

// evaluate asks the query again if it can say something else. The caller holds
// the queries' mu.
func (w *watchedQuery) evaluate(ctx context.Context, o *observed, catchUp bool) error {
	began := time.Now()
	ctx = context.WithoutCancel(ctx) // others wait for it as well
	version, err := w.load(ctx, o, catchUp)
	if err != nil || version == o.version {
		return err
	}
	defer w.queries.unload(o.question)
	var d delta
	if err := o.out.recompute(ctx, o.question.prepared, &d); err != nil {
		return err
	}
	o.out.changed(d)
	o.version = version
	if w.clocked {
		o.version = 0
	}
	o.next = after(began)
	return nil
}

// load notes what the query reads, unless its version is what it was.
func (w *watchedQuery) load(ctx context.Context, o *observed, catchUp bool) (version uint64, err error) {
	q := w.queries
	q.engine.mu.Lock()
	defer q.engine.mu.Unlock()
	if catchUp {
		if err := q.engine.catchUp(ctx, time.Now(), o.question.views); err != nil {
			return 0, err
		}
	}
	version = 1 // also of a query that reads nothing
	for _, n := range o.question.feeds {
		version += q.kept[n].out.version
	}
	if version != o.version {
		q.note(o.question, nil, nil)
	}
	return version, nil
}

// clocked reports whether a query says something else as time goes by.
func (e *engine) clocked(tokens []tripsql.Token) bool {
	seen := map[string]bool{}
	var visit func(tokens []tripsql.Token) bool
	visit = func(tokens []tripsql.Token) bool {
		return slices.ContainsFunc(tokens, func(t tripsql.Token) bool {
			name, _ := nameIn(t)
			if name == "mz_now" {
				return true
			}
			v := e.byName[name]
			if v == nil || v.out != nil || seen[name] {
				return false
			}
			seen[name] = true
			return visit(v.body)
		})
	}
	return visit(tokens)
}
