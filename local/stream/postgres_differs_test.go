package stream

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Where the engine and PostgreSQL are known to differ, because DuckDB does; nothing in
// sql/ shows it on records that its producers write. What Materialize does is read off
// its sources. A case that fails here has been mended, or was DuckDB's to change.
func TestWhereEngineAndPostgresDiffer(t *testing.T) {
	conn := startPostgres(t).database(t, "differences")
	if _, err := conn.Exec(t.Context(), materialize); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, expression, data string
		engine, postgres       string
	}{
		// There a number is a numeric, and its text is in standard notation.
		{"text of a small number", "data->>'x'", `{"x":1e-7}`, `"1e-7"`, `"0.0000001"`},
		{"text of a number with zeros", "data->>'x'", `{"x":1.50}`, `"1.5"`, `"1.50"`}, // Materialize drops them, too
		{"text of more digits than a float has", "data->>'x'", `{"x":0.10000000000000000555}`, `"0.1"`, `"0.10000000000000000555"`},
		{"equality of JSON", `data = '{"x": 1}'::jsonb`, `{"x":1}`, `false`, `true`},
		// src/expr/src/scalar/func/impls/float64.rs: round_ties_even. A cast to int8
		// rounds to even everywhere.
		{"a half, rounded", "round((data->>'x')::float8)", `{"x":2.5}`, `3`, `2`},
		{"text of a float", "(data->>'x')::float8::text", `{"x":1}`, `"1.0"`, `"1"`},
		{"a float that is too large", "exp((data->>'x')::float8)", `{"x":1000}`, `+Inf`, `value out of range: overflow`},
		{"a character that is none", "data->>'x'", `{"x":"\u0000"}`, `"\x00"`, `unsupported Unicode escape sequence`},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := script(t, "CREATE SOURCE s FROM KAFKA CONNECTION k (TOPIC 's') VALUE FORMAT JSON ENVELOPE NONE; "+
				"CREATE VIEW v AS SELECT "+c.expression+" AS x, 'key' AS key FROM s; "+
				"CREATE SINK k FROM v INTO KAFKA CONNECTION k (TOPIC 'v') KEY (key) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;")
			e, err := newEngine(t.Context(), program, slog.Default())
			if err != nil {
				t.Fatal(err)
			}
			defer e.close()
			record, err := rowOf(e.program.sources["s"], &kgo.Record{Topic: "s", Value: []byte(c.data)})
			if err != nil {
				t.Fatal(err)
			}
			sunk, err := e.advance(t.Context(), time.Unix(0, 0), map[string][]row{"s": {record}})
			if err != nil {
				t.Fatal(err)
			}
			fields, err := fieldsOf(e.byName["v"].columns, sunk["v"].added[0].data)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(appendShown(nil, fields[0])); got != c.engine {
				t.Errorf("the engine says %s, no longer %s", got, c.engine)
			}
			var got any
			err = conn.QueryRow(t.Context(), "SELECT "+c.expression+" FROM (SELECT $1::text::jsonb) AS s(data)", c.data).Scan(&got)
			said := string(appendShown(nil, got))
			if err != nil {
				said = err.Error()
			}
			if said != c.postgres && (err == nil || !strings.Contains(said, c.postgres)) {
				t.Errorf("PostgreSQL says %s, no longer %s", said, c.postgres)
			}
		})
	}
}
