package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"tripcast.dev/sql"
	"tripcast.dev/sql/sqltest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const secret = "s3'cret"

// environment is the command's.
type environment map[string]string

// run is the command, to its end.
func (e environment) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, func(name string) string { return e[name] }, &out, &errs)
	return code, out.String(), errs.String()
}

// secured is a Kafka with TLS and users.
func secured(server *sqltest.Server) environment {
	e := environment{
		"KAFKA_BROKERS": "kafka-1:9093,kafka-2:9093", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
		"KAFKA_USERNAME": "app", "KAFKA_PASSWORD": secret,
	}
	if server != nil {
		e["MATERIALIZE_URL"] = "postgres://app:s3%27cret@" + server.Address + "/materialize"
	}
	return e
}

func start(t *testing.T) *sqltest.Server {
	t.Helper()
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) { o.Password = secret })
	return server
}

func TestProgramTwice(t *testing.T) {
	server := start(t)
	e := environment{"KAFKA_BROKERS": "kafka:9092,other:9092"}
	dsn := "postgres://app:s3%27cret@" + server.Address + "/materialize"
	program, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := e.run(t, "--dsn", dsn, "--cluster", "quickstart")
	if want := fmt.Sprintf("created %d; 0 were there, in Materialize at %s\n", len(program), server.Address); code != exitOK || errs != "" || !strings.HasSuffix(out, want) {
		t.Errorf("exit code %d: %s%s, want %s", code, out, errs, want)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != len(program)+2 || lines[0] != "created connection redpanda (01_connection.sql:2)" {
		t.Errorf("%d lines, want one for each of %d objects:\n%s", len(lines), len(program), out)
	}
	changes := server.Changes()
	if !slices.Contains(changes, "CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA ( BROKER 'kafka:9092', SECURITY PROTOCOL = 'PLAINTEXT' )") || changes[0] != `SET cluster = "quickstart"` {
		t.Errorf("Materialize was told %q", changes[:4])
	}

	code, out, errs = e.run(t, "--dsn", dsn)
	if want := fmt.Sprintf("created 0; %d were there, in Materialize at %s\n", len(program), server.Address); code != exitOK || errs != "" || out != want {
		t.Errorf("again: exit code %d: %s%s, want %s", code, out, errs, want)
	}
	code, out, errs = e.run(t, "--dsn", dsn, "--check")
	if want := "nothing differs, in Materialize at " + server.Address + "\n"; code != exitOK || errs != "" || out != want {
		t.Errorf("check: exit code %d: %s%s, want %s", code, out, errs, want)
	}
	if again := server.Changes(); len(again) != len(changes) {
		t.Errorf("again Materialize was told %q", again[len(changes):])
	}
}

func TestCheck(t *testing.T) {
	server := start(t)
	e := secured(server)
	own := []string{"--dir", "testdata/program", "--set", "token=" + secret}
	if code, out, errs := e.run(t, own...); code != exitOK || errs != "" || strings.Contains(out, secret) {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	server.Run(t, "CREATE VIEW forgotten AS SELECT 1")
	server.Drop("trips_primary_idx")
	before := server.Changes()
	code, out, errs := e.run(t, append(own, "--set", "trip_retention=2 days", "--check")...)
	want := strings.Join([]string{
		"changed: view trips is not as 02_trips.sql:6 has it now: DROP VIEW trips and apply again",
		"missing: index trips_primary_idx of 02_trips.sql:11 is not there",
		"extra: view forgotten is in no file: DROP VIEW forgotten, if nobody needs it",
		"",
	}, "\n")
	if code != exitFail || out != want || errs != "" {
		t.Errorf("exit code %d: %s%s\nwant %s", code, out, errs, want)
	}
	if after := server.Changes(); !slices.Equal(after, before) {
		t.Errorf("a check said %q", after[len(before):])
	}

	code, out, errs = e.run(t, append(own, "--set", "trip_retention=2 days")...)
	if want := "created index trips_primary_idx (02_trips.sql:11)\ncreated 1; 5 were there, in Materialize at " + server.Address + "\n"; code != exitOK || out != want {
		t.Errorf("exit code %d: %s%s\nwant %s", code, out, errs, want)
	}
	if want := "apply: changed: view trips is not as 02_trips.sql:6 has it now: drop index trips_primary_idx, then view trips (DROP VIEW trips CASCADE does), and apply again\n" +
		"apply: extra: view forgotten is in no file: DROP VIEW forgotten, if nobody needs it\n"; errs != want {
		t.Errorf("warnings\n%s\nwant\n%s", errs, want)
	}
}

func TestAdopt(t *testing.T) {
	server := start(t)
	e := secured(server)
	server.Run(t, "CREATE SECRET redpanda_password AS 'x'")
	server.Run(t, "CREATE CONNECTION redpanda TO KAFKA (BROKER 'x:1')")
	own := []string{"--dir", "testdata/program", "--set", "token=" + secret}
	code, _, errs := e.run(t, own...)
	if want := "apply: unrecorded: which statements made redpanda_password, redpanda is not recorded, so whether they changed is not known: apply --adopt takes them to be as the files have them\n"; code != exitOK || errs != want {
		t.Errorf("exit code %d: %s, want %s", code, errs, want)
	}
	if code, _, errs := e.run(t, append(own, "--adopt")...); code != exitOK || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, out, errs := e.run(t, append(own, "--check")...); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// A server without a catalogue has the program, and what is unknown is said.
func TestNoCatalogue(t *testing.T) {
	server := start(t)
	server.Set(func(o *sqltest.Options) { o.NoCatalogue = true })
	e := secured(server)
	own := []string{"--dir", "testdata/program", "--set", "token=x"}
	unknown := "whether anything differs is unknown: the catalogue cannot be read: unknown catalog item 'mz_catalog.mz_schemas'\n"
	code, out, errs := e.run(t, own...)
	if want := "7 statements, in Materialize at " + server.Address + "\n"; code != exitOK || out != want || errs != "apply: "+unknown {
		t.Errorf("exit code %d: %s%s, want %s", code, out, errs, want)
	}
	if code, out, errs := e.run(t, append(own, "--check")...); code != exitFail || out != unknown || errs != "" {
		t.Errorf("check: exit code %d: %s%s", code, out, errs)
	}
}

func TestFailures(t *testing.T) {
	server := start(t)
	refuse := func(part, message string) {
		server.Set(func(o *sqltest.Options) {
			o.Refuse = func(statement string) *pgproto3.ErrorResponse {
				if !strings.Contains(statement, part) {
					return nil
				}
				return &pgproto3.ErrorResponse{Severity: "ERROR", Code: "XX000", Message: message}
			}
		})
	}
	for _, c := range []struct {
		name          string
		part, message string // of what is refused
		args          []string
		want          string
	}{
		{name: "a view", part: "CREATE VIEW", message: "no such function", want: "apply: materialize at " + server.Address + ": sql: 02_trips.sql:6: ERROR: no such function (SQLSTATE XX000)\n"},
		{name: "a secret", part: "ALTER SECRET", message: "cannot read 's3''cret'", want: "apply: materialize at " + server.Address + ": sql: (connection):2: ERROR: cannot read … (SQLSTATE XX000)\n"},
		{name: "sources", part: "FORMAT", message: "CREATE SOURCE (ENVELOPE|FORMAT|INCLUDE) not supported; use CREATE TABLE .. FROM SOURCE instead", args: []string{"--sources=source"}, want: "--sources=table\n"},
		{name: "no cluster", part: "nothing", args: []string{"--cluster", "fast"}, want: "sql: there is no cluster fast: there are quickstart, and CREATE CLUSTER makes one\n"},
		{name: "no cluster to check", part: "nothing", args: []string{"--cluster", "fast", "--check"}, want: "sql: there is no cluster fast: there are quickstart, and CREATE CLUSTER makes one\n"},
		{name: "password", part: "nothing", args: []string{"--dsn", "postgres://app:wr0ng@" + server.Address}, want: "refuses user app with the password of --dsn: invalid password\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refuse(c.part, c.message)
			server.Drop("trips_raw", "trips_raw_progress", "trips")
			code, _, errs := secured(server).run(t, append([]string{"--dir", "testdata/program", "--set", "token=" + secret}, c.args...)...)
			if code != exitFail || !strings.HasPrefix(errs, "apply: materialize") || !strings.HasSuffix(errs, c.want) || strings.Count(errs, "\n") != 1 || strings.Contains(errs, secret) {
				t.Errorf("exit code %d: %s\nwant %s", code, errs, c.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	sasl := secured(nil)
	delete(sasl, "KAFKA_BROKERS")
	for _, c := range []struct {
		name string
		args []string
		env  environment
		code int
		want string
	}{
		{"help", []string{"-h"}, nil, exitOK, "usage: apply"},
		{"no such flag", []string{"--force"}, nil, exitUsage, "-force"},
		{"an argument", []string{"sql"}, nil, exitUsage, `"sql" is no flag`},
		{"check and print", []string{"--check", "--print"}, nil, exitUsage, "--check and --print: one of them"},
		{"check and adopt", []string{"--check", "--adopt"}, nil, exitUsage, "--check and --adopt: a check changes nothing"},
		{"sources", []string{"--sources", "old"}, nil, exitUsage, `--sources: "old" is none of auto, source, table`},
		{"no value", []string{"--set", "grace"}, nil, exitUsage, `"grace" is not NAME=VALUE`},
		{"set twice", []string{"--set", "grace=1 day", "--set", "grace=2 days"}, nil, exitUsage, "grace is set twice"},
		{"unknown variable", []string{"--set", "gracee=1 day"}, nil, exitUsage, "--set: no file has a variable gracee: there are best_margin, features_retention, grace, judged_every, kafka_broker, trip_retention"},
		{"no interval", []string{"--set", "trip_retention=25h"}, nil, exitUsage, `--set: trip_retention: "25h" is no interval above 0`},
		{"no broker", []string{"--set", "kafka_broker=redpanda"}, nil, exitUsage, `--set: kafka_broker: "redpanda" is not host:port`},
		{"a variable is missing", []string{"--dir", "testdata/program"}, nil, exitUsage, `sql: 01_connection.sql:2: variable "token" is not given: there are `},
		{"no files", []string{"--dir", "testdata"}, nil, exitUsage, "sql: no *.sql files found"},
		{"no directory", []string{"--dir", "testdata/none"}, nil, exitUsage, "--dir: stat testdata/none: no such file"},
		{"dsn", []string{"--dsn", "postgres://app:" + secret + "@x/db?sslmode=maybe"}, nil, exitUsage, "--dsn: cannot parse"},
		{"URL", nil, environment{"MATERIALIZE_URL": "postgres://app:" + secret + "%zz@x/db"}, exitUsage, "MATERIALIZE_URL: cannot parse"},
		{"Kafka", nil, environment{"KAFKA_SECURITY_PROTOCOL": "TLS"}, exitUsage, `KAFKA_SECURITY_PROTOCOL: "TLS" is none of`},
		{"Kafka's brokers", nil, sasl, exitUsage, "KAFKA_BROKERS: not set, but KAFKA_SECURITY_PROTOCOL is SASL_SSL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := c.env.run(t, c.args...)
			if code != c.code || !strings.Contains(out+errs, c.want) {
				t.Errorf("exit code %d: %s%s, want %d and %q", code, out, errs, c.code, c.want)
			}
			if strings.Contains(errs, secret) || code == exitUsage && strings.Count(errs, "\n") != 1 {
				t.Errorf("%q is not one line without the password", errs)
			}
		})
	}
}

// A broker that is set is that of a connection with TLS and users as well.
func TestBrokerOfTheConnection(t *testing.T) {
	code, out, errs := secured(nil).run(t, "--set", "kafka_broker=[::1]:9093", "--print")
	if code != exitOK || !strings.Contains(out, "BROKERS ('[::1]:9093'),") || strings.Contains(out, "BROKER '") {
		t.Errorf("exit code %d: %s%.400s", code, errs, out)
	}
}

// What --print writes needs no server.
func TestPrint(t *testing.T) {
	for _, c := range []struct {
		golden string
		env    environment
		args   []string
	}{
		{"print.golden", nil, []string{"--set", "trip_retention=2 days"}},
		{"print_secured_tables.golden", secured(nil), []string{"--sources=table", "--cluster=fast"}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			code, out, errs := c.env.run(t, append([]string{"--dir", "testdata/program", "--set", "token=" + secret, "--print"}, c.args...)...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			if strings.Contains(out, "s3") {
				t.Error("it holds a secret")
			}
			golden := filepath.Join("testdata", c.golden)
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("got\n%s\nwant\n%s", out, want)
			}
		})
	}
}
