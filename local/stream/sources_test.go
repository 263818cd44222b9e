package stream

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	tripsql "tripcast.dev/sql"
)

// newer is the program with its topics read into tables.
func newer(t *testing.T) []tripsql.Statement {
	t.Helper()
	statements, err := tripsql.Tables(tripcast(t))
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// planned is what is run of a program, one line for each source, view and sink.
func planned(t *testing.T, statements []tripsql.Statement) []string {
	t.Helper()
	e, err := newEngine(t.Context(), statements, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	var all []string
	add := func(words ...string) { all = append(all, strings.Join(words, " ")) }
	columns := func(columns []column) string {
		var names []string
		for _, c := range columns {
			names = append(names, c.name)
		}
		return strings.Join(names, ",")
	}
	for _, name := range sortedKeys(e.program.sources) {
		s := e.program.sources[name]
		add("source", name, s.topic, columns(s.columns), strings.Join(s.include, ","))
	}
	for _, v := range e.views {
		var body []string
		for _, token := range v.body {
			body = append(body, token.Raw)
		}
		add("view", v.at.String(), v.name, fmt.Sprint(v.strategy), v.reason, columns(v.columns), strings.Join(body, " "))
	}
	for _, s := range e.program.sinks {
		add("sink", s.at.String(), s.name, s.from, s.topic, strings.Join(s.key, ","), s.headers)
	}
	return all
}

// Which form the sources have makes no difference to what is run.
func TestBothSourceSyntaxesArePlannedAlike(t *testing.T) {
	older, newer := planned(t, tripcast(t)), planned(t, newer(t))
	if len(older) < 30 || !slices.Equal(older, newer) {
		t.Errorf("%d lines became\n%s\nwant\n%s", len(older), strings.Join(newer, "\n"), strings.Join(older, "\n"))
	}
}

// The command that applies the program finds all of it in the stand-in that runs
// it, in either form, and nothing else.
func TestDeployToWhatRuns(t *testing.T) {
	for name, statements := range map[string][]tripsql.Statement{"older": tripcast(t), "newer": newer(t)} {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, "pick_ups", "drop_offs", "predictions")
			conn := k.stream(statements).connect(k.ctx)
			for range 2 {
				result, err := tripsql.Deployment{Statements: statements}.Apply(k.ctx, conn)
				if err != nil {
					t.Fatal(err)
				}
				if result.Created > 0 || len(result.Drift.Differences) > 0 {
					t.Errorf("created %d, and differs: %q", result.Created, result.Warnings())
				}
			}
		})
	}
}
