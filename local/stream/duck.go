package stream

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// duck is a session of the embedded engine. It keeps no data: view bodies run
// over rows that Go hands in through the table function rows_in, so DuckDB only
// evaluates. A session belongs to one goroutine at a time.
type duck struct {
	conn  *sql.Conn
	feeds []*feed
	bound []int // the feeds that queries have named since it was last emptied
	// kindOf reads a column's type. What a query returns may be of more types than
	// what a view keeps.
	kindOf func(duck string) (kind, error)
}

// feed is what rows_in(n) reads: some rows of a relation, each with the number
// of the partition it belongs to in this evaluation.
type feed struct {
	columns []column
	rows    []fed
	// parts are where the columns of each relation end, if rows of several are
	// read side by side.
	parts []int
	// each is read instead of rows if set: a relation as a whole.
	each *relation
}

type fed struct {
	partition int64
	data      string
	// beside are rows of the other relations, "" where there is none.
	beside []string
}

// openDuck starts an engine. Two threads would only cost here: a tick's queries
// are small.
func openDuck(ctx context.Context) (*sql.DB, error) {
	connector, err := duckdb.NewConnector("?threads=1&enable_external_access=false&autoinstall_known_extensions=false&autoload_known_extensions=false", nil)
	if err != nil {
		return nil, fmt.Errorf("stream: starting DuckDB: %w", err)
	}
	db := sql.OpenDB(connector)
	for _, statement := range append([]string{
		"SET GLOBAL integer_division = true", "SET GLOBAL TimeZone = 'UTC'", "SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'",
	}, macros...) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("stream: preparing DuckDB: %s: %w", statement, err), db.Close())
		}
	}
	return db, nil
}

