package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// rebuilding is a command line of rebuild.
type rebuilding struct {
	model       string
	to          registry.Destination
	fromNothing bool
	file        string // of labels, "" is Kafka
	out         string
	force       bool // to replace a file
	asJSON      bool
}

func parseRebuild(args []string) (rebuilding, error) {
	var r rebuilding
	flags := newFlags("rebuild")
	flags.Uint64Var(&r.to.Version, "to-version", 0, "")
	flags.StringVar(&r.to.Label, "to-label", "", "")
	flags.BoolVar(&r.fromNothing, "from-nothing", false, "")
	flags.StringVar(&r.file, "labels", "", "")
	flags.StringVar(&r.out, "out", "", "")
	flags.BoolVar(&r.force, "force", false, "")
	flags.BoolVar(&r.asJSON, "json", false, "")
	words, err := parseMixed(flags, args, "a model")
	if err != nil {
		return rebuilding{}, err
	}
	r.model = words[0]
	flags.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == "to-version" && r.to.Version == 0:
			err = usageError{errors.New("--to-version 0: a model of version 0 has learned nothing, there is nothing to rebuild")}
		case f.Name == "to-label" && r.to.Label == "":
			err = usageError{errors.New("--to-label wants the id of a label, which is its trip's")}
		case f.Name == "to-label" && r.to.Version != 0:
			err = usageError{errors.New("--to-version and --to-label: only one of them can be where to stop")}
		}
	})
	return r, err
}

// rebuild is the command of that name.
func rebuild(ctx context.Context, c console, args []string) error {
	r, err := parseRebuild(args)
	if err != nil {
		return err
	}
	out, err := r.output(c)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	rebuilt, source, err := r.make(ctx, c)
	if err != nil {
		return err
	}
	if r.out != "" {
		if err := out.write(c, rebuilt.State); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if r.asJSON {
		return writeJSON(out.text(c), r.report(rebuilt, source))
	}
	_, err = io.WriteString(out.text(c), r.text(rebuilt, source))
	return err
}

// output is where the state goes, which is known before it is made: that may take long.
func (r rebuilding) output(c console) (output, error) {
	if r.out == "" {
		return output{}, nil
	}
	return outputAt(r.out, r.force, c.stdout)
}

// make rebuilds the model, and says where its labels came from.
func (r rebuilding) make(ctx context.Context, c console) (*registry.Rebuilt, string, error) {
	rebuilt, source, err := r.travel(ctx, c)
	var missing *registry.MissingError
	switch {
	case errors.As(err, &missing):
		err = fmt.Errorf("%w: %s has them no more, or never had: a recording of the topic that does is what --labels wants", err, source)
	case err != nil && ctx.Err() != nil:
		err = cutShort{err, nothingChanged}
	}
	return rebuilt, source, err
}

func (r rebuilding) travel(ctx context.Context, c console) (*registry.Rebuilt, string, error) {
	journey, err := registry.Travel(ctx, c.client, kinds.All(), r.model, r.to, r.fromNothing)
	if err != nil {
		return nil, "", err
	}
	progress := progressOn(c.stderr)
	defer progress.clear()
	labels, source, err := r.labels(ctx, journey, c.getenv, progress)
	if err != nil {
		return nil, "", fmt.Errorf("labels of model %s: %w", r.model, err)
	}
	journey.Progress = func(taught int) {
		progress.now("%s has learned %d of %d labels", r.model, taught, len(labels))
	}
	rebuilt, err := journey.Rebuild(ctx, labels)
	return rebuilt, source, err
}

// rebuiltModel is what became of it, as JSON.
type rebuiltModel struct {
	Model      string   `json:"model"`
	From       uint64   `json:"from"`              // the version of the snapshot it began with, 0 is nothing
	Version    uint64   `json:"version"`           // that it is the state of
	Partial    bool     `json:"partial,omitempty"` // it is not: the label lies within the version's commit
	Label      string   `json:"label,omitempty"`   // that was asked for
	Taught     int      `json:"taught"`            // labels on the way
	Count      uint64   `json:"count"`             // labels behind the state
	Checked    []uint64 `json:"checked"`           // versions on the way that it was equal to
	StateBytes int      `json:"state_bytes"`
	SHA256     string   `json:"sha256"` // of the state
	Labels     string   `json:"labels"` // where they came from
	Out        string   `json:"out,omitempty"`
}

func (r rebuilding) report(m *registry.Rebuilt, source string) rebuiltModel {
	sum := sha256.Sum256(m.State)
	return rebuiltModel{
		Model: r.model, From: m.From, Version: m.Version, Partial: m.Partial, Label: r.to.Label,
		Taught: m.Labels, Count: m.Count, Checked: append([]uint64{}, m.Checked...),
		StateBytes: len(m.State), SHA256: hex.EncodeToString(sum[:]), Labels: source, Out: r.out,
	}
}

func (r rebuilding) text(m *registry.Rebuilt, source string) string {
	report := r.report(m, source)
	from, where := "nothing", fmt.Sprintf("version %d", m.Version)
	if m.From != 0 {
		from = fmt.Sprintf("the snapshot of version %d", m.From)
	}
	switch {
	case m.Partial:
		where = fmt.Sprintf("right after the label %s, within the commit of version %d", r.to.Label, m.Version)
	case r.to.Label != "":
		where = fmt.Sprintf("right after the label %s, which is version %d", r.to.Label, m.Version)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s to %s: %d labels taught, of %s\n", r.model, from, where, m.Labels, source)
	if len(m.Checked) == 0 {
		fmt.Fprintln(&b, "compared with nothing: no state on the way is kept")
	} else {
		fmt.Fprintf(&b, "equal, bit for bit, at %s\n", enumerate(m.Checked))
	}
	fmt.Fprintf(&b, "state of %d labels, %d bytes, SHA-256 %s\n", m.Count, report.StateBytes, report.SHA256)
	if r.out != "" {
		fmt.Fprintf(&b, "written to %s\n", r.out)
	}
	return b.String()
}

// enumerate names versions in a sentence.
func enumerate(versions []uint64) string {
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = fmt.Sprint(v)
	}
	if len(words) == 1 {
		return "version " + words[0]
	}
	return "versions " + strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
