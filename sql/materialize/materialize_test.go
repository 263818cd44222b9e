package materialize_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"tripcast.dev/sql/materialize"
	"tripcast.dev/sql/sqltest"
)

// What a connection that cannot be is told as is in the tests of setup, too.
func TestConnect(t *testing.T) {
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) { o.Password = "s3cret" })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := listener.Addr().String()
	listener.Close()
	for _, c := range []struct {
		name, dsn, want string
		passes          bool
	}{
		{"fine", "postgres://app:s3cret@" + server.Address + "/db", "", false},
		{"password", "postgres://app:wr0ng@" + server.Address + "/db", "materialize: " + server.Address + " refuses user app with the password of --dsn: invalid password", false},
		{"nobody", "postgres://app:s3cret@" + away + "/db", "materialize: nobody listens at " + away + ": connect: connection refused", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := materialize.Parse(c.dsn, "--dsn")
			if err != nil {
				t.Fatal(err)
			}
			db, err := s.Connect(t.Context())
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				db.Close(t.Context())
				return
			}
			var problem *materialize.Error
			if !errors.As(err, &problem) || problem.Error() != c.want || problem.Temporary() != c.passes || problem.Err == nil {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if _, err := materialize.Parse("postgres://app:s3cret@x/db?sslmode=maybe", "--dsn"); err == nil || !strings.HasPrefix(err.Error(), "--dsn: ") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v, want the place and no password", err)
	}
}

// The ways out are those of switches, and passing is what the connection does.
func TestRefused(t *testing.T) {
	s, err := materialize.Parse("postgres://app@db:6875/x", "--dsn")
	if err != nil {
		t.Fatal(err)
	}
	at := func(err error) error { return fmt.Errorf("sql: a.sql:1: %w", err) }
	for _, c := range []struct {
		err    error
		want   string
		passes bool
	}{
		{at(&pgconn.PgError{Severity: "ERROR", Code: "42883", Message: "no such function"}), "ERROR: no such function (SQLSTATE 42883)", false},
		{at(&pgconn.PgError{Message: "the HEADERS option is not supported"}), "start Materialize with MZ_SYSTEM_PARAMETER_DEFAULT=enable_kafka_sink_headers=true, or say ALTER SYSTEM SET enable_kafka_sink_headers = true as mz_system, on port 6877", false},
		{at(&pgconn.PgError{Message: "CREATE SOURCE (ENVELOPE|FORMAT|INCLUDE) not supported; use CREATE TABLE .. FROM SOURCE instead"}), "this server reads topics into tables only: --sources=table", false},
		{at(&pgconn.PgError{Message: "Whether to allow CREATE TABLE .. FROM SOURCE syntax. is not available"}), "--sources=source, or start Materialize with MZ_SYSTEM_PARAMETER_DEFAULT=enable_create_table_from_source=true, or say ALTER SYSTEM SET enable_create_table_from_source = true as mz_system, on port 6877", false},
		{at(io.ErrUnexpectedEOF), "unexpected EOF", true},
		{at(&net.OpError{Op: "read", Err: errors.New("connection reset")}), "connection reset", true},
		{errors.New("sql: there is no cluster x"), "materialize at db:6875: sql: there is no cluster x", false},
	} {
		got := s.Refused(c.err)
		if !strings.HasPrefix(got.Error(), "materialize at db:6875: sql: ") || !strings.HasSuffix(got.Error(), c.want) || got.Temporary() != c.passes || !errors.Is(got, c.err) {
			t.Errorf("%v, passing %t, want %s", got, got.Temporary(), c.want)
		}
	}
}
