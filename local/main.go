// Command local is the whole of tripcast in one process: an embedded Kafka and
// Redis, Materialize's stand-in, Knative's sources and sinks, the functions, and
// trips to feed them. Each part can be replaced by the real one with a flag;
// with all of them replaced it is the Knative stand-in alone.
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
	"runtime/pprof"
	"syscall"
	"time"

	"tripcast.dev/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second ctrl-C ends what does not end by itself, but not the same one sent
	// twice, as wrappers such as timeout(1) do.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitLost  = 1 // a part failed, or with --exit-when-done something is missing
	exitUsage = 2
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "local:", err)
		return exitUsage
	}
	out := newScreen(stderr)
	s := &system{options: o, log: newLog(out, o.verbose), screen: out}
	stopProfile, err := profile(o.profile)
	if err != nil {
		fmt.Fprintln(stderr, "local:", err)
		return exitUsage
	}
	report, err := s.run(ctx)
	err = errors.Join(err, stopProfile())
	if report != nil {
		if werr := report.write(o.report, stdout); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if err != nil {
		fmt.Fprintln(out, "local:", err)
		return exitLost
	}
	return exitOK
}

// profile starts a CPU profile, if one is asked for.
func profile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--cpu-profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpu-profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// newLog logs what is wrong, or every event. What goes well is on the screen.
func newLog(out io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
}

// show draws the state until ctx ends: twice a second on a terminal; elsewhere a
// line every few seconds, the first as soon as there is a prediction.
func (s *system) show(ctx context.Context) {
	const redraw, lines = 500 * time.Millisecond, 5 * time.Second
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	before, at, told := int64(0), time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m := s.moment()
		if !s.screen.terminal && (m.counts[events.TopicPredictions] == 0 || time.Since(told) < lines) {
			continue
		}
		m.rate = float64(m.counts[events.TopicLabels]-before) / time.Since(at).Seconds()
		before, at, told = m.counts[events.TopicLabels], time.Now(), time.Now()
		if s.screen.terminal {
			s.screen.draw(m.block())
		} else {
			fmt.Fprintln(s.screen, m.line())
		}
	}
}
