// Command coldstart measures what a scaled-to-zero function costs: how long from
// the start of its process to its first answer, how large its binary is, and how
// much memory it holds, with the models of infra/models.yaml in Redis that have
// learned as much as those of a city have.
//
//	coldstart --samples samples.csv.gz
//
// The samples are those of `go run ./local --samples FILE`; without a file labels
// are drawn. Redis is the redis-server of this machine, or an embedded one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tripcast.dev/functions/cmd/internal/process"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

func main() {
	registry.Silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the flags say.
type options struct {
	runs, labels, requests int
	idle                   time.Duration
	samples                string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("coldstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.runs, "runs", 21, "start each function so often")
	flags.IntVar(&o.labels, "labels", 50_000, "teach so many labels before")
	flags.IntVar(&o.requests, "requests", 10_000, "send so many requests between two looks at the memory")
	flags.DurationVar(&o.idle, "idle", 10*time.Second, "wait so long before the memory is called that at rest")
	flags.StringVar(&o.samples, "samples", "", "a `FILE` of labelled trips to teach; drawn ones if empty")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 || o.runs < 1 || o.labels < 1 || o.requests < 1 || o.idle < 0 {
		fmt.Fprintf(stderr, "coldstart: one run, label and request at least, and no arguments: %q\n", args)
		return exitUsage
	}
	if err := measure(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "coldstart:", err)
		return exitFail
	}
	return exitOK
}

func measure(ctx context.Context, o options, stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "coldstart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer store.stop()
	client, err := registry.Open(store.url)
	if err != nil {
		return err
	}
	defer client.Close()
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{MaxBatch: inBatch, MaxWait: time.Minute})
	defer committer.Close(ctx) //nolint:errcheck // what it was given is of this run alone
	school, err := teach(ctx, client, committer, o)
	if err != nil {
		return err
	}
	models, err := registry.List(ctx, client, kinds.All())
	if err != nil {
		return err
	}
	showModels(stdout, store.name, models)

	var results []result
	for _, f := range []function{predicting, learning} {
		binary, err := process.Build(ctx, dir, f.name)
		if err != nil {
			return err
		}
		m := measurement{function: f, binary: binary, redis: store.url, school: school, committer: committer, models: len(models), options: o}
		r, err := m.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		results = append(results, r)
	}
	showResults(stdout, o, results)
	return nil
}
