// Command monitor serves the dashboard: what the system does and what its models
// learn, as it happens. It starts whatever is away, shows that, and goes on when
// it is back.
package main

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/monitor"
	"tripcast.dev/functions/online/kinds"
)

const usage = `monitor serves the dashboard over HTTP until SIGINT or SIGTERM.

monitor -ready asks the one that runs with this environment: exit code 0 if it serves.

It takes its settings from the environment:
  MATERIALIZE_URL  where the views are (postgres://materialize@localhost:6875/materialize)
  REDIS_URL        where the models are (redis://localhost:6379); a Redis Cluster has more nodes,
                   redis://a:6379?addr=b:6379&addr=c:6379, or says ?cluster=true
  KAFKA_BROKERS    where a trip's events and the dead letters are:
                   host:port, comma-separated (localhost:9092)
  KAFKA_*          as all commands: SECURITY_PROTOCOL, SASL_MECHANISM, USERNAME,
                   PASSWORD, CA_CERT, CLIENT_CERT, CLIENT_KEY
  MONITOR_TOKEN    who knows it may promote models and roll them back, 16 characters
                   or more; without one the dashboard is read-only
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8501)
  LOG_LEVEL        debug, info, warn or error (info)
None of the servers has to be there when it starts.
`

const defaultMaterialize = "postgres://materialize@localhost:6875/materialize"

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "monitor", Usage: usage, Addr: ":8501", Configure: configure}
}

func configure(e *function.Environment) (function.Function, error) {
	connection, err := kafka.FromEnv(e.Get)
	if err != nil {
		return function.Function{}, err
	}
	o := monitor.Options{
		Database:     cmp.Or(e.Get("MATERIALIZE_URL"), defaultMaterialize),
		Redis:        e.Redis,
		Kinds:        kinds.All(),
		Brokers:      connection.Brokers,
		KafkaOptions: connection.Options(),
		Token:        e.Get("MONITOR_TOKEN"),
		Log:          e.Log,
	}
	if err := monitor.CheckDatabase(o.Database); err != nil {
		return function.Function{}, fmt.Errorf("MATERIALIZE_URL: %w", err)
	}
	if err := monitor.CheckToken(o.Token); err != nil {
		return function.Function{}, fmt.Errorf("MONITOR_TOKEN: %w", err)
	}
	return function.Function{Serve: func(ctx context.Context, l net.Listener) error { return monitor.Run(ctx, l, o) }}, nil
}
