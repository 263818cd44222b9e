package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "tripcast.dev/"

// mayImport says, for the packages below a folder, which of ours they may
// import: the folder itself and those listed. The first folder that fits counts.
var mayImport = []struct {
	folder  string
	allowed []string
}{
	{"events", nil},
	{"functions/online", nil},
	{"functions/registry", []string{"functions/online"}},
	{"functions/predict", []string{"functions/registry", "functions/online", "events"}},
	{"functions/learn", []string{"functions/registry", "functions/online", "events"}},
	{"functions/promote", []string{"functions/registry", "functions/online", "events"}},
	{"functions/serve", []string{"events"}},
	{"functions/simulate", []string{"events"}},
	{"functions/kafka", nil},
	{"functions/monitor", []string{"functions/registry", "functions/online", "events"}},
	{"functions/cmd", []string{"functions", "events", "infra", "sql"}},
	{"sql/cmd", []string{"functions/kafka", "sql"}},
	{"sql", nil},
	{"infra", nil},
	{"local", []string{"events", "functions", "sql", "infra"}},
}

// light are the functions' binaries; heavy is what they must not contain.
var (
	light = []string{"functions/cmd/predict", "functions/cmd/learn", "functions/cmd/promote", "functions/cmd/models", "functions/cmd/monitor", "functions/cmd/setup", "sql/cmd/apply"}
	heavy = []string{"k8s.io/", "knative.dev/", "github.com/duckdb/", "github.com/twmb/franz-go/pkg/kfake", "github.com/alicebob/miniredis"}
)

// topLevel is every folder of the house.
var topLevel = []string{"events", "functions", "sql", "infra", "local", "docs"}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func list(t *testing.T, arguments ...string) []listed {
	t.Helper()
	command := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps"}, arguments...)...)
	command.Dir = ".."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// within reports whether a package lies in a folder.
func within(pkg, folder string) bool {
	return pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

// TestWhoImportsWhom holds the rules of who may know whom.
func TestWhoImportsWhom(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 15 {
		t.Fatalf("only %d packages found: the test looks in the wrong place", len(packages))
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		i := slices.IndexFunc(mayImport, func(r struct {
			folder  string
			allowed []string
		},
		) bool {
			return within(name, r.folder)
		})
		if i < 0 {
			t.Errorf("%s lies in no folder of the house", name)
			continue
		}
		rule := mayImport[i]
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if !ok || within(ours, rule.folder) {
				continue
			}
			if !slices.ContainsFunc(rule.allowed, func(a string) bool { return within(ours, a) }) {
				t.Errorf("%s imports %s: what lies in %s may import %v", name, ours, rule.folder, rule.allowed)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if ours, ok := strings.CutPrefix(imported, module); ok && within(ours, "local") && !within(name, "local") {
				t.Errorf("a test of %s imports %s: nothing knows local", name, ours)
			}
		}
	}
}

// TestFunctionsStayLight holds Kubernetes, DuckDB and the embedded servers out of
// what is deployed.
func TestFunctionsStayLight(t *testing.T) {
	var paths []string
	for _, l := range light {
		paths = append(paths, "./"+l)
	}
	for _, p := range list(t, paths...) {
		for _, d := range p.Deps {
			for _, h := range heavy {
				if strings.HasPrefix(d, h) {
					t.Errorf("%s contains %s", path.Base(p.ImportPath), d)
				}
			}
		}
	}
}

// TestNoOtherFolder holds the top level to the layout.
func TestNoOtherFolder(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s/ is no folder of the house: %v are", e.Name(), topLevel)
		}
	}
}
