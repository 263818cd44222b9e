package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/registry"
)

func TestShow(t *testing.T) {
	c := newCity(t)
	for _, name := range c.names {
		text := c.run(t, exitOK, "show", name)
		for _, want := range []string{name + ", ", "version       12 of 120 labels", `the last of them "trip-119"`, "specification ", "\nPipeline\n", "  model: "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "is not explained") {
			t.Errorf("%s: %s", name, text)
		}
		var s struct {
			Model, Role   string
			Version       registry.Snapshot
			Specification struct{ Name string }
			Explanation   struct{ Kind string }
		}
		if err := json.Unmarshal([]byte(c.run(t, exitOK, "show", "--json", name)), &s); err != nil {
			t.Fatal(err)
		}
		role := "shadow"
		if name == "city-grid-neighbors" {
			role = "champion"
		}
		if s.Model != name || s.Role != role || s.Version.Count != trips || s.Specification.Name != name || s.Explanation.Kind != "Pipeline" {
			t.Errorf("%s is %+v", name, s)
		}
	}
	if text := c.run(t, exitOK, "show", "linear-regression", "--version", "1", "--rows", "2"); !strings.Contains(text, "version       1 of 10 labels") || !strings.Contains(text, "… and 4 more") {
		t.Errorf("version 1 is\n%s", text)
	}
	for _, tt := range []struct {
		code int
		args []string
		says string
	}{
		{exitUsage, []string{"show"}, "show wants a model"},
		{exitUsage, []string{"show", "a", "b"}, `show does not want "b"`},
		{exitFail, []string{"show", "no-model"}, "its models are linear-regression"},
		{exitFail, []string{"show", "decision-tree", "--version", "2"}, "has no snapshot of version 2: there are ["},
		{exitFail, []string{"show", "linear-regression", "--svg", filepath.Join(t.TempDir(), "x.svg")}, "has no tree to draw"},
		{exitFail, []string{"show", "decision-tree", "--svg", filepath.Join(t.TempDir(), "no", "x.svg")}, "--svg: "},
	} {
		if got := c.run(t, tt.code, tt.args...); !strings.Contains(got, tt.says) {
			t.Errorf("%q: %q, want %q in it", tt.args, got, tt.says)
		}
	}
	file := filepath.Join(t.TempDir(), "tree.svg")
	c.run(t, exitOK, "show", "decision-tree", "--svg", file)
	if svg, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(svg, []byte("<svg ")) || !bytes.HasSuffix(svg, []byte("</svg>\n")) {
		t.Errorf("the picture is %q (%v)", svg, err)
	}
}

func TestShowNothing(t *testing.T) {
	c := &city{redis: "redis://" + miniredis.RunT(t).Addr()}
	if got := c.run(t, exitFail, "show", "decision-tree"); !strings.Contains(got, "no catalogue has been applied") {
		t.Errorf("%q", got)
	}
	c.run(t, exitOK, "apply", "../../../infra/models.yaml")
	if got := c.run(t, exitOK, "show", "decision-tree"); !strings.Contains(got, "it has learned nothing") {
		t.Errorf("%q", got)
	}
	if got := c.run(t, exitFail, "export", "decision-tree"); !strings.Contains(got, "has learned nothing that could be exported") {
		t.Errorf("%q", got)
	}
}

