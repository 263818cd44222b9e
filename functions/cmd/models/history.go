package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/user"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

func history(ctx context.Context, c console, args []string) error {
	flags := newFlags("history")
	limit := flags.Int("limit", 20, "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return err
	}
	name := words[0]
	commits, err := registry.Lineage(ctx, c.client, name, *limit)
	if err != nil {
		return err
	}
	snapshots, err := registry.Snapshots(ctx, c.client, name)
	if err != nil {
		return err
	}
	if len(commits)+len(snapshots) == 0 {
		if err := known(ctx, c.client, name); err != nil {
			return err
		}
	}
	if *asJSON {
		return writeJSON(c.stdout, struct {
			Snapshots []registry.Snapshot `json:"snapshots"`
			Lineage   []registry.Commit   `json:"lineage"`
		}{snapshots, commits})
	}
	return showHistory(c.stdout, snapshots, commits)
}

// known returns an error that lists the models if there is none of this name.
func known(ctx context.Context, client redis.UniversalClient, name string) error {
	infos, err := registry.Heads(ctx, client, kinds.All())
	if err != nil {
		return err
	}
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("there is no model %q: the models are %q", name, names)
	}
	return nil
}

func showHistory(stdout io.Writer, snapshots []registry.Snapshot, commits []registry.Commit) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SNAPSHOT\tLABELS\tBYTES\tLAST LABEL\tCOMMITTED\t")
	for _, s := range snapshots {
		fmt.Fprintf(w, "%d\t%d\t%d\t%q\t%s\t\n", s.Version, s.Count, s.StateBytes, s.Last, s.At.Format(time.RFC3339))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	fmt.Fprintln(w, "VERSION\tLABELS\tNEW\tFIRST\tLAST\tCOMMITTED\t")
	for _, c := range commits {
		mark := ""
		switch c.Kind {
		case registry.KindRollback:
			mark = fmt.Sprintf("back to %d", c.From)
		case registry.KindWarmUp, registry.KindRestart:
			mark = c.Kind
		case registry.KindImport:
			mark = fmt.Sprintf("imported, of version %d there", c.From)
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%q\t%q\t%s\t%s\n", c.Version, c.Count, c.Labels, c.First, c.Last, c.At.Format(time.RFC3339), mark)
	}
	return w.Flush()
}

func promote(ctx context.Context, c console, args []string) error {
	flags := newFlags("promote")
	by := actorFlags(flags)
	expect := flags.String("expect", "", "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return err
	}
	action, err := registry.Promote(ctx, c.client, kinds.All(), words[0], *expect, by.actor())
	switch {
	case err != nil:
		return waysToLive(err, words[0])
	case *asJSON:
		return writeJSON(c.stdout, action)
	}
	_, err = fmt.Fprintln(c.stdout, promoted(action))
	return err
}

// promoted says what became of the champion.
func promoted(a registry.Action) string {
	if a.From == a.To {
		return fmt.Sprintf("%s stays the champion, now by %s", a.To, a.By)
	}
	return fmt.Sprintf("%s is the champion, in place of %s", a.To, a.From)
}

// waysToLive says how a model becomes live, where an error is that it is not.
func waysToLive(err error, model string) error {
	if errors.Is(err, registry.ErrWarming) {
		return fmt.Errorf("%w: models warm-up %s teaches it what it lacks, with --abandon it goes on as it is", err, model)
	}
	return err
}

func audit(ctx context.Context, c console, args []string) error {
	flags := newFlags("audit")
	limit := flags.Int("limit", 20, "")
	asJSON := flags.Bool("json", false, "")
	if _, err := parseMixed(flags, args); err != nil {
		return err
	}
	actions, err := registry.Audit(ctx, c.client, *limit)
	if err != nil {
		return err
	}
	if *asJSON {
		return writeJSON(c.stdout, actions)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tACTION\tMODEL\tFROM\tTO\tBY\tREASON")
	for _, a := range actions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.At.Format(time.RFC3339), a.Kind, a.Model, a.From, a.To, a.By, a.Reason)
	}
	return w.Flush()
}

// whoFlags are who does something and why.
type whoFlags struct{ name, reason *string }

func actorFlags(flags *flag.FlagSet) whoFlags {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return whoFlags{flags.String("by", name, ""), flags.String("reason", "", "")}
}

func (w whoFlags) actor() registry.Actor { return registry.Actor{Name: *w.name, Reason: *w.reason} }

// parseMixed parses flags that may stand before, between and after as many
// words as are wanted, and returns these.
func parseMixed(flags *flag.FlagSet, args []string, wanted ...string) ([]string, error) {
	words, err := parseWords(flags, args)
	switch {
	case err != nil:
		return nil, err
	case len(words) < len(wanted):
		return nil, usageError{errors.New(flags.Name() + " wants " + wanted[len(words)])}
	case len(words) > len(wanted):
		return nil, usageError{fmt.Errorf("%s does not want %q", flags.Name(), words[len(wanted)])}
	}
	return words, nil
}

// parseWords parses flags that may stand anywhere among words.
func parseWords(flags *flag.FlagSet, args []string) (words []string, err error) {
	for len(args) > 0 {
		if err := parse(flags, args); err != nil {
			return nil, err
		}
		if args = flags.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	return words, nil
}
