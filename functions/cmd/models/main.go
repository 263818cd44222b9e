// Command models looks after the models in Redis.
//
//	models apply infra/models.yaml    # make this the list of models, without a restart of anything
//	models warm-up NAME               # teach a new model the labels of before, and let it go on with the live ones
//	models list [--json]              # what each has learned
//	models show NAME                  # what a model has learned, as text or as a picture
//	models diff NAME 7                # what has changed since a version, or between two models
//	models history NAME               # how a model came about, and what it can go back to
//	models promote NAME               # make it the champion
//	models rollback NAME VERSION      # go back to a snapshot, or to any version with --rebuild
//	models export NAME                # a version of it as a file
//	models import FILE                # and here, or in another Redis, as its next version
//	models audit                      # who promoted and rolled back what, and why
//	models rebuild NAME               # make a model again from its labels, and compare it, bit for bit
//	models evaluate --samples FILE    # how each would have done on recorded trips
//
// All but the last find Redis at --redis or $REDIS_URL, redis://localhost:6379 if
// neither is given; rebuild and warm-up find Kafka as the functions
// do, at $KAFKA_BROKERS.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// command is what the first word of a command line names.
type command struct {
	name  string
	usage string // lines of text, its arguments first
	// stands is what is left where it is interrupted, unless it says so itself.
	stands string
	// redis is set where it needs one. It is then there, though perhaps not answering.
	redis bool
	do    func(context.Context, console, []string) error
}

// What is left of a command that was interrupted.
const (
	nothingChanged = "nothing was changed"
	doneOrNot      = "it was done as a whole or not at all, models audit says which"
	again          = "run it again: it goes on from where it was"
)

// console is where a command finds what it needs, and where it says what it has done.
type console struct {
	client         redis.UniversalClient // nil for a command that needs none
	getenv         func(string) string
	stdout, stderr io.Writer
}

// everyCommand is all there are, in the order of the usage.
func everyCommand() []command {
	return []command{
		{"apply", `FILE [--warm-up] [--restart NAME,...] [--by WHO] [--reason WHY] [--json]
make the models of this YAML file the ones that are served and taught.
With --warm-up shadows that have learned nothing wait for their warm-up,
and live labels do not teach them. --restart lets models begin anew, as
they must if they have changed: what they were is kept as a snapshot, and
they wait for their warm-up`, "models list shows the catalogue that is followed, run it again to have this one", true, apply},
		{"warm-up", `NAME [--from-nothing | --abandon] [--batch 256] [--by WHO] [--reason WHY] [--json]
teach a model the labels of Kafka from the first on, and let it go on with
live labels exactly where they end. It may be interrupted, and goes on when
it is run again. A model that has learned live is taught --from-nothing.
--abandon lets it go on with live labels from now on, as it is: it does not
learn those between`, again, true, warmUp},
		{"list", `[--json]
list the models and what they have learned`, nothingChanged, true, list},
		{"show", `NAME [--version VERSION] [--depth 6] [--rows 20] [--svg FILE] [--json]
show where a model is, or a snapshot of it, and what it has learned: counts,
coefficients the largest first, trees as far down as --depth, 0 for all;
--svg draws its trees. --json has all of it, however deep`, nothingChanged, true, show},
		{"diff", `NAME VERSION [VERSION] | NAME NAME [--rows 20] [--json]
show what two snapshots of a model, or what two models have not in common;
"now" is the version where it is, and the second one that is not given`, nothingChanged, true, diff},
		{"history", `NAME [--limit 20] [--json]
show a model's snapshots and its newest commits`, nothingChanged, true, history},
		{"promote", `NAME [--expect CHAMPION] [--by WHO] [--reason WHY] [--json]
make a model the champion, if it still is the one that is expected`, doneOrNot, true, promote},
		{"rollback", `NAME VERSION [--rebuild [--labels FILE]] [--expect VERSION] [--by WHO] [--reason WHY] [--json]
make the state of a snapshot the model's next version, if it is still
at the version that is expected; labels it has learned stay learned.
With --rebuild it is any version, made again as rebuild does`, doneOrNot, true, rollback},
		{"export", `NAME [--version VERSION] [--out FILE] [--force] [--json]
write where a model is, or a snapshot of it, to a file that has all of it,
NAME-VERSION.model if it is not given. A file that is there is replaced
with --force only`, "no file was written", true, export},
		{"import", `FILE [--as NAME] [--expect VERSION] [--by WHO] [--reason WHY] [--json]
make what was exported the next version of the model of its name, or of
another that has its specification; what is here can be gone back to`, doneOrNot, true, importFile},
		{"audit", `[--limit 20] [--json]
show what was promoted, rolled back, imported and applied, by whom and why`, nothingChanged, true, audit},
		{"rebuild", `NAME [--to-version VERSION | --to-label ID] [--from-nothing] [--labels FILE] [--out FILE] [--force] [--json]
make a model again from the labels it has learned, in their order, as it
is now, was at a version, or was right after a label: from the nearest
snapshot before, or from nothing, with the labels of a recording or else
of Kafka. Where it is not what it was, bit for bit, the exit code is 1.
--out writes its state, --force over a file that is there. The labels are
held in memory, about 850 bytes each with 13 features`, nothingChanged, true, rebuild},
		{"evaluate", `--samples FILE [--models infra/models.yaml] [--only NAME,...] [--json]
judge models that have learned nothing on the trips of this file, each
label learned when its trip ended, the best first; it needs no Redis`, nothingChanged, false, judge},
	}
}

