package sql_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"tripcast.dev/sql"
	"tripcast.dev/sql/sqltest"
)

// small is a program with something of everything.
const small = `CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA (BROKER 'redpanda:9092');
CREATE SOURCE IF NOT EXISTS trips_raw FROM KAFKA CONNECTION redpanda (TOPIC 'trips') FORMAT JSON;
CREATE SOURCE IF NOT EXISTS stops_raw FROM KAFKA CONNECTION redpanda (TOPIC 'stops') FORMAT JSON;
CREATE VIEW IF NOT EXISTS trips AS SELECT data FROM trips_raw;
CREATE MATERIALIZED VIEW IF NOT EXISTS long_trips AS SELECT data FROM trips;
CREATE SINK IF NOT EXISTS out FROM long_trips INTO KAFKA CONNECTION redpanda (TOPIC 'out') FORMAT JSON ENVELOPE UPSERT;
CREATE DEFAULT INDEX IF NOT EXISTS ON trips;`

func program(t *testing.T, script string) []sql.Statement {
	t.Helper()
	statements, err := sql.Split("a.sql", script)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

func connect(t *testing.T, server *sqltest.Server) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), "postgres://app@"+server.Address+"/materialize?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(t.Context()) })
	return db
}

// deploy applies a script and returns what was created and what differs.
func deploy(t *testing.T, server *sqltest.Server, d sql.Deployment) (sql.Result, []string) {
	t.Helper()
	var created []string
	d.Created = func(o sql.Object, s sql.Statement) { created = append(created, o.String()+" "+s.String()) }
	result, err := d.Apply(t.Context(), connect(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if result.Created != len(created) {
		t.Errorf("%d created, and told of %q", result.Created, created)
	}
	return result, created
}

// differences are the drift, without which nothing is expected to be unknown.
func differences(t *testing.T, server *sqltest.Server, d sql.Deployment) []string {
	t.Helper()
	before := server.Changes()
	drift, err := d.Check(t.Context(), connect(t, server))
	if err != nil || drift.Unknown != nil {
		t.Fatal(err, drift.Unknown)
	}
	if after := server.Changes(); !slices.Equal(after, before) {
		t.Errorf("a check said %q", after[len(before):])
	}
	var all []string
	for _, difference := range drift.Differences {
		all = append(all, difference.String())
	}
	return all
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestApplyTwice(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	d := sql.Deployment{Statements: program(t, small)}
	result, created := deploy(t, server, d)
	expect(t, "created", created, "connection redpanda a.sql:1", "source trips_raw a.sql:2", "source stops_raw a.sql:3",
		"view trips a.sql:4", "materialized view long_trips a.sql:5", "sink out a.sql:6", "index trips_primary_idx a.sql:7")
	expect(t, "warnings", result.Warnings())
	objects, changes := server.Objects(), server.Changes()
	if len(changes) != 2*7 {
		t.Errorf("%d statements, want each with its comment: %q", len(changes), changes)
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if !strings.HasPrefix(changes[i], "CREATE ") || !strings.HasPrefix(changes[i+1], "COMMENT ON ") {
			t.Errorf("%q is not recorded at once", changes[i])
		}
	}

	result, created = deploy(t, server, d)
	expect(t, "created again", created)
	expect(t, "warnings again", result.Warnings())
	if result.There != 7 || result.Ran != 0 {
		t.Errorf("again: %+v", result)
	}
	expect(t, "objects", server.Objects(), objects...)
	expect(t, "statements", server.Changes(), changes...)
	expect(t, "differences", differences(t, server, d))
}

// A program that stopped at an error is completed, and nothing of it is made
// again.
func TestApplyGoesOn(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) {
		o.Refuse = func(statement string) *pgproto3.ErrorResponse {
			if strings.HasPrefix(statement, "CREATE VIEW") {
				return &pgproto3.ErrorResponse{Severity: "ERROR", Code: "42883", Message: "function f() does not exist"}
			}
			return nil
		}
	})
	d := sql.Deployment{Statements: program(t, small)}
	result, err := d.Apply(t.Context(), connect(t, server))
	if err == nil || !strings.HasPrefix(err.Error(), "sql: a.sql:4: ERROR: function f() does not exist") || result.Created != 3 {
		t.Errorf("%v after %d, want the place", err, result.Created)
	}
	expect(t, "differences", differences(t, server, d),
		"missing: view trips of a.sql:4 is not there", "missing: materialized view long_trips of a.sql:5 is not there",
		"missing: sink out of a.sql:6 is not there", "missing: index trips_primary_idx of a.sql:7 is not there")

	server.Set(func(o *sqltest.Options) { o.Refuse = nil })
	result, created := deploy(t, server, d)
	expect(t, "created", created, "view trips a.sql:4", "materialized view long_trips a.sql:5", "sink out a.sql:6", "index trips_primary_idx a.sql:7")
	expect(t, "warnings", result.Warnings())
}

// The connection breaks after an object was made, and before that is recorded.
func TestUnrecorded(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) {
		o.HangUp = func(statement string) bool { return strings.HasPrefix(statement, "COMMENT ON VIEW") }
	})
	d := sql.Deployment{Statements: program(t, small)}
	if result, err := d.Apply(t.Context(), connect(t, server)); result.Created != 4 || err == nil || !strings.HasPrefix(err.Error(), "sql: a.sql:4: recording what made view trips: ") {
		t.Errorf("created %d, %v", result.Created, err)
	}
	server.Set(func(o *sqltest.Options) { o.HangUp = nil })
	result, _ := deploy(t, server, d)
	expect(t, "warnings", result.Warnings(),
		"unrecorded: which statements made trips is not recorded, so whether they changed is not known: apply --adopt takes them to be as the files have them")
	expect(t, "differences", differences(t, server, d), "unrecorded: view trips of a.sql:4 is there, and which statement made it is not recorded")

	server.Run(t, "COMMENT ON VIEW trips IS 'every trip'")
	d.Adopt = true
	if result, created := deploy(t, server, d); len(created) > 0 || len(result.Warnings()) > 0 {
		t.Errorf("adopted: created %q, %q", created, result.Warnings())
	}
	expect(t, "differences", differences(t, server, d))
	if !slices.ContainsFunc(server.Objects(), func(o string) bool { return strings.HasPrefix(o, "view trips every trip\ntripcast:sha256:") }) {
		t.Errorf("somebody's comment is gone: %q", server.Objects())
	}
}

