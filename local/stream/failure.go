package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

// failure is an error of DuckDB, as it writes one with errors_as_json.
type failure struct {
	Type     string `json:"exception_type"`
	Message  string `json:"exception_message"`
	Subtype  string `json:"error_subtype"`
	Kind     string `json:"type"` // of what is missing
	Name     string `json:"name"`
	Call     string `json:"call"`
	Position string `json:"position"`
}

// told makes DuckDB's error one of Materialize's: its code, its words, and
// nothing of what the stand-in is made of. Any other error comes back as it is.
func told(err error) error { return toldAt(err, nil) }

// toldAt says the place, too. at finds the token that an offset in DuckDB's text
// comes from.
func toldAt(err error, at func(offset int) (string, bool)) error {
	var duck *duckdb.Error
	if !errors.As(err, &duck) {
		return err
	}
	var f failure
	if _, text, ok := strings.Cut(duck.Msg, "{"); !ok || json.Unmarshal([]byte("{"+text), &f) != nil {
		// A view's own, as the engine's session says it.
		kind, message, _ := strings.Cut(duck.Msg, " Error: ")
		f = failure{Type: kind, Message: message}
	}
	message, code := f.words()
	message = strings.TrimSuffix(err.Error(), duck.Msg) + message // which view, where it is one's
	if offset, err := strconv.Atoi(f.Position); err == nil && at != nil {
		if place, ok := at(offset); ok {
			message = place + ": " + message
		}
	}
	return psqlerr.WithCode(errors.New(message), code)
}

// patterns are what messages of DuckDB without a subtype say, and what
// Materialize would; $1 and $2 are what the pattern finds.
var patterns = []struct {
	has  *regexp.Regexp
	code codes.Code
	says string // "" keeps the message
}{
	{regexp.MustCompile(`^Referenced table "(.*?)" not found`), codes.UndefinedTable, `missing FROM-clause entry for table "$1"`},
	{regexp.MustCompile(`^(?:Table|Values list) "(.*?)" does not have a column named "(.*?)"`), codes.UndefinedColumn, `column "$1.$2" does not exist`},
	{regexp.MustCompile(`because schema "(.*?)" does not exist`), codes.InvalidSchemaName, `unknown schema '$1'`},
	{regexp.MustCompile(`^Ambiguous reference to (?:column name|table) "(.*?)"`), codes.AmbiguousColumn, `column reference "$1" is ambiguous`},
	{regexp.MustCompile(`^column "(.*?)" must appear in the GROUP BY clause`), codes.Grouping, `column "$1" must appear in the GROUP BY clause or be used in an aggregate function`},
	{regexp.MustCompile(`cannot contain aggregates`), codes.Grouping, ""},
	{regexp.MustCompile(`^Could not choose a best candidate function for the function call "(.*?)"`), codes.UndefinedFunction, `operator or function does not exist: $1`},
	{regexp.MustCompile(`^Cannot (?:compare|mix) values of type (.*?) and (?:type )?(.*?)(?: in| -|$)`), codes.DatatypeMismatch, `type mismatch: $1 and $2`},
	{regexp.MustCompile(`^Unimplemented type for cast \((.*?) -> (.*?)\)`), codes.CannotCoerce, `cannot cast $1 to $2`},
	{regexp.MustCompile(`^Could not convert string (.*) to (\w+)`), codes.InvalidTextRepresentation, `invalid input syntax for type $2: $1`},
	{regexp.MustCompile(`^invalid (?:timestamp|date).*?: (".*?")`), codes.InvalidDatetimeFormat, `invalid input syntax for a date or time: $1`},
	{regexp.MustCompile(`field value out of range|[Oo]verflow|out of range`), codes.NumericValueOutOfRange, ""},
	{regexp.MustCompile(`^the stand-in does not keep`), codes.FeatureNotSupported, ""},
	{regexp.MustCompile(`^unrecognized configuration parameter`), codes.UndefinedObject, ""},
	{regexp.MustCompile(`^relation ".*" does not exist`), codes.UndefinedTable, ""},
	{regexp.MustCompile(`^(?:type|schema) ".*" does not exist`), codes.UndefinedObject, ""},
	{regexp.MustCompile(`disabled by configuration`), codes.InsufficientPrivilege, "reading files is not supported"},
}

