package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// exported is a file that was written, as JSON.
type exported struct {
	Model   string            `json:"model"`
	Version registry.Snapshot `json:"version"`
	File    string            `json:"file"`
	Bytes   int               `json:"bytes"`
}

func export(ctx context.Context, c console, args []string) error {
	flags := newFlags("export")
	version := flags.Uint64("version", 0, "")
	name := flags.String("out", "", "")
	force := flags.Bool("force", false, "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return err
	}
	kept, err := registry.Read(ctx, c.client, kinds.All(), words[0], *version)
	if err != nil {
		return err
	}
	data, err := kept.AppendFile(nil)
	if err != nil {
		return err
	}
	if *name == "" {
		*name = fmt.Sprintf("%s-%d.model", kept.Spec.Name, kept.Snapshot.Version)
	}
	out, err := outputAt(*name, *force, c.stdout)
	if err == nil {
		err = out.write(c, data)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if *asJSON {
		return writeJSON(out.text(c), exported{words[0], kept.Snapshot, *name, len(data)})
	}
	_, err = fmt.Fprintf(out.text(c), "version %d of %s, of %d labels, is in %s: %d bytes\n", kept.Snapshot.Version, words[0], kept.Snapshot.Count, *name, len(data))
	return err
}

func importFile(ctx context.Context, c console, args []string) error {
	flags := newFlags("import")
	by := actorFlags(flags)
	as := flags.String("as", "", "")
	expect := flags.Uint64("expect", 0, "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a file")
	if err != nil {
		return err
	}
	kept, err := readFile(words[0])
	if err != nil {
		return err
	}
	action, err := registry.Import(ctx, c.client, kinds.All(), kept, *as, *expect, by.actor())
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	if *asJSON {
		return writeJSON(c.stdout, action)
	}
	_, err = fmt.Fprintf(c.stdout, "%s goes on from version %d of %s, of %d labels, as version %s, in place of %s\n",
		action.Model, kept.Snapshot.Version, words[0], kept.Snapshot.Count, action.To, action.From)
	return err
}

// readFile reads what export has written.
func readFile(name string) (*registry.Kept, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, registry.MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > registry.MaxFileBytes {
		return nil, fmt.Errorf("%s: it has more than %d bytes, and is no model", name, registry.MaxFileBytes)
	}
	kept, err := registry.ParseFile(data, kinds.All())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return kept, nil
}
