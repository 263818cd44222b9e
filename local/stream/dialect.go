package stream

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"tripcast.dev/sql"
)

// renamed are functions and types that DuckDB has under another name.
var renamed = map[string]string{
	"jsonb":                "JSON",
	"jsonb_build_object":   "json_object",
	"jsonb_build_array":    "json_array",
	"jsonb_each":           "json_each",
	"jsonb_array_length":   "json_array_length",
	"numeric":              "DECIMAL(38, 12)",
	"to_timestamp":         "mz_to_timestamp",
	"jsonb_array_elements": "",
	"jsonb_object_agg":     "json_group_object",
	"jsonb_agg":            "",
	"now":                  "",
}

// macros give DuckDB the functions of Materialize that it lacks.
var macros = []string{
	`CREATE MACRO date_bin(stride, source, origin) AS time_bucket(stride, source, origin)`,
	`CREATE MACRO mz_now() AS (now() AT TIME ZONE 'UTC')`,
	`CREATE MACRO mz_to_timestamp(seconds) AS to_timestamp(seconds) AT TIME ZONE 'UTC'`,
	`CREATE MACRO jsonb_typeof(j) AS CASE json_type(j)
		WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string'
		WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null'
		ELSE CASE WHEN json_type(j) IS NOT NULL THEN 'number' END END`,
}

// keywords after which a parenthesis opens a group, not a call.
var keywords = []string{
	"and", "or", "not", "in", "when", "then", "else", "case", "select", "where", "on", "by",
	"from", "between", "like", "is", "as", "having", "join", "lateral", "union", "all", "any", "distinct", "using",
}

// duckSQL writes a query of Materialize's dialect in DuckDB's.
func duckSQL(tokens []sql.Token) (string, error) {
	d, err := translate(tokens)
	if err != nil {
		return "", err
	}
	return d.text(), nil
}

func translate(tokens []sql.Token) (*dialect, error) {
	d := &dialect{tokens: tokens}
	for d.at < len(d.tokens) {
		read := d.at
		if err := d.step(); err != nil {
			return nil, err
		}
		for len(d.from) < len(d.out) {
			d.from = append(d.from, read)
		}
	}
	return d, nil
}

type dialect struct {
	tokens   []sql.Token
	at       int
	out      []string
	from     []int  // for each of out, the token it comes from
	brackets []bool // for each open [, whether it is a MAP's
}

func (d *dialect) text() string { return strings.Join(d.out, " ") }

// origin finds the token that an offset in the text comes from.
func (d *dialect) origin(offset int) (sql.Token, bool) {
	for i, piece := range d.out {
		if offset <= len(piece) {
			return d.tokens[d.from[i]], true
		}
		offset -= len(piece) + 1
	}
	return sql.Token{}, false
}

func (d *dialect) step() error {
	t := d.tokens[d.at]
	d.at++
	switch {
	case t.Kind == sql.Word:
		return d.word(t)
	case t.Is("->"), t.Is("->>"):
		return d.arrow(t)
	case t.Is("~"), t.Is("!~"), t.Is("~*"), t.Is("!~*"):
		return d.match(t)
	case t.Is("#>"), t.Is("#>>"), t.Is("@>"), t.Is("<@"), t.Is("?"):
		return unsupported("line %d: operator %s is not supported", t.Line, t.Raw)
	case t.Is("["):
		// MAP[ has been rewritten by word: this one is an array's.
		d.brackets = append(d.brackets, false)
		d.out = append(d.out, "[")
	case t.Is("]"):
		isMap := len(d.brackets) > 0 && d.brackets[len(d.brackets)-1]
		if len(d.brackets) > 0 {
			d.brackets = d.brackets[:len(d.brackets)-1]
		}
		if isMap {
			d.out = append(d.out, "}")
		} else {
			d.out = append(d.out, "]")
		}
	case t.Is("=>") && len(d.brackets) > 0 && d.brackets[len(d.brackets)-1]:
		d.out = append(d.out, ":")
	default:
		d.out = append(d.out, t.Raw)
	}
	return nil
}

// match writes a regular expression's operator and pattern.
func (d *dialect) match(t sql.Token) error {
	if d.at == len(d.tokens) || d.tokens[d.at].Kind != sql.String {
		return fmt.Errorf("line %d: %s needs a literal pattern", t.Line, t.Raw)
	}
	pattern := d.tokens[d.at].Text
	operator, anyCase := strings.CutSuffix(t.Raw, "*")
	if anyCase {
		pattern = "(?i)" + pattern
	}
	pattern, err := partialMatch(pattern)
	if err != nil {
		return fmt.Errorf("line %d: %w", t.Line, err)
	}
	d.out = append(d.out, operator, literal(pattern))
	d.at++
	return nil
}

