// Command predict serves the predict function over HTTP CloudEvents: features
// in, a prediction of every model out. Its models come from Redis; while Redis
// is away it serves the last ones it has read, and it is ready as long as it may.
// On Lambda it takes batches of features off Kafka and writes its predictions there.
package main

import (
	"context"
	"errors"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
)

const usage = `predict serves predictions over HTTP CloudEvents until SIGINT or SIGTERM, or where
AWS_LAMBDA_RUNTIME_API is set, as it is on Lambda, to batches from a Kafka event source.

predict -ready asks the one that runs with this environment: exit code 0 if it is ready.

It takes its settings from the environment:
  REDIS_URL        where the models are (redis://localhost:6379); a Redis Cluster has more nodes,
                   redis://a:6379?addr=b:6379&addr=c:6379, or says ?cluster=true
  MAX_AGE          how far models may be behind Redis (1s)
  MAX_STALE        how long the last models are served while Redis is away (10m)
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8081)
  K_SINK           URL that predictions are posted to, if any; on Knative (K_SERVICE is set)
                   it is not ready without
  K_CE_OVERRIDES   {"extensions":{}} to set on them
  K_CA_CERTS       PEM certificates to trust for K_SINK
  LOG_LEVEL        debug, info, warn or error (info)
On Lambda it writes predictions and dead letters to Kafka itself, and K_* mean nothing:
  KAFKA_BROKERS    host:port, comma-separated
  KAFKA_*          as all commands: SECURITY_PROTOCOL, SASL_MECHANISM, USERNAME,
                   PASSWORD, CA_CERT, CLIENT_CERT, CLIENT_KEY
`

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "predict", Usage: usage, Addr: ":8081", Configure: configure}
}

func configure(e *function.Environment) (function.Function, error) {
	options := registry.ReaderOptions{Logger: e.Log}
	if err := errors.Join(e.Duration("MAX_AGE", &options.MaxAge), e.Duration("MAX_STALE", &options.MaxStale)); err != nil {
		return function.Function{}, err
	}
	reader := registry.NewReader(e.Redis, kinds.All(), options)
	ready := reader.Ready
	if e.Get("K_SERVICE") != "" && e.Serve.Sink == "" {
		ready = func(context.Context) error { return errNoSink }
	}
	return function.Function{Handler: predict.New(reader, e.Log), Ready: ready, Topic: events.TopicPredictions}, nil
}

// errNoSink is why predict is not ready on Knative as long as its SinkBinding has
// not told it a sink: its callers there throw the answer away, so that every
// prediction would be acknowledged and lost.
var errNoSink = errors.New("K_SINK is not set: the SinkBinding of this Service has no sink yet, or there is none (kubectl get sinkbinding,kafkasink)")
