package sql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parserVariable names the directory that holds Materialize's own parser:
//
//	npm install --prefix DIR @materializeinc/sql-parser@26.41.0
//	TRIPCAST_SQL_PARSER=DIR go test ./sql
const parserVariable = "TRIPCAST_SQL_PARSER"

// materialize parses a script as Materialize does.
func materialize(t *testing.T, script string) (statements []string, err error) {
	t.Helper()
	dir, err := filepath.Abs(os.Getenv(parserVariable))
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "parse.mjs"))
	command.Env = append(os.Environ(), parserVariable+"="+dir)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(script), &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("running node: %v\n%s", err, &stderr)
	}
	var result struct {
		Statements []struct{ SQL string }
		Error      *struct {
			Message string
			Offset  int
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("reading what node wrote: %v\n%s", err, &stdout)
	}
	for _, s := range result.Statements {
		statements = append(statements, s.SQL)
	}
	if e := result.Error; e != nil {
		return statements, fmt.Errorf("line %d: %s", 1+strings.Count(script[:e.Offset], "\n"), e.Message)
	}
	return statements, nil
}

func skipWithoutParser(t *testing.T) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		skip = t.Fatalf
	}
	if os.Getenv(parserVariable) == "" {
		skip("NOT CHECKED against Materialize's parser: %s is not set (npm install --prefix DIR @materializeinc/sql-parser@26.41.0)", parserVariable)
	}
	if _, err := exec.LookPath("node"); err != nil {
		skip("NOT CHECKED against Materialize's parser: %v", err)
	}
}

// Materialize cannot run in a test, but its parser can: every statement of every
// file is one that it reads, and one where Split sees one.
func TestMaterializeReadsTheProgram(t *testing.T) {
	skipWithoutParser(t)
	all, err := Load(Files(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string][]Statement{}
	for _, s := range all {
		byFile[s.File] = append(byFile[s.File], s)
	}
	for file, ours := range byFile {
		t.Run(file, func(t *testing.T) {
			var script strings.Builder
			for _, s := range ours {
				// Every statement on its own line of the file.
				script.WriteString(strings.Repeat("\n", s.Line-1-strings.Count(script.String(), "\n")))
				script.WriteString(s.Text + ";")
			}
			theirs, err := materialize(t, script.String())
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(theirs) != len(ours) {
				t.Fatalf("Materialize sees %d statements, Split %d", len(theirs), len(ours))
			}
			for i := range ours {
				if theirs[i] != ours[i].Text {
					t.Errorf("%s:\nMaterialize sees %q\n     Split sees %q", ours[i], theirs[i], ours[i].Text)
				}
			}
		})
	}
}

// What is issued beside the files is read as well: questions, the cluster, and of
// every object, in both forms of sources, the statement and its comment.
func TestMaterializeReadsWhatApplyIssues(t *testing.T) {
	skipWithoutParser(t)
	older, err := Load(Files(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	newer, err := Tables(older)
	if err != nil {
		t.Fatal(err)
	}
	secured, err := connections["everything"].Statements()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{schemaQuery, objectsOf("u3"), dependentsQuery, clustersQuery, setCluster(`my "own"`)}
	for _, s := range slices.Concat(older, newer, secured) {
		want = append(want, s.Text)
		if o, ok := Creates(s); ok {
			want = append(want, commentOn(o, s, "it's"))
		}
	}
	got, err := materialize(t, strings.Join(want, ";\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("Materialize sees %q, want %q", got[i], want[i])
			}
		}
		t.Errorf("Materialize sees %d statements, want %d", len(got), len(want))
	}
}

// The connections that are made in Go are ones that Materialize reads, with the
// very secrets and certificates.
func TestMaterializeReadsConnections(t *testing.T) {
	skipWithoutParser(t)
	for name, c := range connections {
		t.Run(name, func(t *testing.T) {
			ours, err := c.Statements()
			if err != nil {
				t.Fatal(err)
			}
			var script strings.Builder
			for _, s := range ours {
				script.WriteString(s.Text + ";\n")
			}
			theirs, err := materialize(t, script.String())
			if err != nil {
				t.Fatal(err)
			}
			if len(theirs) != len(ours) {
				t.Fatalf("Materialize sees %d statements, want %d", len(theirs), len(ours))
			}
			for i := range ours {
				if theirs[i] != ours[i].Text {
					t.Errorf("Materialize sees %q, want %q", theirs[i], ours[i].Text)
				}
			}
		})
	}
}

func TestMaterializeRefusesWhatIsBroken(t *testing.T) {
	skipWithoutParser(t)
	for _, c := range []struct{ script, want string }{
		{"SELECT 1;\n\nSELEC 2;", "line 3: "},
		{"CREATE CONNECTION c TO KAFKA (BROKERS ('a:1'),\nSASL PASSWORT = SECRET s);", "line 2: "},
		{"CREATE VIEW a AS SELECT 1;\nCREATE SINK s FROM;", "line 2: "},
		{"CREATE SINK s FROM a INTO KAFKA CONNECTION c (TOPIC 't')\nKEY (k) NOT ENFORCED\nHEADER h\nFORMAT JSON ENVELOPE UPSERT;", "line 3: "},
	} {
		if _, err := materialize(t, c.script); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error at %q", c.script, err, c.want)
		}
	}
}

// Where Lex and Materialize might see different tokens, they see the same
// statements.
func TestMaterializeLexesAsWeDo(t *testing.T) {
	skipWithoutParser(t)
	for _, script := range []string{
		"SELECT 1 /* a /* ; */ ; */, 2; SELECT 3",
		"SELECT ';', \";\" -- ;\n, 'it'';s'; SELECT 3",
		"SELECT a->>'b;'\f, $1::int8, 1.5e3, .5; SELECT 3",
	} {
		theirs, err := materialize(t, script)
		if err != nil {
			t.Errorf("%q: %v", script, err)
			continue
		}
		ours, err := Split("script", script)
		if err != nil {
			t.Fatal(err)
		}
		if len(ours) != len(theirs) {
			t.Errorf("%q: Materialize sees %q, Split %d statements", script, theirs, len(ours))
		}
	}
}