func TestDrift(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	d := sql.Deployment{Statements: program(t, small)}
	deploy(t, server, d)
	objects := server.Objects()

	d.Statements = program(t, strings.Replace(small, "SELECT data FROM trips_raw", "SELECT data\nFROM stops_raw", 1))
	changed := "changed: view trips is not as a.sql:4 has it now: " +
		"drop sink out, materialized view long_trips, index trips_primary_idx, then view trips (DROP VIEW trips CASCADE does), and apply again"
	expect(t, "a view that changed", differences(t, server, d), changed)
	result, created := deploy(t, server, d)
	expect(t, "warnings", result.Warnings(), changed)
	expect(t, "created", created)
	expect(t, "objects", server.Objects(), objects...)

	d.Statements = program(t, strings.Replace(small, "TOPIC 'out'", "TOPIC 'other'", 1))
	expect(t, "a sink that changed", differences(t, server, d), "changed: sink out is not as a.sql:6 has it now: DROP SINK out and apply again")

	d.Statements = program(t, strings.Replace(small, "CREATE MATERIALIZED VIEW", "CREATE VIEW", 1))
	expect(t, "another type", differences(t, server, d),
		"changed: view long_trips of a.sql:5 is a materialized view in the database: drop sink out, then materialized view long_trips (DROP MATERIALIZED VIEW long_trips CASCADE does), and apply again")

	d.Statements = program(t, small)
	server.Drop("out")
	server.Run(t, "CREATE VIEW old AS SELECT 1")
	server.Run(t, "CREATE SOURCE other_progress FROM KAFKA CONNECTION redpanda (TOPIC 'x')")
	expect(t, "extra and missing", differences(t, server, d),
		"missing: sink out of a.sql:6 is not there",
		"extra: view old is in no file: DROP VIEW old, if nobody needs it",
		"extra: source other_progress is in no file: DROP SOURCE other_progress, if nobody needs it")

	server.Set(func(o *sqltest.Options) {
		o.Refuse = func(statement string) *pgproto3.ErrorResponse {
			if strings.Contains(statement, "mz_object_dependencies") {
				return &pgproto3.ErrorResponse{Severity: "ERROR", Code: "42P01", Message: "unknown catalog item"}
			}
			return nil
		}
	})
	d.Statements = program(t, strings.Replace(small, "SELECT data FROM trips_raw", "SELECT 1", 1))
	if got := differences(t, server, d)[0]; got != "changed: view trips is not as a.sql:4 has it now: DROP VIEW trips and apply again" {
		t.Errorf("without dependencies: %s", got)
	}
}

func TestNoCatalogue(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) { o.NoCatalogue = true })
	d := sql.Deployment{Statements: program(t, small), Cluster: "quickstart"}
	for range 2 {
		result, created := deploy(t, server, d)
		expect(t, "created", created)
		expect(t, "warnings", result.Warnings(), "whether anything differs is unknown: the catalogue cannot be read: unknown catalog item 'mz_catalog.mz_schemas'")
		if result.Ran != 7 || result.String() != "7 statements" {
			t.Errorf("%d ran: %s", result.Ran, result)
		}
	}
	drift, err := d.Check(t.Context(), connect(t, server))
	if err != nil || drift.Unknown == nil {
		t.Errorf("a check without a catalogue: %v, %v", err, drift)
	}
}

