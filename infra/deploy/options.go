package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const usage = `usage: deploy [flags] apply|diff|delete

  apply    bring tripcast to the cluster: build the images, apply the manifests,
           delete what an earlier apply brought and this one does not have
  diff     show what apply would change; exit code 1 if it would change something
  delete   take tripcast out of the cluster again

Run it in the root of the repository. Flags:

`

// options is the command line.
type options struct {
	command    string
	overlay    string // the folder
	registry   string
	platforms  string
	context    string
	kubeconfig string
	timeout    time.Duration
	wait       bool
	everything bool
}

// overlays is where those lie that are named by their name alone.
const overlays = "infra/knative/overlays"

func parse(args []string, getenv func(string) string, help io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.overlay, "overlay", "try-out", "`NAME` of a folder of "+overlays+", or a folder: try-out brings Redpanda, Materialize and Redis, production is told by Secrets where they are")
	flags.StringVar(&o.registry, "registry", getenv("KO_DOCKER_REPO"), "where the images go, such as ghcr.io/you/tripcast, or kind.local for a kind cluster ($KO_DOCKER_REPO)")
	flags.StringVar(&o.platforms, "platform", "", "build for these platforms, such as linux/amd64 (those of .ko.yaml)")
	flags.StringVar(&o.context, "context", "", "the context of the kubeconfig (its current one)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "the kubeconfig `file` (kubectl's)")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long the cluster may take to delete, and with --wait to get ready")
	flags.BoolVar(&o.wait, "wait", false, "apply: wait until all of it is ready and the Jobs that end have ended")
	flags.BoolVar(&o.everything, "everything", false, "delete: the namespace also if it holds what deploy has not made, such as your Secrets")

	// Flags may stand on either side of the command.
	var words []string
	for rest := args; ; {
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, usage)
			flags.SetOutput(help)
			flags.PrintDefaults()
			return o, err
		} else if err != nil {
			return o, usageError{err}
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
		rest = flags.Args()[1:]
	}
	if len(words) != 1 {
		return o, usageError{fmt.Errorf("wants one command, apply, diff or delete: got %q", words)}
	}
	o.command = words[0]
	return o, o.complete()
}

// complete finds the overlay and refuses what cannot work.
func (o *options) complete() error {
	switch o.command {
	case "apply", "diff", "delete":
	default:
		return usageError{fmt.Errorf("%q is not a command: apply, diff and delete are", o.command)}
	}
	if !strings.ContainsRune(o.overlay, filepath.Separator) {
		o.overlay = filepath.Join(overlays, o.overlay)
	}
	if stat, err := os.Stat(o.overlay); err != nil || !stat.IsDir() {
		if _, err := os.Stat(overlays); err != nil {
			return usageError{fmt.Errorf("there is no %s here: deploy runs in the root of the repository", overlays)}
		}
		return usageError{fmt.Errorf("--overlay: %s is not a folder: %s", o.overlay, choices())}
	}
	if o.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout: %v is no time to wait", o.timeout)}
	}
	return nil
}

// choices lists the overlays that there are.
func choices() string {
	entries, _ := os.ReadDir(overlays) // it was there a moment ago
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return "there are " + strings.Join(names, ", ")
}
