package stream

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// types is a view with a column of every type, and one row more of NULLs.
const types = aSource + `CREATE VIEW types AS SELECT
	data->>'id' AS id, (data->>'b')::bool AS b, (data->>'i')::int8 AS i, (data->>'f')::float8 AS f, (data->>'f')::numeric AS d,
	(data->>'t')::timestamp AS t, data->'j' AS j, CASE WHEN data->>'b' IS NOT NULL THEN MAP['k' => data->>'id'] END AS m FROM a;
	CREATE MATERIALIZED VIEW kept AS SELECT id, i FROM types;
	CREATE VIEW counted AS SELECT count(*)::int8 AS n FROM types;
	CREATE VIEW last AS SELECT max(i) AS i FROM kept;` + "\nCREATE SINK s FROM kept INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;"

// typed is a running stream over types with two rows in it, and a client.
func typed(t *testing.T) (*running, *pgx.Conn) {
	t.Helper()
	k := startKafka(t, "a")
	s := k.stream(script(t, types))
	k.produce("a", "x", `{"id":"it's","b":true,"i":-7,"f":1.50,"t":"2016-02-29T08:30:00.25Z","j":{"é":[1,null]}}`)
	k.produce("a", "x", `{}`)
	s.waitFor("two rows", func() bool { return s.Stats().Rows == 2 })
	return s, s.connect(k.ctx)
}

func (r *running) connect(ctx context.Context) *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(ctx, r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

var protocols = map[string]pgx.QueryExecMode{
	"simple": pgx.QueryExecModeSimpleProtocol, "extended": pgx.QueryExecModeDescribeExec, "cached": pgx.QueryExecModeCacheStatement,
}

func TestSelectEveryType(t *testing.T) {
	_, conn := typed(t)
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			rows, err := conn.Query(t.Context(), "SELECT id, b, i, f, d::float8 AS df, t, j, m, d FROM types ORDER BY id NULLS LAST", protocol)
			if err != nil {
				t.Fatal(err)
			}
			type line struct {
				ID   *string
				B    *bool
				I    *int64
				F, D *float64
				T    *time.Time
				J    map[string]any
				M    map[string]string
				N    *string
			}
			got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (line, error) {
				var l line
				var n numericText
				err := row.Scan(&l.ID, &l.B, &l.I, &l.F, &l.D, &l.T, &l.J, &l.M, &n)
				l.N = n.text
				return l, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 {
				t.Fatalf("%d rows", len(got))
			}
			l := got[0]
			at := time.Date(2016, 2, 29, 8, 30, 0, 250_000_000, time.UTC)
			if *l.ID != "it's" || !*l.B || *l.I != -7 || *l.F != 1.5 || *l.D != 1.5 || !l.T.Equal(at) || fmt.Sprint(l.J) != "map[é:[1 <nil>]]" || l.M["k"] != "it's" || *l.N != "1.5" {
				t.Errorf("got %v %v %v %v %v %v %v %v %v", *l.ID, *l.B, *l.I, *l.F, *l.D, *l.T, l.J, l.M, *l.N)
			}
			if l := got[1]; l.ID != nil || l.B != nil || l.I != nil || l.F != nil || l.D != nil || l.T != nil || l.J != nil || l.M != nil || l.N != nil {
				t.Errorf("NULLs come as %+v", l)
			}
		})
	}
}

// numericText reads a numeric as it is written.
type numericText struct{ text *string }

func (n *numericText) ScanNumeric(v pgtype.Numeric) error {
	if !v.Valid {
		return nil
	}
	b, err := v.MarshalJSON()
	text := string(b)
	n.text = &text
	return err
}

// everyMode is every way in which pgx sends a query and its arguments.
var everyMode = map[string]pgx.QueryExecMode{
	"simple": pgx.QueryExecModeSimpleProtocol, "extended": pgx.QueryExecModeDescribeExec, "cached": pgx.QueryExecModeCacheStatement,
	"described": pgx.QueryExecModeCacheDescribe, "untold": pgx.QueryExecModeExec,
}

