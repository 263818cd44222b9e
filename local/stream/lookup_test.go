package stream

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	tripsql "tripcast.dev/sql"
)

// A query that names a key is given the rows of that key, and answers as if it
// had been given all.
func TestLookup(t *testing.T) {
	r, _ := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":2}`, `{"id":"it's","n":3}`, `{"id":"","n":4}`, `{"id":"5","n":5}`)
	for _, c := range []struct {
		query     string
		arguments []any
		looked    bool
	}{
		{"SELECT id, n FROM kept WHERE id = $1", []any{"x"}, true},
		{"SELECT id, n FROM kept WHERE $1 = id", []any{"it's"}, true},
		{"SELECT id, n FROM kept WHERE id = $1::text", []any{"x"}, true},
		{"SELECT k.n FROM kept AS k WHERE k.id = $2 AND k.n < $1", []any{int64(7), "y"}, true},
		{"SELECT n FROM kept WHERE kept.id = 'it''s' AND (n = 3 OR n = 4)", nil, true},
		{"SELECT count(*) FROM kept WHERE id = 'nix'", nil, true},
		{"SELECT count(*) FROM kept WHERE id = ''", nil, true},
		{"SELECT id FROM kept WHERE id = 'x' AND id = 'y'", nil, true},
		{"SELECT id FROM kept WHERE id = 'x' AND n = 2", nil, true},
		{"SELECT 'y' AS id FROM kept WHERE id = 'x'", nil, true},
		{"SELECT id FROM kept WHERE id = $1", []any{nil}, true}, // NULL equals nothing

		{"SELECT id FROM kept", nil, false},
		{"SELECT id FROM kept WHERE n = 1", nil, false},
		{"SELECT id FROM kept WHERE NOT id = 'x'", nil, false},
		{"SELECT id FROM kept WHERE id = 'x' OR n = 2", nil, false},
		{"SELECT id FROM kept WHERE id = $1 OR $1 IS NULL", []any{nil}, false},
		{"SELECT id FROM kept WHERE id <> 'x'", nil, false},
		{"SELECT id FROM kept WHERE id > 'x'", nil, false},
		{"SELECT id FROM kept WHERE id IN ('x', 'y')", nil, false},
		{"SELECT id FROM kept WHERE n::text = '5'", nil, false},
		{"SELECT id FROM kept WHERE id || '' = 'x'", nil, false},
		{"SELECT id FROM kept WHERE id = id", nil, false},
		{"SELECT e.id FROM kept AS e(id, n) WHERE e.id = 'x'", nil, false},
		{"SELECT n FROM kept AS e(n, id) WHERE id = 2", nil, false},
		{"SELECT id FROM kept WHERE id = 'x' UNION ALL SELECT id FROM kept ORDER BY 1", nil, false},
		{"WITH k AS (SELECT * FROM kept) SELECT id FROM k WHERE id = 'x'", nil, false},
		{"WITH kept AS (SELECT 'z' AS id) SELECT id FROM kept WHERE id = 'z'", nil, false},
		{"SELECT id FROM kept WHERE id = 'x' AND n < (SELECT max(n) FROM kept)", nil, false},
		{"SELECT a.id FROM kept AS a JOIN kept AS b ON b.n > a.n WHERE a.id = 'x'", nil, false},
		{"SELECT id FROM (SELECT * FROM kept) AS k WHERE id = 'x'", nil, false},
		{"SELECT n FROM v WHERE id = 'x'", nil, false}, // not its key
		{"SELECT n FROM largest WHERE n = 5", nil, false},
		{"SELECT n FROM counted WHERE n = 5", nil, false},
	} {
		t.Run(c.query, func(t *testing.T) {
			statements, err := tripsql.Split("query", c.query)
			if err != nil {
				t.Fatal(err)
			}
			query, err := duckSQL(statements[0].Tokens)
			if err != nil {
				t.Fatal(err)
			}
			columns, parameters, err := r.query.types(t.Context(), query, statements[0].Tokens)
			if err != nil {
				t.Fatal(err)
			}
			by := r.query.lookup(t.Context(), query, parameters)
			if looked := by != nil; looked != c.looked {
				t.Errorf("it is looked up: %t, want %t", looked, c.looked)
			}
			narrow, err := r.query.run(t.Context(), query, c.arguments, columns, by)
			if err != nil {
				t.Fatal(err)
			}
			wide, err := r.query.run(t.Context(), query, c.arguments, columns, nil)
			if err != nil {
				t.Fatal(err)
			}
			if sorted(narrow) != sorted(wide) {
				t.Errorf("it answers %s, and of all rows %s", sorted(narrow), sorted(wide))
			}
		})
	}
}

func sorted(r *result) string {
	lines := make([]string, len(r.rows))
	for i, row := range r.rows {
		lines[i] = fmt.Sprint(row)
	}
	slices.Sort(lines)
	return fmt.Sprint(lines)
}

// DuckDB is handed the rows of the key, and no others.
func TestLookupReadsOneKey(t *testing.T) {
	r, _ := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":2}`, `{"id":"x","n":3}`)
	q := r.query
	q.mu.Lock()
	defer q.mu.Unlock()
	for condition, want := range map[string]int{"id = $1": 1, "id || '' = $1": 2} {
		query := "SELECT id FROM kept WHERE " + condition
		q.mu.Unlock()
		by := q.lookup(t.Context(), query, []uint32{25})
		q.mu.Lock()
		c, err := q.compile(t.Context(), query, []column{{"id", kindText}})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.load(t.Context(), c, by, []any{"x"}); err != nil {
			t.Fatal(err)
		}
		read := 0
		for _, n := range c.feeds {
			read += len(q.duck.feeds[n].rows)
		}
		q.unload(c)
		if err := c.statement.Close(); err != nil {
			t.Error(err)
		}
		if read != want {
			t.Errorf("%s reads %d rows, want %d", condition, read, want)
		}
	}
}

// The dashboard looks trips up by their id.
func TestTripsAreLookedUp(t *testing.T) {
	k := startKafka(t)
	r := k.stream(tripcast(t))
	for _, view := range []string{"pick_ups", "predictions", "trip_starts", "trip_ends"} {
		if by := r.query.lookup(t.Context(), "SELECT * FROM "+view+" WHERE trip_id = $1", []uint32{25}); by == nil {
			t.Errorf("%s reads all trips for one", view)
		}
		for name, protocol := range protocols {
			rows, err := r.connect(t.Context()).Query(t.Context(), "SELECT trip_id FROM "+view+" WHERE trip_id = $1", protocol, "x")
			if err != nil {
				t.Fatal(err)
			}
			if ids, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(ids) > 0 {
				t.Errorf("%s (%s): %q, %v", view, name, ids, err)
			}
		}
	}
}
