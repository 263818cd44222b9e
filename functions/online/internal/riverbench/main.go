// Command riverbench sets ours beside the real River: it installs River 0.13.0
// and 0.26.1 in throw-away virtual environments and runs both on the same events.
//
//	riverbench [bench] [--only MODEL,...] [--markdown FILE]   # time and state, one core
//	riverbench prequential --samples FILE [--models FILE]     # errors on recorded trips
//	riverbench backtest --tripcast BINARY --trips FILE        # the same trips through both, timed
//	riverbench golden [FAMILY ...]                            # write the golden vectors anew
//	riverbench venv VERSION                                   # print the Python that has it
//
// The environments are .task/river-VERSION in the module's folder. They take
// Python 3.11 and, for 0.13.0, Rust's cargo and a C compiler.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "riverbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	stderr = &shared{w: stderr}
	b := bench{root: root, envs: environments{folder: filepath.Join(root, ".task"), log: stderr}, again: time.Second, stdout: stdout, stderr: stderr}
	command := "bench"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	switch command {
	case "bench":
		return b.speed(ctx, args)
	case "prequential":
		return b.prequential(ctx, args)
	case "backtest":
		return b.backtest(ctx, args)
	case "golden":
		return b.golden(ctx, args)
	case "venv":
		if len(args) != 1 {
			return errors.New("venv wants a version")
		}
		python, err := b.envs.python(ctx, args[0])
		if err == nil {
			fmt.Fprintln(stdout, python)
		}
		return err
	}
	return fmt.Errorf("%q is not a command: bench, prequential, backtest, golden, venv", command)
}

// bench is what the commands have in common.
type bench struct {
	root           string
	envs           environments
	again          time.Duration // how long to begin runs of what takes less
	stdout, stderr io.Writer     // stderr is written to by several at once
}

// shared is a writer that several write to.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// moduleRoot is the nearest folder upwards that has a go.mod.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := folder; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is in no Go module", folder)
		}
	}
}
