package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/sql"
)

const (
	envMaterialize     = "MATERIALIZE_URL"
	defaultMaterialize = "postgres://materialize@localhost:6875/materialize"

	connectTimeout = 5 * time.Second
)

func prepareSQL(o options, getenv func(string) string, out io.Writer) (step, error) {
	connection, err := kafkaFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	dsn := getenv(envMaterialize)
	if dsn == "" {
		dsn = defaultMaterialize
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", envMaterialize, err)}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	m := materialize{config: config, kafka: connection, brokers: connection.Brokers}
	if o.materializeKafka != nil {
		m.brokers = o.materializeKafka
	}
	variables := sql.Defaults()
	variables["kafka_broker"] = m.brokers[0]
	if m.program, err = sql.Load(sql.Files(), variables); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		// Materialize would say it less clearly, and make the topics of its sinks itself.
		topics := slices.DeleteFunc(events.Topics(), func(t string) bool { return t == events.TopicDeadLetters })
		if err := check(ctx, connection, topics...); err != nil {
			return err
		}
		if err := m.apply(ctx); err != nil {
			return err
		}
		fmt.Fprintf(out, "sql: %d statements, in Materialize at %s\n", len(m.program), m.address())
		return nil
	}, nil
}

// materialize is a server and what it is given.
type materialize struct {
	config  *pgx.ConnConfig
	kafka   kafka.Connection
	brokers []string // as Materialize sees them
	program []sql.Statement
}

func (m materialize) address() string {
	return net.JoinHostPort(m.config.Host, strconv.Itoa(int(m.config.Port)))
}

func (m materialize) apply(ctx context.Context) error {
	db, err := pgx.ConnectConfig(ctx, m.config)
	if err != nil {
		return m.explain(err)
	}
	defer db.Close(context.WithoutCancel(ctx))
	if m.kafka.Protocol != kafka.Plaintext {
		if err := m.connection().Apply(ctx, db); err != nil {
			return m.refused(err)
		}
	}
	if err := sql.Apply(ctx, db, m.program); err != nil {
		return m.refused(err)
	}
	return nil
}

// connection is the one that takes the place of the program's, which has
// neither TLS nor users.
func (m materialize) connection() sql.Connection {
	connection := sql.Connection(m.kafka)
	connection.Brokers = m.brokers
	return connection
}

// explain makes one line of why there is no connection to Materialize. Codes are
// those of Postgres.
func (m materialize) explain(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return m.unreachable(err)
	}
	switch {
	case strings.HasPrefix(answer.Code, "28"): // invalid authorization
		return fmt.Errorf("materialize: %s refuses user %s with the password of %s: %s", m.address(), m.config.User, envMaterialize, answer.Message)
	case strings.HasPrefix(answer.Code, "3D"): // invalid catalog name
		return fmt.Errorf("materialize: %s has no database %s, which %s names: %s", m.address(), m.config.Database, envMaterialize, answer.Message)
	case strings.HasPrefix(answer.Code, "57P"): // starting, or going down
		return notYet{"Materialize", fmt.Errorf("materialize: %s is not ready: %s", m.address(), answer.Message)}
	}
	return fmt.Errorf("materialize: %s refuses the connection: %s (%s)", m.address(), answer.Message, answer.Code)
}

// unreachable is a server that gave no answer of Postgres's.
func (m materialize) unreachable(err error) error {
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return fmt.Errorf("materialize: %s has no TLS, which %s wants: sslmode=disable goes without", m.address(), envMaterialize)
	}
	return notYet{"Materialize", unreachable("materialize", m.address(), err)}
}

// refused is a statement that Materialize does not take. The error of package
// sql names the place of it.
func (m materialize) refused(err error) error {
	err = fmt.Errorf("materialize at %s: %w", m.address(), err)
	var answer *pgconn.PgError
	switch {
	case !errors.As(err, &answer):
		return notYet{"Materialize", err} // the connection broke
	case withoutHeaders(answer):
		return fmt.Errorf("%w: the headers of sinks are switched off, and without them no record is a CloudEvent: "+
			"start Materialize with MZ_SYSTEM_PARAMETER_DEFAULT=enable_kafka_sink_headers=true, "+
			"or say ALTER SYSTEM SET enable_kafka_sink_headers = true as mz_system, on port 6877", err)
	}
	return err
}

// withoutHeaders reports whether a statement was refused because HEADERS of
// sinks is behind a switch, which is off by default.
func withoutHeaders(answer *pgconn.PgError) bool {
	said := strings.ToLower(answer.Message + " " + answer.Detail + " " + answer.Hint)
	return strings.Contains(said, "headers") && strings.Contains(said, "not ")
}
