package sql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestSplit(t *testing.T) {
	statements, err := Split("a.sql", "-- first\nSELECT 1;\n\n;;SELECT ';' -- ;\n  , 2;\nSELECT\n3")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range statements {
		got = append(got, s.String()+" "+s.Text)
	}
	want := []string{"a.sql:2 SELECT 1", "a.sql:4 SELECT ';' -- ;\n  , 2", "a.sql:6 SELECT\n3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, s := range statements {
		if len(s.Tokens) == 0 || s.Tokens[0].Line != s.Line || s.Tokens[len(s.Tokens)-1].Is(";") {
			t.Errorf("%s has tokens %v", s, s.Tokens)
		}
	}
}

func TestSplitNamesTheFile(t *testing.T) {
	if _, err := Split("a.sql", "SELECT 1;\nSELECT 'x"); err == nil || err.Error() != "sql: a.sql: line 2: quote ' never ends" {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	files := func(pairs ...string) fstest.MapFS {
		fsys := fstest.MapFS{}
		for i := 0; i < len(pairs); i += 2 {
			fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return fsys
	}
	for _, c := range []struct {
		name      string
		fsys      fstest.MapFS
		variables map[string]string
		want      []string
		err       string
	}{
		{name: "in order of name", fsys: files("20_b.sql", "SELECT 2", "10_a.sql", "SELECT 1;", "README.md", "'"), want: []string{"10_a.sql:1 SELECT 1", "20_b.sql:1 SELECT 2"}},
		{name: "variables", fsys: files("a.sql", "SELECT '${x}', '${x}-${y}'"), variables: map[string]string{"x": "it's", "y": "1"}, want: []string{"a.sql:1 SELECT 'it''s', 'it''s-1'"}},
		{name: "a value is not expanded again", fsys: files("a.sql", "SELECT '${x}'"), variables: map[string]string{"x": "${x}"}, want: []string{"a.sql:1 SELECT '${x}'"}},
		{name: "missing variable", fsys: files("a.sql", "SELECT 1;\n\nSELECT '${x}', '${y}'"), variables: map[string]string{"y": ""}, err: `sql: a.sql:3: variable "x" is not given: there are y`},
		{name: "unused variable", fsys: files("a.sql", "SELECT 1"), variables: map[string]string{"gracee": "1 minute"}, err: `sql: variable "gracee" is given but no file uses it`},
		{name: "empty directory", fsys: files(), err: "sql: no *.sql files found"},
		{name: "broken file", fsys: files("a.sql", "SELECT 1", "b.sql", "\n/*"), err: "sql: b.sql: line 2: comment never ends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			statements, err := Load(c.fsys, c.variables)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("got error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range statements {
				got = append(got, s.String()+" "+s.Text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDefaultsFitTheProgram(t *testing.T) {
	statements, err := Load(Files(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if strings.Contains(s.Text, "${") {
			t.Errorf("%s has a variable left: %s", s, s.Text)
		}
		if !strings.Contains(s.Text, "IF NOT EXISTS") {
			t.Errorf("%s cannot be applied twice: %s", s, s.Text)
		}
	}
}

type execer struct {
	ran  []string
	fail string
	err  error
}

func (e *execer) Exec(_ context.Context, sql string, _ ...any) (pgconn.CommandTag, error) {
	e.ran = append(e.ran, sql)
	if sql == e.fail {
		return pgconn.CommandTag{}, e.err
	}
	return pgconn.CommandTag{}, nil
}

func (e *execer) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, &pgconn.PgError{Message: "no catalogue"}
}

// On a server without a catalogue every statement is run, in order.
func TestApply(t *testing.T) {
	statements, err := Split("a.sql", "SELECT 1;\nSELECT 2;\nSELECT 3")
	if err != nil {
		t.Fatal(err)
	}
	db := &execer{}
	if _, err := (Deployment{Statements: statements}).Apply(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if want := []string{"SELECT 1", "SELECT 2", "SELECT 3"}; !slices.Equal(db.ran, want) {
		t.Errorf("ran %q, want %q", db.ran, want)
	}

	broken := errors.New("unknown catalog item")
	db = &execer{fail: "SELECT 2", err: broken}
	_, err = Deployment{Statements: statements}.Apply(t.Context(), db)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "a.sql:2: ") {
		t.Errorf("the error does not say what broke where: %v", err)
	}
	if want := []string{"SELECT 1", "SELECT 2"}; !slices.Equal(db.ran, want) {
		t.Errorf("ran %q, want %q: the first error ends it", db.ran, want)
	}
}