// words says what happened, and its code.
func (f failure) words() (string, codes.Code) {
	first, _, _ := strings.Cut(f.Message, "\n")
	switch {
	case f.Subtype == "COLUMN_NOT_FOUND":
		return fmt.Sprintf("column %q does not exist", f.Name), codes.UndefinedColumn
	case f.Subtype == "NO_MATCHING_FUNCTION":
		return fmt.Sprintf("function %s does not exist", typesOf(renamedBack(f.Call))), codes.UndefinedFunction
	case f.Subtype == "MISSING_ENTRY" && strings.HasSuffix(f.Kind, "Function"):
		return fmt.Sprintf("function %q does not exist", renamedBack(f.Name)), codes.UndefinedFunction
	case f.Subtype == "MISSING_ENTRY" && f.Kind == "Type":
		return fmt.Sprintf("type %q does not exist", f.Name), codes.UndefinedObject
	case f.Subtype == "MISSING_ENTRY":
		return fmt.Sprintf("unknown catalog item '%s'", f.Name), codes.UndefinedTable
	}
	for _, p := range patterns {
		found := p.has.FindStringSubmatchIndex(first)
		if found == nil {
			continue
		}
		if p.says == "" {
			return typesOf(first), p.code
		}
		return typesOf(string(p.has.ExpandString(nil, p.says, first, found))), p.code
	}
	return typesOf(first), f.code()
}

// code goes by what kind of error it is.
func (f failure) code() codes.Code {
	switch f.Type {
	case "Parser", "Syntax":
		return codes.Syntax
	case "Binder", "Catalog", "Expression":
		return codes.SyntaxErrorOrAccessRuleViolation
	case "Conversion":
		return codes.InvalidTextRepresentation
	case "Mismatch Type", "Invalid type":
		return codes.DatatypeMismatch
	case "Out of Range":
		return codes.NumericValueOutOfRange
	case "Invalid Input":
		return codes.InvalidParameterValue
	case "Not implemented":
		return codes.FeatureNotSupported
	case "Permission":
		return codes.InsufficientPrivilege
	}
	return codes.Internal
}

// typeNames are DuckDB's types and what Materialize calls them.
var typeNames = map[string]string{
	"VARCHAR": "text", "STRING_LITERAL": "text", "BIGINT": "bigint", "INT64": "bigint", "INTEGER": "integer", "INT32": "integer",
	"INTEGER_LITERAL": "integer", "SMALLINT": "smallint", "HUGEINT": "numeric", "DOUBLE": "double precision", "FLOAT": "real",
	"BOOLEAN": "boolean", "BOOL": "boolean", "TIMESTAMP": "timestamp", "DATE": "date", "INTERVAL": "interval", "JSON": "jsonb", "DECIMAL": "numeric",
}

var typeWords = regexp.MustCompile(`\b[A-Z][A-Z0-9_]+\b(\(\d+,\s*\d+\))?`)

// typesOf writes a message with Materialize's names for types.
func typesOf(message string) string {
	return typeWords.ReplaceAllStringFunc(message, func(word string) string {
		bare, _, _ := strings.Cut(word, "(")
		if name, ok := typeNames[bare]; ok {
			return name
		}
		return word
	})
}

// renamedBack is what a function was called before duckSQL renamed it.
func renamedBack(call string) string {
	name, rest, called := strings.Cut(call, "(")
	for from, to := range renamed {
		if to == name && to != "" {
			name = from
		}
	}
	if called {
		return name + "(" + rest
	}
	return name
}