func (d *dialect) word(t sql.Token) error {
	lower := strings.ToLower(t.Text)
	if lower == "map" && d.at < len(d.tokens) && d.tokens[d.at].Is("[") {
		d.at++
		d.brackets = append(d.brackets, true)
		d.out = append(d.out, "MAP {")
		return nil
	}
	// A column may be called like a function: only calls and casts are renamed.
	called := d.at < len(d.tokens) && d.tokens[d.at].Is("(")
	cast := len(d.out) > 0 && d.out[len(d.out)-1] == "::"
	if to, ok := renamed[lower]; ok && (called || cast) {
		if to == "" {
			return unsupported("line %d: function %s is not supported", t.Line, lower)
		}
		d.out = append(d.out, to)
		return nil
	}
	// DuckDB would keep the case of a name without quotes.
	d.out = append(d.out, folded(t))
	return nil
}

// arrow puts parentheses around JSON access: in DuckDB the arrow binds weaker
// than comparison, in Materialize stronger.
func (d *dialect) arrow(t sql.Token) error {
	start := d.operand(len(d.out))
	if start == len(d.out) {
		return fmt.Errorf("line %d: %s has nothing on its left", t.Line, t.Raw)
	}
	if d.at >= len(d.tokens) {
		return fmt.Errorf("line %d: %s has nothing on its right", t.Line, t.Raw)
	}
	d.out = slices.Insert(d.out, start, "(")
	d.from = slices.Insert(d.from, start, d.from[start])
	d.out = append(d.out, t.Raw)
	right := d.tokens[d.at]
	switch {
	case right.Kind == sql.String, right.Kind == sql.Number, right.Kind == sql.Param:
		d.out = append(d.out, right.Raw)
		d.at++
	case right.Kind == sql.Word || right.Kind == sql.Quoted:
		d.out = append(d.out, folded(right))
		d.at++
		for d.at+1 < len(d.tokens) && d.tokens[d.at].Is(".") {
			d.out = append(d.out, ".", folded(d.tokens[d.at+1]))
			d.at += 2
		}
	default:
		return unsupported("line %d: %s %s is not supported", t.Line, t.Raw, right.Raw)
	}
	d.out = append(d.out, ")")
	return nil
}

func folded(t sql.Token) string {
	if t.Kind == sql.Word {
		return strings.ToLower(t.Raw)
	}
	return t.Raw
}

// operand finds where the primary expression that ends before end begins.
func (d *dialect) operand(end int) int {
	i := end - 1
	if i < 0 {
		return end
	}
	if d.out[i] == ")" {
		depth := 0
		for ; i >= 0; i-- {
			if d.out[i] == ")" {
				depth++
			} else if d.out[i] == "(" {
				if depth--; depth == 0 {
					break
				}
			}
		}
		if i > 0 && isName(d.out[i-1]) && !slices.Contains(keywords, d.out[i-1]) {
			i--
		}
	}
	for i >= 2 && d.out[i-1] == "." {
		i -= 2
	}
	if i >= 2 && d.out[i-1] == "::" {
		return d.operand(i - 1)
	}
	return max(i, 0)
}

func isName(s string) bool {
	c := s[0]
	return c == '_' || c == '"' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// partialMatch makes a pattern that matches anywhere into one that matches the
// whole text, which is what DuckDB's ~ asks for.
func partialMatch(pattern string) (string, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", err
	}
	first := func(all []*syntax.Regexp) *syntax.Regexp { return all[0] }
	last := func(all []*syntax.Regexp) *syntax.Regexp { return all[len(all)-1] }
	if anchored(parsed, syntax.OpBeginText, first) && anchored(parsed, syntax.OpEndText, last) {
		return pattern, nil
	}
	return "(?s:.*)(?:" + pattern + ")(?s:.*)", nil
}

// anchored reports whether every match has the anchor on the side that end picks.
func anchored(re *syntax.Regexp, anchor syntax.Op, end func([]*syntax.Regexp) *syntax.Regexp) bool {
	switch re.Op {
	case anchor:
		return true
	case syntax.OpCapture, syntax.OpConcat:
		return anchored(end(re.Sub), anchor, end)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !anchored(sub, anchor, end) })
	}
	return false
}

// literal quotes text for SQL.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// quoteName quotes an identifier.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
