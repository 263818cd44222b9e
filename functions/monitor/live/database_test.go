package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

// fakeDatabase speaks Postgres's protocol and answers SUBSCRIBE as Materialize
// does: the first progress, the rows that are there, and then what changes. It
// goes away, comes back, refuses and stalls as a test asks it to.
type fakeDatabase struct {
	t       testing.TB
	address string

	mu         sync.Mutex
	listener   *trackingListener
	clock      int64
	views      map[string]*fakeView
	trips      map[string][]any // what the query of one trip finds
	statements map[string]int   // how often each was asked for
	refuse     func(statement string) error
	stall      chan struct{} // FETCH and SELECT wait for it
	hold       chan struct{} // so does the answer with the newest trips, which is as of before
	password   string
}

type fakeView struct {
	columns wire.Columns
	changes []fakeChange
}

type fakeChange struct {
	at, diff int64
	row      []any
}

var oids = map[string]uint32{
	"text": pgtype.TextOID, "int8": pgtype.Int8OID, "float8": pgtype.Float8OID, "bool": pgtype.BoolOID,
	"numeric": pgtype.NumericOID, "timestamp": pgtype.TimestampOID, "jsonb": pgtype.JSONBOID,
}

// columns reads "name type, name type".
func columns(text string) wire.Columns {
	var all wire.Columns
	for part := range strings.SplitSeq(text, ", ") {
		name, kind, _ := strings.Cut(part, " ")
		all = append(all, wire.Column{Name: name, Oid: oids[kind], Width: -1})
	}
	return all
}

const startColumns = "trip_id text, picked_up_at timestamp, pickup_longitude float8, pickup_latitude float8, " +
	"dropoff_longitude float8, dropoff_latitude float8, predictions jsonb, champion text, lag_ms int8, predicted_at timestamp"

// viewColumns are those of sql/50_monitoring.sql.
var viewColumns = map[string]string{
	viewCounts:    "pick_ups int8, predictions int8, completed int8, in_progress int8, labels int8, unmatched_drop_offs int8",
	viewLag:       "predictions int8, mean_ms float8, p50_ms int8, p99_ms int8",
	viewErrors:    "model text, trips int8, mae_s float8, rmse_s float8, bias_s float8",
	viewBuckets:   "model text, bucket timestamp, trips int8, abs_ms int8",
	viewHours:     "model text, hour int8, trips int8, abs_ms int8",
	viewDistances: "model text, from_km int8, trips int8, abs_ms int8",
	viewBest:      "window_end timestamp, model text, trips int8, mae_s float8",
	viewStarts:    startColumns,
	viewEnds:      "trip_id text, dropped_off_at timestamp, duration_s float8, ended_at timestamp",
}

const tripColumns = "trip_id text, picked_up_at timestamp, passenger_count int8, arrived_at timestamp, pickup_longitude float8, pickup_latitude float8, " +
	"dropoff_longitude float8, dropoff_latitude float8, features jsonb, predictions jsonb, champion text, predicted_at timestamp, " +
	"dropped_off_at timestamp, ended_at timestamp, duration_s float8"

// newDatabase starts a server that has every view of the program, without rows.
func newDatabase(t testing.TB) *fakeDatabase {
	d := &fakeDatabase{t: t, clock: 1000, views: map[string]*fakeView{}, trips: map[string][]any{}, statements: map[string]int{}}
	for name, text := range viewColumns {
		d.views[name] = &fakeView{columns: columns(text)}
	}
	d.start()
	t.Cleanup(d.stop)
	return d
}

func (d *fakeDatabase) dsn() string {
	return "postgres://materialize:s3cret@" + d.address + "/materialize?sslmode=disable"
}

