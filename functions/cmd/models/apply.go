package main

import (
	"context"
	"fmt"
	"strings"

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
	applied, err := registry.ApplyWith(ctx, c.client, catalogue, opts)
	if err != nil {
		return err
	}
	if *asJSON {
		return writeJSON(c.stdout, appliedCatalogue{len(catalogue.Models), catalogue.Champion, append([]registry.Action{}, applied.Restarted...), append([]string{}, applied.Warming...)})
	}
	fmt.Fprintf(c.stdout, "%d models, champion %s\n", len(catalogue.Models), catalogue.Champion)
	for _, name := range applied.Warming {
		fmt.Fprintf(c.stdout, "%s waits: models warm-up %s\n", name, name)
	}
	return nil
}

// appliedCatalogue is what apply has done, as JSON.
type appliedCatalogue struct {
	Models    int               `json:"models"`
	Champion  string            `json:"champion"` // that the file names
	Restarted []registry.Action `json:"restarted"`
	Warming   []string          `json:"warming"` // those that wait for their warm-up
}
