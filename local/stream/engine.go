package stream

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	tripsql "tripcast.dev/sql"
)

// engine keeps the views of a program up to date. Rows go in by advance, and
// what changed in the views that are sunk comes out.
type engine struct {
	program *program
	db      *sql.DB
	tick    *duck
	sources map[string]*relation
	views   []*view
	byName  map[string]*view

	// mu is held by a tick, and by a query while it notes what it reads. It guards
	// the relations and what follows.
	mu sync.Mutex
	// wanted says of the views that cursors stand on how many do; next is when to
	// bring them up to date again.
	wanted map[*view]int
	next   time.Time
	// left counts the rows that a view cannot compute, and log tells of them.
	left map[*view]int
	log  *slog.Logger
	// limits of what is kept for nobody: see sleep.
	maxWaiting int
	drowsy     time.Duration
}

// newEngine plans every view of the program.
func newEngine(ctx context.Context, statements []tripsql.Statement, log *slog.Logger) (*engine, error) {
	p, err := parseProgram(statements)
	if err != nil {
		return nil, err
	}
	db, err := openDuck(ctx)
	if err != nil {
		return nil, err
	}
	e := &engine{program: p, db: db, sources: map[string]*relation{}, byName: map[string]*view{}, wanted: map[*view]int{}, left: map[*view]int{}, log: log, maxWaiting: maxWaiting, drowsy: drowsy}
	if err := e.plan(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, nil
}

func (e *engine) plan(ctx context.Context) error {
	var err error
	if e.tick, err = newDuck(ctx, e.db, "tick_rows"); err != nil {
		return err
	}
	planner := &planner{
		duck: e.tick, function: "tick_rows",
		relations: map[string]*relation{}, needed: e.needed(), sources: e.sources,
	}
	for name, s := range e.program.sources {
		r := newRelation(name, s.columns, nil)
		e.sources[name], planner.relations[name] = r, r
	}
	for _, def := range e.program.views {
		v, err := planner.plan(ctx, def)
		if err != nil {
			return fmt.Errorf("stream: %s: view %s: %w", def.at, def.name, err)
		}
		if v.out != nil {
			planner.relations[v.name] = v.out
		}
		v.failed = func(err error) { e.leaveOut(v, err) }
		e.views = append(e.views, v)
		e.byName[v.name] = v
	}
	return e.checkSinks()
}

// leaveOut tells of rows that cannot be computed. Materialize would give nothing
// of the view any more; here it is all but them. Of many, fewer and fewer are
// told.
func (e *engine) leaveOut(v *view, err error) {
	e.left[v]++
	if n := e.left[v]; n&(n-1) == 0 {
		why, _, _ := strings.Cut(err.Error(), "\n") // the rest is of DuckDB's own query
		e.log.Error("a view cannot be computed for a record, whose rows are left out", "view", v.name, "at", v.at.String(), "err", why, "so_far", n)
	}
}

// needed are the views that a sink stands on, directly or not.
func (e *engine) needed() map[string]bool {
	needed := map[string]bool{}
	for _, s := range e.program.sinks {
		needed[s.from] = true
	}
	// Views come after what they read, so one pass from the end finds all.
	for i := len(e.program.views) - 1; i >= 0; i-- {
		v := e.program.views[i]
		if !needed[v.name] {
			continue
		}
		for _, t := range v.body {
			if name, ok := nameIn(t); ok && name != v.name && e.program.exists(name) {
				needed[name] = true
			}
		}
	}
	return needed
}

func (e *engine) checkSinks() error {
	for _, s := range e.program.sinks {
		v, ok := e.byName[s.from]
		if !ok {
			return fmt.Errorf("stream: %s: sink %s: %s is a source: only views can be sunk here", s.at, s.name, s.from)
		}
		if indexesOf(v.columns, s.key) == nil {
			return fmt.Errorf("stream: %s: sink %s: %s has no column %s", s.at, s.name, s.from, s.key[0])
		}
		if s.headers != "" {
			at := indexesOf(v.columns, []string{s.headers})
			if at == nil || v.columns[at[0]].kind != kindMap {
				return fmt.Errorf("stream: %s: sink %s: HEADERS %s is not a map[text=>text] column of %s", s.at, s.name, s.headers, s.from)
			}
		}
	}
	return nil
}

func (e *engine) close() error {
	return errors.Join(e.tick.conn.Close(), e.db.Close())
}

// advance is one tick: new rows of the sources go in at time now, rows whose
// time is over go out, and every view that a sink stands on is brought up to
// date. The deltas of the sunk views come back by view name.
func (e *engine) advance(ctx context.Context, now time.Time, in map[string][]row) (map[string]delta, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A tick is not left halfway, and DuckDB need not watch for it.
	ctx = context.WithoutCancel(ctx)
	deltas := map[*relation]delta{}
	for name, rows := range in {
		s := e.sources[name]
		deltas[s] = delta{added: rows}
		for _, r := range rows {
			s.kept.set(r.partition, []string{r.data}, nil)
		}
	}
	// A source's rows are there for one tick: its views keep what they need.
	defer func() {
		for name := range in {
			e.sources[name].kept.reset()
		}
	}()
	for _, v := range e.views {
		if v.out == nil || v.asleep {
			continue
		}
		v.queue(deltas)
		if v.deferred && v.waiting() < e.maxWaiting {
			continue
		}
		if v.deferred && e.wanted[v] == 0 && now.Sub(v.asked) >= e.drowsy {
			e.sleep(v)
			continue
		}
		d, err := v.update(ctx, now.UnixMicro())
		if err != nil {
			return nil, err
		}
		if !d.empty() {
			deltas[v.out] = d
		}
	}
	sunk := map[string]delta{}
	for _, s := range e.program.sinks {
		if d := deltas[e.byName[s.from].out]; !d.empty() {
			sunk[s.from] = d
		}
	}
	return sunk, nil
}

// catchUp brings those of the given views up to date that no sink needs. The
// caller holds mu, and going away does not stop it halfway.
func (e *engine) catchUp(ctx context.Context, now time.Time, which map[*view]bool) error {
	ctx = context.WithoutCancel(ctx)
	for _, v := range e.views {
		if v.out == nil || !v.deferred || !which[v] {
			continue
		}
		v.asked = now
		if v.asleep {
			v.wake()
		}
		d, err := v.update(ctx, now.UnixMicro())
		if err != nil {
			return err
		}
		if d.empty() {
			continue
		}
		deltas := map[*relation]delta{v.out: d}
		for _, later := range e.views {
			if later.out != nil && later.deferred && !later.asleep {
				later.queue(deltas)
			}
		}
	}
	return nil
}

// below are these views and all that they are computed from.
func (e *engine) below(of ...*view) map[*view]bool {
	all := map[*view]bool{}
	var add func(v *view)
	add = func(v *view) {
		if v == nil || all[v] {
			return
		}
		all[v] = true
		for _, in := range v.inputs {
			add(e.byName[in.relation.name]) // nil where it is a source
		}
	}
	for _, v := range of {
		add(v)
	}
	return all
}

// refreshEvery is how often views are brought up to date for those who subscribe
// to them. A question gets them as of its own moment; a subscription asks all the
// time, and many small steps cost more than a few larger ones.
const refreshEvery = 100 * time.Millisecond

// after is when to do again, for those who subscribe, what began then and is done
// now: it may take a twentieth of the time, as trips and questions wait for it.
func after(began time.Time) time.Time {
	now := time.Now()
	return now.Add(min(max(refreshEvery, 20*now.Sub(began)), 5*refreshEvery))
}

// refresh brings the views that cursors stand on up to date, if it is time.
func (e *engine) refresh(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if now.Before(e.next) {
		return nil
	}
	which := make(map[*view]bool, len(e.wanted))
	for v := range e.wanted {
		which[v] = true
	}
	err := e.catchUp(ctx, now, which)
	e.next = after(now)
	return err
}

// want counts a cursor that stands on these views, or no longer does. The caller
// holds mu.
func (e *engine) want(which map[*view]bool, more int) {
	for v := range which {
		if e.wanted[v] += more; e.wanted[v] == 0 {
			delete(e.wanted, v)
		}
	}
}

// maxWaiting bounds the changes that a deferred view lets wait for a question, as
// taking them in holds up a tick. A view that has reached it and that nobody has
// asked about for so long as drowsy is let go of: there may never be a question.
const (
	maxWaiting = 1 << 11
	drowsy     = time.Minute
)

// sleep lets go of what a deferred view holds, and of what those above it do. What
// it is computed from stays: the next question has it computed anew.
func (e *engine) sleep(v *view) {
	for _, above := range e.views {
		if above.out == nil || !above.deferred || above.asleep || !e.below(above)[v] {
			continue
		}
		above.asleep = true
		above.out.clear()
		if above.sums != nil {
			clear(above.sums.groups)
		}
		for i := range above.pending {
			above.pending[i] = delta{}
		}
	}
}

// wake has a view that slept computed from all that it reads. Every row of it
// comes from one of its first input.
func (v *view) wake() {
	v.asleep = false
	for i, in := range v.inputs {
		if i > 0 && v.strategy != whole {
			break
		}
		in.relation.each(func(partition, data string) {
			v.pending[i].added = append(v.pending[i].added, row{partition, data})
		})
	}
}

func (v *view) waiting() int {
	n := 0
	for _, d := range v.pending {
		n += len(d.added) + len(d.removed)
	}
	return n
}

// queue notes what changed in a view's inputs.
func (v *view) queue(deltas map[*relation]delta) {
	for i, in := range v.inputs {
		if d, ok := deltas[in.relation]; ok {
			v.pending[i].append(d)
		}
	}
}

// update takes the noted changes in, says how the view changed, and tells the
// cursors.
func (v *view) update(ctx context.Context, now int64) (delta, error) {
	d, err := v.takeIn(ctx, now)
	if err != nil {
		return delta{}, fmt.Errorf("stream: %s: view %s: %w", v.at, v.name, err)
	}
	v.out.changed(d)
	return d, nil
}

func (v *view) takeIn(ctx context.Context, now int64) (delta, error) {
	var out delta
	v.out.expire(now, &out)
	unborn := v.sums != nil && v.sums.global && len(v.sums.groups) == 0
	if v.waiting() == 0 && !unborn {
		return out, nil
	}
	var err error
	switch v.strategy {
	case keyed:
		err = v.updateKeyed(ctx, now, &out)
	case summed:
		err = v.updateSums(ctx, &out)
	case whole:
		v.updateWhole(ctx, &out)
	}
	if err != nil {
		return delta{}, err
	}
	// A long replay must not leave its largest tick behind.
	for i := range v.pending {
		if cap(v.pending[i].added)+cap(v.pending[i].removed) > 1<<16 {
			v.pending[i] = delta{}
		} else {
			v.pending[i] = delta{added: v.pending[i].added[:0], removed: v.pending[i].removed[:0]}
		}
	}
	return out, nil
}
