// Command local is the whole of tripcast in one process: an embedded Kafka and
// Redis, Materialize's stand-in, Knative's sources and sinks, the functions, and
// trips to feed them. Each part can be replaced by the real one with a flag;
// with all of them replaced it is the Knative stand-in alone. The parts that are
// nowhere else, broker, stream and eventing, also run alone, each as a command.
// Others record events, replay them, and backtest models on them.
//
// It reads the same sql/, infra/knative and infra/models.yaml that are deployed.
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

	"tripcast.dev/functions/registry"
)

func main() {
	registry.Silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second ctrl-C ends what does not end by itself, but not the same one sent
	// twice, as wrappers such as timeout(1) do.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(run(ctx, invocation{os.Args[1:], os.Getenv, os.Stdout, os.Stderr}))
}

// Exit codes.
const (
	exitOK    = 0
	exitLost  = 1 // a part failed, or something that was asked for is missing
	exitUsage = 2
)

// invocation is what the command is run with.
type invocation struct {
	args           []string
	getenv         func(string) string
	stdout, stderr io.Writer
}

// usageError is a mistake in the arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func run(ctx context.Context, in invocation) int {
	command := whole
	if len(in.args) > 0 {
		if named := commandNamed(in.args[0]); named != nil {
			command, in.args = named, in.args[1:]
		}
	}
	err := command(ctx, in)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, new(usageError)):
		fmt.Fprintln(in.stderr, "local:", err)
		return exitUsage
	default:
		fmt.Fprintln(in.stderr, "local:", err)
		return exitLost
	}
}

// commandNamed is nil for what is no command's name.
func commandNamed(name string) func(context.Context, invocation) error {
	switch name {
	case "broker":
		return brokerAlone
	case "stream":
		return streamAlone
	case "eventing":
		return eventingAlone
	case "watch":
		return watch
	case "health":
		return health
	case "record":
		return recordCommand
	case "replay":
		return replayCommand
	case "backtest":
		return backtestCommand
	}
	return nil
}

// whole runs the whole system.
func whole(ctx context.Context, in invocation) error {
	o, err := parse(in)
	if err != nil {
		return err
	}
	stopProfile, err := profileCPU(o.cpuProfile)
	if err != nil {
		return usageError{err}
	}
	report, err := newSystem(o, in.stderr).run(ctx)
	err = errors.Join(err, stopProfile())
	if report != nil {
		err = errors.Join(err, report.write(o.report, in.stdout))
	}
	return err
}

// newLog logs what is wrong, or every event. What goes well is on the screen.
func newLog(out io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
}
