package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/explain"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// shown is a version of a model, as JSON.
type shown struct {
	Model         string             `json:"model"`
	Role          string             `json:"role"` // champion, shadow or warming up
	Version       registry.Snapshot  `json:"version"`
	Specification online.Spec        `json:"specification"`
	Explanation   online.Explanation `json:"explanation"`
}

func show(ctx context.Context, c console, args []string) error {
	flags := newFlags("show")
	version := flags.Uint64("version", 0, "")
	depth := flags.Int("depth", 6, "")
	rows := flags.Int("rows", 20, "")
	svg := flags.String("svg", "", "")
	asJSON := flags.Bool("json", false, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return err
	}
	s, err := explained(ctx, c, words[0], *version)
	if err != nil {
		return err
	}
	stdout := c.stdout
	if *svg != "" {
		if stdout, err = draw(c, *svg, s, *depth); err != nil {
			return err
		}
	}
	if *asJSON {
		return writeJSON(stdout, s)
	}
	head, err := s.head()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, head); err != nil {
		return err
	}
	return explain.Text(stdout, s.Explanation, explain.Options{Depth: *depth, Rows: *rows})
}

// explained reads a version of a model, 0 for where it is now, and what it has learned.
func explained(ctx context.Context, c console, model string, version uint64) (shown, error) {
	kept, err := registry.Read(ctx, c.client, kinds.All(), model, version)
	if err != nil {
		return shown{}, err
	}
	pipeline, err := kept.Pipeline()
	if err != nil {
		return shown{}, err
	}
	infos, err := registry.Heads(ctx, c.client, kinds.All())
	if err != nil {
		return shown{}, err
	}
	s := shown{Model: model, Version: kept.Snapshot, Specification: kept.Spec, Explanation: online.Explain(pipeline, nil)}
	for _, i := range infos {
		if i.Name == model {
			s.Role = role(i)
		}
	}
	return s, nil
}

// head is what is known of a version but for what it has learned.
func (s shown) head() (string, error) {
	spec, err := json.Marshal(s.Specification)
	if err != nil {
		return "", fmt.Errorf("encode the specification of %s: %w", s.Model, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", s.Model, s.Role)
	if v := s.Version; v.Version == 0 {
		fmt.Fprintln(&b, "version       0, it has learned nothing")
	} else {
		fmt.Fprintf(&b, "version       %d of %d labels, the last of them %q\n", v.Version, v.Count, v.Last)
		fmt.Fprintf(&b, "committed     %s, %s ago, as %s\n", v.At.Format(time.RFC3339), since(v.At), v.Commit)
		fmt.Fprintf(&b, "state         %d bytes\n", v.StateBytes)
	}
	fmt.Fprintf(&b, "specification %.12s %s\n", s.Version.Spec, spec)
	return b.String(), nil
}

// draw writes the trees of a model to a file, and returns where its text goes.
func draw(c console, file string, s shown, depth int) (io.Writer, error) {
	var b bytes.Buffer
	err := explain.SVG(&b, s.Explanation, explain.Options{Depth: depth})
	if errors.Is(err, explain.ErrNoTree) {
		return nil, fmt.Errorf("--svg: %s has no tree to draw, or none that has grown: without --svg it is shown as text", s.Model)
	}
	var out output
	if err == nil {
		out, err = outputAt(file, true, c.stdout) // a picture is soon drawn again
	}
	if err == nil {
		err = out.write(c, b.Bytes())
	}
	if err != nil {
		return nil, fmt.Errorf("--svg: %w", err)
	}
	return out.text(c), nil
}