// A server that takes no comments is one that keeps no record, and has the program
// nevertheless.
func TestNoComments(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) {
		o.Refuse = func(statement string) *pgproto3.ErrorResponse {
			if strings.HasPrefix(statement, "COMMENT ") {
				return &pgproto3.ErrorResponse{Severity: "ERROR", Code: "0A000", Message: "COMMENT ON is not supported"}
			}
			return nil
		}
	})
	result, created := deploy(t, server, sql.Deployment{Statements: program(t, small)})
	if len(created) != 7 || result.Unrecorded == nil || !strings.HasPrefix(result.Unrecorded.Error(), "sql: a.sql:1: recording what made connection redpanda: ERROR: COMMENT ON is not supported") {
		t.Errorf("created %q, %v", created, result.Unrecorded)
	}
}

func TestCluster(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) { o.Clusters = []string{"mz_system", "quickstart", `my "own"`} })
	d := sql.Deployment{Statements: program(t, small), Cluster: "fast"}
	want := `sql: there is no cluster fast: there are my "own", quickstart, and CREATE CLUSTER makes one`
	if _, err := d.Apply(t.Context(), connect(t, server)); err == nil || err.Error() != want || len(server.Changes()) > 0 {
		t.Errorf("%v, want %s and no change: %q", err, want, server.Changes())
	}
	if _, err := d.Check(t.Context(), connect(t, server)); err == nil || err.Error() != want {
		t.Errorf("check: %v, want %s", err, want)
	}
	d.Cluster = `my "own"`
	deploy(t, server, d)
	if first := server.Changes()[0]; first != `SET cluster = "my ""own"""` {
		t.Errorf("first %s", first)
	}
	expect(t, "differences", differences(t, server, d))
}

const secret = "it's; secret"

var secured = &sql.Connection{Brokers: []string{"kafka:9092"}, Protocol: "SASL_PLAINTEXT", Mechanism: "PLAIN", Username: "app", Password: secret}

// A connection with secrets takes the place of the program's. The secrets are set
// each time, and are in no comment and no error.
func TestSecuredConnection(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	d := sql.Deployment{Statements: program(t, small), Connection: secured}
	_, created := deploy(t, server, d)
	expect(t, "created", created[:2], "secret redpanda_password (connection):1", "connection redpanda (connection):3")
	for _, o := range server.Objects() {
		if strings.Contains(o, secret) {
			t.Errorf("%s holds the secret", o)
		}
	}
	before := len(server.Changes())
	other := *secured
	other.Password = "another"
	d.Connection = &other
	if _, created := deploy(t, server, d); len(created) > 0 {
		t.Errorf("created %q", created)
	}
	expect(t, "with another password", server.Changes()[before:], "ALTER SECRET redpanda_password AS 'another'")
	expect(t, "differences", differences(t, server, d))

	d.Connection = nil
	expect(t, "without it", differences(t, server, d),
		"changed: connection redpanda is not as a.sql:1 has it now: drop "+
			"sink out, materialized view long_trips, index trips_primary_idx, view trips, source trips_raw, source stops_raw, then connection redpanda (DROP CONNECTION redpanda CASCADE does), and apply again",
		"extra: secret redpanda_password is in no file: DROP SECRET redpanda_password, if nobody needs it")
}

func TestErrorsKeepSecrets(t *testing.T) {
	own := program(t, "SELECT 1;\n\nCREATE SECRET IF NOT EXISTS s AS 'it''s; secret'")
	for _, c := range []struct {
		d     sql.Deployment
		part  string
		place string
	}{
		{sql.Deployment{Statements: program(t, small), Connection: secured}, "CREATE SECRET", "sql: (connection):1: "},
		{sql.Deployment{Statements: program(t, small), Connection: secured}, "ALTER SECRET", "sql: (connection):2: "},
		{sql.Deployment{Statements: own[1:]}, "CREATE SECRET", "sql: a.sql:3: "},
	} {
		server := sqltest.Start(t, "127.0.0.1:0")
		server.Set(func(o *sqltest.Options) {
			o.Refuse = func(statement string) *pgproto3.ErrorResponse {
				if strings.HasPrefix(statement, c.part) {
					return &pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: "cannot read " + statement + " for " + secret}
				}
				return nil
			}
		})
		_, err := c.d.Apply(t.Context(), connect(t, server))
		if err == nil || !errors.As(err, new(*pgconn.PgError)) || !strings.HasPrefix(err.Error(), c.place) || strings.Contains(err.Error(), "secret'") || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %s and no secret", err, c.place)
		}
	}
}
