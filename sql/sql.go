// Package sql is the Materialize program of tripcast: numbered files that turn
// the topics of trips and predictions into features, labels and the numbers of
// the dashboard, and the few lines of Go that carry and apply them.
//
// The files are the product. Whoever runs them, Materialize or the laptop's
// stand-in, runs these very statements, in order of file name.
package sql

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Files returns the embedded program.
func Files() fs.FS { return files }

// Statement is one SQL statement and where it stands.
type Statement struct {
	File string
	Line int // of its first token
	Text string
	// Tokens of Text, without the final semicolon.
	Tokens []Token

	older string // record of the statement that Tables rewrote
}

// String is "file:line", the place that an error names.
func (s Statement) String() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// variable is ${name}. It is meant to stand inside a quoted literal: quotes in
// its value are doubled.
var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Load reads every *.sql file of fsys in order of name, puts variables in place
// of ${name}, and splits the text into statements. A variable that is not given
// is an error that names it, its file and its line; so is a given one that no
// file uses, which is how a typing mistake shows.
func Load(fsys fs.FS, variables map[string]string) ([]Statement, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("sql: listing files: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("sql: no *.sql files found")
	}
	slices.Sort(names)
	used := map[string]bool{}
	var all []Statement
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("sql: reading %s: %w", name, err)
		}
		expanded, err := expand(name, string(text), variables, used)
		if err != nil {
			return nil, err
		}
		statements, err := Split(name, expanded)
		if err != nil {
			return nil, err
		}
		all = append(all, statements...)
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !used[name] {
			return nil, fmt.Errorf("sql: variable %q is given but no file uses it", name)
		}
	}
	return all, nil
}

func expand(file, text string, variables map[string]string, used map[string]bool) (string, error) {
	var missing error
	expanded := variable.ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		value, ok := variables[name]
		if !ok && missing == nil {
			line := 1 + strings.Count(text[:strings.Index(text, match)], "\n")
			given := strings.Join(slices.Sorted(maps.Keys(variables)), ", ")
			missing = fmt.Errorf("sql: %s:%d: variable %q is not given: there are %s", file, line, name, cmp.Or(given, "none"))
		}
		used[name] = true
		return strings.ReplaceAll(value, "'", "''")
	})
	return expanded, missing
}

// Split cuts a script into its statements. file is only for messages.
func Split(file, text string) ([]Statement, error) {
	tokens, err := Lex(text)
	if err != nil {
		return nil, fmt.Errorf("sql: %s: %w", file, err)
	}
	var statements []Statement
	start := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].Is(";") {
			continue
		}
		if part := tokens[start:i]; len(part) > 0 {
			last := part[len(part)-1]
			statements = append(statements, Statement{
				File: file, Line: part[0].Line, Tokens: part,
				Text: text[part[0].Pos : last.Pos+len(last.Raw)],
			})
		}
		start = i + 1
	}
	return statements, nil
}
