// Command predict serves the predict function over HTTP CloudEvents: features
// in, a prediction of every model out. Its models come from Redis; while Redis
// is away it serves the last ones it has read, and it is ready as long as it may.
package main

import (
	"context"
	"errors"

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve"
)

const usage = `predict serves predictions over HTTP CloudEvents until SIGINT or SIGTERM.

It takes its settings from the environment:
  REDIS_URL        where the models are (redis://localhost:6379)
  MAX_AGE          how far models may be behind Redis (1s)
  MAX_STALE        how long the last models are served while Redis is away (10m)
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8081)
  K_SINK           URL that predictions are posted to, if any
  K_CE_OVERRIDES   {"extensions":{}} to set on them
  K_CA_CERTS       PEM certificates to trust for K_SINK
  LOG_LEVEL        debug, info, warn or error (info)
`

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "predict", Usage: usage, Addr: ":8081", Configure: configure}
}

func configure(e *function.Environment) (func(context.Context) error, error) {
	options := registry.ReaderOptions{Logger: e.Log}
	if err := errors.Join(e.Duration("MAX_AGE", &options.MaxAge), e.Duration("MAX_STALE", &options.MaxStale)); err != nil {
		return nil, err
	}
	reader := registry.NewReader(e.Redis, kinds.All(), options)
	e.Serve.Ready = reader.Ready
	return func(ctx context.Context) error {
		return serve.Run(ctx, predict.New(reader, e.Log), e.Serve)
	}, nil
}
