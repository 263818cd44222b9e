package sql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SourceSyntax is how topics are read. The files have the older form, which
// needs no switch: CREATE SOURCE with a format. The newer one, behind Materialize's
// enable_create_table_from_source, leaves the format to CREATE TABLE … FROM SOURCE,
// and where force_source_table_syntax is set there is no other. An ordinary user
// sees neither switch.
type SourceSyntax string

// The ways to read topics.
const (
	// AutoSyntax goes on with the form of what is there, and where nothing is
	// there tries the older one and takes the newer if the server asks for it.
	AutoSyntax  SourceSyntax = "auto"
	OlderSyntax SourceSyntax = "source"
	NewerSyntax SourceSyntax = "table"
)

// ParseSourceSyntax reads auto, source or table.
func ParseSourceSyntax(text string) (SourceSyntax, error) {
	s := SourceSyntax(text)
	if !slices.Contains([]SourceSyntax{AutoSyntax, OlderSyntax, NewerSyntax}, s) {
		return "", fmt.Errorf("%q is none of auto, source, table", text)
	}
	return s, nil
}

// sourceSuffix is added to the name of a source whose own name its table takes.
const sourceSuffix = "_source"

// Tables rewrites sources of the older form into the newer one. The table has the
// name that the source had, so what selects from it stays as it is; the source is
// called the same with _source. Other statements stay.
func Tables(statements []Statement) ([]Statement, error) {
	var all []Statement
	for _, s := range statements {
		rewritten, ok, err := tables(s)
		switch {
		case err != nil:
			return nil, err
		case ok:
			all = append(all, rewritten...)
		default:
			all = append(all, s)
		}
	}
	return all, nil
}

// tables is one source as a source and its table, if it is of the older form.
func tables(s Statement) (rewritten []Statement, ok bool, err error) {
	object, named, ok := creates(s)
	if !ok || object.Type != typeSource {
		return nil, false, nil
	}
	end := optionsEnd(s.Tokens)
	if end == 0 || end == len(s.Tokens) {
		return nil, false, nil // no source of Kafka's, or of the newer form already
	}
	for _, t := range s.Tokens[end:] {
		if t.Is("WITH") || t.Is("EXPOSE") {
			return nil, false, fmt.Errorf("sql: %s: %s cannot be made a table: %s is not known here", s, object, strings.ToUpper(t.Text))
		}
	}
	start, name := s.Tokens[0].Pos, s.Tokens[named-1]
	source := quote(object.Name + sourceSuffix)
	if name.Kind == Word {
		source = name.Raw + sourceSuffix
	}
	options := s.Text[name.Pos+len(name.Raw)-start : s.Tokens[end-1].Pos+1-start]
	format := s.Text[s.Tokens[end].Pos-start:]
	// Blank lines before keep the line that errors name.
	rewritten, err = Split(s.File, fmt.Sprintf("%s%s%s%s;\n", strings.Repeat("\n", s.Line-1), s.Text[:name.Pos-start], source, options))
	if err != nil {
		return nil, false, err
	}
	exists := ""
	if strings.Contains(strings.ToUpper(s.Text[:name.Pos-start]), "EXISTS") {
		exists = "IF NOT EXISTS "
	}
	table, err := Split(s.File, fmt.Sprintf("%sCREATE TABLE %s%s FROM SOURCE %s\n%s;", strings.Repeat("\n", s.Line-1), exists, name.Raw, source, format))
	if err != nil {
		return nil, false, err
	}
	rewritten = append(rewritten, table...)
	for i := range rewritten {
		rewritten[i].older = record(s)
	}
	return rewritten, true, nil
}

// optionsEnd is how many tokens there are up to the end of KAFKA CONNECTION c (…),
// 0 if that is not there.
func optionsEnd(tokens []Token) int {
	at := slices.IndexFunc(tokens, func(t Token) bool { return t.Is("KAFKA") })
	if at < 0 {
		return 0
	}
	depth := 0
	for i := at; i < len(tokens); i++ {
		switch {
		case tokens[i].Is("("):
			depth++
		case tokens[i].Is(")"):
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// wantsTables reports whether a server refuses a source because
// force_source_table_syntax is set. The words are those of Materialize's
// PlanError::UseTablesForSources; it has no code of its own.
func wantsTables(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && strings.Contains(answer.Message, "use CREATE TABLE .. FROM SOURCE instead")
}
