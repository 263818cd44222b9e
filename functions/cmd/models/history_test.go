package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// commands returns how to run the command on a Redis in which the shipped models
// have learned three labels, a commit and a snapshot each.
func commands(t *testing.T) func(want int, args ...string) string {
	t.Helper()
	redisURL := "redis://" + miniredis.RunT(t).Addr()
	models := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, func(string) string { return redisURL }, &stdout, &stderr); code != want {
			t.Fatalf("models %q: exit code %d, want %d: %s", args, code, want, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	models(exitOK, "apply", filepath.FromSlash("../../../infra/models.yaml"))
	client, err := registry.Open(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{SnapshotEvery: time.Nanosecond})
	for n := range 3 {
		label := registry.Label{ID: fmt.Sprint("trip-", n), Features: map[string]float64{"l1_distance": 1}, Y: 60}
		if _, err := committer.Learn(t.Context(), label); err != nil {
			t.Fatal(err)
		}
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return models
}

func TestPromote(t *testing.T) {
	models := commands(t)
	if got := models(exitOK, "promote", "linear-regression", "--by", "ann", "--reason", "it is faster"); !strings.Contains(got, "in place of city-grid-neighbors") {
		t.Errorf("promote: %q", got)
	}
	if got := models(exitOK, "promote", "--expect", "city-grid-neighbors", "linear-regression", "--by", "bea"); got != "linear-regression stays the champion, now by bea\n" {
		t.Errorf("promote again: %q", got)
	}
	if got := models(exitFail, "promote", "city-grid-neighbors", "--expect", "other"); !strings.Contains(got, "the champion is linear-regression by now") {
		t.Errorf("promote in place of another: %q", got)
	}
	if got := models(exitFail, "promote", "none"); !strings.Contains(got, "its models are linear-regression,") {
		t.Errorf("promote of none: %q", got)
	}
	if got := models(exitFail, "promote", "city-grid-neighbors", "--by", ""); !strings.Contains(got, "no name") {
		t.Errorf("promote by nobody: %q", got)
	}
	var action registry.Action
	if err := json.Unmarshal([]byte(models(exitOK, "promote", "city-grid-neighbors", "--json")), &action); err != nil {
		t.Fatal(err)
	}
	if action.To != "city-grid-neighbors" || action.By == "" {
		t.Errorf("action %+v", action)
	}
	text := strings.Split(strings.TrimSpace(models(exitOK, "audit", "--limit", "3")), "\n")
	if len(text) != 4 || !strings.Contains(text[2], " bea") || !strings.Contains(text[3], " ann ") || !strings.Contains(text[3], "it is faster") {
		t.Errorf("audit: %q", text)
	}
	var actions []registry.Action
	if err := json.Unmarshal([]byte(models(exitOK, "audit", "--json")), &actions); err != nil {
		t.Fatal(err)
	}
	if len(actions) != 4 || actions[0] != action || actions[3].Kind != registry.KindApply {
		t.Errorf("audit: %+v", actions)
	}
}

func TestRollback(t *testing.T) {
	models := commands(t)
	if got := models(exitFail, "rollback", "linear-regression", "9"); !strings.Contains(got, "there are [3 2 1]") {
		t.Errorf("rollback to none: %q", got)
	}
	if got := models(exitFail, "rollback", "linear-regression", "1", "--expect", "2"); !strings.Contains(got, "at version 3 by now, not at 2") {
		t.Errorf("rollback in place of another: %q", got)
	}
	if got := models(exitOK, "rollback", "linear-regression", "--by", "ann", "2", "--expect", "3"); got != "linear-regression goes on from version 2, in place of 3\n" {
		t.Errorf("rollback: %q", got)
	}
	var action registry.Action
	if err := json.Unmarshal([]byte(models(exitOK, "rollback", "linear-regression", "3", "--json")), &action); err != nil {
		t.Fatal(err)
	}
	if action.From != "4" || action.To != "3" || action.Kind != registry.KindRollback {
		t.Errorf("action %+v", action)
	}

	var history struct {
		Snapshots []registry.Snapshot
		Lineage   []registry.Commit
	}
	if err := json.Unmarshal([]byte(models(exitOK, "history", "linear-regression", "--json")), &history); err != nil {
		t.Fatal(err)
	}
	if len(history.Lineage) != 5 || history.Lineage[0].From != 3 || len(history.Snapshots) != 4 {
		t.Errorf("history %+v", history)
	}
	text := strings.Join(strings.Fields(models(exitOK, "history", "linear-regression", "--limit", "3")), " ")
	for _, want := range []string{`3 3 1 "trip-2" "trip-2"`, "back to 2", "back to 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the history %q", want, text)
		}
	}
	if strings.Contains(text, `"trip-1" "trip-1"`) {
		t.Errorf("more than three commits in %q", text)
	}
	if got := models(exitFail, "history", "none"); !strings.Contains(got, `no model "none"`) {
		t.Errorf("history of none: %q", got)
	}
}

func TestHistoryUsage(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"history"}, "history wants a model"},
		{[]string{"history", "x", "y"}, `does not want "y"`},
		{[]string{"promote"}, "promote wants a model"},
		{[]string{"rollback", "x"}, "rollback wants a version"},
		{[]string{"rollback", "x", "-1"}, "-1"},
		{[]string{"rollback", "x", "newest"}, `"newest" is not a version`},
		{[]string{"audit", "x"}, `does not want "x"`},
		{[]string{"audit", "--limit", "few"}, "few"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, func(string) string { return "redis://127.0.0.1:1" }, &stdout, &stderr)
			if code != exitUsage || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d and %q, want %q in it", code, &stderr, tt.want)
			}
		})
	}
}
