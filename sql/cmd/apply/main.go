// Command apply brings the program of sql/ to a Materialize: what is missing is
// made, in order, what is there stays as it is, and what differs is reported.
//
//	apply --dsn postgres://materialize@localhost:6875/materialize
//	apply --check   # changes nothing, and fails if anything differs
//	apply --print   # writes the statements
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"tripcast.dev/sql"
	"tripcast.dev/sql/materialize"
)

const usage = `usage: apply [flags]

Applies numbered .sql files to Materialize: what is missing is created, in order,
what is there stays as it is. A comment on each object records which statement
made it, so that what is there and differs can be told: objects that are in no
file (extra), that are not there (missing), that another statement made (changed),
or that have no record (unrecorded).

  --dsn URL            the server; MATERIALIZE_URL if not given, else
                       postgres://materialize@localhost:6875/materialize
  --dir DIR            files of one's own; the program of tripcast if not given
  --set NAME=VALUE     a variable of the files, ${NAME} in them; may be repeated
  --cluster NAME       where sources, materialized views, indexes and sinks are
                       made; the session's own if not given
  --sources SYNTAX     source: CREATE SOURCE with a format, which needs no switch
                       table: CREATE TABLE … FROM SOURCE
                       auto: as what is there; else source, and table where the
                       server has no other (auto)
  --adopt              take unrecorded objects to be as the files have them
  --check              change nothing; exit code 1 if anything differs
  --print              write the statements, without secrets, and run nothing

The variables of the program of tripcast:
  kafka_broker         host:port, as Materialize sees it; the first of
                       KAFKA_BROKERS if not given, else redpanda:9092
  trip_retention       how long a trip is kept after it arrived (27 hours)
  features_retention   how long a pick-up may wait for its features (1 hour)
  grace                how far the topics may be apart, in event time (5 minutes)
  best_margin          how far behind the best a model still contends (0.05)
  judged_every         the first five minutes of how long propose a champion (30 minutes)

A Kafka with TLS or users is that of the environment:
  KAFKA_BROKERS        host:port, comma-separated, as Materialize sees them
  KAFKA_SECURITY_PROTOCOL
                       PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL (PLAINTEXT)
  KAFKA_SASL_MECHANISM PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
  KAFKA_USERNAME, KAFKA_PASSWORD
  KAFKA_CA_CERT, KAFKA_CLIENT_CERT, KAFKA_CLIENT_KEY
                       PEM texts

Exit codes: 0, done; 1, it failed, or --check found that something differs;
2, an argument or a variable makes no sense.
`

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2 // an argument, or a variable of the environment, makes no sense
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// usageError is a command line or an environment that makes no sense.
type usageError struct{ error }

// errDiffers is what --check has told about already.
var errDiffers = errors.New("the database differs from the files")

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	err := apply(ctx, args, getenv, stdout, stderr)
	var misused usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case errors.As(err, &misused):
		fmt.Fprintf(stderr, "apply: %v (-h tells more)\n", err)
		return exitUsage
	case errors.Is(err, errDiffers):
		return exitFail
	case err != nil:
		fmt.Fprintln(stderr, "apply:", err)
		return exitFail
	}
	return exitOK
}

func apply(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o, err := parse(args, getenv)
	if err != nil {
		return err
	}
	if o.print {
		return o.deployment.Print(stdout)
	}
	db, err := o.server.Connect(ctx)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	if o.check {
		drift, err := o.deployment.Check(ctx, db)
		if err != nil {
			return o.server.Refused(err)
		}
		return checked(drift, o.server, stdout)
	}
	o.deployment.Created = func(object sql.Object, s sql.Statement) { fmt.Fprintf(stdout, "created %s (%s)\n", object, s) }
	result, err := o.deployment.Apply(ctx, db)
	if err != nil {
		return o.server.Refused(err)
	}
	for _, warning := range result.Warnings() {
		fmt.Fprintln(stderr, "apply:", warning)
	}
	fmt.Fprintf(stdout, "%s, in Materialize at %s\n", result, o.server.Address())
	return nil
}

// checked tells of a check.
func checked(d sql.Drift, server materialize.Server, stdout io.Writer) error {
	lines := d.Lines()
	for _, line := range lines {
		fmt.Fprintln(stdout, line)
	}
	if len(lines) > 0 {
		return errDiffers
	}
	fmt.Fprintf(stdout, "nothing differs, in Materialize at %s\n", server.Address())
	return nil
}
