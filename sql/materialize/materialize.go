// Package materialize is how a command reaches Materialize. What goes wrong is
// told in one line that names the server, or where its address was given, and
// the way out.
package materialize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// EnvURL is the variable of the environment that says where Materialize is, and
// DefaultURL where it is if nothing says so.
const (
	EnvURL     = "MATERIALIZE_URL"
	DefaultURL = "postgres://materialize@localhost:6875/materialize"
)

const connectTimeout = 5 * time.Second

// Server is a Materialize that can be connected to.
type Server struct {
	config *pgx.ConnConfig
	given  string
}

// Parse reads the address of a server. given is where it was given, such as
// MATERIALIZE_URL, and what errors send the reader to.
func Parse(dsn, given string) (Server, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return Server{}, fmt.Errorf("%s: %w", given, err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return Server{config, given}, nil
}

// Address is host:port.
func (s Server) Address() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(int(s.config.Port)))
}

// Error is what is wrong with a server or a statement, in one line.
type Error struct {
	Reason string // the line
	Err    error  // what the client said
	passes bool
}

func (e *Error) Error() string { return e.Reason }

// Unwrap is what the client said.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether it may be right some seconds later without anybody
// changing anything: a server that starts is, a refused password is not.
func (e *Error) Temporary() bool { return e.passes }

// Connect opens a session. Its error is an *Error.
func (s Server) Connect(ctx context.Context) (*pgx.Conn, error) {
	db, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return nil, s.explain(err)
	}
	return db, nil
}

// explain makes one line of why there is no session. Codes are Postgres's.
func (s Server) explain(err error) *Error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return s.unreachable(err)
	}
	switch {
	case strings.HasPrefix(answer.Code, "28"): // invalid authorization
		return &Error{Reason: fmt.Sprintf("materialize: %s refuses user %s with the password of %s: %s", s.Address(), s.config.User, s.given, answer.Message), Err: err}
	case strings.HasPrefix(answer.Code, "3D"): // invalid catalog name
		return &Error{Reason: fmt.Sprintf("materialize: %s has no database %s, which %s names: %s", s.Address(), s.config.Database, s.given, answer.Message), Err: err}
	case strings.HasPrefix(answer.Code, "57P"): // starting, or going down
		return &Error{Reason: fmt.Sprintf("materialize: %s is not ready: %s", s.Address(), answer.Message), Err: err, passes: true}
	}
	return &Error{Reason: fmt.Sprintf("materialize: %s refuses the connection: %s (%s)", s.Address(), answer.Message, answer.Code), Err: err}
}

// unreachable is a server that gave no answer of Postgres's.
func (s Server) unreachable(err error) *Error {
	var dial *net.OpError
	var lookup *net.DNSError
	switch {
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return &Error{Reason: fmt.Sprintf("materialize: %s has no TLS, which %s wants: sslmode=disable goes without", s.Address(), s.given), Err: err}
	case errors.As(err, &lookup):
		return &Error{Reason: fmt.Sprintf("materialize: nobody listens at %s: %v", s.Address(), lookup), Err: err, passes: true}
	case errors.As(err, &dial) && dial.Op == "dial":
		return &Error{Reason: fmt.Sprintf("materialize: nobody listens at %s: %v", s.Address(), dial.Err), Err: err, passes: true}
	}
	said := strings.Join(strings.Fields(err.Error()), " ")
	return &Error{Reason: fmt.Sprintf("materialize: what listens at %s does not answer as it should: %s", s.Address(), said), Err: err, passes: true}
}

// Refused makes one line of why the program cannot be applied, from an error of
// package sql, which names the place. Where Materialize has switched off what a
// statement needs, it names the switch.
func (s Server) Refused(err error) *Error {
	reason := fmt.Sprintf("materialize at %s: %v", s.Address(), err)
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return &Error{Reason: reason, Err: err, passes: isBroken(err)}
	}
	said := strings.ToLower(answer.Message + " " + answer.Detail + " " + answer.Hint)
	switch {
	case strings.Contains(said, "headers") && strings.Contains(said, "not "):
		reason += ": the headers of sinks are switched off, and without them no record is a CloudEvent: " + switchOn("enable_kafka_sink_headers")
	case strings.Contains(said, "from source instead"):
		reason += ": this server reads topics into tables only: --sources=table"
	case strings.Contains(said, "from source") && strings.Contains(said, "not "):
		reason += ": this server does not read topics into tables: --sources=source, or " + switchOn("enable_create_table_from_source")
	}
	return &Error{Reason: reason, Err: err}
}

// isBroken reports whether a session ended under a statement.
func isBroken(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

func switchOn(name string) string {
	return fmt.Sprintf("start Materialize with MZ_SYSTEM_PARAMETER_DEFAULT=%s=true, "+
		"or say ALTER SYSTEM SET %s = true as mz_system, on port 6877", name, name)
}
