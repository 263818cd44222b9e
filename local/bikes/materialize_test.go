package bikes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/sql"
)

// parserVariable names the directory that holds Materialize's own parser: see
// sql/materialize_test.go.
const parserVariable = "TRIPCAST_SQL_PARSER"

// TestMaterializeReadsTheProgram: Materialize cannot run in a test, but its parser
// can. It reads every statement of every file, and sees as many as are applied.
func TestMaterializeReadsTheProgram(t *testing.T) {
	skip := t.Skipf
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		skip = t.Fatalf
	}
	parser := os.Getenv(parserVariable)
	if parser == "" {
		skip("NOT CHECKED against Materialize's parser: %s is not set (npm install --prefix DIR @materializeinc/sql-parser@26.41.0)", parserVariable)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip("NOT CHECKED against Materialize's parser: %v", err)
	}
	if parser, err = filepath.Abs(parser); err != nil {
		t.Fatal(err)
	}
	variables, err := sql.Variables(os.DirFS("sql"), sql.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := sql.Load(os.DirFS("sql"), variables)
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string][]string{}
	for _, s := range statements {
		byFile[s.File] = append(byFile[s.File], s.Text)
	}
	for file, ours := range byFile {
		theirs := parsed(t, node, parser, file, strings.Join(ours, ";\n")+";")
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s: Materialize sees %d statements, and %d are applied:\n%q\n%q", file, len(theirs), len(ours), theirs, ours)
		}
	}
}

// parsed are the statements that Materialize sees in a script.
func parsed(t *testing.T, node, parser, file, script string) (statements []string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), node, filepath.Join("..", "..", "sql", "testdata", "parse.mjs"))
	command.Env = append(os.Environ(), parserVariable+"="+parser)
	command.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("running node: %v\n%s", err, &stderr)
	}
	var result struct {
		Statements []struct{ SQL string }
		Error      *struct{ Message string }
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("reading what node wrote: %v\n%s", err, out)
	}
	if result.Error != nil {
		t.Errorf("%s: %s", file, result.Error.Message)
	}
	for _, s := range result.Statements {
		statements = append(statements, s.SQL)
	}
	return statements
}
