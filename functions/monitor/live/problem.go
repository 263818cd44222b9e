package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/registry"
)

// problem is why a source gives nothing, in one plain line that anybody may see:
// no URL, no user, no password.
type problem struct {
	text string
	// answered says that something was there to refuse.
	answered bool
	// missing says that all is well but that the database has no such view.
	missing bool
	cause   error // for the log
}

// viewError is what went wrong with one view.
type viewError struct {
	view string
	err  error
}

func (e *viewError) Error() string { return "view " + e.view + ": " + e.err.Error() }
func (e *viewError) Unwrap() error { return e.err }

// columnError is a column that is not what it should be.
type columnError struct {
	view, column string
	reason       string
}

func (e *columnError) Error() string {
	return fmt.Sprintf("column %s of view %s %s: run setup of this version", e.column, e.view, e.reason)
}

// databaseProblem explains an error of a connection to the database. Codes are
// those of Postgres.
func databaseProblem(err error) problem {
	p := explainDatabase(err)
	p.cause = err
	return p
}

func explainDatabase(err error) problem {
	if column, ok := errors.AsType[*columnError](err); ok {
		return problem{text: column.Error(), answered: true}
	}
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if strings.Contains(err.Error(), "server refused TLS connection") {
			return problem{text: "the database has no TLS, which its URL asks for: sslmode=disable goes without", answered: true}
		}
		return problem{text: "the database does not answer: " + reason(err)}
	}
	view, ofView := errors.AsType[*viewError](err)
	switch {
	case strings.HasPrefix(answer.Code, "28"): // invalid authorization
		return problem{text: "the database refuses the user or the password", answered: true}
	case strings.HasPrefix(answer.Code, "3D"): // invalid catalog name
		return problem{text: "the server has no database of the name that its URL gives", answered: true}
	case strings.HasPrefix(answer.Code, "57P"): // starting, or going down
		return problem{text: "the database is not ready: " + oneLine(answer.Message), answered: true}
	case ofView && missing(answer):
		return problem{text: "view " + view.view + " does not exist: run setup", answered: true, missing: true}
	case ofView:
		return problem{text: "view " + view.view + ": " + oneLine(answer.Message), answered: true}
	}
	return problem{text: "the database refuses: " + oneLine(answer.Message), answered: true}
}

// missing reports whether a server does not have what was asked for. Materialize,
// Postgres and the stand-in each say it in their own way.
func missing(answer *pgconn.PgError) bool {
	const undefinedTable, undefinedObject = "42P01", "42704"
	return answer.Code == undefinedTable || answer.Code == undefinedObject ||
		strings.Contains(answer.Message, "unknown catalog item") || strings.Contains(answer.Message, "does not exist")
}

// redisProblem explains an error of package registry.
func redisProblem(err error) problem {
	p := explainRedis(err)
	p.cause = err
	return p
}

func explainRedis(err error) problem {
	if errors.Is(err, registry.ErrNoModels) {
		return problem{text: "no catalogue of models has been applied: run setup", answered: true}
	}
	if answer, ok := errors.AsType[redis.Error](err); ok {
		for _, refused := range []string{"NOAUTH", "WRONGPASS", "NOPERM"} {
			if strings.HasPrefix(answer.Error(), refused) {
				return problem{text: "Redis refuses the user or the password", answered: true}
			}
		}
		return problem{text: "Redis refuses: " + oneLine(answer.Error()), answered: true}
	}
	if errors.Is(err, registry.ErrUnavailable) {
		return problem{text: "Redis does not answer: " + reason(err)}
	}
	return problem{text: oneLine(strings.TrimPrefix(err.Error(), "registry: ")), answered: true}
}

// kafkaProblem explains an error of whoever counts the dead letters.
func kafkaProblem(err error) problem {
	return problem{text: "Kafka does not answer: " + reason(err), cause: err}
}

// reason is the root of an error of the network. It names no address.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "its host name is not known"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), pgconn.Timeout(err):
		return "it takes too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, pgconn.ErrConnClosed):
		return "the connection broke"
	}
	return "there is no connection"
}

// oneLine shortens what a server says to what fits into a line of a page.
func oneLine(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
