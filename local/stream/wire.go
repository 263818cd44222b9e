package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
	protocol "github.com/jeroenrinzema/psql-wire/pkg/types"

	tripsql "tripcast.dev/sql"
)

// Serve answers on the Postgres protocol until ctx ends: SELECT over every view,
// which sees them as of its own moment; SUBSCRIBE by DECLARE, FETCH and CLOSE, as
// the package comment says; SHOW of all that there is, of CREATE statements and of
// settings, which SET changes and nothing else looks at. information_schema,
// pg_catalog, mz_catalog and mz_internal tell of the program, as far as there is
// something true to tell: sizes, privileges and statistics are empty. CREATE … IF
// NOT EXISTS succeeds where there is nothing to do, so that the program can be
// applied to it, and COMMENT ON is remembered as long as the process lives. BEGIN
// and COMMIT bound the life of a cursor, and an error ends what can be done in
// between. A statement can be cancelled, and what a client leaves behind is let go
// of. Connections do not outlive Serve.
//
// An error has a code of Postgres's and says the place in its message: psql-wire
// has no field for the position. EXPLAIN, SAVEPOINT (which psycopg 3 needs under
// SQLAlchemy; psycopg2 does not), COPY and all that writes are not supported, nor
// are times of day and intervals as a query's result, and division by zero is NULL.
// A parameter in an expression that does not tell its type, f * $1, needs a cast.
func (s *Stream) Serve(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	accepted := &clients{Listener: listener, ctx: ctx, all: map[*client]bool{}}
	server, err := wire.NewServer(s.parse,
		wire.Logger(s.config.Log),
		wire.Version(serverVersion),
		// Its default holds 16 MB for every connection.
		wire.MessageBufferSize(maxMessage),
		wire.SessionMiddleware(openSession),
		wire.CloseConn(closeSession),
		wire.TxStatus(func(ctx context.Context) protocol.ServerStatus { return sessionOf(ctx).status() }),
		wire.BackendKeyData(func(ctx context.Context) (process, secret int32) {
			if c, ok := clientOf(ctx); ok {
				return c.process, c.secret
			}
			return 0, 0
		}),
		wire.CancelRequest(accepted.cancel),
		wire.GlobalParameters(wire.Parameters{
			"application_name": "", "is_superuser": "off", "session_authorization": theUser,
			"standard_conforming_strings": "on", "integer_datetimes": "on", "DateStyle": "ISO, MDY", "TimeZone": "UTC",
		}),
	)
	if err != nil {
		return fmt.Errorf("stream: preparing the Postgres protocol: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	err = server.Serve(accepted)
	ended := ctx.Err() != nil
	// Statements end and are answered, then connections do.
	stop()
	_ = server.Close()
	accepted.hangUp()
	server.Wait()
	if err != nil && !ended && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stream: serving the Postgres protocol: %w", err)
	}
	return nil
}

// maxMessage is the longest statement, and what a connection holds.
const maxMessage = 1 << 20

// parse turns what a client sent into statements.
func (s *Stream) parse(ctx context.Context, query wire.Query) (wire.PreparedStatements, error) {
	client := sessionOf(ctx)
	query.Query = plain(query.Query)
	statements, err := tripsql.Split("query", query.Query)
	if err != nil {
		return nil, client.fail(coded(err, codes.Syntax))
	}
	if len(statements) == 0 {
		// Empty would answer nothing at all, and pgx pings with a comment.
		return wire.Prepared(done("")), nil
	}
	t := &text{stream: s, session: client, query: query, declared: map[string]*declaration{}}
	var prepared wire.PreparedStatements
	for _, one := range statements {
		p, err := t.prepare(ctx, one)
		if err != nil {
			return nil, client.fail(coded(told(err), codes.Syntax))
		}
		prepared = append(prepared, p)
	}
	return prepared, nil
}

// coded gives an error a code, unless it has one.
func coded(err error, code codes.Code) error {
	if psqlerr.GetCode(err) != codes.Uncategorized {
		return err
	}
	return psqlerr.WithCode(err, code)
}

// text is what a client sends at once: all of it is prepared before any runs.
type text struct {
	stream   *Stream
	session  *session
	query    wire.Query
	declared map[string]*declaration
}

func (t *text) prepare(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens}
	switch verb := strings.ToUpper(c.next().Text); verb {
	case "SELECT", "WITH", "VALUES", "(":
		return t.selects(ctx, statement)
	case "SHOW":
		return t.show(ctx, statement)
	case "COMMENT":
		return t.comments(ctx, statement)
	case "EXPLAIN":
		return nil, unsupported("EXPLAIN is not supported: the stand-in has none of Materialize's plans to show")
	case "CREATE":
		made, err := t.stream.engine.program.create(statement)
		if err != nil {
			return nil, err
		}
		return t.creates("CREATE "+made.kind, statement), nil
	case "ALTER":
		// A secret is given its value again by whoever applies the program: here it
		// does nothing, whatever it says. See create.
		if !c.accept("SECRET") || c.done() {
			return nil, unsupported("ALTER is not supported, but for SECRET")
		}
		return t.done("ALTER SECRET"), nil
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT":
		return t.session.transaction(verb), nil
	case "DECLARE", "FETCH", "CLOSE":
		return t.cursor(ctx, verb, c)
	case "SET", "RESET", "DISCARD":
		return t.set(verb, c), nil
	case "DEALLOCATE":
		return t.done(verb), nil
	case "SUBSCRIBE", "COPY":
		return nil, unsupported("%s is not supported: subscribe with BEGIN, DECLARE c CURSOR FOR SUBSCRIBE …, and FETCH ALL c", verb)
	default:
		return nil, unsupported("%s is not supported: SELECT, SHOW, SUBSCRIBE with a cursor and CREATE … IF NOT EXISTS are", verb)
	}
}