// usage says how to call them.
func usage() string {
	var b strings.Builder
	b.WriteString("usage: models [--redis URL] COMMAND\n\n")
	for _, c := range everyCommand() {
		c.write(&b)
	}
	b.WriteString(`
Redis is at --redis or $REDIS_URL, redis://localhost:6379 if neither is given; a Redis
Cluster is redis://a:6379?addr=b:6379, or says ?cluster=true. Kafka is at $KAFKA_BROKERS,
localhost:9092 if it is not given; $KAFKA_SECURITY_PROTOCOL and the others say how to reach
it. What learn is told by $ID_WINDOW, $SNAPSHOT_EVERY, $SNAPSHOT_COUNT, $SNAPSHOT_AGE and
$LINEAGE_LENGTH, warm-up wants to know, too. WHO is the user that runs this if it is not given.
FILE may be - where one is written: it is stdout, and the text goes to stderr.

Exit codes: 0 it is done, 1 it failed, or what was compared differs, 2 the command line makes
no sense, 130 it was interrupted.
`)
	return b.String()
}

// write adds what the usage has of a command.
func (c command) write(b *strings.Builder) {
	arguments, text, _ := strings.Cut(c.usage, "\n")
	fmt.Fprintf(b, "  %s %s\n", c.name, arguments)
	for line := range strings.Lines(text + "\n") {
		b.WriteString("                  " + line)
	}
}

// briefly is how to call one command, or which there are if it has no name.
func (c command) briefly() string {
	var b strings.Builder
	b.WriteString("usage: models [--redis URL] COMMAND\n\n")
	if c.name == "" {
		var names []string
		for _, c := range everyCommand() {
			names = append(names, c.name)
		}
		fmt.Fprintf(&b, "  %s\n", strings.Join(names, ", "))
	} else {
		c.write(&b)
	}
	b.WriteString("\nmodels -h lists all\n")
	return b.String()
}

// Exit codes.
const (
	exitOK          = 0
	exitFail        = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it
)

func main() {
	registry.Silence()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// cutShort is a command that was interrupted and knows what is left of it.
type cutShort struct {
	error
	stands string
}

// Unwrap is where it was interrupted.
func (c cutShort) Unwrap() error { return c.error }

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	named, err := dispatch(ctx, args, console{getenv: getenv, stdout: stdout, stderr: stderr})
	return finish(ctx, named, err, stdout, stderr)
}

// finish says how a command has ended, and returns the exit code of that.
func finish(ctx context.Context, named command, err error, stdout, stderr io.Writer) int {
	var misused usageError
	var differs *registry.DifferenceError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		if named.name == "" {
			fmt.Fprint(stdout, usage())
		} else {
			fmt.Fprint(stdout, named.briefly())
		}
		return exitOK
	case errors.As(err, &misused):
		fmt.Fprintf(stderr, "models: %v\n\n%s", err, named.briefly())
		return exitUsage
	case ctx.Err() != nil && !errors.As(err, &differs):
		// What failed for it is no news, and is one thing or another by chance.
		short := cutShort{stands: named.stands}
		errors.As(err, &short)
		fmt.Fprintf(stderr, "models: interrupted: %s\n", short.stands)
		return exitInterrupted
	case errors.Is(err, registry.ErrNoModels):
		err = fmt.Errorf("%w: models apply infra/models.yaml applies one", err)
	}
	fmt.Fprintln(stderr, "models:", err)
	return exitFail
}

// dispatch does what the first word says, and returns which command that is: one
// without a name if it is none.
func dispatch(ctx context.Context, args []string, c console) (command, error) {
	flags := newFlags("models")
	url := flags.String("redis", c.getenv("REDIS_URL"), "")
	if err := parse(flags, args); err != nil {
		return command{}, err
	}
	if *url == "" {
		*url = registry.DefaultURL
	}
	if flags.NArg() == 0 {
		return command{}, usageError{errors.New("a command is missing")}
	}
	all := everyCommand()
	at := slices.IndexFunc(all, func(c command) bool { return c.name == flags.Arg(0) })
	if at < 0 {
		return command{}, usageError{fmt.Errorf("%q is not a command", flags.Arg(0))}
	}
	if all[at].redis {
		client, err := registry.Open(*url)
		if err != nil {
			return command{}, usageError{err}
		}
		defer client.Close()
		c.client = client
	}
	return all[at], all[at].do(ctx, c, flags.Args()[1:])
}

func list(ctx context.Context, c console, args []string) error {
	flags := newFlags("list")
	asJSON := flags.Bool("json", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("list does not want %q", flags.Arg(0))}
	}
	models, err := registry.List(ctx, c.client, kinds.All())
	if err != nil {
		return err
	}
	if *asJSON {
		return writeJSON(c.stdout, models)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tVERSION\tLABELS\tSPEC\tBYTES\tCOMMITTED\tAGE\t")
	for _, m := range models {
		mark, committed, age := role(m), "never", "-"
		if !m.Committed.IsZero() {
			committed, age = m.Committed.Format(time.RFC3339), since(m.Committed)
		}
		if m.Broken != "" {
			mark += " BROKEN: " + m.Broken
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.12s\t%d\t%s\t%s\t%s\n", m.Name, m.Version, m.Count, m.Spec, m.StateBytes, committed, age, mark)
	}
	return w.Flush()
}

// role is what a model is there for at the moment.
func role(m registry.Info) string {
	switch {
	case m.Champion:
		return "champion"
	case m.Warming:
		return "warming up"
	}
	return "shadow"
}

// since is how long ago something was, in the largest unit that says so. The
// clock is not Redis's: what is still to come is now.
func since(at time.Time) string {
	switch d := max(time.Since(at), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	}
}

func writeJSON(stdout io.Writer, v any) error {
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return usageError{err}
	}
	return err
}
