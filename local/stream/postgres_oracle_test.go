package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	tripsql "tripcast.dev/sql"
)

// postgresOracle keeps every record in a table of a PostgreSQL server, which
// computes every view of the program from scratch: neither DuckDB nor the dialect
// that is written for it has a part in that.
//
// Where Materialize could be read in two ways, sql/ says which: EXTRACT and sums of
// int8 are numerics there as in PostgreSQL, and sql/ casts each; a cast of float8 to
// int8 rounds to even in all three; -0 is 0, which Materialize makes of it.
type postgresOracle struct {
	conn    *pgx.Conn
	program *program
	// shared are the views that several others read. They are computed first, once
	// for each question, and not again in each of those.
	shared map[string]bool
	shown  rendered
	seen   int // rows that were compared
}

// materialize is what PostgreSQL lacks, and what it does in another way. These come
// before its own.
const materialize = `
	CREATE FUNCTION mz_now() RETURNS timestamp LANGUAGE sql STABLE
		AS $$ SELECT current_setting('oracle.now')::timestamp $$;
	-- PostgreSQL divides by the radians in a degree, which may give the next float.
	-- Materialize has Rust's to_degrees (src/expr/src/scalar/func/impls/float64.rs),
	-- which multiplies by the degrees in a radian, as DuckDB does.
	CREATE FUNCTION degrees(float8) RETURNS float8 LANGUAGE sql IMMUTABLE
		AS $$ SELECT $1 * (180 / pi()) $$;
	SET search_path = public, pg_catalog;`

// postgresTypes are the types of columns. A map is JSON there.
var postgresTypes = map[kind]uint32{
	kindBool: pgtype.BoolOID, kindInt: pgtype.Int8OID, kindFloat: pgtype.Float8OID, kindText: pgtype.TextOID,
	kindJSON: pgtype.JSONBOID, kindMap: pgtype.JSONBOID, kindTime: pgtype.TimestampOID, kindNumeric: pgtype.NumericOID,
}

func newPostgresOracle(t *testing.T, conn *pgx.Conn, statements []tripsql.Statement) *postgresOracle {
	t.Helper()
	p, err := parseProgram(statements)
	if err != nil {
		t.Fatal(err)
	}
	o := &postgresOracle{conn: conn, program: p, shared: map[string]bool{}, shown: rendered{}}
	for name, readers := range readers(p) {
		o.shared[name] = readers > 1
	}
	exec := func(query string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Fatalf("%s\n%v", query, err)
		}
	}
	exec(materialize)
	names := map[kind]string{kindJSON: "jsonb", kindText: "text", kindInt: "int8", kindTime: "timestamp"}
	for name, s := range p.sources {
		var columns []string
		for _, c := range s.columns {
			columns = append(columns, quoteName(c.name)+" "+names[c.kind])
		}
		exec("CREATE TABLE " + quoteName(name) + " (" + strings.Join(columns, ", ") + ")")
	}
	for _, v := range p.views {
		if o.shared[v.name] {
			exec("CREATE MATERIALIZED VIEW " + quoteName(v.name) + " AS " + postgresSQL(v) + " WITH NO DATA")
		} else {
			exec("CREATE VIEW " + quoteName(v.name) + " AS " + postgresSQL(v))
		}
	}
	return o
}

// readers are, by view, how many others name it.
func readers(p *program) map[string]int {
	n := map[string]int{}
	for i, v := range p.views {
		for _, read := range p.views[:i] {
			if slices.ContainsFunc(v.body, func(t tripsql.Token) bool { return t.Is(read.name) }) {
				n[read.name]++
			}
		}
	}
	return n
}

// postgresSQL is the body of a view as it stands in its file, but for MAP['k' => v],
// which PostgreSQL does not have.
func postgresSQL(v *viewDefinition) string {
	text, start := v.at.Text, v.at.Tokens[0].Pos
	var out strings.Builder
	done := v.body[0].Pos - start
	put := func(token tripsql.Token, instead string) {
		out.WriteString(text[done:token.Pos-start] + instead)
		done = token.Pos - start + len(token.Raw)
	}
	var maps []bool // of the brackets that are open, which are a map's
	for i, token := range v.body {
		in := len(maps) > 0 && maps[len(maps)-1]
		switch {
		case token.Is("MAP") && i+1 < len(v.body) && v.body[i+1].Is("["):
			put(token, "jsonb_build_object")
		case token.Is("["):
			isMap := i > 0 && v.body[i-1].Is("MAP")
			maps = append(maps, isMap)
			if isMap {
				put(token, "(")
			}
		case token.Is("]") && len(maps) > 0:
			maps = maps[:len(maps)-1]
			if in {
				put(token, ")")
			}
		case token.Is("=>") && in:
			put(token, ",")
		}
	}
	return out.String() + text[done:]
}

