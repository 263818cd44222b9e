package stream

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
	protocol "github.com/jeroenrinzema/psql-wire/pkg/types"

	tripsql "tripcast.dev/sql"
)

// Serve answers on the Postgres protocol until ctx ends: SELECT over every view,
// which sees them as of its own moment; SUBSCRIBE by DECLARE, FETCH and CLOSE, as
// the package comment says; SHOW VIEWS, SOURCES, SINKS and settings. CREATE … IF
// NOT EXISTS succeeds where there is nothing to do, so that the program can be
// applied to it. BEGIN and COMMIT bound the life of a cursor, and an error ends
// what can be done in between; SET is accepted and means nothing. A statement can
// be cancelled, and what a client leaves behind is let go of. Connections do not
// outlive Serve.
func (s *Stream) Serve(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	accepted := &clients{Listener: listener, ctx: ctx, all: map[*client]bool{}}
	server, err := wire.NewServer(s.parse,
		wire.Logger(s.config.Log),
		wire.Version("15.0"),
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
			"application_name": "", "is_superuser": "off", "session_authorization": "materialize",
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
	statements, err := tripsql.Split("query", query.Query)
	if err != nil {
		return nil, client.fail(coded(err, codes.Syntax))
	}
	if len(statements) == 0 {
		// Empty would answer nothing at all, and pgx pings with a comment.
		return wire.Prepared(done("")), nil
	}
	t := &text{stream: s, session: client, declared: map[string]*declaration{}}
	var prepared wire.PreparedStatements
	for _, one := range statements {
		p, err := t.prepare(ctx, one)
		if err != nil {
			return nil, client.fail(coded(err, codes.Syntax))
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
	declared map[string]*declaration
}

func (t *text) prepare(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens}
	switch verb := strings.ToUpper(c.next().Text); verb {
	case "SELECT", "WITH", "VALUES", "(":
		return t.selects(ctx, statement)
	case "SHOW":
		return t.show(statement)
	case "CREATE":
		made, err := t.stream.engine.program.create(statement)
		if err != nil {
			return nil, err
		}
		return t.done("CREATE " + made.kind), nil
	case "ALTER":
		// A secret is given its value again by whoever applies the program: here it
		// does nothing, whatever it says. See create.
		if !c.accept("SECRET") || c.done() {
			return nil, fmt.Errorf("ALTER is not supported, but for SECRET")
		}
		return t.done("ALTER SECRET"), nil
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT":
		return t.session.transaction(verb), nil
	case "DECLARE", "FETCH", "CLOSE":
		return t.cursor(ctx, verb, c)
	case "SET", "RESET", "DISCARD", "DEALLOCATE":
		return t.done(verb), nil
	case "SUBSCRIBE", "COPY":
		return nil, fmt.Errorf("%s is not supported: subscribe with BEGIN, DECLARE c CURSOR FOR SUBSCRIBE …, and FETCH ALL c", verb)
	default:
		return nil, fmt.Errorf("%s is not supported: SELECT, SHOW, SUBSCRIBE with a cursor and CREATE … IF NOT EXISTS are", verb)
	}
}

// cursor prepares DECLARE, FETCH and CLOSE.
func (t *text) cursor(ctx context.Context, verb string, c *cursor) (*wire.PreparedStatement, error) {
	switch {
	case verb == "DECLARE":
		d, err := t.stream.declare(ctx, c.statement)
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

// done answers where there is no statement.
func done(tag string) *wire.PreparedStatement {
	return wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return w.Complete(tag)
	})
}

func (t *text) selects(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	query, err := duckSQL(statement.Tokens)
	if err != nil {
		return nil, err
	}
	queries := t.stream.query
	columns, parameters, err := queries.types(ctx, query, statement.Tokens)
	if err != nil {
		return nil, err
	}
	by := queries.lookup(ctx, query, parameters)
	run := func(ctx context.Context, w wire.DataWriter, given []wire.Parameter) error {
		arguments := make([]any, len(given))
		for i, p := range given {
			if p.Value() == nil {
				continue
			}
			v, err := p.Scan(parameters[i])
			if err != nil {
				return psqlerr.WithCode(fmt.Errorf("parameter $%d: %w", i+1, err), codes.InvalidTextRepresentation)
			}
			arguments[i] = v
		}
		result, err := queries.run(ctx, query, arguments, columns, by)
		if err != nil {
			return psqlerr.WithCode(err, codes.Internal)
		}
		return writeRows(w, result)
	}
	return wire.NewStatement(t.session.guarded(run), wire.WithColumns(wireColumns(columns)), wire.WithParameters(parameters)), nil
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
}

func wireColumns(columns []column) wire.Columns {
	all := make(wire.Columns, len(columns))
	for i, c := range columns {
		all[i] = wire.Column{Name: c.name, Oid: oids[c.kind], Width: -1}
	}
	return all
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
	default:
		return v.text, nil
	}
}

// settings that drivers ask for when they connect.
var settings = map[string]string{
	"server_version": "15.0", "client_encoding": "UTF8", "timezone": "UTC", "standard_conforming_strings": "on",
	"transaction_isolation": "strict serializable", "search_path": "public", "cluster": "local", "database": "materialize",
}

func (t *text) show(statement tripsql.Statement) (*wire.PreparedStatement, error) {
	var words []string
	for _, t := range statement.Tokens[1:] {
		words = append(words, strings.ToLower(t.Text))
	}
	what := strings.Join(words, " ")
	var names []string
	switch what {
	case "views", "materialized views":
		for _, v := range t.stream.engine.views {
			if what == "views" || strings.EqualFold(v.at.Tokens[1].Text, "materialized") {
				names = append(names, v.name)
			}
		}
	case "sources":
		names = sortedKeys(t.stream.engine.program.sources)
	case "sinks":
		for _, sink := range t.stream.engine.program.sinks {
			names = append(names, sink.name)
		}
	default:
		setting, ok := settings[strings.ReplaceAll(what, "transaction isolation level", "transaction_isolation")]
		if !ok {
			return nil, fmt.Errorf("SHOW %s is not supported: VIEWS, MATERIALIZED VIEWS, SOURCES, SINKS and a few settings are", what)
		}
		return t.showing(strings.ReplaceAll(what, " ", "_"), []string{setting}), nil
	}
	slices.Sort(names)
	return t.showing("name", names), nil
}

func (t *text) showing(name string, lines []string) *wire.PreparedStatement {
	r := &result{columns: []column{{name, kindText}}}
	for _, l := range lines {
		r.rows = append(r.rows, []value{textValue(l)})
	}
	return wire.NewStatement(t.session.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return writeRows(w, r)
	}), wire.WithColumns(wireColumns(r.columns)))
}