func TestParameters(t *testing.T) {
	_, conn := typed(t)
	at := func(year int, month time.Month) time.Time { return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC) }
	numeric := func(text string) pgtype.Numeric {
		var n pgtype.Numeric
		if err := n.Scan(text); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, protocol := range everyMode {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				query     string
				arguments []any
				want      string
			}{
				{"SELECT count(*) FROM types WHERE id = $1", []any{"it's"}, "1"},
				{"SELECT count(*) FROM types WHERE i = $1 AND f > $2", []any{int64(-7), 1.25}, "1"},
				{"SELECT count(*) FROM types WHERE b = $1", []any{true}, "1"},
				{"SELECT count(*) FROM types WHERE t < $1", []any{time.Date(2016, 3, 1, 0, 0, 0, 0, time.UTC)}, "1"},
				{"SELECT count(*) FROM types WHERE id = $1 OR $1 IS NULL", []any{nil}, "2"},
				{"SELECT count(*) FROM types WHERE id = 'it''s' -- $1", nil, "1"},
				{"SELECT count(*) FROM types WHERE j->>$1 IS NOT NULL", []any{"é"}, "1"},
				{"SELECT count(*) FROM types WHERE i IN ($1, $2)", []any{int64(-7), int64(8)}, "1"},
				{"SELECT count(*) FROM types WHERE id IN ($1, $2)", []any{"x", "it's"}, "1"},
				{"SELECT count(*) FROM types WHERE id = ANY($1)", []any{[]string{"x", "it's"}}, "1"},
				{"SELECT count(*) FROM types WHERE id = ANY($1)", []any{[]string{}}, "0"},
				{"SELECT count(*) FROM (SELECT id FROM types LIMIT $1) AS q", []any{1}, "1"},
				{"SELECT count(*) FROM (SELECT id FROM types ORDER BY i LIMIT $1 OFFSET $2) AS q", []any{5, 1}, "1"},
				{"SELECT count(*) FROM types WHERE t >= $1 AND t < $2", []any{at(2016, 2), at(2016, 3)}, "1"},
				{"SELECT count(*) FROM types WHERE t BETWEEN $1 AND $2", []any{at(2016, 3), at(2016, 4)}, "0"},
				{"SELECT count(*) FROM types WHERE t = $1", []any{time.Date(2016, 2, 29, 8, 30, 0, 250_000_000, time.UTC)}, "1"},
				{"SELECT count(*) FROM types WHERE t::date = $1::date", []any{"2016-02-29"}, "1"},
				{"SELECT count(*) FROM types WHERE d = $1", []any{numeric("1.50")}, "1"},
				{"SELECT count(*) FROM types WHERE d > $1", []any{numeric("1.499999999999")}, "1"},
				{"SELECT count(*) FROM types WHERE d > $1", []any{numeric("1.500000000001")}, "0"},
				{"SELECT count(*) FROM types WHERE $1::text IS NULL AND id IS NULL", []any{nil}, "1"},
				{"SELECT count(*) FROM types WHERE i = $1", []any{nil}, "0"},
				{"SELECT count(*) FROM types WHERE t > $1", []any{nil}, "0"},
				{"SELECT count(*) FROM types WHERE d > $1", []any{nil}, "0"},
				{"SELECT count(*) FROM types WHERE id LIKE $1", []any{"it%"}, "1"},
				{"SELECT count(*) FROM types WHERE f * $1::float8 > $2", []any{2.0, 2.5}, "1"},
				{"SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2", []any{"public", "types"}, "8"},
			} {
				var n int64
				arguments := append([]any{protocol}, c.arguments...)
				if err := conn.QueryRow(t.Context(), c.query, arguments...).Scan(&n); err != nil || fmt.Sprint(n) != c.want {
					t.Errorf("%s %v: %d, %v, want %s", c.query, c.arguments, n, err, c.want)
				}
			}
		})
	}
}

