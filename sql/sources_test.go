package sql

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestTables(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []string // place and text, on one line
		err          string
	}{
		{
			name:   "a source",
			script: "\nCREATE SOURCE IF NOT EXISTS trips\nFROM KAFKA CONNECTION k (TOPIC 'trips')\n-- as JSON\nKEY FORMAT TEXT VALUE FORMAT JSON\nINCLUDE KEY AS key ENVELOPE NONE;",
			want: []string{
				"a.sql:2 CREATE SOURCE IF NOT EXISTS trips_source FROM KAFKA CONNECTION k (TOPIC 'trips')",
				"a.sql:2 CREATE TABLE IF NOT EXISTS trips FROM SOURCE trips_source KEY FORMAT TEXT VALUE FORMAT JSON INCLUDE KEY AS key ENVELOPE NONE",
			},
		},
		{
			name:   "cluster, quotes and options in parentheses",
			script: `CREATE SOURCE "My trips" IN CLUSTER c FROM KAFKA CONNECTION db.public.k (TOPIC 'a(b', START OFFSET (0, 10)) FORMAT JSON`,
			want: []string{
				`a.sql:1 CREATE SOURCE "My trips_source" IN CLUSTER c FROM KAFKA CONNECTION db.public.k (TOPIC 'a(b', START OFFSET (0, 10))`,
				`a.sql:1 CREATE TABLE "My trips" FROM SOURCE "My trips_source" FORMAT JSON`,
			},
		},
		{
			name:   "what stays",
			script: "CREATE SOURCE s FROM KAFKA CONNECTION k (TOPIC 't');\nCREATE SOURCE l FROM LOAD GENERATOR COUNTER;\nCREATE VIEW v AS SELECT 1",
			want:   []string{"a.sql:1 CREATE SOURCE s FROM KAFKA CONNECTION k (TOPIC 't')", "a.sql:2 CREATE SOURCE l FROM LOAD GENERATOR COUNTER", "a.sql:3 CREATE VIEW v AS SELECT 1"},
		},
		{
			name:   "options that belong to neither",
			script: "\nCREATE SOURCE s FROM KAFKA CONNECTION k (TOPIC 't') FORMAT JSON WITH (RETAIN HISTORY FOR '1 day')",
			err:    "sql: a.sql:2: source s cannot be made a table: WITH is not known here",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			statements, err := Split("a.sql", c.script)
			if err != nil {
				t.Fatal(err)
			}
			rewritten, err := Tables(statements)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range rewritten {
				got = append(got, s.String()+" "+strings.Join(strings.Fields(s.Text), " "))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Everything but the sources stays, and what selects from them finds the same
// names.
func TestTablesOfTheProgram(t *testing.T) {
	older, err := Load(Files(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	newer, err := Tables(older)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]bool{}
	for _, s := range older {
		if o, _ := Creates(s); o.Type == typeSource {
			sources[o.Name] = true
		} else if !slices.ContainsFunc(newer, func(n Statement) bool { return n.Text == s.Text && n.Line == s.Line }) {
			t.Errorf("%s is gone", s)
		}
	}
	if len(sources) < 3 || len(newer) != len(older)+len(sources) {
		t.Fatalf("%d sources, and %d statements became %d", len(sources), len(older), len(newer))
	}
	for _, s := range newer {
		if o, _ := Creates(s); o.Type == typeTable {
			delete(sources, o.Name)
		}
	}
	if len(sources) > 0 {
		t.Errorf("%v are no tables", sources)
	}
}

func TestWantsTables(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{Code: "XX000", Message: "CREATE SOURCE (ENVELOPE|FORMAT|INCLUDE) not supported; use CREATE TABLE .. FROM SOURCE instead"}, true},
		{&pgconn.PgError{Code: "XX000", Message: "Whether to allow CREATE TABLE .. FROM SOURCE syntax. is not available"}, false},
		{errors.New("use CREATE TABLE .. FROM SOURCE instead"), false},
		{nil, false},
	} {
		if got := wantsTables(c.err); got != c.want {
			t.Errorf("%v: %t, want %t", c.err, got, c.want)
		}
	}
}
