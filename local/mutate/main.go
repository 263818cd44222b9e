// Command mutate shows that the event replay tests can fail: it copies the
// module, makes one small mistake at a time in the copy, and runs the tests that
// replay recordings, and no others, against each.
//
//	mutate                # the table of all mutations; exit code 1 if one survives
//	mutate CHAMPION ...   # only those whose name contains one of the words
//	mutate --list
//
// What the tests do not tell from the truth is either no mistake or a recording
// that wants sharpening.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	list := flags.Bool("list", false, "list the mutations")
	verbose := flags.Bool("v", false, "print what each run prints")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := choose(mutations(), flags.Args())
	if len(chosen) == 0 {
		return fmt.Errorf("no mutation's name contains any of %q: --list names them", flags.Args())
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintf(stdout, "%s\t%s\n", m.name, m.file)
		}
		return nil
	}
	folder, err := os.MkdirTemp("", "tripcast-mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	l := laboratory{folder: folder, log: stderr, verbose: *verbose}
	if err := l.copyModule(ctx); err != nil {
		return err
	}
	return l.work(ctx, chosen, stdout)
}

// choose takes the mutations whose name contains one of the words, or all.
func choose(all []mutation, words []string) []mutation {
	if len(words) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(m mutation) bool {
		return !slices.ContainsFunc(words, func(word string) bool {
			return strings.Contains(strings.ToLower(m.name), strings.ToLower(word))
		})
	})
}

// laboratory is a copy of the module to make mistakes in.
type laboratory struct {
	folder  string
	log     io.Writer
	verbose bool
}

// copyModule copies the module as it is now, without what git ignores.
func (l laboratory) copyModule(ctx context.Context) error {
	root, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	top := strings.TrimSpace(string(root))
	files, err := output(ctx, top, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(files), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(top, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		if err != nil {
			return err
		}
		to := filepath.Join(l.folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, folder, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = folder
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out, nil
}

// work makes each mistake and writes the table.
func (l laboratory) work(ctx context.Context, chosen []mutation, stdout io.Writer) error {
	for _, m := range chosen { // before the first takes its minute
		if _, err := l.mutated(m); err != nil {
			return err
		}
	}
	fmt.Fprintln(l.log, "without any mistake ...")
	if r, err := l.test(ctx); err != nil {
		return err
	} else if len(r.failed) > 0 {
		return fmt.Errorf("without any mistake these fail: %s\n%s", strings.Join(r.failed, ", "), r.text)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MISTAKE\tFILE\tCAUGHT BY\tSECONDS")
	var survivors []string
	for _, m := range chosen {
		r, err := l.try(ctx, m)
		if err != nil {
			return errors.Join(table.Flush(), err)
		}
		by := strings.Join(r.failed, ", ")
		if by == "" {
			survivors = append(survivors, m.name)
			by = "NOTHING"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.0f\n", m.name, m.file, by, r.took.Seconds())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(survivors) > 0 {
		return fmt.Errorf("%d of %d survive: %s", len(survivors), len(chosen), strings.Join(survivors, "; "))
	}
	return nil
}

// mutated is the file with the mistake in it.
func (l laboratory) mutated(m mutation) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(l.folder, m.file))
	if err != nil {
		return nil, fmt.Errorf("%q: the list is out of date: %w", m.name, err)
	}
	if n := bytes.Count(content, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%q: the list is out of date: %s has %d times, not once:\n%s", m.name, m.file, n, m.old)
	}
	return bytes.Replace(content, []byte(m.old), []byte(m.new), 1), nil
}

// try makes a mistake, runs the tests and takes it back.
func (l laboratory) try(ctx context.Context, m mutation) (result, error) {
	fmt.Fprintln(l.log, m.name, "...")
	file := filepath.Join(l.folder, m.file)
	sound, err := os.ReadFile(file)
	if err != nil {
		return result{}, err
	}
	mistaken, err := l.mutated(m)
	if err != nil {
		return result{}, err
	}
	if err := os.WriteFile(file, mistaken, 0o644); err != nil {
		return result{}, err
	}
	r, err := l.test(ctx)
	if err != nil {
		err = fmt.Errorf("%q: %w", m.name, err)
	}
	return r, errors.Join(err, os.WriteFile(file, sound, 0o644))
}

// result is what the tests that replay say.
type result struct {
	failed []string // those tests, without such as only hold others
	tests  int
	text   string
	took   time.Duration
}

// test runs them. That none fails and the run does is an error: it did not build.
func (l laboratory) test(ctx context.Context) (result, error) {
	command := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=5m", "-run=EventReplay", "./local")
	command.Dir = l.folder
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // go test ends what it has started
	command.WaitDelay = 10 * time.Second
	var printed bytes.Buffer
	command.Stderr = &printed
	start := time.Now()
	out, runErr := command.Output()
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	r := read(out)
	r.took, r.text = time.Since(start), r.text+printed.String()
	if l.verbose {
		fmt.Fprint(l.log, r.text)
	}
	switch {
	case runErr != nil && len(r.failed) == 0:
		return r, fmt.Errorf("go test: %w\n%s", runErr, r.text)
	case r.tests == 0:
		return r, errors.New("no test of ./local replays events")
	}
	return r, nil
}

// read understands go test -json.
func read(out []byte) (r result) {
	var printed strings.Builder
	var failed []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var line struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // what the linker says is no JSON
		}
		switch {
		case line.Action == "output" || line.Action == "build-output":
			printed.WriteString(line.Output)
		case line.Test == "":
		case line.Action == "fail":
			failed = append(failed, line.Test)
			r.tests++
		case line.Action == "pass":
			r.tests++
		}
	}
	r.text = printed.String()
	for _, name := range failed {
		holds := func(other string) bool { return strings.HasPrefix(other, name+"/") }
		if slices.ContainsFunc(failed, holds) {
			continue
		}
		if _, scenario, ok := strings.Cut(name, "/"); ok {
			name = scenario
		}
		r.failed = append(r.failed, name)
	}
	slices.Sort(r.failed)
	return r
}
