package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const river = "../../evaluate/testdata/river"

// stage is a folder with a tripcast and a River that say what they are told.
type stage struct {
	tripcast string
	bench    bench
	out, log bytes.Buffer
}

// newStage writes both: one gives the trips of testdata and the report, the other
// what theirs has of a model.
func newStage(t *testing.T, report string, theirs map[string]judged) *stage {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("SKIPPED: there is no sh to stand in for tripcast and Python")
	}
	folder := t.TempDir()
	samples, err := filepath.Abs(filepath.Join(river, "trips.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("report.json", report)
	write("tripcast", fmt.Sprintf(`#!/bin/sh
test "$1 $2 $3" = "backtest --trips the-trips" || exit 64
while [ $# -gt 0 ]; do
  case "$1" in
  --models) grep -q 'name: nearest-neighbors' "$2" || exit 65 ;;
  --samples) cp %q "$2" ;;
  --json) cp %q "$2" ;;
  esac
  shift
done
`, samples, filepath.Join(folder, "report.json")))
	for name, j := range theirs {
		line, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".json", string(line)+"\n")
	}
	python := filepath.Join(folder, "river-"+demoRiver, "bin", "python")
	if err := os.MkdirAll(filepath.Dir(python), 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join("river-"+demoRiver, "bin", "python"), fmt.Sprintf(`#!/bin/sh
test -n "$3" || { echo %s; exit; } # it is asked for its version
cat %q/"$4".json
`, demoRiver, folder))
	s := &stage{tripcast: filepath.Join(folder, "tripcast")}
	log := &shared{w: &s.log}
	s.bench = bench{envs: environments{folder: folder, log: log}, stdout: &s.out, stderr: log}
	return s
}

func (s *stage) run(t *testing.T, args ...string) error {
	t.Helper()
	err := s.bench.backtest(t.Context(), append([]string{"--tripcast", s.tripcast, "--trips", "the-trips"}, args...))
	t.Logf("error %v, printed\n%s%s", err, &s.log, &s.out)
	return err
}

// rivers is what River 0.13.0 makes of these trips, and the report that says the
// same of them.
func rivers(t *testing.T) (map[string]judged, string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(river, "river-"+demoRiver+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var own struct {
		Models map[string]judged `json:"models"`
	}
	if err := json.Unmarshal(data, &own); err != nil {
		t.Fatal(err)
	}
	var models []string
	for name, j := range own.Models {
		j.Name, j.Seconds = name, 12.5
		own.Models[name] = j
		models = append(models, fmt.Sprintf(`{"name": %q, "count": %d, "mae": %v, "extra": 1}`, name, j.Count, j.MAE))
	}
	return own.Models, fmt.Sprintf(`{"trips": 1500, "models": [%s], "timing": {"workers": 2, "read_s": 1.5, "ask_s": 0.25}}`, strings.Join(models, ", "))
}

func TestBacktest(t *testing.T) {
	theirs, report := rivers(t)
	s := newStage(t, report, theirs)
	markdown := filepath.Join(t.TempDir(), "table.md")
	if err := s.run(t, "--runs", "3", "--markdown", markdown); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(markdown)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`\| nearest-neighbors \| 1500 \| 522\.84463 \| 522\.84463 \| \+0 \| 12\.5 \| [0-9.]+ \| [0-9.,]+x faster \|`,
		`\| linear-regression \| 1500 \| 8268959\.2 \| `,
		`\| decision-tree \| 1500 \| 467\.25469 \| `,
		`River's three take 37\.5 s one after another`,
		`All 3 models, from start to exit: tripcast [0-9.]+ s .* of processors\), River [0-9.]+ s`,
		`1\.50 s to read them .*, 0\.250 s to judge, 2 models at once, .*; the median of 3 runs of `,
	} {
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("nothing like %s in\n%s", want, text)
		}
	}
	if !strings.Contains(s.out.String(), "nearest-neighbors  1500") {
		t.Error("the table is not printed")
	}
}

// What is not the same is printed, and is an error.
func TestBacktestDiffers(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(theirs map[string]judged, report string) string // of the report
	}{
		{"nearly the same", "", func(theirs map[string]judged, report string) string {
			j := theirs["decision-tree"]
			j.MAE *= 1 + 0.9e-6
			theirs["decision-tree"] = j
			return report
		}},
		{"another error", "decision-tree: MAE 467.2546863, River's is 467.2556208, 2e-06 off", func(theirs map[string]judged, report string) string {
			j := theirs["decision-tree"]
			j.MAE *= 1 + 2e-6
			theirs["decision-tree"] = j
			return report
		}},
		{"fewer trips", "linear-regression: 1499 trips are judged, River judges 1500", func(_ map[string]judged, report string) string {
			return strings.Replace(report, `"linear-regression", "count": 1500`, `"linear-regression", "count": 1499`, 1)
		}},
		{"no error", "nearest-neighbors: MAE NaN", func(_ map[string]judged, report string) string {
			return regexp.MustCompile(`("nearest-neighbors", "count": 1500, "mae": )[0-9.]+`).ReplaceAllString(report, "${1}null")
		}},
		{"a model is missing", "the report of tripcast backtest has no decision-tree", func(_ map[string]judged, report string) string {
			return strings.Replace(report, `"decision-tree"`, `"another"`, 1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			theirs, report := rivers(t)
			report = tt.change(theirs, report)
			s := newStage(t, report, theirs)
			err := s.run(t)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if !strings.Contains(s.out.String(), "linear-regression") {
				t.Error("the table is not printed")
			}
		})
	}
}

func TestBacktestFails(t *testing.T) {
	theirs, report := rivers(t)
	s := newStage(t, report, theirs)
	if err := s.bench.backtest(t.Context(), []string{"--tripcast", s.tripcast, "--trips", "others"}); err == nil || !strings.Contains(err.Error(), "tripcast backtest: exit status 64") {
		t.Errorf("error %v of a tripcast that fails", err)
	}
	if err := newStage(t, "{", theirs).run(t); err == nil || !strings.Contains(err.Error(), "the report of ") {
		t.Errorf("error %v of a report that is cut short", err)
	}
	delete(theirs, "decision-tree")
	if err := newStage(t, report, theirs).run(t); err == nil || err.Error() != "prequential.py with River 0.13.0: exit status 1" {
		t.Errorf("error %v of a River that fails", err)
	}
}

func TestMedianRun(t *testing.T) {
	s := sides{ours: []ourRun{{took: took{wall: 5 * time.Second}}, {took: took{wall: time.Second}}, {took: took{wall: 2 * time.Second}}}}
	if got := s.median().wall; got != 2*time.Second {
		t.Errorf("the median is %s", got)
	}
	s.ours = s.ours[:2]
	if got, spread := s.median().wall, s.spread(); got != time.Second || spread != "; the median of 2 runs of 1.00 s to 5.00 s" {
		t.Errorf("the median of two is %s, spread %q", got, spread)
	}
	if !math.IsNaN(number(nil)) {
		t.Error("null is a number")
	}
}
