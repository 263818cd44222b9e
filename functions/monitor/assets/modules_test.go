package assets_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestModules runs the tests of the browser's modules that need no browser.
func TestModules(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
			t.Fatal("there is no node, and TRIPCAST_REQUIRE_SERVERS is set")
		}
		t.Skip("SKIPPED: the modules of the dashboard are not tested: there is no node (20 or later: https://nodejs.org, or `apt-get install nodejs`)")
	}
	files, err := filepath.Glob("scripts_test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests in scripts_test: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
}