// insert takes in the records of a tick.
func (o *postgresOracle) insert(ctx context.Context, in map[string][]row) error {
	for _, name := range sortedKeys(in) {
		columns := o.program.sources[name].columns
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.name
		}
		values, fields := make([]value, len(columns)), make([]any, len(columns))
		_, err := o.conn.CopyFrom(ctx, pgx.Identifier{name}, names, pgx.CopyFromSlice(len(in[name]), func(n int) ([]any, error) {
			decodeRow(in[name][n].data, columns, values)
			for i, c := range columns {
				switch v := values[i]; {
				case v.null:
					fields[i] = nil
				case c.kind == kindInt:
					fields[i] = v.int()
				case c.kind == kindTime:
					fields[i] = time.UnixMicro(v.int()).UTC()
				default:
					fields[i] = v.text
				}
			}
			return fields, nil
		}))
		if err != nil {
			return fmt.Errorf("copying %d records into %s: %w", len(in[name]), name, err)
		}
	}
	return nil
}

// forget lets go of all records.
func (o *postgresOracle) forget(ctx context.Context) error {
	var names []string
	for _, name := range sortedKeys(o.program.sources) {
		names = append(names, quoteName(name))
	}
	_, err := o.conn.Exec(ctx, "TRUNCATE "+strings.Join(names, ", "))
	return err
}

// views are the rows of every view at a time, sorted.
func (o *postgresOracle) views(ctx context.Context, now time.Time, columns map[string][]column) (map[string][]string, error) {
	batch := &pgx.Batch{}
	batch.Queue("SELECT set_config('oracle.now', $1, false)", now.UTC().Format("2006-01-02 15:04:05.000000"))
	for _, v := range o.program.views {
		if o.shared[v.name] {
			batch.Queue("REFRESH MATERIALIZED VIEW " + quoteName(v.name))
		}
	}
	prepared := batch.Len()
	for _, v := range o.program.views {
		batch.Queue("SELECT * FROM " + quoteName(v.name))
	}
	results := o.conn.SendBatch(ctx, batch)
	defer results.Close()
	for range prepared {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	all := map[string][]string{}
	for _, v := range o.program.views {
		rows, err := results.Query()
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", v.name, err)
		}
		if err := sameColumns(columns[v.name], rows.FieldDescriptions()); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.name, err)
		}
		var of []string
		var raw []byte
		for rows.Next() {
			raw = raw[:0]
			for _, field := range rows.RawValues() {
				length := int64(len(field))
				if field == nil {
					length = -1
				}
				raw = append(strconv.AppendInt(raw, length, 10), ' ')
				raw = append(raw, field...)
			}
			row, err := o.shown.row(v.name, string(raw), rows.Values)
			if err != nil {
				return nil, fmt.Errorf("view %s: %w", v.name, err)
			}
			of = append(of, row)
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.name, err)
		}
		slices.Sort(of)
		all[v.name] = of
		o.seen += len(of)
	}
	return all, results.Close()
}

// sameColumns compares names and types. The engine has one integer type.
func sameColumns(engine []column, here []pgconn.FieldDescription) error {
	if len(engine) != len(here) {
		return fmt.Errorf("%d columns, in PostgreSQL %d", len(engine), len(here))
	}
	for i, c := range engine {
		oid := here[i].DataTypeOID
		if oid == pgtype.Int4OID {
			oid = pgtype.Int8OID
		}
		if c.name != here[i].Name || postgresTypes[c.kind] != oid {
			return fmt.Errorf("column %s is of type %s, in PostgreSQL %s is of the type with the number %d", c.name, c.kind, here[i].Name, oid)
		}
	}
	return nil
}

// compared is an engine that is compared with PostgreSQL, tick by tick.
type compared struct {
	engine  *engine
	queries *queries
	oracle  *postgresOracle
	shown   rendered
	ticks   int
	filled  map[string]bool // views that have had rows
}

func newCompared(e *engine, q *queries, o *postgresOracle) *compared {
	return &compared{engine: e, queries: q, oracle: o, shown: rendered{}, filled: map[string]bool{}}
}

// tick takes in what the engine was given at a time, and says how the rows of any
// view differ.
func (c *compared) tick(ctx context.Context, now time.Time, in map[string][]row) error {
	if err := c.oracle.insert(ctx, in); err != nil {
		return err
	}
	got, err := c.rows(ctx, now)
	if err != nil {
		return err
	}
	columns := map[string][]column{}
	for _, v := range c.engine.views {
		columns[v.name] = v.columns
	}
	want, err := c.oracle.views(ctx, now, columns)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	var different []error
	for _, v := range c.engine.views {
		c.filled[v.name] = c.filled[v.name] || len(want[v.name]) > 0
		if !slices.Equal(got[v.name], want[v.name]) {
			different = append(different, fmt.Errorf("tick %d, view %s (%s): %d rows, in PostgreSQL %d\nonly here:\n  %s\nmissing:\n  %s", c.ticks, v.name, v.strategy,
				len(got[v.name]), len(want[v.name]), onlyIn(got[v.name], want[v.name]), onlyIn(want[v.name], got[v.name])))
		}
	}
	c.ticks++
	return errors.Join(different...)
}

