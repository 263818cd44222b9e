// Command deploy brings tripcast to a Kubernetes cluster with Knative, and takes
// it out again.
//
//	go run ./infra/deploy apply --registry ghcr.io/you/tripcast
//	go run ./infra/deploy diff
//	go run ./infra/deploy delete
//
// What is deployed is one set of objects: the manifests rendered, checked, with
// their images built and named by digest and their Jobs named by content. The
// same sources give the same set, so a second apply changes nothing, diff tells
// the truth, and what is in the cluster and not in the set is from an earlier
// deployment and goes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes. diff has, as diff(1) does, 1 for a difference and 2 for trouble.
const (
	exitOK     = 0
	exitFail   = 1
	exitDiffer = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ctrl-C ends what does not end by itself
	os.Exit(run(ctx, processes{}, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// errDiffers is what diff ends with when something would change.
var errDiffers = errors.New("something would change")

func run(ctx context.Context, by runner, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	o, err := parse(args, getenv, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err == nil {
		err = newDeployment(o, by, stdout, stderr).do(ctx)
	}
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errDiffers) {
		return exitDiffer
	}
	// A line for each thing that is wrong.
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "deploy:", strings.TrimSpace(line))
	}
	var misused usageError
	if errors.As(err, &misused) || o.command == "diff" {
		return exitUsage
	}
	return exitFail
}
