// Command learn serves the learn function over HTTP CloudEvents: a label in,
// acknowledged once every model has committed it to Redis.
package main

import (
	"context"
	"errors"
	"time"

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve"
)

const usage = `learn takes labels over HTTP CloudEvents until SIGINT or SIGTERM.

It takes its settings from the environment:
  REDIS_URL        where the models are (redis://localhost:6379)
  MAX_WAIT         how long a label waits for its commit before it is given back (5s)
  MAX_BATCH        how many labels one commit may hold (256)
  ID_WINDOW        how many labels back a duplicate is recognised, at least (1000000)
  LISTEN_ADDRESS   host:port to listen on, or else PORT (:8082)
  LOG_LEVEL        debug, info, warn or error (info)
`

func main() { command().Exec() }

func command() function.Main {
	return function.Main{Name: "learn", Usage: usage, Addr: ":8082", Configure: configure}
}

func configure(e *function.Environment) (func(context.Context) error, error) {
	options := registry.CommitterOptions{Logger: e.Log}
	err := errors.Join(
		e.Duration("MAX_WAIT", &options.MaxWait), e.Count("MAX_BATCH", &options.MaxBatch), e.Count("ID_WINDOW", &options.Window),
	)
	if err != nil {
		return nil, err
	}
	committer := registry.NewCommitter(e.Redis, kinds.All(), options)
	e.Serve.Ready = committer.Ready
	e.Serve.Sink = "" // its answer is for whoever asks: nothing waits for it downstream
	return func(ctx context.Context) error {
		served := serve.Run(ctx, learn.New(committer), e.Serve)
		// Whatever still waits was given back when its request ended.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return errors.Join(served, committer.Close(closing))
	}, nil
}
