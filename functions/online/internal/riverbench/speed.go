package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/drift"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
)

//go:embed bench.py
var benchScript string

// contender is a model that is timed: bench.py has River's by the same name.
type contender struct {
	name   string
	river  string // what bench.py calls it, where that is not the name
	model  string // in a catalogue; none for ADWIN, which is not a model
	events int
	notes  map[string]string // what River's default is, by version
	of     string            // the only version it is set beside, where it is the same model as that
}

// theirs is what bench.py calls it.
func (c contender) theirs() string { return or(c.river, c.name) }

// contenders see fewer events where River would take minutes. Only in compat is
// the adaptive tree the same as River's: otherwise its alternate trees grow.
var contenders = []contender{
	{name: "LinearRegression", model: "LinearRegression", events: 20_000},
	{name: "HoeffdingTreeRegressor", model: "HoeffdingTreeRegressor", events: 20_000},
	{name: "HoeffdingAdaptiveTreeRegressor", model: "{HoeffdingAdaptiveTreeRegressor: {max_depth: 20}}", events: 20_000},
	{
		name: "HoeffdingAdaptiveTreeRegressor/compat-0.13", river: "HoeffdingAdaptiveTreeRegressor", events: 20_000,
		model: "{HoeffdingAdaptiveTreeRegressor: {max_depth: 20, alternate_trees: compat-0.13}}", of: demoRiver,
	},
	{
		name: "HoeffdingAdaptiveTreeRegressor/compat", river: "HoeffdingAdaptiveTreeRegressor", events: 20_000,
		model: "{HoeffdingAdaptiveTreeRegressor: {max_depth: 20, alternate_trees: compat}}", of: newestRiver,
	},
	{name: "KNNRegressor", model: "KNNRegressor", events: 5_000, notes: map[string]string{newestRiver: "SWINN, approximate"}},
	{name: "BaggingRegressor", model: "{BaggingRegressor: {model: LinearRegression}}", events: 20_000},
	{name: "AdaptiveRandomForestRegressor", model: "AdaptiveRandomForestRegressor", events: 5_000},
	{name: "AMFRegressor", model: "{AMFRegressor: {max_nodes: 50000}}", events: 5_000},
	{name: "ADWIN", events: 20_000},
}

// timing is what bench.py prints of a model.
type timing struct {
	Name       string  `json:"name"`
	LearnUS    float64 `json:"learn_us"`
	PredictUS  float64 `json:"predict_us"`
	StateBytes int     `json:"state_bytes"`
}

// both is the time of an event that is predicted and learned.
func (t timing) both() float64 { return t.LearnUS + t.PredictUS }

// speed is the command bench.
func (b bench) speed(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(b.stderr)
	only := flags.String("only", "", "time only these models, with commas between them")
	markdown := flags.String("markdown", "", "write the table to this file as well, in Markdown")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	stream, load := wholeSeconds(golden.Streams()[0]), busy()
	table := speeds()
	ours, left := map[string]timing{}, []string{}
	for _, c := range chosen {
		t, err := timeOurs(ctx, c, stream)
		var unknown *online.SpecError
		if errors.As(err, &unknown) {
			left = append(left, fmt.Sprintf("%s is left out: %v", c.name, err))
			continue
		}
		if err != nil {
			return err
		}
		ours[c.name] = t
	}
	theirs := map[string]map[string]timing{}
	for _, version := range []string{demoRiver, newestRiver} {
		if theirs[version], err = b.timeTheirs(ctx, version, chosen, stream); err != nil {
			return err
		}
	}
	for _, c := range chosen {
		if t, ok := ours[c.name]; ok {
			table.add(c, t, theirs)
		}
	}
	table.notes = slices.Concat(left, conditions(ctx), load)
	if *markdown != "" {
		if err := os.WriteFile(*markdown, []byte(table.markdown()), 0o644); err != nil {
			return err
		}
	}
	return table.print(b.stdout)
}

// wholeSeconds is the stream with labels as trips have them.
func wholeSeconds(s golden.Stream) golden.Stream {
	s.Events = slices.Clone(s.Events)
	for i := range s.Events {
		s.Events[i].Y = math.Round(s.Events[i].Y)
	}
	return s
}

func choose(only string) ([]contender, error) {
	if only == "" {
		return contenders, nil
	}
	var chosen []contender
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--only: there is no model %q", name)
		}
		chosen = append(chosen, contenders[i])
	}
	return chosen, nil
}

// subject is a model of ours with nothing learned.
type subject struct {
	learn   func(golden.Event)
	predict func(golden.Event) // nil if it has none
	encode  func() ([]byte, error)
}

// fresh builds the model as a catalogue would, behind a scaler.
func (c contender) fresh(features []string) (func() (subject, error), error) {
	if c.model == "" {
		return func() (subject, error) {
			d := drift.NewADWIN(drift.DefaultADWINConfig())
			return subject{
				learn:  func(e golden.Event) { d.Update(e.Y) },
				encode: func() ([]byte, error) { return d.Append(nil), nil },
			}, nil
		}, nil
	}
	text := fmt.Sprintf("champion: m\nmodels:\n  - {name: m, features: [%s], transformers: [StandardScaler], model: %s, seed: 1}\n",
		strings.Join(features, ", "), c.model)
	catalogue, err := online.ParseCatalogue([]byte(text), kinds.All())
	if err != nil {
		return nil, err
	}
	return func() (subject, error) {
		p, err := catalogue.Models[0].New()
		if err != nil {
			return subject{}, err
		}
		return subject{
			learn:   func(e golden.Event) { p.Learn(e.X, e.Y) },
			predict: func(e golden.Event) { p.Predict(e.X) },
			encode:  func() ([]byte, error) { return p.AppendBinary(nil) },
		}, nil
	}, nil
}