// newDuck opens a connection and gives it its table function, rows_in(n) under
// a name of its own: functions are shared by the connections of an engine.
func newDuck(ctx context.Context, db *sql.DB, function string) (*duck, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: opening a DuckDB session: %w", err)
	}
	d := &duck{conn: conn, kindOf: kindOf}
	number, err := duckdb.NewTypeInfo(duckdb.TYPE_BIGINT)
	if err != nil {
		return nil, fmt.Errorf("stream: describing %s: %w", function, err)
	}
	err = duckdb.RegisterTableUDF(conn, function, duckdb.ChunkTableFunction{
		Config: duckdb.TableFunctionConfig{Arguments: []duckdb.TypeInfo{number}},
		BindArguments: func(_ map[string]any, args ...any) (duckdb.ChunkTableSource, error) {
			n, ok := args[0].(int64)
			if !ok || n < 0 || int(n) >= len(d.feeds) {
				return nil, fmt.Errorf("%s(%v) does not exist", function, args[0])
			}
			d.bound = append(d.bound, int(n))
			return newScan(d.feeds[n])
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stream: registering %s: %w", function, err), conn.Close())
	}
	return d, nil
}

// scan hands a feed to DuckDB, chunk by chunk.
type scan struct {
	feed    *feed
	infos   []duckdb.ColumnInfo
	values  []value
	next    int
	pending []fed // when a whole relation is read
}

func newScan(f *feed) (*scan, error) {
	s := &scan{feed: f, values: make([]value, len(f.columns))}
	types := map[kind]duckdb.Type{
		kindBool: duckdb.TYPE_BOOLEAN, kindInt: duckdb.TYPE_BIGINT, kindFloat: duckdb.TYPE_DOUBLE, kindTime: duckdb.TYPE_BIGINT,
	}
	for _, c := range append([]column{{partitionColumn, kindInt}}, f.columns...) {
		t, ok := types[c.kind]
		if !ok {
			t = duckdb.TYPE_VARCHAR
		}
		info, err := duckdb.NewTypeInfo(t)
		if err != nil {
			return nil, fmt.Errorf("describing column %s: %w", c.name, err)
		}
		s.infos = append(s.infos, duckdb.ColumnInfo{Name: c.name, T: info})
	}
	return s, nil
}

func (s *scan) ColumnInfos() []duckdb.ColumnInfo { return s.infos }

func (s *scan) Cardinality() *duckdb.CardinalityInfo { return nil }

func (s *scan) Init() {
	s.next, s.pending = 0, s.feed.rows
	if s.feed.each != nil {
		s.pending = s.feed.each.all(nil)
	}
}

func (s *scan) FillChunk(chunk duckdb.DataChunk) error {
	n := min(len(s.pending)-s.next, duckdb.GetDataChunkCapacity())
	if n > 0 {
		if err := s.fill(chunk, s.pending[s.next:s.next+n]); err != nil {
			return err
		}
		s.next += n
	}
	return chunk.SetSize(n)
}

func (s *scan) fill(chunk duckdb.DataChunk, rows []fed) error {
	projected := make([]bool, len(s.infos))
	for i := range projected {
		// A column that the query does not read has no vector.
		_, err := chunk.GetVector(i)
		projected[i] = err == nil
	}
	for r, f := range rows {
		if projected[0] {
			if err := duckdb.SetChunkValue(chunk, 0, r, f.partition); err != nil {
				return err
			}
		}
		s.decode(f)
		for i, v := range s.values {
			if !projected[i+1] {
				continue
			}
			if err := setValue(chunk, i+1, r, s.feed.columns[i].kind, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scan) decode(f fed) {
	if s.feed.parts == nil {
		decodeRow(f.data, s.feed.columns, s.values)
		return
	}
	from := 0
	for i, to := range s.feed.parts {
		data := f.data
		if i > 0 {
			data = f.beside[i-1]
		}
		if data == "" {
			for at := from; at < to; at++ {
				s.values[at] = value{null: true}
			}
		} else {
			decodeRow(data, s.feed.columns[from:to], s.values[from:to])
		}
		from = to
	}
}

func setValue(chunk duckdb.DataChunk, c, r int, k kind, v value) error {
	switch {
	case v.null:
		return duckdb.SetChunkValue[any](chunk, c, r, nil)
	case k == kindBool:
		return duckdb.SetChunkValue(chunk, c, r, v.bool())
	case k == kindInt, k == kindTime:
		return duckdb.SetChunkValue(chunk, c, r, v.int())
	case k == kindFloat:
		return duckdb.SetChunkValue(chunk, c, r, v.float())
	default:
		return duckdb.SetChunkValue(chunk, c, r, v.text)
	}
}

// partitionColumn carries the number of the partition through a view's body.
const partitionColumn = "__partition"

// untilColumn carries the end of a row's life, where a view has a temporal filter.
const untilColumn = "__until"

// feeding writes the query that reads feed n with its columns' real types.
func (d *duck) feeding(function string, n int) string {
	items := []string{partitionColumn}
	for _, c := range d.feeds[n].columns {
		name := quoteName(c.name)
		switch c.kind {
		case kindTime:
			items = append(items, "make_timestamp("+name+") AS "+name)
		case kindJSON:
			items = append(items, name+"::JSON AS "+name)
		case kindNumeric:
			items = append(items, name+"::DECIMAL(38, 12) AS "+name)
		case kindMap:
			items = append(items, "from_json("+name+", '\"MAP(VARCHAR,VARCHAR)\"') AS "+name)
		default:
			items = append(items, name)
		}
	}
	return fmt.Sprintf("SELECT %s FROM %s(%d)", strings.Join(items, ", "), function, n)
}

// returning wraps a query so that every column comes back as a Go value that
// appendRow knows.
func returning(query string, columns []column) string {
	var items []string
	for _, c := range columns {
		name := quoteName(c.name)
		switch c.kind {
		case kindTime:
			items = append(items, "epoch_us("+name+")")
		case kindJSON, kindNumeric, kindDate:
			items = append(items, name+"::VARCHAR")
		case kindList:
			items = append(items, "to_json("+name+"::VARCHAR[])::VARCHAR")
		case kindBools, kindInts:
			items = append(items, "to_json("+name+")::VARCHAR")
		case kindVector:
			items = append(items, "array_to_string("+name+", ' ')")
		case kindMap:
			items = append(items, "to_json("+name+")::VARCHAR")
		case kindInt:
			items = append(items, name+"::BIGINT")
		case kindFloat:
			items = append(items, name+"::DOUBLE")
		default:
			items = append(items, name)
		}
	}
	return fmt.Sprintf("SELECT %s FROM (%s) AS q", strings.Join(items, ", "), query)
}

// describe says what a query's columns are called and of which type, and what
// DuckDB calls those types.
func (d *duck) describe(ctx context.Context, query string) (columns []column, types []string, err error) {
	rows, err := d.conn.QueryContext(ctx, "DESCRIBE "+query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ string
		var ignored [4]any
		if err := rows.Scan(&name, &typ, &ignored[0], &ignored[1], &ignored[2], &ignored[3]); err != nil {
			return nil, nil, err
		}
		k, err := d.kindOf(typ)
		if err != nil {
			return nil, nil, fmt.Errorf("column %s: %w", name, err)
		}
		columns, types = append(columns, column{name, k}), append(types, typ)
	}
	return columns, types, rows.Err()
}

// prepared is a query that runs at every tick.
type prepared struct {
	statement driver.Stmt
	columns   []column
	scratch   []driver.Value
	values    []value
}

// prepare compiles a query whose columns are known.
func (d *duck) prepare(ctx context.Context, query string, columns []column) (*prepared, error) {
	p := &prepared{columns: columns, scratch: make([]driver.Value, len(columns)), values: make([]value, len(columns))}
	err := d.conn.Raw(func(c any) error {
		var err error
		p.statement, err = c.(driver.ConnPrepareContext).PrepareContext(ctx, returning(query, columns))
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// run evaluates the query and calls each with every row; the slice is reused.
func (p *prepared) run(ctx context.Context, arguments []any, each func(values []value) error) error {
	named := make([]driver.NamedValue, len(arguments))
	for i, a := range arguments {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := p.statement.(driver.StmtQueryContext).QueryContext(ctx, named)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		switch err := rows.Next(p.scratch); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for i, v := range p.scratch {
			if p.values[i], err = fromDriver(v); err != nil {
				return fmt.Errorf("column %s: %w", p.columns[i].name, err)
			}
			if p.columns[i].kind == kindNumeric {
				p.values[i].text = reduced(p.values[i].text)
			}
		}
		if err := each(p.values); err != nil {
			return err
		}
	}
}

// reduced is a decimal as Materialize shows it, and so that equal ones are equal
// text: without the zeros that DuckDB fills a scale with.
func reduced(decimal string) string {
	if !strings.Contains(decimal, ".") {
		return decimal
	}
	return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".")
}

func fromDriver(v driver.Value) (value, error) {
	switch v := v.(type) {
	case nil:
		return value{null: true}, nil
	case bool:
		if v {
			return intValue(1), nil
		}
		return intValue(0), nil
	case int64:
		return intValue(v), nil
	case float64:
		return floatValue(v), nil
	case string:
		return textValue(v), nil
	case time.Time:
		return intValue(v.UnixMicro()), nil
	}
	return value{}, fmt.Errorf("unexpected %T from DuckDB", v)
}
