package stream

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
)

// subscription is a cursor that has been declared.
type subscription struct {
	*declaration
	changes changes
	begun   bool
	ready   []line // what is told next
	last    int64  // the last timestamp
	told    time.Time
}

// line is a row of a FETCH, to be.
type line struct {
	at      pgtype.Numeric
	what    any    // a difference, or a state; nil where time has advanced
	row     string // of the relation
	keyOnly bool
}

// begin starts it: with a snapshot at the first FETCH, as in Materialize, so that
// a cursor that nobody fetches from holds nothing.
func (s *subscription) begin(ctx context.Context) error {
	snapshot, err := s.watched.subscribe(ctx, &s.changes, s.snapshot)
	if err != nil {
		return err
	}
	s.begun = true
	if s.progress {
		s.advance()
	}
	all := make([]change, len(snapshot))
	for i, f := range snapshot {
		all[i] = change{f.data, 1}
	}
	s.tell(all)
	return nil
}

// end lets go of what is subscribed to.
func (s *subscription) end() {
	if s.begun {
		s.watched.unsubscribe(&s.changes)
	}
	s.begun, s.ready = false, nil
}

// round adds what has changed of late to what is ready, under one timestamp.
func (s *subscription) round(ctx context.Context) error {
	if err := s.watched.refresh(ctx); err != nil {
		return err
	}
	if all := s.changes.take(); len(all) > 0 {
		s.tell(all)
	} else if s.progress && time.Since(s.told) >= progressEvery {
		s.advance()
	}
	return nil
}

// progressEvery is how often a subscription says that nothing has happened: as
// often as Materialize's timestamps advance by themselves.
const progressEvery = time.Second

// advance says that what was told is complete.
func (s *subscription) advance() {
	s.ready = append(s.ready, line{at: s.now()})
	s.told = time.Now()
}

// now is a timestamp: milliseconds, later than the last one.
func (s *subscription) now() pgtype.Numeric {
	s.last = max(s.last+1, time.Now().UnixMilli())
	return pgtype.Numeric{Int: big.NewInt(s.last), Valid: true}
}

// tell makes changes ready, under one timestamp.
func (s *subscription) tell(all []change) {
	at := s.now()
	if s.key != nil {
		s.upserts(at, all)
	} else {
		for _, c := range all {
			s.ready = append(s.ready, line{at: at, what: c.diff, row: c.row})
		}
	}
	if s.progress {
		s.advance()
	}
}

// upserts tells of every key what its row is now, or that it is gone.
func (s *subscription) upserts(at pgtype.Numeric, all []change) {
	type state struct {
		row  string // the last that came, else one that went
		came int64
	}
	states := map[string]*state{}
	var order []string
	for _, c := range all { // those that went come first
		key, _ := appendKey(nil, c.row, s.relation, s.key)
		of, ok := states[string(key)]
		if !ok {
			of = &state{}
			states[string(key)], order = of, append(order, string(key))
		}
		of.row = c.row
		of.came += max(0, c.diff)
	}
	for _, key := range order {
		l := line{at: at, what: "upsert", row: states[key].row, keyOnly: states[key].came != 1}
		switch came := states[key].came; {
		case came == 0:
			l.what = "delete"
		case came > 1:
			l.what = "key_violation"
		}
		s.ready = append(s.ready, l)
	}
}

// cells writes a line out; row and values are reused.
func (s *subscription) cells(l line, row []any, values []value) ([]any, error) {
	row = append(row[:0], l.at)
	if s.progress {
		row = append(row, l.what == nil)
	}
	row = append(row, l.what)
	if l.what == nil {
		return append(row, make([]any, len(s.columns)-len(row))...), nil
	}
	decodeRow(l.row, s.relation, values)
	for i, at := range s.order {
		if l.keyOnly && i >= len(s.key) {
			row = append(row, nil)
			continue
		}
		cell, err := wireValue(s.relation[at].kind, values[at])
		if err != nil {
			return nil, err
		}
		row = append(row, cell)
	}
	return row, nil
}

// write sends the next n lines.
func (s *subscription) write(w wire.DataWriter, n int) error {
	const atOnce = 256
	rows := make([][]any, min(n, atOnce))
	values := make([]value, len(s.relation))
	for n > 0 {
		some := s.ready[:min(n, atOnce)]
		for i, l := range some {
			var err error
			if rows[i], err = s.cells(l, rows[i], values); err != nil {
				return err
			}
		}
		if err := wire.WriteRows(w, rows[:len(some)]); err != nil {
			return fmt.Errorf("writing rows: %w", err)
		}
		clear(some) // the array lives as long as one of its lines does
		s.ready = s.ready[len(some):]
		n -= len(some)
	}
	return nil
}

// fetch writes rows until it has written as many as were asked for, or the time
// is over: with a timeout it waits for more until then, without one for the first
// that come. So does Materialize.
func (s *subscription) fetch(ctx context.Context, w wire.DataWriter, f *fetching) error {
	if !s.begun {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	end := time.Now().Add(f.timeout)
	for wanted := f.count; ; {
		over := !f.wait && !time.Now().Before(end)
		if len(s.ready) < wanted {
			if err := s.round(ctx); err != nil {
				return err
			}
		}
		n := min(wanted, len(s.ready))
		if err := s.write(w, n); err != nil {
			return err
		}
		wanted -= n
		if wanted == 0 || over || f.wait && n > 0 {
			return w.Complete(fmt.Sprintf("FETCH %d", w.Written()))
		}
		pause := refreshEvery
		if !f.wait {
			pause = min(pause, time.Until(end))
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}
