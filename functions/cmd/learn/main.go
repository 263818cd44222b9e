// Command learn serves the learn function over HTTP CloudEvents: a label in,
// acknowledged once every model has committed it to Redis.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

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

func main() {
	redis.SetLogger(silence{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	flags := flag.NewFlagSet("learn", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	s, err := parse(getenv, stderr)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(stderr, "learn:", err)
		return exitUsage
	}
	defer s.redis.Close()

	committer := registry.NewCommitter(s.redis, kinds.All(), s.committer)
	s.serve.Ready = committer.Ready
	served := serve.Run(ctx, learn.New(committer), s.serve)

	// Whatever still waits was given back when its request ended.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := errors.Join(served, committer.Close(closing)); err != nil {
		s.serve.Logger.Error("learn failed", "err", err)
		return exitFail
	}
	return exitOK
}

// settings are what the environment says.
type settings struct {
	redis     redis.UniversalClient
	committer registry.CommitterOptions
	serve     serve.Options
}

func parse(getenv func(string) string, stderr io.Writer) (settings, error) {
	var level slog.Level // info
	if text := getenv("LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return settings{}, fmt.Errorf("LOG_LEVEL: %w", err)
		}
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))

	s := settings{committer: registry.CommitterOptions{Logger: log}}
	var err error
	if text := getenv("MAX_WAIT"); text != "" {
		if s.committer.MaxWait, err = time.ParseDuration(text); err != nil || s.committer.MaxWait <= 0 {
			return settings{}, fmt.Errorf("MAX_WAIT: %q is not a duration above 0, such as 5s", text)
		}
	}
	for name, to := range map[string]*int{"MAX_BATCH": &s.committer.MaxBatch, "ID_WINDOW": &s.committer.Window} {
		text := getenv(name)
		if text == "" {
			continue
		}
		if *to, err = strconv.Atoi(text); err != nil || *to <= 0 {
			return settings{}, fmt.Errorf("%s: %q is not a whole number above 0", name, text)
		}
	}
	if s.serve, err = serve.FromEnv(getenv); err != nil {
		return settings{}, err
	}
	s.serve.Name, s.serve.Logger = "learn", log
	s.serve.Sink = "" // its answer is for whoever asks: nothing waits for it downstream
	if s.serve.Addr == "" {
		s.serve.Addr = ":8082"
	}
	url := getenv("REDIS_URL")
	if url == "" {
		url = "redis://localhost:6379"
	}
	if s.redis, err = registry.Open(url); err != nil {
		return settings{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	return s, nil
}

// silence drops what the Redis client says on its own: whoever gets the error
// of a command logs it.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
