// Command predict serves the predict function over HTTP CloudEvents: features
// in, a prediction of every model out. Its models come from Redis; while Redis
// is away it serves the last ones it has read, and it is ready as long as it may.
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
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

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
	flags := flag.NewFlagSet("predict", flag.ContinueOnError)
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
		fmt.Fprintln(stderr, "predict:", err)
		return exitUsage
	}
	defer s.redis.Close()

	reader := registry.NewReader(s.redis, kinds.All(), s.reader)
	s.serve.Ready = func(ctx context.Context) error {
		models, err := reader.Models(ctx)
		if err != nil {
			return err
		}
		if len(models.Healthy) == 0 {
			return fmt.Errorf("%w: all %d are broken", registry.ErrNoModels, len(models.Broken))
		}
		return nil
	}
	if err := serve.Run(ctx, predict.New(reader, s.serve.Logger), s.serve); err != nil {
		s.serve.Logger.Error("predict failed", "err", err)
		return exitFail
	}
	return exitOK
}

// settings are what the environment says.
type settings struct {
	redis  redis.UniversalClient
	reader registry.ReaderOptions
	serve  serve.Options
}

func parse(getenv func(string) string, stderr io.Writer) (settings, error) {
	var level slog.Level // info
	if text := getenv("LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return settings{}, fmt.Errorf("LOG_LEVEL: %w", err)
		}
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))

	s := settings{reader: registry.ReaderOptions{Logger: log}}
	for name, to := range map[string]*time.Duration{"MAX_AGE": &s.reader.MaxAge, "MAX_STALE": &s.reader.MaxStale} {
		text := getenv(name)
		if text == "" {
			continue
		}
		var err error
		if *to, err = time.ParseDuration(text); err != nil || *to <= 0 {
			return settings{}, fmt.Errorf("%s: %q is not a duration above 0, such as 250ms", name, text)
		}
	}
	var err error
	if s.serve, err = serve.FromEnv(getenv); err != nil {
		return settings{}, err
	}
	s.serve.Name, s.serve.Logger = "predict", log
	if s.serve.Addr == "" {
		s.serve.Addr = ":8081"
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
