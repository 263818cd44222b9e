package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

func apply(ctx context.Context, c console, args []string) error {
	flags := newFlags("apply")
	by := actorFlags(flags)
	var opts registry.ApplyOptions
	flags.BoolVar(&opts.WarmUp, "warm-up", false, "")
	restart := flags.String("restart", "", "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "one file")
	if err != nil {
		return err
	}
	if *restart != "" {
		opts.Restart = strings.Split(*restart, ",")
	}
	opts.By = by.actor()
	catalogue, err := readCatalogue(words[0])
	if err != nil {
		return err
	}
	done, err := registry.ApplyWith(ctx, c.client, catalogue, opts)
	applied := appliedCatalogue{
		Models: len(catalogue.Models), Named: catalogue.Champion,
		Restarted: append([]registry.Action{}, done.Restarted...), Warming: append([]string{}, done.Warming...),
	}
	if err == nil {
		applied.Champion, err = champion(ctx, c.client)
	} else if len(applied.Restarted) == 0 {
		return err
	}
	if err != nil {
		applied.Error = err.Error()
	}
	if *asJSON {
		return errors.Join(err, writeJSON(c.stdout, applied))
	}
	return errors.Join(err, applied.write(c.stdout))
}

// champion is who that is now: a catalogue that is applied again leaves it to those
// who have promoted another one since.
func champion(ctx context.Context, client redis.UniversalClient) (string, error) {
	infos, err := registry.Heads(ctx, client, kinds.All())
	if err != nil {
		return "", fmt.Errorf("the catalogue is applied, but who is the champion now: %w", err)
	}
	for _, i := range infos {
		if i.Champion {
			return i.Name, nil
		}
	}
	return "", nil // somebody else has applied another one meanwhile
}

// appliedCatalogue is what apply has done, as JSON.
type appliedCatalogue struct {
	Models    int               `json:"models"`
	Champion  string            `json:"champion,omitempty"` // now; not known where there is an error
	Named     string            `json:"named"`              // as the champion, by the file
	Restarted []registry.Action `json:"restarted"`
	Warming   []string          `json:"warming"` // those that wait for their warm-up
	Error     string            `json:"error,omitempty"`
}

func (a appliedCatalogue) write(stdout io.Writer) error {
	var b strings.Builder
	if a.Error == "" {
		fmt.Fprintf(&b, "%d models, champion %s", a.Models, cmp.Or(a.Champion, "none"))
		if a.Champion != a.Named {
			fmt.Fprintf(&b, " (the file names %s)", a.Named)
		}
		b.WriteByte('\n')
	}
	for _, r := range a.Restarted {
		if r.From != "0" {
			fmt.Fprintf(&b, "%s begins anew: version %s in place of %s\n", r.Model, r.To, r.From)
		}
	}
	for _, name := range a.Warming {
		fmt.Fprintf(&b, "%s waits: models warm-up %s\n", name, name)
	}
	_, err := io.WriteString(stdout, b.String())
	return err
}