func unsupported(format string, arguments ...any) error {
	return psqlerr.WithCode(fmt.Errorf(format, arguments...), codes.FeatureNotSupported)
}

// cursor prepares DECLARE, FETCH and CLOSE.
func (t *text) cursor(ctx context.Context, verb string, c *cursor) (*wire.PreparedStatement, error) {
	switch {
	case verb == "DECLARE":
		d, err := t.stream.declare(ctx, c.statement, t.ask)
		if err != nil {
			return nil, err
		}
		t.declared[d.name] = d
		return t.session.declare(d), nil
	case verb == "FETCH":
		f, err := parseFetch(c.statement)
		if err != nil {
			return nil, err
		}
		return t.session.fetch(f, t.declared)
	case c.accept("ALL"):
		return t.session.closes(""), nil
	}
	name, err := c.name()
	if err != nil {
		return nil, err
	}
	return t.session.closes(name), nil
}

// done answers a statement that returns no rows and has nothing to do.
func (t *text) done(tag string) *wire.PreparedStatement {
	return wire.NewStatement(t.session.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return w.Complete(tag)
	}))
}

// creates answers a CREATE that is as the program says, or of what it need not say.
func (t *text) creates(tag string, statement tripsql.Statement) *wire.PreparedStatement {
	return wire.NewStatement(t.session.guarded(func(ctx context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		if err := t.stream.query.create(ctx, statement); err != nil {
			return err
		}
		return w.Complete(tag)
	}))
}

// done answers where there is no statement.
func done(tag string) *wire.PreparedStatement {
	return wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return w.Complete(tag)
	})
}

func (t *text) selects(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	queries := t.stream.query
	q, err := t.ask(ctx, statement.Tokens)
	if err != nil {
		return nil, err
	}
	by := queries.lookup(ctx, q.query, q.parameters)
	run := func(ctx context.Context, w wire.DataWriter, given []wire.Parameter) error {
		arguments := make([]any, len(given))
		for i, p := range given {
			var err error
			if arguments[i], err = argument(p, q.parameters[i]); err != nil {
				return psqlerr.WithCode(fmt.Errorf("parameter $%d: %w", i+1, err), codes.InvalidTextRepresentation)
			}
		}
		result, err := queries.run(ctx, q.query, arguments, q.columns, by)
		if err != nil {
			return err
		}
		return writeRows(w, result)
	}
	return wire.NewStatement(t.session.guarded(run), wire.WithColumns(q.shown), wire.WithParameters(q.parameters)), nil
}

func writeRows(w wire.DataWriter, r *result) error {
	line := make([]any, len(r.columns))
	for _, values := range r.rows {
		for i, v := range values {
			cell, err := wireValue(r.columns[i].kind, v)
			if err != nil {
				return err
			}
			line[i] = cell
		}
		if err := w.Row(line); err != nil {
			return fmt.Errorf("writing a row: %w", err)
		}
	}
	return w.Complete(fmt.Sprintf("SELECT %d", len(r.rows)))
}

// oids of the kinds; a map is shown as jsonb.
var oids = [...]uint32{
	kindBool: pgtype.BoolOID, kindInt: pgtype.Int8OID, kindFloat: pgtype.Float8OID, kindText: pgtype.TextOID,
	kindJSON: pgtype.JSONBOID, kindTime: pgtype.TimestampOID, kindNumeric: pgtype.NumericOID, kindMap: pgtype.JSONBOID,
	kindDate: pgtype.DateOID, kindList: pgtype.TextArrayOID, kindVector: pgtype.TextOID, kindBools: pgtype.BoolArrayOID, kindInts: pgtype.Int8ArrayOID,
}

func wireColumns(columns []column) wire.Columns {
	all := make(wire.Columns, len(columns))
	for i, c := range columns {
		all[i] = wire.Column{Name: c.name, Oid: oids[c.kind], Width: -1}
	}
	return all
}

// listOf reads a list, whose elements may be NULL.
func listOf[T any](v value) (any, error) {
	var all []*T
	if err := json.Unmarshal([]byte(v.text), &all); err != nil {
		return nil, fmt.Errorf("showing %q as a list: %w", v.text, err)
	}
	return all, nil
}

func wireValue(k kind, v value) (any, error) {
	if v.null {
		return nil, nil
	}
	switch k {
	case kindBool:
		return v.bool(), nil
	case kindInt:
		return v.int(), nil
	case kindFloat:
		return v.float(), nil
	case kindTime:
		return time.UnixMicro(v.int()).UTC(), nil
	case kindJSON, kindMap:
		return []byte(v.text), nil
	case kindNumeric:
		var n pgtype.Numeric
		if err := n.Scan(v.text); err != nil {
			return nil, fmt.Errorf("showing %q as numeric: %w", v.text, err)
		}
		return n, nil
	case kindDate:
		day, err := time.Parse(time.DateOnly, v.text)
		if err != nil {
			return nil, fmt.Errorf("showing %q as date: %w", v.text, err)
		}
		return day, nil
	case kindList:
		return listOf[string](v)
	case kindBools:
		return listOf[bool](v)
	case kindInts:
		return listOf[int64](v)
	default:
		return v.text, nil
	}
}
