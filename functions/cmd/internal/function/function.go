// Package function is what the mains of predict, learn, promote and monitor have in
// common: they are told everything by their environment, have their models in
// Redis, and serve until a signal. It is the environment, too, that says whether
// Knative posts them events or Lambda gives them batches of Kafka records.
package function

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/cmd/internal/settings"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve"
	"tripcast.dev/functions/serve/lambda"
)

// Exit codes.
const (
	ExitOK    = 0
	ExitFail  = 1
	ExitUsage = 2 // an argument, or a variable of the environment, makes no sense
)

// Main is the main of one function.
type Main struct {
	Name  string
	Usage string // what -h prints
	Addr  string // where it listens if the environment does not say
	// Configure reads what is the function's own from the environment.
	Configure func(*Environment) (Function, error)
}

// Function is what a main is about.
type Function struct {
	Handler serve.Handler
	// Ready reports whether it can handle events now.
	Ready func(context.Context) error
	// Serve is for what takes no events: it serves on the listener until ctx is
	// done, readiness included, in place of all the rest here.
	Serve func(ctx context.Context, l net.Listener) error
	// Topic takes the events that the handler returns where Lambda runs it, for
	// want of a K_SINK. Empty for none.
	Topic string
	// Close finishes what was accepted, until its context is done. Nil where
	// there is nothing to finish.
	Close func(context.Context) error
}

// Environment is what every function is told.
type Environment struct {
	Redis                redis.UniversalClient // REDIS_URL
	Serve                serve.Options         // those of serve.FromEnv, with the name and the log
	Log                  *slog.Logger          // LOG_LEVEL
	settings.Environment                       // whatever else it has
}

// Exec runs the process and does not return. The first SIGINT or SIGTERM asks it
// to finish, one that comes a second later or more ends it at once: wrappers such
// as timeout(1) send the first twice.
func (m Main) Exec() {
	registry.Silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(m.Run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// Run is Exec but for the process: it returns the exit code when ctx is done and
// what was accepted is finished.
func (m Main) Run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	flags := flag.NewFlagSet(m.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, m.Usage) }
	ready := flags.Bool("ready", false, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return ExitOK
	} else if err != nil {
		return ExitUsage
	}
	misused := func(err error) int {
		fmt.Fprintf(stderr, "%s: %v\n", m.Name, err)
		tellLambda(ctx, getenv, stderr, err)
		return ExitUsage
	}
	if flags.NArg() > 0 {
		return misused(fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if *ready {
		if err := m.askReady(ctx, getenv); err != nil {
			fmt.Fprintf(stderr, "%s is not ready: %v\n", m.Name, err)
			return ExitFail
		}
		return ExitOK
	}
	env, err := m.environment(getenv, stderr)
	if err != nil {
		return misused(err)
	}
	defer env.Redis.Close()
	f, err := m.Configure(env)
	if err != nil {
		return misused(err)
	}
	serve := m.serve
	switch {
	case f.Serve != nil:
		serve = listen
	case getenv(lambda.EnvRuntimeAPI) != "":
		serve = m.serveLambda
	}
	if err := errors.Join(serve(ctx, env, f), f.close(ctx)); err != nil {
		env.Log.Error(m.Name+" failed", "err", err)
		return ExitFail
	}
	return ExitOK
}

// serve takes events over HTTP.
func (m Main) serve(ctx context.Context, e *Environment, f Function) error {
	e.Serve.Ready = f.Ready
	return serve.Run(ctx, f.Handler, e.Serve)
}

// listen leaves it to the function what it takes.
func listen(ctx context.Context, e *Environment, f Function) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", e.Serve.Addr)
	if err != nil {
		return fmt.Errorf("%w: LISTEN_ADDRESS or PORT moves it", err) // it says "listen tcp" and the address
	}
	return f.Serve(ctx, l)
}

// close finishes what was accepted: whatever still waits then was given back
// when its request ended.
func (f Function) close(ctx context.Context) error {
	if f.Close == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return f.Close(ctx)
}

func (m Main) environment(getenv func(string) string, stderr io.Writer) (*Environment, error) {
	var level slog.Level // info
	if text := getenv("LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("LOG_LEVEL: %w", err)
		}
	}
	e := &Environment{Log: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})), Environment: getenv}
	var err error
	if e.Serve, err = serve.FromEnv(getenv); err != nil {
		return nil, err
	}
	e.Serve.Name, e.Serve.Logger = m.Name, e.Log
	if e.Serve.Addr == "" {
		e.Serve.Addr = m.Addr
	}
	url := getenv("REDIS_URL")
	if url == "" {
		url = registry.DefaultURL
	}
	if e.Redis, err = registry.Open(url); err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	return e, nil
}

// Get is a variable as it is, empty if it is not set.
func (e *Environment) Get(name string) string { return e.Environment(name) }
