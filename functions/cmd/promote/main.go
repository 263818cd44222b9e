// Command promote serves the promote function over HTTP CloudEvents: a proposal
// in, and the champion is another one, or not. On Lambda it takes proposals off
// Kafka.
package main

import (
	"errors"

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/promote"
)

const usage = `promote takes proposals over HTTP CloudEvents until SIGINT or SIGTERM, or where
AWS_LAMBDA_RUNTIME_API is set, as it is on Lambda, from a Kafka event source. It
makes no champion where the catalogue does not say promotion: automatic.

promote -ready asks the one that runs with this environment: exit code 0 if it is ready.

It takes its settings from the environment:
  REDIS_URL        where the models are (redis://localhost:6379)
  MARGIN_PERCENT   by how much the champion's error has to be larger, 1 at least (5)
  MIN_LABELS       how many labels a model has to have learned, 1 at least (1000)
  STREAK           for how many judged hours in a row (3)
  HOLD             how long a champion stays, by the clock of the events (2h)
  HAND_HOLD        how long one stays that somebody has promoted (24h)
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8084)
  LOG_LEVEL        debug, info, warn or error (info)
On Lambda it writes dead letters to Kafka itself:
  KAFKA_BROKERS    host:port, comma-separated
  KAFKA_*          as all commands: SECURITY_PROTOCOL, SASL_MECHANISM, USERNAME,
                   PASSWORD, CA_CERT, CLIENT_CERT, CLIENT_KEY
`

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "promote", Usage: usage, Addr: ":8084", Configure: configure}
}

func configure(e *function.Environment) (function.Function, error) {
	options := promote.Options{Logger: e.Log}
	var percent, labels int
	err := errors.Join(
		e.Count("MARGIN_PERCENT", &percent), e.Count("MIN_LABELS", &labels), e.Count("STREAK", &options.Streak),
		e.Duration("HOLD", &options.Hold), e.Duration("HAND_HOLD", &options.HandHold),
	)
	if err != nil {
		return function.Function{}, err
	}
	options.Margin, options.MinLabels = float64(percent)/100, uint64(labels)
	e.Serve.Sink = "" // its answer is for whoever asks: nothing waits for it downstream
	models := promote.NewRedis(e.Redis, kinds.All())
	return function.Function{Handler: promote.New(models, options), Ready: models.Ready}, nil
}