// types says which columns a query returns and which types its parameters have.
func (q *queries) types(ctx context.Context, query string, tokens []tripsql.Token) ([]column, []uint32, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	parameters, err := q.parameters(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if len(parameters) == 0 {
		columns, _, err := q.duck.describe(ctx, query)
		return columns, nil, err
	}
	// DESCRIBE takes no parameters: NULL has the type that the place asks for.
	without := slices.Clone(tokens)
	for i, t := range without {
		if t.Kind == tripsql.Param {
			without[i] = tripsql.Token{Kind: tripsql.Word, Text: "NULL", Raw: "NULL", Line: t.Line}
		}
	}
	text, err := duckSQL(without)
	if err != nil {
		return nil, nil, err
	}
	columns, _, err := q.duck.describe(ctx, text)
	return columns, parameters, err
}

func (q *queries) parameters(ctx context.Context, query string) ([]uint32, error) {
	var parameters []uint32
	err := q.duck.conn.Raw(func(c any) error {
		prepared, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer prepared.Close()
		statement, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return fmt.Errorf("unexpected %T from DuckDB", prepared)
		}
		for n := 1; n <= statement.NumInput(); n++ {
			t, err := statement.ParamType(n)
			if err != nil {
				return err
			}
			parameters = append(parameters, parameterOID(t))
		}
		return nil
	})
	return parameters, err
}

func parameterOID(t duckdb.Type) uint32 {
	switch t {
	case duckdb.TYPE_BOOLEAN:
		return pgtype.BoolOID
	case duckdb.TYPE_TINYINT, duckdb.TYPE_SMALLINT, duckdb.TYPE_INTEGER, duckdb.TYPE_BIGINT, duckdb.TYPE_HUGEINT:
		return pgtype.Int8OID
	case duckdb.TYPE_FLOAT, duckdb.TYPE_DOUBLE, duckdb.TYPE_DECIMAL:
		return pgtype.Float8OID
	case duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_TZ:
		return pgtype.TimestampOID
	default:
		return pgtype.TextOID
	}
}
