package sql

import (
	"strings"
	"testing"
)

// statement is the one of a script.
func statement(t *testing.T, script string) Statement {
	t.Helper()
	statements, err := Split("a.sql", script)
	if err != nil || len(statements) != 1 {
		t.Fatalf("%s: %d statements, %v", script, len(statements), err)
	}
	return statements[0]
}

func TestCreates(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"CREATE CONNECTION IF NOT EXISTS k TO KAFKA (BROKER 'b:1')", "connection k"},
		{"CREATE SECRET s AS 'x'", "secret s"},
		{"CREATE SOURCE s IN CLUSTER c FROM KAFKA CONNECTION k (TOPIC 't')", "source s"},
		{"CREATE TABLE t FROM SOURCE s FORMAT JSON", "table t"},
		{"create view if not exists Trips as select 1", "view trips"},
		{`CREATE MATERIALIZED VIEW "Trips" AS SELECT 1`, "materialized view Trips"},
		{"CREATE SINK s FROM f INTO KAFKA CONNECTION k (TOPIC 't')", "sink s"},
		{"CREATE INDEX IF NOT EXISTS i ON v (a)", "index i"},
		{"CREATE DEFAULT INDEX IF NOT EXISTS ON v", "index v_primary_idx"},
		{"CREATE DEFAULT INDEX IN CLUSTER c ON v", "index v_primary_idx"},

		{"CREATE VIEW other.v AS SELECT 1", ""},
		{"CREATE INDEX ON v (a)", ""},
		{"CREATE CLUSTER c (SIZE '25cc')", ""},
		{"ALTER SECRET s AS 'x'", ""},
		{"CREATE VIEW", ""},
		{"CREATE", ""},
	} {
		object, ok := Creates(statement(t, c.script))
		if got := object.String(); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q, %t, want %q", c.script, got, ok, c.want)
		}
	}
}

// Every statement of the program makes something, which no other one makes.
func TestCreatesTheProgram(t *testing.T) {
	program, err := Load(Files(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, s := range program {
		object, ok := Creates(s)
		if !ok {
			t.Errorf("%s makes nothing that is known: %s", s, s.Text)
		}
		if before, twice := made[object.Name]; twice {
			t.Errorf("%s: %s is made by %s", s, object, before)
		}
		made[object.Name] = s.String()
	}
}

func TestRecord(t *testing.T) {
	same := func(a, b string) bool { return record(statement(t, a)) == record(statement(t, b)) }
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"CREATE VIEW v AS SELECT 1", "create  view V\n-- so\nas select 1", true},
		{"CREATE VIEW v AS SELECT 1", "CREATE VIEW v AS SELECT 2", false},
		{"CREATE VIEW v AS SELECT 'a'", "CREATE VIEW v AS SELECT 'A'", false},
		{`CREATE VIEW v AS SELECT "a"`, "CREATE VIEW v AS SELECT a", false},
		{"CREATE VIEW v AS SELECT 'a', 'b'", "CREATE VIEW v AS SELECT 'a, b'", false},
		{"CREATE SECRET s AS 'one'", "CREATE SECRET s AS 'two'", true},
		{"CREATE SECRET s AS 'one'", "CREATE SECRET t AS 'one'", false},
	} {
		if got := same(c.a, c.b); got != c.want {
			t.Errorf("%q and %q have the same record: %t, want %t", c.a, c.b, got, c.want)
		}
	}
	// Records outlive versions: with another one, everything would seem changed.
	if got, want := record(statement(t, "CREATE VIEW v AS SELECT 1")), "tripcast:sha256:7cf9c443f6e71f6d0fd9c1daaa52d5bf6438c58bf40e3afeabc8fdd33bc670f4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCommentOn(t *testing.T) {
	s := statement(t, `CREATE MATERIALIZED VIEW "o'V" AS SELECT 1`)
	object, _ := Creates(s)
	text := record(s)
	for _, c := range []struct{ before, want string }{
		{"", text},
		{recordPrefix + strings.Repeat("0", 64), text},
		{"who's it?", "who''s it?\n" + text},
		{"mine\n" + recordPrefix + strings.Repeat("0", 64), "mine\n" + text},
	} {
		if got, want := commentOn(object, s, c.before), `COMMENT ON MATERIALIZED VIEW "o'V" IS '`+c.want+"'"; got != want {
			t.Errorf("after %q: %s, want %s", c.before, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"CREATE SECRET IF NOT EXISTS s AS 'it''s'", "CREATE SECRET IF NOT EXISTS s AS '…'"},
		{"ALTER SECRET s AS 'it''s'", "ALTER SECRET s AS '…'"},
		{"CREATE VIEW v AS SELECT 'it''s'", "CREATE VIEW v AS SELECT 'it''s'"},
	} {
		if got := statement(t, "\n "+c.script).Printable(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
