package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
	protocol "github.com/jeroenrinzema/psql-wire/pkg/types"
)

// session is what is remembered of a client between its statements: whether it is
// in a transaction, and its cursors, which end with that. It belongs to one
// goroutine.
type session struct {
	client  *client
	inside  bool // of BEGIN … COMMIT
	failed  bool // and nothing but its end is taken
	cursors map[string]*subscription
	// settings are what SET has said, for SHOW.
	settings map[string]string
}

type sessionKey struct{}

func sessionOf(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	return s
}

// openSession starts one for a client that has connected.
func openSession(ctx context.Context) (context.Context, error) {
	c, ok := clientOf(ctx)
	if !ok {
		return nil, fmt.Errorf("stream: a connection that Serve has not accepted")
	}
	s := &session{client: c, cursors: map[string]*subscription{}, settings: map[string]string{}}
	return context.WithValue(ctx, sessionKey{}, s), nil
}

// closeSession leaves nothing of a client that has gone.
func closeSession(ctx context.Context) error {
	if s := sessionOf(ctx); s != nil {
		s.end()
	}
	return nil
}

func (s *session) status() protocol.ServerStatus {
	switch {
	case s.inside && s.failed:
		return protocol.ServerTransactionFailed
	case s.inside:
		return protocol.ServerTransactionBlock
	}
	return protocol.ServerIdle
}

// end ends the transaction, and the cursors with it.
func (s *session) end() {
	for name := range s.cursors {
		s.drop(name)
	}
	s.inside, s.failed = false, false
}

func (s *session) drop(name string) {
	s.cursors[name].end()
	delete(s.cursors, name)
}

// fail notes an error: a transaction takes no more statements after it.
func (s *session) fail(err error) error {
	if err != nil && !errors.Is(err, wire.ErrSuspendedHandlerClosed) {
		s.failed = s.inside
	}
	return err
}

// guarded runs a statement in the session: it can be cancelled, and what fails
// fails the transaction.
func (s *session) guarded(fn wire.PreparedStatementFn) wire.PreparedStatementFn {
	return func(ctx context.Context, w wire.DataWriter, given []wire.Parameter) error {
		if s.failed {
			return psqlerr.WithCode(errors.New("current transaction is aborted, commands ignored until end of transaction block"), codes.InFailedSQLTransaction)
		}
		ctx, done := s.client.statement(ctx)
		defer done()
		err := fn(ctx, w, given)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return s.fail(told(err))
	}
}

// transaction answers what begins and ends one.
func (s *session) transaction(verb string) *wire.PreparedStatement {
	switch verb {
	case "BEGIN":
		return s.begin("BEGIN")
	case "START":
		return s.begin("START TRANSACTION")
	case "COMMIT", "END":
		return s.finish("COMMIT")
	}
	return s.finish("ROLLBACK")
}

func (s *session) begin(tag string) *wire.PreparedStatement {
	return wire.NewStatement(s.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		s.inside = true
		return w.Complete(tag)
	}))
}

// finish ends the transaction. Nothing is ever written: they differ in
// what they are called.
func (s *session) finish(tag string) *wire.PreparedStatement {
	return wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		failed := s.failed
		s.end()
		if failed {
			return w.Complete("ROLLBACK")
		}
		return w.Complete(tag)
	})
}

// declare answers DECLARE.
func (s *session) declare(d *declaration) *wire.PreparedStatement {
	return wire.NewStatement(s.guarded(func(ctx context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		if !s.inside {
			return psqlerr.WithCode(errors.New("DECLARE CURSOR can only be used in transaction blocks: say BEGIN first"), codes.NoActiveSQLTransaction)
		}
		if _, ok := s.cursors[d.name]; ok {
			return psqlerr.WithCode(fmt.Errorf("cursor %q already exists", d.name), codes.DuplicateCursor)
		}
		if len(s.cursors) > 0 {
			return psqlerr.WithCode(errors.New("SUBSCRIBE in transactions must be the only read statement: open another connection for another cursor"), codes.InvalidTransactionState)
		}
		cursor := &subscription{declaration: d}
		if !d.snapshot {
			// What changes from here on is news.
			if err := cursor.begin(ctx); err != nil {
				return err
			}
		}
		s.cursors[d.name] = cursor
		return w.Complete("DECLARE CURSOR")
	}))
}

// fetch answers FETCH. What it returns is that of the cursor it names when it is
// prepared, or of the one that text has declared before it.
func (s *session) fetch(f *fetching, declared map[string]*declaration) (*wire.PreparedStatement, error) {
	d := declared[f.name]
	if cursor, ok := s.cursors[f.name]; ok && d == nil {
		d = cursor.declaration
	}
	if d == nil {
		return nil, unknownCursor(f.name)
	}
	return wire.NewStatement(s.guarded(func(ctx context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		cursor, ok := s.cursors[f.name]
		if !ok {
			return unknownCursor(f.name)
		}
		if !slices.Equal(cursor.columns, d.columns) {
			// The client has been told other columns and cannot be told again.
			return psqlerr.WithCode(fmt.Errorf("cached plan must not change result type: cursor %q has other columns than the one FETCH was prepared for", f.name), codes.FeatureNotSupported)
		}
		return cursor.fetch(ctx, w, f)
	}), wire.WithColumns(wireColumns(d.columns))), nil
}

func unknownCursor(name string) error {
	return psqlerr.WithCode(fmt.Errorf("cursor %q does not exist", name), codes.InvalidCursorName)
}

// closes answers CLOSE; "" is ALL.
func (s *session) closes(name string) *wire.PreparedStatement {
	return wire.NewStatement(s.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		if name == "" {
			for name := range s.cursors {
				s.drop(name)
			}
			return w.Complete("CLOSE CURSOR ALL")
		}
		if _, ok := s.cursors[name]; !ok {
			return unknownCursor(name)
		}
		s.drop(name)
		return w.Complete("CLOSE CURSOR")
	}))
}
