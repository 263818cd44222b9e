// Command learn serves the learn function over HTTP CloudEvents: a label in,
// acknowledged once every model has committed it to Redis. On Lambda it takes
// batches of labels off Kafka, each of them one commit.
package main

import (
	"errors"

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

const usage = `learn takes labels over HTTP CloudEvents until SIGINT or SIGTERM, or where
AWS_LAMBDA_RUNTIME_API is set, as it is on Lambda, in batches from a Kafka event source.

learn -ready asks the one that runs with this environment: exit code 0 if it is ready.

It takes its settings from the environment:
  REDIS_URL        where the models are (redis://localhost:6379); a Redis Cluster has more nodes,
                   redis://a:6379?addr=b:6379&addr=c:6379, or says ?cluster=true
  MAX_WAIT         how long a label waits for its commit before it is given back (5s)
  MAX_BATCH        how many labels one commit may hold (256)
  ID_WINDOW        how many labels back a duplicate is recognised, at least (1000000)
  SNAPSHOT_EVERY   how often a model's state is kept, to roll back to (1m)
  SNAPSHOT_COUNT   how many of them are kept; Redis holds each (20)
  SNAPSHOT_AGE     how long, but for the newest two (24h)
  LINEAGE_LENGTH   how many commits of a model are remembered, about (10000)
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8082)
  LOG_LEVEL        debug, info, warn or error (info)
On Lambda it writes dead letters to Kafka itself:
  KAFKA_BROKERS    host:port, comma-separated
  KAFKA_*          as all commands: SECURITY_PROTOCOL, SASL_MECHANISM, USERNAME,
                   PASSWORD, CA_CERT, CLIENT_CERT, CLIENT_KEY
`

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "learn", Usage: usage, Addr: ":8082", Configure: configure}
}

func configure(e *function.Environment) (function.Function, error) {
	options := registry.CommitterOptions{Logger: e.Log}
	err := errors.Join(
		e.Duration("MAX_WAIT", &options.MaxWait), e.Count("MAX_BATCH", &options.MaxBatch), e.Commits(&options),
	)
	if err != nil {
		return function.Function{}, err
	}
	committer := registry.NewCommitter(e.Redis, kinds.All(), options)
	e.Serve.Sink = "" // its answer is for whoever asks: nothing waits for it downstream
	return function.Function{Handler: learn.New(committer), Ready: committer.Ready, Close: committer.Close}, nil
}
