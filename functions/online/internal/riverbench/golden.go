package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// familiesScript prints the families of cases that a version of River makes.
// It only parses them: a family of one version may not even import in another.
//
//go:embed families.py
var familiesScript string

// progressiveFamily is the one that is no vector: what River's progressive
// validation makes of a few trips.
const progressiveFamily = "progressive"

// golden writes these families anew, or all of them.
func (b bench) golden(ctx context.Context, families []string) error {
	vectors := slices.DeleteFunc(slices.Clone(families), func(f string) bool { return f == progressiveFamily })
	if len(families) == 0 || len(vectors) > 0 {
		if err := b.vectors(ctx, vectors); err != nil {
			return err
		}
	}
	if len(families) == 0 || len(vectors) < len(families) {
		return b.goldenProgressive(ctx)
	}
	return nil
}

// vectors runs internal/golden/river/golden.py in the environment of each version.
func (b bench) vectors(ctx context.Context, families []string) error {
	folder := filepath.Join(b.root, "functions", "online", "internal", "golden", "river")
	for _, version := range []string{demoRiver, newestRiver} {
		python, err := b.envs.python(ctx, version)
		if err != nil {
			return err
		}
		of := exec.CommandContext(ctx, python, append([]string{"-c", familiesScript, folder, version}, families...)...)
		of.Stderr = b.stderr
		list, err := of.Output()
		if err != nil {
			return fmt.Errorf("reading the cases of %s: %w", folder, err)
		}
		for _, family := range strings.Fields(string(list)) {
			if err := b.script(ctx, python, filepath.Join(folder, "golden.py"), family); err != nil {
				return fmt.Errorf("golden.py %s with River %s: %w", family, version, err)
			}
		}
	}
	return nil
}

// goldenProgressive runs progressive.py in the environment of each version, on the
// trips that are there. They are made anew only where they are not: what a run
// writes to --samples depends on it in nothing but its flags.
func (b bench) goldenProgressive(ctx context.Context) error {
	folder := filepath.Join(b.root, "functions", "online", "evaluate", "testdata", "river")
	trips := filepath.Join(folder, "trips.csv.gz")
	if _, err := os.Stat(trips); errors.Is(err, fs.ErrNotExist) {
		if err := b.makeTrips(ctx, trips); err != nil {
			return err
		}
	}
	script := filepath.Join(b.root, "functions", "online", "internal", "riverbench", "progressive.py")
	for _, version := range []string{demoRiver, newestRiver} {
		python, err := b.envs.python(ctx, version)
		if err != nil {
			return err
		}
		if err := b.script(ctx, python, script, folder); err != nil {
			return fmt.Errorf("progressive.py with River %s: %w", version, err)
		}
	}
	return nil
}

// makeTrips plays a Friday night, of which about fifty trips are under way at any
// moment, and into the weekend.
func (b bench) makeTrips(ctx context.Context, name string) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./local", "--limit", "1500", "--rate", "300", "--start", "2016-01-08T21:00",
		"--speed", "0", "--exit-when-done", "--free-ports", "--samples", name)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.root, b.stderr, b.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return nil
}

// script runs a script of this module's.
func (b bench) script(ctx context.Context, python string, args ...string) error {
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Env = append(os.Environ(), singleThread...)
	cmd.Stdout, cmd.Stderr = b.stdout, b.stderr
	return cmd.Run()
}
