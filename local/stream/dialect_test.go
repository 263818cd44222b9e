package stream

import (
	"database/sql"
	"strings"
	"testing"

	tripsql "tripcast.dev/sql"
)

// Every expression is written as Materialize reads it; what DuckDB makes of the
// rewritten one has to be what Materialize says.
func TestDialectValues(t *testing.T) {
	db, err := openDuck(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	const rows = ` FROM (SELECT 'e' AS e, '{"a":"x1","b":{"c":{"d":"deep"},"n":7},"l":[10,{"m":"in"}],"null":null,"t":true,"num":1.5,"e":""}'::jsonb AS data,
		'a' AS name, 'b' AS "Q n") AS r`
	for _, c := range []struct{ expression, want string }{
		{`data->>'a' ~ '^x'`, "true"},
		{`data->>'a' ~ '^y'`, "false"},
		{`'x1' = data->>'a'`, "true"},
		{`data->>'a' = 'x1' AND data->>'e' = ''`, "true"},
		{`data->>'a' IS NOT NULL`, "true"},
		{`data->>'missing' IS NULL`, "true"},
		{`data->>'null' IS NULL`, "true"},
		{`data->'null' IS NULL`, "false"},
		{`data->>'a' || '!'`, "x1!"},
		{`data->>'a' IN ('x1', 'x2')`, "true"},
		{`NOT data->>'a' LIKE 'x%'`, "false"},
		{`data->'b'->'c'->>'d'`, "deep"},
		{`data->'b'->>'n'`, "7"},
		{`(data->'b'->>'n')::int8 + 1`, "8"},
		{`data->'l'->0`, "10"},
		{`data->'l'->1->>'m'`, "in"},
		{`r.data->>'a'`, "x1"},
		{`data->>name`, "x1"},
		{`data->r.name`, `"x1"`},
		{`data->"Q n"->>'n'`, "7"},
		{`DATA->>Name`, "x1"},
		{`coalesce(data->'nix', data->'b')->>'n'`, "7"},
		{`(data->'b')->>'n'`, "7"},
		{`'{"a":{"b":1}}'::jsonb->'a'->>'b'`, "1"},
		{`'[1,2]'::jsonb->>1`, "2"},
		{`jsonb_build_object('x', data->>'a', 'y', jsonb_build_array(1, 'two', NULL))->'y'`, `[1,"two",null]`},
		{`jsonb_object_agg('x', 1.5::float8)`, `{"x":1.5}`},
		{`CASE WHEN data->>'a' ~ '^x[0-9]$' THEN (data->'b'->>'n')::float8 END = 7`, "true"},
		{`jsonb_typeof(data)`, "object"},
		{`jsonb_typeof(data->'l')`, "array"},
		{`jsonb_typeof(data->'a')`, "string"},
		{`jsonb_typeof(data->'num')`, "number"},
		{`jsonb_typeof(data->'b'->'n')`, "number"},
		{`jsonb_typeof('-3'::jsonb)`, "number"},
		{`jsonb_typeof('1e30'::jsonb)`, "number"},
		{`jsonb_typeof('123456789012345678901234567890'::jsonb)`, "number"},
		{`jsonb_typeof(data->'t')`, "boolean"},
		{`jsonb_typeof(data->'null')`, "null"},
		{`jsonb_typeof(data->'nix')`, "NULL"},
		{`jsonb_array_length(data->'l')`, "2"},
		{`MAP['a' => 'b', 'c' => data->>'a']`, "{a=b, c=x1}"},
		{`MAP['a' => data->'b'->>'n', 'b' => (ARRAY['u', 'v'])[2]]`, "{a=7, b=v}"},
		{`MAP['l' => ARRAY[1, 2]]`, "{l=[1, 2]}"},
		{`ARRAY[ARRAY[1, 2], ARRAY[3]]`, "[[1, 2], [3]]"},
		{`'abcd' ~ 'bc'`, "true"},
		{`'abcd' ~ '^bc'`, "false"},
		{`'abcd' ~ 'cd$'`, "true"},
		{`'abcd' ~ '^abcd$'`, "true"},
		{`'abcd' ~ '^abc$|^abcd$'`, "true"},
		{`'abcd' ~ '^x|d$'`, "true"},
		{`'xxxy' ~ '^[](]z$|y$'`, "true"},
		{`'a|b' ~ '^[|a]+b$'`, "true"},
		{`'a$' ~ '^a\$'`, "true"},
		{`'a$b' ~ '^a\$'`, "true"},
		{`'' ~ ''`, "true"},
		{`e ~ 'x'`, "false"},
		{`'abcd' !~ 'bc'`, "false"},
		{`'abcd' !~ '^bc'`, "true"},
		{`'aBCd' ~* 'bc'`, "true"},
		{`'aBCd' ~ 'bc'`, "false"},
		{`'abc' ~* '^A|^x'`, "true"},
		{`'aBCd' !~* 'bc'`, "false"},
		{`'aBCd' !~* '^bc$'`, "true"},
		{`'line 1
line 2' ~ 'line 2'`, "true"},
		{`7 / 2`, "3"},
		{`-7 / 2`, "-3"},
		{`7.0::float8 / 2`, "3.5"},
		{`7 % 4`, "3"},
		{`'12'::numeric + 0.5 = 12.5`, "true"},
		{`5::int4::float8 / 2`, "2.5"},
		{`date_bin(INTERVAL '5 minutes', TIMESTAMP '2016-01-01 08:34:59.999', TIMESTAMP '2000-01-01')::text`, "2016-01-01 08:30:00"},
		{`date_bin(INTERVAL '5 minutes', TIMESTAMP '1999-12-31 23:58:00', TIMESTAMP '2000-01-01')::text`, "1999-12-31 23:55:00"},
		{`date_bin(INTERVAL '5 minutes', TIMESTAMP '2016-01-01 08:34:00', TIMESTAMP '2000-01-01 00:01:00')::text`, "2016-01-01 08:31:00"},
		{`date_trunc('day', TIMESTAMP '2016-02-29 08:34:00')::text`, "2016-02-29 00:00:00"},
		{`'2016-02-29T08:34:00.25Z'::timestamp::text`, "2016-02-29 08:34:00.25"},
		{`EXTRACT(ISODOW FROM TIMESTAMP '2016-02-28 00:00:00')::int8`, "7"},
		{`EXTRACT(EPOCH FROM (TIMESTAMP '2016-01-01 00:00:01.5' - TIMESTAMP '2016-01-01 00:00:00'))::float8`, "1.5"},
		{`to_timestamp(1.5)::text`, "1970-01-01 00:00:01.5"},
		{`2.5::float8::int8`, "2"},
		{`-3.5::float8::int8`, "-4"},
		{`least(1, 2) + greatest(3, 4)`, "5"},
		{`'A' AS shown`, "A"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			tokens, err := tripsql.Lex("SELECT " + c.expression + rows)
			if err != nil {
				t.Fatal(err)
			}
			query, err := duckSQL(tokens)
			if err != nil {
				t.Fatal(err)
			}
			got := "NULL"
			var text sql.NullString
			if err := db.QueryRowContext(t.Context(), "SELECT v::VARCHAR FROM ("+query+") AS q(v)").Scan(&text); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			if text.Valid {
				got = text.String
			}
			if got != c.want {
				t.Errorf("got %s, want %s\n%s", got, c.want, query)
			}
		})
	}
}

func TestDialectRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"SELECT 1\nWHERE a @> 'b'", "line 2: operator @> is not supported"},
		{"SELECT a #>> '{b}'", "operator #>> is not supported"},
		{"SELECT a @> b", "operator @> is not supported"},
		{"SELECT a ? 'b'", "operator ? is not supported"},
		{"SELECT a ~ b", "~ needs a literal pattern"},
		{"SELECT a\n~ '('", "line 2: error parsing regexp"},
		{"SELECT a ~", "~ needs a literal pattern"},
		{"SELECT a->-1", "-> - is not supported"},
		{"SELECT a->(b)", "-> ( is not supported"},
		{"-> 'a'", "-> has nothing on its left"},
		{"SELECT a ->>", "->> has nothing on its right"},
		{"SELECT now()", "function now is not supported"},
		{"SELECT jsonb_agg(a)", "function jsonb_agg is not supported"},
	} {
		tokens, err := tripsql.Lex(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := duckSQL(tokens); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %q, %v, want %s", c.text, got, err, c.want)
		}
	}
}

// Columns may be called like what is renamed.
func TestDialectLeavesNamesAlone(t *testing.T) {
	tokens, err := tripsql.Lex(`SELECT now, Numeric, jsonb, "Now" FROM Map`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := duckSQL(tokens)
	if want := `select now , numeric , jsonb , "Now" from map`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func FuzzDuckSQL(f *testing.F) {
	for _, seed := range []string{
		"SELECT a->>'b' ~ '^x' FROM t", "MAP['a'=>b->'c']]", "((a)->'b'::jsonb)->c.d.e", "a.b->'c'", ")->'a'", "x::y::z->1", "~", "MAP[", "->",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := tripsql.Lex(text)
		if err != nil {
			return
		}
		// It need not make sense, but it must not panic.
		if _, err := duckSQL(tokens); err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("the error has no line: %v", err)
		}
	})
}
