package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sampleFile = "../../online/evaluate/testdata/samples.csv"

// evaluateWith runs the command without a Redis.
func evaluateWith(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := run(t.Context(), append([]string{"evaluate"}, args...), func(string) string { return "redis://127.0.0.1:1" }, &out, &err); code != want {
		t.Fatalf("evaluate %q: exit code %d, want %d: %s", args, code, want, &err)
	}
	return out.String(), err.String()
}

func writeCatalogue(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.yaml")
	writeFile(t, file, `
champion: slow
models:
  - {name: slow, features: [l1_distance], transformers: [StandardScaler], model: {LinearRegression: {lr: 0.0001, intercept_lr: 0.0001}}}
  - {name: fast, features: [l1_distance, hour_cos], transformers: [StandardScaler], model: {LinearRegression: {lr: 0.05, intercept_lr: 0.05}}}
`)
	return file
}

func TestEvaluate(t *testing.T) {
	catalogue := writeCatalogue(t)
	stdout, stderr := evaluateWith(t, exitOK, "--samples", sampleFile, "--models", catalogue)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "RMSLE") || !strings.Contains(lines[1], "fast") || !strings.Contains(lines[2], "slow") {
		t.Errorf("the table is not a header, fast and slow:\n%s", stdout)
	}
	if stderr != "" {
		t.Errorf("progress on what is no terminal: %q", stderr)
	}

	stdout, _ = evaluateWith(t, exitOK, "--samples", sampleFile, "--models", catalogue, "--only", "slow", "--json")
	var results []judged
	if err := json.Unmarshal([]byte(stdout), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 {
		t.Fatalf("%d results, want that of slow", len(results))
	}
	r := results[0]
	if r.Name != "slow" || r.Count != 40 || r.MAE < 100 || r.RMSE < r.MAE || r.StateBytes == 0 || len(r.Days) != 1 || r.Days[0].MAE != r.MAE || r.Days[0].Day != "2016-01-01" {
		t.Errorf("result %+v", r)
	}
}

// Of nothing there is no error: JSON knows no NaN.
func TestEvaluateNothing(t *testing.T) {
	data, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(data), "\n")
	file := filepath.Join(t.TempDir(), "none.csv")
	writeFile(t, file, header)
	stdout, _ := evaluateWith(t, exitOK, "--samples", file, "--models", writeCatalogue(t), "--json")
	if !strings.Contains(stdout, `"mae": null`) {
		t.Errorf("no null in %s", stdout)
	}
}

func TestEvaluateErrors(t *testing.T) {
	catalogue := writeCatalogue(t)
	data, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.csv")
	writeFile(t, cut, string(data[:len(data)-20]))
	other := filepath.Join(t.TempDir(), "other.yaml")
	writeFile(t, other, "champion: x\nmodels:\n  - {name: x, features: [a], model: LinearRegression}\n")
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	writeFile(t, broken, "champion: x\nmodels:\n  - {name: x, features: [a], model: Oracle}\n")
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no samples", nil, exitUsage, "evaluate wants --samples FILE"},
		{"an argument", []string{"--samples", sampleFile, "x"}, exitUsage, `does not want "x"`},
		{"no such file", []string{"--samples", "none.csv", "--models", catalogue}, exitFail, "none.csv"},
		{"no such catalogue", []string{"--samples", sampleFile, "--models", "none.yaml"}, exitFail, "none.yaml"},
		{"broken catalogue", []string{"--samples", sampleFile, "--models", broken}, exitFail, "broken.yaml:\nline 3"},
		{"no such model", []string{"--samples", sampleFile, "--models", catalogue, "--only", "slow,x"}, exitUsage, `no model "x": the models are slow, fast`},
		{"no such feature", []string{"--samples", sampleFile, "--models", other}, exitFail, "model x wants the feature a"},
		{"cut short", []string{"--samples", cut, "--models", catalogue}, exitFail, "cut.csv: line 41"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := evaluateWith(t, tt.code, tt.args...)
			if !strings.Contains(stderr, tt.want) {
				t.Errorf("stderr %q, want %q in it", stderr, tt.want)
			}
			if had := strings.Contains(stdout, "39"); had != (tt.name == "cut short") {
				t.Errorf("stdout %q", stdout)
			}
		})
	}
}