const block = 500 // as in bench.py

// timeOurs does what measure of bench.py does, on one core.
func timeOurs(ctx context.Context, c contender, stream golden.Stream) (timing, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	fresh, err := c.fresh(stream.Features)
	if err != nil {
		return timing{}, err
	}
	events := stream.Events[:c.events]
	var learn, predict []float64
	var encode func() ([]byte, error)
	runtime.GC()
	for start := time.Now(); len(learn) == 0 || time.Since(start) < time.Second; {
		if ctx.Err() != nil {
			return timing{}, context.Cause(ctx)
		}
		s, err := fresh()
		if err != nil {
			return timing{}, err
		}
		l, p := s.run(events)
		learn, predict, encode = append(learn, l), append(predict, p), s.encode
	}
	encoded, err := encode()
	return timing{Name: c.name, LearnUS: median(learn), PredictUS: median(predict), StateBytes: len(encoded)}, err
}

// run returns the microseconds an event that learning took, and predicting.
func (s subject) run(events []golden.Event) (learn, predict float64) {
	var learning, predicting time.Duration
	for i := 0; i < len(events); i += block {
		part := events[i:min(i+block, len(events))]
		start := cpuTime()
		if i > 0 && s.predict != nil {
			for _, e := range part {
				s.predict(e)
			}
			predicting += cpuTime() - start
		}
		start = cpuTime()
		for _, e := range part {
			s.learn(e)
		}
		learning += cpuTime() - start
	}
	return learning.Seconds() * 1e6 / float64(len(events)), predicting.Seconds() * 1e6 / float64(len(events)-block)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2
}

// timeTheirs runs bench.py in the environment of a version.
func (b bench) timeTheirs(ctx context.Context, version string, chosen []contender, stream golden.Stream) (map[string]timing, error) {
	python, err := b.envs.python(ctx, version)
	if err != nil {
		return nil, err
	}
	events := filepath.Join(b.envs.folder, "river-events.csv")
	if err := writeEvents(events, stream); err != nil {
		return nil, err
	}
	args := []string{"-c", benchScript, events}
	for _, c := range chosen {
		if arg := fmt.Sprintf("%s:%d", c.theirs(), c.events); !slices.Contains(args, arg) {
			args = append(args, arg)
		}
	}
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), singleThread...)
	timings := map[string]timing{}
	err = jsonLines(cmd, b.stderr, func(line []byte) error {
		var t timing
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		fmt.Fprintf(b.stderr, "River %s %s: learn %.2f us, predict %.2f us\n", version, t.Name, t.LearnUS, t.PredictUS)
		timings[t.Name] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bench.py with River %s: %w", version, err)
	}
	return timings, nil
}

// jsonLines runs a command and calls each with every line that it prints.
func jsonLines(cmd *exec.Cmd, stderr io.Writer, each func([]byte) error) error {
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var bad error
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if bad == nil {
			if bad = each(lines.Bytes()); bad != nil {
				bad = fmt.Errorf("%q: %w", lines.Text(), bad)
			}
		}
	}
	return errors.Join(bad, lines.Err(), cmd.Wait())
}

// writeEvents writes what bench.py reads; floats are exact.
func writeEvents(name string, stream golden.Stream) error {
	var text strings.Builder
	fmt.Fprintln(&text, strings.Join(stream.Features, ",")+",y")
	for _, e := range stream.Events {
		for _, x := range e.X {
			if !math.IsNaN(x) {
				text.WriteString(strconv.FormatFloat(x, 'g', -1, 64))
			}
			text.WriteByte(',')
		}
		fmt.Fprintln(&text, strconv.FormatFloat(e.Y, 'g', -1, 64))
	}
	return os.WriteFile(name, []byte(text.String()), 0o644)
}

// conditions say what the figures were measured on.
func conditions(ctx context.Context) []string {
	python := "Python 3.11"
	if path, err := findPython(ctx); err == nil {
		if out, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil {
			python = strings.TrimSpace(string(out))
		}
	}
	return []string{
		fmt.Sprintf("One core of %s; %s (GOMAXPROCS=1), %s. Both in this run, on the same events: trips made at random with six features, one in twenty lacking one, that last whole seconds.",
			processor(), strings.Replace(runtime.Version(), "go", "Go ", 1), python),
		"All but ADWIN behind a StandardScaler, seed 1, otherwise with their defaults; the adaptive tree has max_depth 20, as in the demo, and with alternate_trees: compat-0.13 or compat it is the same tree as that of River 0.13.0 or 0.26.1. BaggingRegressor is ten LinearRegressions, and no tree of AMFRegressor reaches max_nodes.",
		"Times are microseconds of processor time a call, means over all events from the first on. State is the length of River's pickle and of our encoding.",
	}
}

// busy says that the figures are not to be trusted, where Linux tells.
func busy() []string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	var load float64
	if _, err := fmt.Sscan(string(data), &load); err != nil || load < float64(runtime.NumCPU())/2 {
		return nil
	}
	return []string{fmt.Sprintf("The machine was busy with other things: a load of %.1f on %d cores when this began.", load, runtime.NumCPU())}
}

// processor is the model of this machine's, where Linux tells it.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
