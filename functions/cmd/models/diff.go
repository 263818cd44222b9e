package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/explain"
	"tripcast.dev/functions/registry"
)

// difference is what two versions have not in common, as JSON.
type difference struct {
	Before  side             `json:"before"`
	After   side             `json:"after"`
	Changes []explain.Change `json:"changes"`
}

// side is a version that is compared.
type side struct {
	Model         string            `json:"model"`
	Version       registry.Snapshot `json:"version"`
	Specification online.Spec       `json:"specification"`
}

func diff(ctx context.Context, c console, args []string) error {
	flags := newFlags("diff")
	rows := flags.Int("rows", 20, "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseWords(flags, args)
	if err != nil {
		return err
	}
	models, versions, err := sides(words)
	if err != nil {
		return err
	}
	var both [2]shown
	for i := range both {
		if both[i], err = explained(ctx, c, models[i], versions[i]); err != nil {
			return err
		}
	}
	d := difference{
		Before: both[0].side(), After: both[1].side(),
		Changes: append([]explain.Change{}, explain.Diff(both[0].Explanation, both[1].Explanation)...),
	}
	if *asJSON {
		return writeJSON(c.stdout, d)
	}
	return d.write(c.stdout, *rows)
}

// sides reads which versions of which models a command line names.
func sides(words []string) (models [2]string, versions [2]uint64, err error) {
	if len(words) == 2 {
		if _, err := strconv.ParseUint(words[1], 10, 64); err != nil {
			return [2]string{words[0], words[1]}, versions, nil
		}
		words = append(words, "now")
	}
	if len(words) != 3 {
		return models, versions, usageError{errors.New("diff wants a model and two versions, or two models")}
	}
	for i, word := range words[1:] {
		models[i] = words[0]
		if word == "now" {
			continue
		}
		if versions[i], err = strconv.ParseUint(word, 10, 64); err != nil || versions[i] == 0 {
			return models, versions, usageError{fmt.Errorf("%q is not a version, nor now: history lists those there are", word)}
		}
	}
	return models, versions, nil
}

func (s shown) side() side { return side{s.Model, s.Version, s.Specification} }

func (d difference) write(stdout io.Writer, rows int) error {
	a, b := d.Before, d.After
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s@%d\t%s@%d\tCHANGE\n", a.Model, a.Version.Version, b.Model, b.Version.Version)
	for _, row := range []struct {
		name          string
		before, after uint64
	}{{"labels", a.Version.Count, b.Version.Count}, {"bytes", uint64(a.Version.StateBytes), uint64(b.Version.StateBytes)}} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%+d\n", row.name, row.before, row.after, int64(row.after-row.before))
	}
	change := "another"
	if a.Version.Spec == b.Version.Spec {
		change = "the same"
	}
	fmt.Fprintf(w, "specification\t%.12s\t%.12s\t%s\n", a.Version.Spec, b.Version.Spec, change)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(d.Changes) == 0 {
		_, err := fmt.Fprintln(stdout, "\nas far as it is explained, what they have learned is the same")
		return err
	}
	fmt.Fprintln(stdout)
	return explain.WriteDiff(stdout, d.Changes, explain.Options{Rows: rows})
}