// start serves, at the address that it had before.
func (d *fakeDatabase) start() {
	d.t.Helper()
	at := d.address
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		d.t.Fatal(err)
	}
	listener := &trackingListener{Listener: l, open: map[net.Conn]bool{}}
	options := []wire.OptionFn{
		wire.Logger(slog.New(slog.DiscardHandler)), wire.Version("15.0"),
		wire.GlobalParameters(wire.Parameters{"standard_conforming_strings": "on"}),
	}
	// A connection that outlives this server is asked for this server's password.
	if want := d.password; want != "" {
		options = append(options, wire.SessionAuthStrategy(wire.ClearTextPassword(
			func(ctx context.Context, _, _, password string) (context.Context, bool, error) {
				return ctx, password == want, nil
			})))
	}
	server, err := wire.NewServer(d.parse, options...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.listener, d.address = listener, l.Addr().String()
	d.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

// stop hangs up on everybody and listens no more.
func (d *fakeDatabase) stop() {
	d.mu.Lock()
	listener := d.listener
	d.mu.Unlock()
	_ = listener.Close()
	listener.hangUp()
}

// hangUp closes all connections; new ones are taken.
func (d *fakeDatabase) hangUp() {
	d.mu.Lock()
	listener := d.listener
	d.mu.Unlock()
	listener.hangUp()
}

// connections are the open ones.
func (d *fakeDatabase) connections() int {
	d.listener.mu.Lock()
	defer d.listener.mu.Unlock()
	return len(d.listener.open)
}

type trackingListener struct {
	net.Listener
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	tracked := &trackedConn{Conn: conn, of: l}
	l.open[tracked] = true
	return tracked, nil
}

func (l *trackingListener) hangUp() {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, conn := range open {
		_ = conn.Close()
	}
}

type trackedConn struct {
	net.Conn
	of *trackingListener
}

func (c *trackedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// commit makes changes of one time.
func (d *fakeDatabase) commit(changes ...func(at int64)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock++
	for _, c := range changes {
		c(d.clock)
	}
}

func (d *fakeDatabase) add(view string, row ...any) func(int64) {
	return func(at int64) { d.views[view].changes = append(d.views[view].changes, fakeChange{at, +1, row}) }
}

func (d *fakeDatabase) remove(view string, row ...any) func(int64) {
	return func(at int64) { d.views[view].changes = append(d.views[view].changes, fakeChange{at, -1, row}) }
}

// asked is how often a statement was asked for, by its beginning.
func (d *fakeDatabase) asked(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for statement, times := range d.statements {
		if strings.HasPrefix(statement, prefix) {
			n += times
		}
	}
	return n
}

// with changes how the server behaves.
func (d *fakeDatabase) with(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// fakeCursor is one SUBSCRIBE.
type fakeCursor struct {
	view     *fakeView
	snapshot bool
	began    bool
	next     int64 // nothing before this is still to be sent
}

var subscribe = regexp.MustCompile(`^DECLARE c CURSOR FOR SUBSCRIBE "(\w+)" WITH \((SNAPSHOT = false, )?PROGRESS\)$`)

func (d *fakeDatabase) parse(ctx context.Context, query wire.Query) (wire.PreparedStatements, error) {
	statement := strings.TrimSuffix(strings.TrimSpace(query.Query), ";")
	d.mu.Lock()
	d.statements[statement]++
	refuse, stall := d.refuse, d.stall
	d.mu.Unlock()
	if refuse != nil {
		if err := refuse(statement); err != nil {
			return nil, err
		}
	}
	if stall != nil && !strings.HasPrefix(statement, "BEGIN") {
		<-stall
	}
	switch {
	case statement == "BEGIN":
		return done("BEGIN"), nil
	case strings.HasPrefix(statement, "DECLARE"):
		return d.declare(ctx, statement)
	case strings.HasPrefix(statement, "FETCH ALL c WITH (timeout = '"):
		return d.fetch(ctx)
	case statement == loadNewest:
		return d.newest(), nil
	case statement == pickUpQuery:
		return d.trip(0, 8), nil
	case statement == predictionQuery:
		return d.trip(8, 12), nil
	case statement == endQuery:
		return d.trip(12, 15), nil
	case statement == "" || strings.HasPrefix(statement, "--"):
		return done(""), nil
	}
	return nil, psqlerr.WithCode(fmt.Errorf("nobody expects %q", statement), codes.Syntax)
}

func done(tag string) wire.PreparedStatements {
	return wire.Prepared(wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return w.Complete(tag)
	}))
}

func (d *fakeDatabase) declare(ctx context.Context, statement string) (wire.PreparedStatements, error) {
	match := subscribe.FindStringSubmatch(statement)
	if match == nil {
		return nil, psqlerr.WithCode(fmt.Errorf("nobody expects %q", statement), codes.Syntax)
	}
	d.mu.Lock()
	view := d.views[match[1]]
	d.mu.Unlock()
	if view == nil {
		return nil, psqlerr.WithCode(fmt.Errorf("unknown catalog item '%s'", match[1]), codes.UndefinedObject)
	}
	wire.SetAttribute(ctx, "cursor", &fakeCursor{view: view, snapshot: match[2] == ""})
	return done("DECLARE CURSOR"), nil
}

func (d *fakeDatabase) fetch(ctx context.Context) (wire.PreparedStatements, error) {
	attribute, ok := wire.GetAttribute(ctx, "cursor")
	if !ok {
		return nil, errors.New("cursor c does not exist")
	}
	c := attribute.(*fakeCursor)
	d.mu.Lock()
	shown := slices.Concat(columns("mz_timestamp numeric, mz_progressed bool, mz_diff int8"), c.view.columns)
	d.mu.Unlock()
	return wire.Prepared(wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		rows := d.news(c)
		if len(rows) == 1 {
			time.Sleep(time.Millisecond) // as if it waited
		}
		for _, row := range rows {
			if err := w.Row(row); err != nil {
				return err
			}
		}
		return w.Complete(fmt.Sprintf("FETCH %d", len(rows)))
	}, wire.WithColumns(shown))), nil
}