// rows are those of every view, as the engine has them.
func (c *compared) rows(ctx context.Context, now time.Time) (map[string][]string, error) {
	c.queries.mu.Lock()
	defer c.queries.mu.Unlock()
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	if err := c.engine.catchUp(ctx, now, c.engine.below(c.engine.views...)); err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for _, v := range c.engine.views {
		var rows []string
		err := c.each(ctx, v, func(data string) error {
			row, err := c.shown.row(v.name, data, func() ([]any, error) { return fieldsOf(v.columns, data) })
			rows = append(rows, row)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", v.name, err)
		}
		slices.Sort(rows)
		all[v.name] = rows
	}
	return all, nil
}

// each goes over the rows of a view: those that are kept, or those of a question.
func (c *compared) each(ctx context.Context, v *view, each func(data string) error) error {
	if v.out == nil {
		q, err := c.queries.compile(ctx, "SELECT * FROM "+quoteName(v.name), v.columns)
		if err != nil {
			return err
		}
		defer q.statement.Close()
		c.queries.note(q, nil, nil)
		defer c.queries.unload(q)
		return q.run(ctx, nil, func(values []value) error { return each(string(appendRow(nil, v.columns, values))) })
	}
	for _, f := range v.out.all(nil) {
		if err := each(f.data); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf are the values of a row of the engine, as pgx has those of PostgreSQL.
func fieldsOf(columns []column, data string) ([]any, error) {
	values, fields := make([]value, len(columns)), make([]any, len(columns))
	decodeRow(data, columns, values)
	for i, c := range columns {
		v := values[i]
		if v.null {
			continue
		}
		switch c.kind {
		case kindBool:
			fields[i] = v.bool()
		case kindInt:
			fields[i] = v.int()
		case kindFloat:
			fields[i] = v.float()
		case kindText:
			fields[i] = v.text
		case kindTime:
			fields[i] = time.UnixMicro(v.int())
		case kindJSON, kindMap:
			if err := json.Unmarshal([]byte(v.text), &fields[i]); err != nil {
				return nil, fmt.Errorf("column %s: %w", c.name, err)
			}
		case kindNumeric:
			n, ok := new(big.Rat).SetString(v.text)
			if !ok {
				return nil, fmt.Errorf("column %s: %q is no number", c.name, v.text)
			}
			fields[i] = n
		}
	}
	return fields, nil
}

// rendered are rows as shownRow writes them, by view and as they come: nearly all are
// those of the tick before.
type rendered map[string]map[string]string

func (r rendered) row(view, raw string, fields func() ([]any, error)) (string, error) {
	row, ok := r[view][raw]
	if ok {
		return row, nil
	}
	values, err := fields()
	if err != nil {
		return "", err
	}
	if r[view] == nil {
		r[view] = map[string]string{}
	}
	row = shownRow(values)
	r[view][raw] = row
	return row, nil
}

// shownRow writes a row such that equal ones are equal text: a float as the shortest
// text that is this float and no other, -0 as 0, JSON without its order and spaces.
func shownRow(fields []any) string { return string(appendShown(nil, fields)) }

func appendShown(b []byte, field any) []byte {
	switch v := field.(type) {
	case bool:
		return strconv.AppendBool(b, v)
	case int32:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		if v == 0 {
			v = 0
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case string:
		return strconv.AppendQuote(b, v)
	case time.Time:
		return append(b, v.UTC().Format("2006-01-02T15:04:05.000000")...)
	case *big.Rat:
		return append(b, v.RatString()...)
	case pgtype.Numeric:
		n := new(big.Rat).SetInt(v.Int)
		scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(v.Exp, -v.Exp))), nil))
		if v.Exp < 0 {
			n.Quo(n, scale)
		} else {
			n.Mul(n, scale)
		}
		return append(b, n.RatString()...)
	case []any:
		b = append(b, '[')
		for _, element := range v {
			b = append(appendShown(b, element), ' ')
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b = append(appendShown(append(strconv.AppendQuote(b, key), ':'), v[key]), ' ')
		}
		return append(b, '}')
	case nil:
		return append(b, "null"...)
	}
	return fmt.Appendf(b, "unexpected %T", field)
}

// onlyIn are the first rows of a that are not in b.
func onlyIn(a, b []string) string {
	have := map[string]int{}
	for _, row := range b {
		have[row]++
	}
	var rows []string
	for _, row := range a {
		if have[row]--; have[row] < 0 && len(rows) < 3 {
			rows = append(rows, row)
		}
	}
	return strings.Join(rows, "\n  ")
}
