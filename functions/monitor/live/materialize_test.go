package live

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Materialize cannot run in a test, but its parser can: what is sent is what it
// reads. See the test of the same kind in sql/.
func TestMaterializeReadsTheStatements(t *testing.T) {
	skip := t.Skipf
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		skip = t.Fatalf
	}
	const variable = "TRIPCAST_SQL_PARSER"
	dir := os.Getenv(variable)
	if dir == "" {
		skip("NOT CHECKED against Materialize's parser: %s is not set (npm install --prefix DIR @materializeinc/sql-parser@26.41.0)", variable)
	}
	if _, err := exec.LookPath("node"); err != nil {
		skip("NOT CHECKED against Materialize's parser: %v", err)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", "..", dir) // as it is set where the tests of all packages are run
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	sent := []string{
		"BEGIN", declareStatement(viewCounts, false), declareStatement(viewStarts, true), fetchStatement(250 * time.Millisecond),
		loadNewest, pickUpQuery, endQuery, predictionQuery,
	}
	command := exec.CommandContext(t.Context(), "node", filepath.Join("..", "..", "..", "sql", "testdata", "parse.mjs"))
	command.Env = append(os.Environ(), variable+"="+dir)
	command.Stdin = strings.NewReader(strings.Join(sent, ";\n") + ";")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("running node: %v", err)
	}
	var read struct {
		Statements []struct{ SQL string }
		Error      *struct{ Message string }
	}
	if err := json.Unmarshal(out, &read); err != nil {
		t.Fatalf("reading what node wrote: %v\n%s", err, out)
	}
	if read.Error != nil {
		t.Fatalf("after %d statements: %s", len(read.Statements), read.Error.Message)
	}
	if len(read.Statements) != len(sent) {
		t.Errorf("%d statements were read, want %d", len(read.Statements), len(sent))
	}
}
