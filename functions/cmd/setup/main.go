// Command setup makes what the functions stand on: the topics in Kafka, the
// models in Redis, and the program in Materialize. Each step can be repeated
// without changing anything, which is also how it waits: it repeats a step until
// the server that the step needs is there.
//
//	setup                 # everything
//	setup topics models   # these
//
// It is told where the servers are by the environment, as the functions are.
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
	"time"

	"tripcast.dev/functions/registry"
)

const usage = `usage: setup [flags] [topics] [models] [sql]

  topics   create the topics that are missing; those that exist are not changed
  models   make a catalogue of models the one that is served and taught
  sql      apply the program to Materialize

No step named is all three. They run in this order, and each can be repeated.

  --models FILE              the catalogue; the one of infra/models.yaml if not given
  --partitions N             of topics that are created, but for dead_letters, which has one (3)
  --replication-factor N     of topics that are created; -1 is the broker's default (-1)
  --retention DURATION       how long they are kept, but for dead_letters, which is kept for ever (168h)
  --materialize-kafka HOST:PORT,...
                             where Materialize finds Kafka; KAFKA_BROKERS if not given
  --cluster NAME             where Materialize runs the program; its default if not given
  --trip-retention INTERVAL  how long Materialize keeps a trip after it arrived (27 hours)
  --wait DURATION            how long to wait for a server that does not answer yet (2m)

The servers are those of the environment:
  KAFKA_BROKERS              host:port, comma-separated (localhost:9092)
  KAFKA_SECURITY_PROTOCOL    PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL (PLAINTEXT)
  KAFKA_SASL_MECHANISM       PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
  KAFKA_USERNAME, KAFKA_PASSWORD
  KAFKA_CA_CERT, KAFKA_CLIENT_CERT, KAFKA_CLIENT_KEY
                             PEM texts
  REDIS_URL                  (redis://localhost:6379; a Redis Cluster as predict -h has it)
  MATERIALIZE_URL            (postgres://materialize@localhost:6875/materialize)
`

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2 // an argument, or a variable of the environment, makes no sense
)

func main() {
	registry.Silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// usageError is a command line or an environment that makes no sense.
type usageError struct{ error }

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	err := setup(ctx, args, getenv, stdout)
	var misused usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case errors.As(err, &misused):
		fmt.Fprintf(stderr, "setup: %v (-h tells more)\n", err)
		return exitUsage
	case err != nil:
		fmt.Fprintln(stderr, "setup:", err)
		return exitFail
	}
	return exitOK
}

func setup(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	// What is wrong with the input is told before anything is changed.
	var steps []step
	for _, s := range []struct {
		name    string
		prepare func(o options, getenv func(string) string, out io.Writer) (step, error)
	}{
		{stepTopics, prepareTopics},
		{stepModels, prepareModels},
		{stepSQL, prepareSQL},
	} {
		if !o.wants(s.name) {
			continue
		}
		ready, err := s.prepare(o, getenv, stdout)
		if err != nil {
			return err
		}
		steps = append(steps, ready)
	}
	for _, s := range steps {
		if err := await(ctx, s, o.wait, stdout); err != nil {
			return err
		}
	}
	return nil
}

// step can be run any number of times. It tells itself what it has done.
type step func(context.Context) error

// notYet is why a server cannot be used, which may be over some seconds later
// without anybody changing anything.
type notYet struct {
	server string
	error
}

func (e notYet) Unwrap() error { return e.error }

// How long await rests before it tries again, from the first time to the last.
const (
	shortRest = 100 * time.Millisecond
	longRest  = 2 * time.Second
)

// await runs a step, and again while a server that it needs is not there yet,
// for so long for each server.
func await(ctx context.Context, s step, wait time.Duration, out io.Writer) error {
	var waitsFor string
	var giveUp time.Time
	rest := shortRest
	for {
		err := s(ctx)
		var reason notYet
		if !errors.As(err, &reason) || ctx.Err() != nil {
			return err
		}
		if reason.server != waitsFor {
			waitsFor, giveUp, rest = reason.server, time.Now().Add(wait), shortRest
			if wait > 0 {
				fmt.Fprintf(out, "waiting up to %s for %s: %v\n", wait, waitsFor, err)
			}
		}
		if time.Now().Add(rest).After(giveUp) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rest):
		}
		rest = min(2*rest, longRest)
	}
}