// news are the rows that a cursor has not sent yet, and up to when they are all.
func (d *fakeDatabase) news(c *fakeCursor) [][]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock++ // time goes on
	var rows [][]any
	if !c.began {
		c.began, c.next = true, d.clock+1
		rows = append(rows, c.progress(d.clock))
		if c.snapshot {
			for _, row := range c.view.rows() {
				rows = append(rows, slices.Concat([]any{numeric(d.clock), false, int64(1)}, row))
			}
		}
		return rows
	}
	for _, change := range c.view.changes {
		if change.at >= c.next {
			rows = append(rows, slices.Concat([]any{numeric(change.at), false, change.diff}, change.row))
		}
	}
	c.next = d.clock + 1
	return append(rows, c.progress(c.next))
}

// rows are what the changes add up to.
func (v *fakeView) rows() [][]any {
	var rows [][]any
	for _, change := range v.changes {
		if change.diff > 0 {
			rows = append(rows, change.row)
			continue
		}
		rows = slices.DeleteFunc(rows, func(row []any) bool { return reflect.DeepEqual(row, change.row) })
	}
	return rows
}

func (c *fakeCursor) progress(at int64) []any {
	row := make([]any, 3+len(c.view.columns))
	row[0], row[1] = numeric(at), true
	return row
}

func numeric(n int64) pgtype.Numeric {
	var v pgtype.Numeric
	_ = v.Scan(fmt.Sprint(n))
	return v
}

// newest answers the query for the newest trips.
func (d *fakeDatabase) newest() wire.PreparedStatements {
	d.mu.Lock()
	shown := columns(startColumns + ", duration_s float8")
	ended := map[any]any{}
	for _, c := range d.views[viewEnds].changes {
		ended[c.row[0]] = c.row[2]
	}
	var rows [][]any
	for _, c := range d.views[viewStarts].changes {
		if c.diff > 0 {
			rows = append(rows, append(slices.Clone(c.row), ended[c.row[0]]))
		}
	}
	hold := d.hold
	d.mu.Unlock()
	slices.Reverse(rows)
	rows = rows[:min(len(rows), loadedTrips)]
	return answering(shown, func([]string) [][]any {
		if hold != nil {
			<-hold
		}
		return rows
	})
}

// trip answers with some of a trip's columns, where they are not null.
func (d *fakeDatabase) trip(from, to int) wire.PreparedStatements {
	return answering(columns(tripColumns)[from:to], func(parameters []string) [][]any {
		d.mu.Lock()
		defer d.mu.Unlock()
		if row := d.trips[parameters[0]]; row != nil && row[from] != nil {
			return [][]any{row[from:to]}
		}
		return nil
	}, pgtype.TextOID)
}

func answering(shown wire.Columns, rows func(parameters []string) [][]any, parameters ...uint32) wire.PreparedStatements {
	return wire.Prepared(wire.NewStatement(func(_ context.Context, w wire.DataWriter, given []wire.Parameter) error {
		var texts []string
		for _, p := range given {
			texts = append(texts, string(p.Value()))
		}
		all := rows(texts)
		for _, row := range all {
			if err := w.Row(row); err != nil {
				return err
			}
		}
		return w.Complete(fmt.Sprintf("SELECT %d", len(all)))
	}, wire.WithColumns(shown), wire.WithParameters(parameters)))
}

// logged collects what is logged.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logged) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

var _ io.Writer = (*logged)(nil)
