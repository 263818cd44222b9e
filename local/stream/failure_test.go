package stream

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Every mistake is answered with its code and its place, and in words that know
// nothing of DuckDB; the connection works on, and so does the stream.
func TestMistakes(t *testing.T) {
	k := startKafka(t, "a")
	s := k.stream(script(t, looked))
	k.produce("a", "x", `{"id":"it's","b":true,"i":-7,"f":1.50,"t":"2016-02-29T08:30:00.25Z"}`)
	s.waitFor("a row", func() bool { return s.Stats().Rows == 1 })
	conn := s.connect(k.ctx)
	insides := regexp.MustCompile(`(?i:duckdb)|\bfeed|Binder|Catalog Error|Candidate|Did you mean|VARCHAR|BIGINT|INT64|LITERAL|mz_to_timestamp|\bjson_|facts|LINE \d|postgres\.`)
	for _, c := range []struct{ query, code, want string }{
		// malformed
		{"SELEC 1", "0A000", "SELEC is not supported: SELECT, SHOW"},
		{"SELECT FROM WHERE", "42601", `line 1, column 13: syntax error at or near "where"`},
		{"SELECT 1,\n 2 FROM (\n  SELECT 3 FORM kept)", "42601", `line 3, column 17: syntax error at or near "kept"`},
		{"SELECT 'x", "42601", "line 1: quote ' never ends"},
		{"SELECT (1", "42601", "syntax error at end of input"},
		{"SELECT 1 /* never", "42601", "comment never ends"},
		{"VALUES (1, 2), (3)", "42601", "VALUES lists must all be the same length"},
		// what is not there
		{"SELECT * FROM nix", "42P01", "line 1, column 15: unknown catalog item 'nix'"},
		{"SELECT *\nFROM public.nix AS n", "42P01", "line 2, column 13: unknown catalog item 'nix'"},
		{"SELECT * FROM nix.kept", "3F000", "unknown schema 'nix'"},
		{"SELECT * FROM mz_catalog.nix", "42P01", "unknown catalog item 'nix'"},
		{"SELECT id,\n\n  nix FROM kept", "42703", `line 3, column 3: column "nix" does not exist`},
		{"SELECT data->>'é', nix FROM (SELECT j AS data FROM types) AS q", "42703", `line 1, column 20: column "nix" does not exist`},
		{"SELECT id, nix->>'a' FROM kept", "42703", `line 1, column 12: column "nix" does not exist`},
		{"SELECT k.nix FROM kept AS k", "42703", `column "k.nix" does not exist`},
		{"SELECT __partition FROM kept", "42703", `line 1, column 8: column "__partition" does not exist`},
		{"SELECT other.id FROM kept", "42P01", `line 1, column 8: missing FROM-clause entry for table "other"`},
		{"SELECT nix(id) FROM kept", "42883", `line 1, column 8: function "nix" does not exist`},
		{"SELECT * FROM nix(1)", "42883", `function "nix" does not exist`},
		{"SELECT id::nix FROM kept", "42704", `line 1, column 12: type "nix" does not exist`},
		{"SELECT 'nix'::regclass", "42P01", `relation "nix" does not exist`},
		{"SELECT current_setting('nix')", "42704", `unrecognized configuration parameter "nix"`},
		{"SHOW nix", "42704", `unrecognized configuration parameter "nix": SHOW knows TABLES`},
		{"SELECT id FROM kept AS a, kept AS b", "42702", `line 1, column 8: column reference "id" is ambiguous`},
		// types
		{"SELECT id::int8 FROM kept", "22P02", `invalid input syntax for type bigint: 'it's'`},
		{"SELECT 'x'::int8", "22P02", `invalid input syntax for type bigint: 'x'`},
		{"SELECT * FROM kept WHERE i = 'seven'", "22P02", `invalid input syntax for type bigint: 'seven'`},
		{"SELECT 'x'::timestamp", "22007", `invalid input syntax for a date or time: "x"`},
		{"SELECT '2016-02-30'::date", "22003", "field value out of range"},
		{"SELECT 'x'::bool", "22P02", "'x'"},
		{"SELECT 9223372036854775807 + 1", "22003", "Overflow"},
		{"SELECT abs(id) FROM kept", "42883", "abs(text)"},
		{"SELECT date_trunc('day', i) FROM kept", "42883", "date_trunc(text, bigint) does not exist"},
		{"SELECT jsonb_array_length(i, 1, 2) FROM kept", "42883", "jsonb_array_length(bigint, integer, integer) does not exist"},
		{"SELECT CASE WHEN b THEN i ELSE t END FROM types", "42804", "type mismatch: "},
		{"SELECT 1 WHERE i = t FROM types", "42601", `syntax error at or near "from"`},
		{"SELECT 1 FROM types WHERE i = t", "42846", "cannot cast bigint to timestamp"},
		{"SELECT i::timestamp FROM types", "42846", "cannot cast bigint to timestamp"},
		{"SELECT id, count(*) FROM kept", "42803", `column "id" must appear in the GROUP BY clause`},
		{"SELECT 1 FROM kept WHERE count(*) > 1", "42803", "aggregates"},
		// what is not supported, or not shown
		{"EXPLAIN SELECT 1", "0A000", "EXPLAIN is not supported"},
		{"EXPLAIN ANALYZE SELECT * FROM kept", "0A000", "EXPLAIN is not supported"},
		{"INSERT INTO kept VALUES ('x', 1)", "0A000", "INSERT is not supported"},
		{"DROP VIEW kept", "0A000", "DROP is not supported"},
		{"SAVEPOINT s", "0A000", "SAVEPOINT is not supported"},
		{"WITH x AS (DELETE FROM kept) SELECT 1", "42601", "A CTE needs a SELECT"},
		{"SELECT * FROM a", "0A000", "the stand-in does not keep the records of source a: select from a view over it, or read topic a"},
		{"SELECT j @> '{}' FROM types", "0A000", "line 1: operator @> is not supported"},
		{"SELECT 1 FROM kept AS a LEFT JOIN kept AS b ON a.id = b.id AND format_type(a.i, 0) = 'x'", "0A000", "Cannot perform non-inner join on subquery"},
		{"SELECT INTERVAL '1 day'", "0A000", "type INTERVAL is not supported"},
		{"SELECT * FROM duckdb_tables()", "42883", `function "duckdb_tables" does not exist`},
		{"SELECT * FROM duckdb_tables", "42P01", `unknown catalog item 'duckdb_tables'`},
		{"SELECT * FROM kept_rows(0)", "42883", `function "kept_rows" does not exist`},
		{`SELECT * FROM "sqlite_master"`, "42P01", "unknown catalog item 'sqlite_master'"},
		{"SELECT * FROM (SHOW ALL TABLES)", "0A000", "SHOW is not supported in a query"},
		{"SELECT * FROM query('SHOW ALL TABLES')", "42883", `function "query" does not exist`},
		{"SELECT * FROM pragma_database_list()", "42883", `function "pragma_database_list" does not exist`},
		{"SELECT * FROM read_text('/etc/hostname')", "42501", "reading files is not supported"},
		{"SELECT * FROM '/etc/hostname'", "42P01", "unknown catalog item '/etc/hostname'"},
	} {
		for name, protocol := range protocols {
			rows, err := conn.Query(t.Context(), c.query, protocol)
			if err == nil {
				rows.Close()
				err = rows.Err()
			}
			var pg *pgconn.PgError
			if !errors.As(err, &pg) {
				t.Errorf("%s (%s): %v", c.query, name, err)
				continue
			}
			wantError(t, err, c.code, c.want)
			if found := insides.FindString(pg.Message + pg.Detail + pg.Hint); found != "" && !strings.Contains(c.query, found) {
				t.Errorf("%s (%s) tells of the insides, %q: %s", c.query, name, found, pg.Message)
			}
			var n int64
			if err := conn.QueryRow(t.Context(), "SELECT n FROM counted", protocol).Scan(&n); err != nil || n != 1 {
				t.Fatalf("after %s (%s): %d, %v", c.query, name, n, err)
			}
		}
	}
	k.produce("a", "x", `{"id":"later"}`)
	s.waitFor("the stream to go on", func() bool { return s.Stats().Rows == 2 })
	select {
	case err := <-s.ended:
		t.Errorf("the stream has ended: %v", err)
	default:
	}
}