func TestDiff(t *testing.T) {
	c := newCity(t)
	text := strings.Join(strings.Fields(c.run(t, exitOK, "diff", "linear-regression", "1", "now")), " ")
	for _, want := range []string{
		"linear-regression@1 linear-regression@12 CHANGE", "labels 10 120 +110", "the same", "model: COEFFICIENT BEFORE AFTER CHANGE",
		"transformer 1: SCALE BEFORE AFTER CHANGE", "hour_cos mean", "model: INTERCEPT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if got := c.run(t, exitOK, "diff", "decision-tree", "now", "12"); !strings.Contains(got, "what they have learned is the same") {
		t.Errorf("%q", got)
	}
	if got, want := c.run(t, exitOK, "diff", "linear-regression", "1"), c.run(t, exitOK, "diff", "linear-regression", "1", "now"); got != want {
		t.Errorf("of one version it says\n%s\nand not\n%s", got, want)
	}
	got := strings.Join(strings.Fields(c.run(t, exitOK, "diff", "linear-regression", "nearest-neighbors")), " ")
	for _, want := range []string{"labels 120 120 +0", "another", "LinearRegression KNNRegressor"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	var d struct {
		Before, After struct{ Version registry.Snapshot }
		Changes       []struct{ What, Name string }
	}
	if err := json.Unmarshal([]byte(c.run(t, exitOK, "diff", "--json", "linear-regression", "1", "now")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Before.Version.Version != 1 || d.After.Version.Count != trips || len(d.Changes) < 7 {
		t.Errorf("%+v", d)
	}
	for _, args := range [][]string{{"diff"}, {"diff", "a"}, {"diff", "a", "0"}, {"diff", "a", "1", "2", "3"}, {"diff", "a", "1", "x"}, {"diff", "a", "0", "now"}} {
		if got := c.run(t, exitUsage, args...); !strings.Contains(got, "usage: models") {
			t.Errorf("%q: %q", args, got)
		}
	}
	c.run(t, exitFail, "diff", "linear-regression", "1", "5")
}

// What one city has learned goes on in another.
func TestExportImport(t *testing.T) {
	from, dir := newCity(t), t.TempDir()
	file := filepath.Join(dir, "grid.model")
	if got := from.run(t, exitOK, "export", "city-grid", "--out", file); !strings.Contains(got, "version 12 of city-grid, of 120 labels, is in "+file) {
		t.Errorf("%q", got)
	}
	var e exported
	if err := json.Unmarshal([]byte(from.run(t, exitOK, "export", "--json", "city-grid", "--out", file, "--version", "1", "--force")), &e); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || e.Version.Version != 1 || e.Version.Count != 10 || e.File != file || info.Size() != int64(e.Bytes) {
		t.Errorf("%+v (%v)", e, err)
	}
	if got := from.run(t, exitFail, "export", "city-grid", "--out", file); !strings.Contains(got, file+" is there already: --force replaces it") {
		t.Errorf("%q", got)
	}
	from.run(t, exitOK, "export", "city-grid", "--out", file, "--force")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left (%v), want one", len(entries), err)
	}

	to := &city{redis: "redis://" + miniredis.RunT(t).Addr()}
	if got := to.run(t, exitFail, "import", file); !strings.Contains(got, "no catalogue has been applied") {
		t.Errorf("%q", got)
	}
	to.run(t, exitOK, "apply", "../../../infra/models.yaml")
	if got := to.run(t, exitOK, "import", file, "--by", "ann"); !strings.Contains(got, "city-grid goes on from version 12 of "+file+", of 120 labels, as version 1, in place of 0") {
		t.Errorf("%q", got)
	}
	var a registry.Action
	if err := json.Unmarshal([]byte(to.run(t, exitOK, "import", "--json", file, "--expect", "1", "--by", "ann", "--reason", "again")), &a); err != nil {
		t.Fatal(err)
	}
	if a.Kind != registry.KindImport || a.From != "1" || a.To != "2" || a.By != "ann" || a.Reason != "again" {
		t.Errorf("%+v", a)
	}
	there, here := from.run(t, exitOK, "show", "city-grid", "--json"), to.run(t, exitOK, "show", "city-grid", "--json")
	if _, there, _ := strings.Cut(there, `"specification"`); !strings.HasSuffix(here, there) {
		t.Errorf("what was imported is explained as\n%s\nand not as\n%s", here, there)
	}
	if got := to.run(t, exitOK, "history", "city-grid"); !strings.Contains(got, "imported, of version 12 there") {
		t.Errorf("%q", got)
	}

	damaged := filepath.Join(dir, "damaged.model")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, damaged, string(data[:len(data)-50]))
	for _, tt := range []struct {
		code int
		args []string
		says string
	}{
		{exitUsage, []string{"import"}, "import wants a file"},
		{exitFail, []string{"import", filepath.Join(dir, "none.model")}, "none.model"},
		{exitFail, []string{"import", damaged}, "it ends early"},
		{exitFail, []string{"import", file, "--as", "decision-tree"}, "decision-tree of the catalogue: features"},
		{exitFail, []string{"import", file, "--as", "none"}, "its models are"},
		{exitFail, []string{"import", file, "--expect", "1"}, "is at version 2 by now"},
		{exitFail, []string{"export", "city-grid", "--out", filepath.Join(dir, "no", "x")}, "--out"},
		{exitFail, []string{"export", "city-grid", "--version", "5"}, "has no snapshot of version 5"},
	} {
		if got := to.run(t, tt.code, tt.args...); !strings.Contains(got, tt.says) {
			t.Errorf("%q: %q, want %q in it", tt.args, got, tt.says)
		}
	}
}

// A version of which no snapshot is kept, from the labels of a recording.
func TestRollbackRebuilt(t *testing.T) {
	c := newCity(t)
	labels := recording(t, topicOf(t))
	if got := c.run(t, exitFail, "rollback", "city-grid", "4"); !strings.Contains(got, "with --rebuild it can be any version that history shows") {
		t.Errorf("%q", got)
	}
	want := c.rebuilt(t, "city-grid", "--to-version", "4", "--labels", labels)
	got := c.run(t, exitOK, "rollback", "city-grid", "4", "--rebuild", "--labels", labels, "--by", "ann", "--expect", "12")
	if !strings.Contains(got, "city-grid goes on from version 4, in place of 12") || !strings.Contains(got, "30 labels taught") {
		t.Errorf("%q", got)
	}
	now := c.rebuilt(t, "city-grid", "--labels", labels)
	if now.Version != 13 || now.SHA256 != want.SHA256 || now.Count != want.Count || fmt.Sprint(now.Checked) != "[13]" {
		t.Errorf("it goes on from %+v, version 4 was %+v", now, want)
	}
	for _, tt := range []struct {
		code int
		args []string
		says string
	}{
		{exitUsage, []string{"rollback", "city-grid", "0", "--rebuild"}, `"0" is not a version`},
		{exitUsage, []string{"rollback", "city-grid", "4", "--labels", labels}, "--labels is what --rebuild"},
		{exitFail, []string{"rollback", "city-grid", "40", "--rebuild", "--labels", labels}, "has no version 40"},
		{exitFail, []string{"rollback", "city-grid", "5", "--rebuild", "--labels", labels, "--expect", "12"}, "at version 13 by now"},
	} {
		if got := c.run(t, tt.code, tt.args...); !strings.Contains(got, tt.says) {
			t.Errorf("%q: %q, want %q in it", tt.args, got, tt.says)
		}
	}
}

func TestSince(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 90 * time.Minute: "1 h", 30 * time.Hour: "30 h", 100 * time.Hour: "4 d", 150 * time.Second: "2 min",
	} {
		if got := since(time.Now().Add(-d)); got != want {
			t.Errorf("%s ago is %q, want %q", d, got, want)
		}
	}
}

// The names of commands are words of the usage, and none is there twice.
func TestEveryCommand(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range everyCommand() {
		if seen[c.name] || c.do == nil || !strings.Contains(usage(), "\n  "+c.name+" ") {
			t.Errorf("the command %q", c.name)
		}
		seen[c.name] = true
	}
}
