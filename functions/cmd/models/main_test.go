package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

func TestApplyAndList(t *testing.T) {
	redisURL := "redis://" + miniredis.RunT(t).Addr()
	models := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, func(string) string { return redisURL }, &stdout, &stderr); code != want {
			t.Fatalf("models %q: exit code %d, want %d: %s", args, code, want, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	if got := models(exitFail, "list"); !strings.Contains(got, "no catalogue has been applied: models apply infra/models.yaml") {
		t.Errorf("list before apply: %q", got)
	}
	shipped := filepath.FromSlash("../../../infra/models.yaml")
	if got := models(exitOK, "apply", shipped); !strings.Contains(got, "champion city-grid-neighbors") {
		t.Errorf("apply: %q", got)
	}

	// A model that has learned is not changed.
	client, err := registry.Open(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{})
	if _, err := committer.Learn(t.Context(), registry.Label{ID: "t1", Features: map[string]float64{"l1_distance": 1}, Y: 60}); err != nil {
		t.Fatal(err)
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	writeFile(t, changed, "champion: linear-regression\nmodels:\n  - {name: linear-regression, features: [l1_distance], model: LinearRegression}\n")
	if got := models(exitFail, "apply", changed); !strings.Contains(got, "give the changed model a new name") {
		t.Errorf("apply of a change: %q", got)
	}
	writeFile(t, changed, "champion: x\nmodels:\n  - {name: x, features: [a], model: Oracle}\n")
	if got := models(exitFail, "apply", changed); !strings.Contains(got, "line 3") {
		t.Errorf("apply of a mistake: %q", got)
	}

	var infos []registry.Info
	if err := json.Unmarshal([]byte(models(exitOK, "list", "--json")), &infos); err != nil {
		t.Fatal(err)
	}
	if i := infos[0]; i.Name != "linear-regression" || i.Champion || i.Version != 1 || i.Count != 1 || i.Broken != "" {
		t.Errorf("first model %+v", i)
	}
	for _, i := range infos {
		if i.Champion != (i.Name == "city-grid-neighbors") {
			t.Errorf("%s: champion %v", i.Name, i.Champion)
		}
		line := strings.Join([]string{i.Name, i.Spec[:12]}, " ")
		if text := strings.Join(strings.Fields(models(exitOK, "list")), " "); !strings.Contains(text, strings.ReplaceAll(line, " ", " 1 1 ")) {
			t.Errorf("%q is not in the list %q", line, text)
		}
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	const everything, one = "evaluate --samples FILE", "models -h lists all\n"
	tests := []struct {
		args       []string
		code       int
		want, that string
	}{
		{nil, exitUsage, "a command is missing", "apply, warm-up, list,"},
		{[]string{"-h"}, exitOK, everything, "Exit codes: 0 "},
		{[]string{"list", "-h"}, exitOK, "  list [--json]", one},
		{[]string{"show", "-h"}, exitOK, "  show NAME ", one},
		{[]string{"show", "x", "--svg"}, exitUsage, "  show NAME ", one},
		{[]string{"destroy"}, exitUsage, `"destroy" is not a command`, one},
		{[]string{"apply"}, exitUsage, "one file", one},
		{[]string{"list", "x"}, exitUsage, `"x"`, one},
		{[]string{"--redis", "http://x", "list"}, exitUsage, "invalid URL scheme", one},
		{[]string{"apply", "no-such-file.yaml"}, exitFail, "no-such-file.yaml", ""},
		{[]string{"--redis", "redis://127.0.0.1:1", "list"}, exitFail, "Redis is unavailable", ""},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, func(string) string { return "" }, &stdout, &stderr)
			out := stdout.String() + stderr.String()
			if code != tt.code || !strings.Contains(out, tt.want) || !strings.Contains(out, tt.that) {
				t.Errorf("exit code %d and %q, want %d and %q and %q in it", code, out, tt.code, tt.want, tt.that)
			}
			if strings.Contains(out, everything) != (tt.want == everything) {
				t.Errorf("not all of the usage is wanted, or all of it:\n%s", out)
			}
		})
	}
}
