package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// connect opens a connection. None is shared: Materialize has one cursor of
// SUBSCRIBE in a transaction.
func (f *Feed) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timing.connect)
	defer cancel()
	return pgx.ConnectConfig(ctx, f.database.config.Copy())
}

// closeConn says good-bye, but not for long.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// change is a row that has come, or one that has gone.
type change[R any] struct {
	at   uint64 // all of one time belong together
	diff int64
	row  R
}

// subscription is one SUBSCRIBE, and what becomes of its rows.
type subscription[R any] struct {
	view string
	// onward leaves out the rows that are there already.
	onward bool
	read   func(*row) R
	// began is called once, when no change after that moment will be missed. It
	// may be nil.
	began func()
	// take is given the changes of whole times, in order, those that go before
	// those that come. The first time it is all rows that were there, or none.
	take func([]change[R])

	conn     *pgx.Conn
	pending  []change[R]
	started  bool
	first    uint64 // progress
	complete bool   // what was there has been taken
}

// follow runs the subscription until it breaks.
func (s *subscription[R]) follow(ctx context.Context, f *Feed) error {
	var err error
	if s.conn, err = f.connect(ctx); err != nil {
		return &viewError{s.view, err}
	}
	defer closeConn(ctx, s.conn)
	f.databaseAnswers()
	if err := s.declare(ctx, f.timing.answer); err != nil {
		return &viewError{s.view, err}
	}
	for ctx.Err() == nil {
		if err := s.fetch(ctx, f.timing); err != nil {
			return &viewError{s.view, err}
		}
	}
	return ctx.Err()
}

func (s *subscription[R]) declare(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := s.conn.Exec(ctx, "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, declareStatement(s.view, s.onward), pgx.QueryExecModeSimpleProtocol)
	return err
}

func declareStatement(view string, onward bool) string {
	options := "PROGRESS"
	if onward {
		options = "SNAPSHOT = false, PROGRESS"
	}
	return fmt.Sprintf("DECLARE c CURSOR FOR SUBSCRIBE %s WITH (%s)", pgx.Identifier{view}.Sanitize(), options)
}

func fetchStatement(timeout time.Duration) string {
	return fmt.Sprintf("FETCH ALL c WITH (timeout = '%dms')", timeout.Milliseconds())
}

// fetch reads what has come. Nothing is prepared: a cursor has no type before it
// is declared. When ctx ends, a server that answers is not hung up on: it waits
// for changes no longer than it was told to.
func (s *subscription[R]) fetch(ctx context.Context, t timing) error {
	fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.answer)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-fetching.Done():
		case <-time.After(2 * t.fetch):
			cancel()
		}
	})()
	rows, err := s.conn.Query(fetching, fetchStatement(t.fetch), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	return eachRow(s.conn, rows, s.view, func(r *row) error {
		at := column[uint64](r, "mz_timestamp")
		if column[bool](r, "mz_progressed") {
			if r.err == nil {
				s.progress(at)
			}
			return r.err
		}
		s.pending = append(s.pending, change[R]{at, column[int64](r, "mz_diff"), s.read(r)})
		return r.err
	})
}

// progress hands on what is complete: no more changes come of a time before at.
// The first progress tells when the subscription began, which is before the rows
// that were there.
func (s *subscription[R]) progress(at uint64) {
	var done, later []change[R]
	for _, c := range s.pending {
		if c.at < at {
			done = append(done, c)
		} else {
			later = append(later, c)
		}
	}
	s.pending = later
	if !s.started {
		s.started, s.first = true, at
		if s.began != nil {
			s.began()
		}
	}
	if len(done) == 0 && (s.complete || at == s.first) {
		return
	}
	s.complete = true
	slices.SortStableFunc(done, func(a, b change[R]) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.diff, b.diff))
	})
	s.take(done)
}