// A client that says which type it sends is believed: JDBC sends an int4 in four
// bytes wherever a number is asked for.
func TestDeclaredParameters(t *testing.T) {
	_, conn := typed(t)
	types := conn.TypeMap()
	for _, c := range []struct {
		query string
		oid   uint32
		value any
		want  string
	}{
		{"SELECT count(*) FROM types WHERE i = $1", pgtype.Int4OID, int32(-7), "1"},
		{"SELECT count(*) FROM types WHERE i = $1", pgtype.Int2OID, int16(-7), "1"},
		{"SELECT count(*) FROM types WHERE f = $1", pgtype.Float4OID, float32(1.5), "1"},
		{"SELECT count(*) FROM types WHERE i < $1", pgtype.NumericOID, pgtype.Numeric{Int: big.NewInt(-65), Exp: -1, Valid: true}, "1"},
		{"SELECT count(*) FROM types WHERE i < $1", pgtype.NumericOID, pgtype.Numeric{Int: big.NewInt(1), Exp: 20, Valid: true}, "1"},
		{"SELECT count(*) FROM types WHERE id = $1", pgtype.VarcharOID, "it's", "1"},
		{"SELECT count(*) FROM types WHERE j = $1::jsonb", pgtype.JSONBOID, `{"é":[1,null]}`, "1"},
		{"SELECT count(*) FROM types WHERE t > $1", pgtype.DateOID, time.Date(2016, 2, 29, 0, 0, 0, 0, time.UTC), "1"},
		{"SELECT count(*) FROM types WHERE t > $1", pgtype.TimestamptzOID, time.Date(2016, 2, 29, 8, 0, 0, 0, time.UTC), "1"},
		{"SELECT count(*) FROM types WHERE i = ANY($1)", pgtype.Int4ArrayOID, []int32{1, -7}, "1"},
		{"SELECT count(*) FROM (SELECT id FROM types LIMIT $1) AS q", pgtype.Int4OID, int32(1), "1"},
	} {
		for _, format := range []int16{pgtype.TextFormatCode, pgtype.BinaryFormatCode} {
			value, err := types.Encode(c.oid, format, c.value, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := conn.PgConn().ExecParams(t.Context(), c.query, [][]byte{value}, []uint32{c.oid}, []int16{format}, nil).Read()
			if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != c.want {
				t.Errorf("%s, %d in format %d: %s, %v, want %s", c.query, c.oid, format, r.Rows, r.Err, c.want)
			}
		}
	}
	r := conn.PgConn().ExecParams(t.Context(), "SELECT count(*) FROM types WHERE i = $1", [][]byte{[]byte("x")}, []uint32{0}, nil, nil).Read()
	wantError(t, r.Err, "22P02", "parameter $1: ")
}

func TestSelectShapes(t *testing.T) {
	_, conn := typed(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT n FROM counted", "[[2]]"},
		{"SELECT i FROM last", "[[-7]]"},
		{"SELECT N FROM Counted", "[[2]]"},
		{"VALUES (1, 'a'), (2, NULL)", "[[1 a] [2 <nil>]]"},
		{"WITH t AS (SELECT i FROM kept) SELECT sum(i)::int8 FROM t", "[[-7]]"},
		{"(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1", "[[1] [2]]"},
		{"SELECT id FROM kept WHERE i > 0", "[]"},
		{"SELECT 7 / 2", "[[3]]"},
		{"SHOW VIEWS", "[[counted ] [last ] [types ]]"},
		{"SHOW MATERIALIZED VIEWS", "[[kept local ]]"},
		{"SHOW SOURCES", "[[a kafka local ]]"},
		{"SHOW SINKS", "[[s kafka local ]]"},
		{"SHOW server_version", "[[15.0]]"},
		{"SHOW TRANSACTION ISOLATION LEVEL", "[[strict serializable]]"},
		{"SET cluster = 'local'", "[]"},
		{"BEGIN", "[]"},
		{"COMMIT", "[]"},
		{"", "[]"},
		{"-- nothing", "[]"},
	} {
		for name, protocol := range protocols {
			rows, err := conn.Query(t.Context(), c.query, protocol)
			if err != nil {
				t.Errorf("%s (%s): %v", c.query, name, err)
				continue
			}
			got := [][]any{}
			for rows.Next() {
				values, err := rows.Values()
				if err != nil {
					t.Error(err)
				}
				for i, v := range values {
					if text, ok := v.(string); ok && recordOfStatement.MatchString(text) {
						values[i] = ""
					}
				}
				got = append(got, values)
			}
			if err := rows.Err(); err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("%s (%s): %v, %v, want %s", c.query, name, got, err, c.want)
			}
		}
	}
}

func TestSeveralStatementsAtOnce(t *testing.T) {
	_, conn := typed(t)
	results, err := conn.PgConn().Exec(t.Context(), "SELECT 1; SELECT n FROM counted;").ReadAll()
	if err != nil || len(results) != 2 || string(results[1].Rows[0][0]) != "2" {
		t.Errorf("got %v, %v", results, err)
	}
}

