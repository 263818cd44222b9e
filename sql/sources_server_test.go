package sql_test

import (
	"strings"
	"testing"

	"tripcast.dev/sql"
	"tripcast.dev/sql/sqltest"
)

// types are what names are in the catalogue.
func types(server *sqltest.Server, names ...string) []string {
	is := map[string]string{}
	for _, o := range server.Objects() {
		fields := strings.Fields(o)
		is[fields[1]] = fields[0]
	}
	var all []string
	for _, name := range names {
		all = append(all, is[name])
	}
	return all
}

// Which form sources take, on which server.
func TestSourceSyntax(t *testing.T) {
	force := func(o *sqltest.Options) { o.ForceTables = true }
	none := func(o *sqltest.Options) { o.NoTables = true }
	free := func(*sqltest.Options) {}
	older, newer := []string{"source", "source", ""}, []string{"table", "table", "source"}
	for _, c := range []struct {
		name   string
		server func(*sqltest.Options)
		syntax sql.SourceSyntax
		want   []string // types of trips_raw, stops_raw and trips_raw_source
		err    string
	}{
		{"auto, both", free, sql.AutoSyntax, older, ""},
		{"nothing said", free, "", older, ""},
		{"auto, only the older", none, sql.AutoSyntax, older, ""},
		{"auto, only the newer", force, sql.AutoSyntax, newer, ""},
		{"source, both", free, sql.OlderSyntax, older, ""},
		{"source, only the newer", force, sql.OlderSyntax, nil, "sql: a.sql:2: ERROR: CREATE SOURCE (ENVELOPE|FORMAT|INCLUDE) not supported"},
		{"table, both", free, sql.NewerSyntax, newer, ""},
		{"table, only the older", none, sql.NewerSyntax, nil, "sql: a.sql:2: ERROR: Whether to allow CREATE TABLE .. FROM SOURCE syntax. is not available"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := sqltest.Start(t, "127.0.0.1:0")
			server.Set(c.server)
			d := sql.Deployment{Statements: program(t, small), Sources: c.syntax}
			if c.err != "" {
				if _, err := d.Apply(t.Context(), connect(t, server)); err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			if result, _ := deploy(t, server, d); len(result.Warnings()) > 0 {
				t.Errorf("%q", result.Warnings())
			}
			expect(t, "types", types(server, "trips_raw", "stops_raw", "trips_raw_source"), c.want...)
			changes := len(server.Changes())
			if result, created := deploy(t, server, d); len(created) > 0 || len(result.Warnings()) > 0 || len(server.Changes()) != changes {
				t.Errorf("again created %q, %q", created, result.Warnings())
			}
			expect(t, "differences", differences(t, server, d))
		})
	}
}

// What is there says in which form the rest is made.
func TestSourceSyntaxGoesOn(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	d := sql.Deployment{Statements: program(t, small), Sources: sql.NewerSyntax}
	deploy(t, server, d)
	server.Drop("trips_raw", "trips_raw_source")
	d.Sources = sql.AutoSyntax
	expect(t, "differences", differences(t, server, d), "missing: source trips_raw_source of a.sql:2 is not there", "missing: table trips_raw of a.sql:2 is not there")
	_, created := deploy(t, server, d)
	expect(t, "created", created, "source trips_raw_source a.sql:2", "table trips_raw a.sql:2")

	// Half of one is there.
	server.Drop("trips_raw")
	_, created = deploy(t, server, d)
	expect(t, "created", created, "table trips_raw a.sql:2")

	d.Sources = sql.OlderSyntax
	if got := differences(t, server, d)[0]; !strings.HasPrefix(got, "changed: source trips_raw of a.sql:2 is a table in the database: drop sink out, materialized view long_trips, index trips_primary_idx, view trips, then table trips_raw (DROP TABLE trips_raw CASCADE does), and apply again") {
		t.Errorf("the other form: %s", got)
	}
}

// Materialize's own migration renames the source, and the table takes its name.
func TestSourcesThatWereMigrated(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	d := sql.Deployment{Statements: program(t, small)}
	deploy(t, server, d)
	var record string
	for _, o := range server.Objects() {
		if fields := strings.Fields(o); fields[1] == "trips_raw" {
			record = fields[2]
		}
	}
	server.Drop("trips_raw", "stops_raw", "stops_raw_progress")
	server.Set(func(o *sqltest.Options) { o.ForceTables = true })
	server.Run(t, "CREATE SOURCE trips_raw_source FROM KAFKA CONNECTION redpanda (TOPIC 'trips')")
	server.Run(t, "COMMENT ON SOURCE trips_raw_source IS '"+record+"'")
	server.Run(t, "CREATE TABLE trips_raw FROM SOURCE trips_raw_source FORMAT JSON")
	expect(t, "differences", differences(t, server, d),
		"unrecorded: table trips_raw of a.sql:2 is there, and which statement made it is not recorded",
		"missing: source stops_raw_source of a.sql:3 is not there", "missing: table stops_raw of a.sql:3 is not there")
	d.Adopt = true
	if result, _ := deploy(t, server, d); len(result.Warnings()) > 0 {
		t.Errorf("%q", result.Warnings())
	}
}
