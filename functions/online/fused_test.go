package online_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A state learned on one machine goes on on another, so models round every
// product by itself. Where a processor can multiply and add at once, the compiler
// does so unless a conversion forbids it: arm64 is one, and what is compiled for
// it shows whether one was forgotten.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles everything for another processor")
	}
	readSources(t)
	build := exec.Command("go", "build", "-gcflags=-S", "./...")
	build.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux", "CGO_ENABLED=0")
	listing, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, listing)
	}
	instruction := regexp.MustCompile(`functions/online/(\S+\.go:\d+)\)\s+(\S+)`)
	seen := 0
	for _, line := range strings.Split(string(listing), "\n") {
		at := instruction.FindStringSubmatch(line)
		if at == nil {
			continue
		}
		seen++
		switch at[2] {
		case "FMADDD", "FMSUBD", "FNMADDD", "FNMSUBD":
			// Suites and streams for tests are held to nothing.
			if !strings.HasPrefix(at[1], "onlinetest/") && !strings.HasPrefix(at[1], "internal/golden/") && !strings.HasPrefix(at[1], "internal/riverbench/") {
				t.Errorf("%s: a product is fused into a sum (%s): write float64(a*b)", at[1], at[2])
			}
		}
	}
	if seen < 10_000 {
		t.Errorf("%d instructions of ours in the listing: the test looks in the wrong place", seen)
	}
}

// readSources lets go test know that the result depends on them: of what another
// process reads it knows nothing, and would show an old result.
func readSources(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".go") {
			_, err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