// A bad query is its client's problem: the error says what is wrong, and the
// connection and the stream go on.
func TestBadQueries(t *testing.T) {
	s, conn := typed(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT * FROM a", "the stand-in does not keep the records of source a: select from a view over it, or read topic a"},
		{"SELECT data FROM a", "does not keep the records of source a"},
		{"SELECT nix FROM kept", "nix"},
		{"SELECT * FROM nix", "nix"},
		{"SELEC 1", "SELEC is not supported"},
		{"SELECT 'x", "quote ' never ends"},
		{"SELECT FROM WHERE", "syntax error"},
		{"SELECT 1::date", "date"},
		{"SELECT TIME '10:00:00' AS d", "column d: type TIME is not supported"},
		{"SELECT id::int8 FROM kept", "it's"},
		{"DROP VIEW kept", "DROP is not supported: SELECT, SHOW, SUBSCRIBE with a cursor and CREATE … IF NOT EXISTS are"},
		{"INSERT INTO kept VALUES (1)", "INSERT is not supported"},
		{"SUBSCRIBE kept", "SUBSCRIBE is not supported: subscribe with BEGIN, DECLARE"},
		{"SELECT j @> '{}' FROM types", "operator @> is not supported"},
		{"SELECT * FROM read_text('/etc/hostname')", "reading files is not supported"},
	} {
		for name, protocol := range protocols {
			rows, err := conn.Query(t.Context(), c.query, protocol)
			if err == nil {
				rows.Close()
				err = rows.Err()
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || !strings.Contains(strings.ToLower(pg.Message), strings.ToLower(c.want)) {
				t.Errorf("%s (%s): %v, want %s", c.query, name, err, c.want)
			}
		}
	}
	var n int64
	if err := conn.QueryRow(t.Context(), "SELECT n FROM counted").Scan(&n); err != nil || n != 2 {
		t.Errorf("after all that: %d, %v", n, err)
	}
	select {
	case err := <-s.ended:
		t.Errorf("the stream has ended: %v", err)
	default:
	}
}

// Many clients ask while records come in: each sees a state that has been.
func TestQueriesBesideTicks(t *testing.T) {
	k := startKafka(t, "a")
	s := k.stream(script(t, types+"CREATE VIEW pairs AS SELECT k.n AS kept, c.n AS counted FROM (SELECT count(*) AS n FROM kept) AS k, counted AS c;"))
	done := make(chan error, 3)
	for range 3 {
		conn := s.connect(k.ctx)
		go func() {
			for {
				var kept, counted int64
				if err := conn.QueryRow(k.ctx, "SELECT kept, counted FROM pairs").Scan(&kept, &counted); err != nil {
					done <- err
					return
				}
				if kept != counted {
					done <- fmt.Errorf("%d rows are kept and %d are counted", kept, counted)
					return
				}
				if kept == 300 {
					done <- nil
					return
				}
			}
		}()
	}
	for n := range 300 {
		k.produce("a", "x", fmt.Sprintf(`{"id":"%d","i":%d}`, n, n))
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// thePsql is where psql is.
func thePsql(t *testing.T) string {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil && os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		t.Fatal("there is no psql on the PATH, and TRIPCAST_REQUIRE_SERVERS asks for one")
	}
	if err != nil {
		t.Skip("NOT CHECKED with psql: it is not installed (apt-get install postgresql-client)")
	}
	return psql
}

func TestPsql(t *testing.T) {
	psql := thePsql(t)
	s, _ := typed(t)
	output, err := exec.CommandContext(t.Context(), psql, s.dsn, "--no-psqlrc", "-At", "-c", "SELECT id, b, i, f, t, j, m FROM types WHERE id IS NOT NULL", "-c", "SHOW SINKS").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	want := []string{`it's|t|-7|1.5|2016-02-29 08:30:00.25|{"é":[1,null]}|{"k":"it's"}`, "s|kafka|local|tripcast:sha256:b5ef966ded963e44c5829c78d490e8751f57e4a1afaf1250f19fd69e9cfe2a50"}
	if got := strings.Split(strings.TrimSpace(string(output)), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	output, err = exec.CommandContext(t.Context(), psql, s.dsn, "--no-psqlrc", "-c", "SELECT * FROM a").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "does not keep the records of source a") {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestPing(t *testing.T) {
	_, conn := typed(t)
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
