package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/functions/registry"
)

// Whoever interrupts a command hears that, and what is left of it; it is not
// taken for an answer.
func TestInterrupted(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	dir := t.TempDir()
	file := filepath.Join(dir, "tree.model")
	c.run(t, exitOK, "export", "decision-tree", "--out", file)
	arguments := map[string][]string{
		"apply": {"../../../infra/models.yaml"}, "warm-up": {"decision-tree", "--from-nothing"}, "list": {}, "show": {"decision-tree"},
		"diff": {"decision-tree", "1"}, "history": {"decision-tree"}, "promote": {"decision-tree"}, "rollback": {"decision-tree", "1"},
		"export": {"decision-tree", "--out", filepath.Join(dir, "no.model")}, "import": {file}, "audit": {},
		"rebuild": {"decision-tree", "--out", filepath.Join(dir, "no.state")}, "evaluate": {"--samples", sampleFile, "--models", "../../../infra/models.yaml"},
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	interrupted := func(stands string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(cancelled, args, c.getenv, &stdout, &stderr)
		if want := "models: interrupted: " + stands + "\n"; code != exitInterrupted || stderr.String() != want || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q and %q, want %q", args, code, &stdout, &stderr, want)
		}
	}
	for _, command := range everyCommand() {
		if command.stands == "" {
			t.Errorf("%s does not say what is left of it", command.name)
		}
		interrupted(command.stands, append([]string{command.name}, arguments[command.name]...)...)
	}
	interrupted(doneOrNot, "warm-up", "decision-tree", "--abandon")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left (%v), want one", len(entries), err)
	}
	if got := c.run(t, exitOK, "audit"); strings.Count(got, "\n") != 2 {
		t.Errorf("something was done: %s", got)
	}
}

// A rebuild is interrupted on its way: it looks for Kafka after it has seen Redis.
func TestRebuildInterrupted(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	file := filepath.Join(t.TempDir(), "state")
	for _, args := range [][]string{{"rebuild", "decision-tree", "--from-nothing", "--out", file}, {"rollback", "decision-tree", "4", "--rebuild"}} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		getenv := func(name string) string {
			if name == "KAFKA_BROKERS" {
				cancel()
			}
			return c.getenv(name)
		}
		var stdout, stderr bytes.Buffer
		if code := run(ctx, args, getenv, &stdout, &stderr); code != exitInterrupted || stderr.String() != "models: interrupted: nothing was changed\n" || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, %q and %q", args, code, &stdout, &stderr)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
	if got := c.rebuilt(t, "decision-tree"); got.Version != 12 {
		t.Errorf("it is at version %d, want 12", got.Version)
	}
}

// What differs does, whoever grows impatient meanwhile.
func TestDifferenceIsNoInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	if code := finish(ctx, command{}, &registry.DifferenceError{Model: "m"}, &bytes.Buffer{}, &stderr); code != exitFail || !strings.Contains(stderr.String(), "differs") {
		t.Errorf("exit code %d, %q", code, &stderr)
	}
}
