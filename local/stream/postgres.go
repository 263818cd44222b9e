package stream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"

	"tripcast.dev/sql"
)

// fromClient rewrites what clients of Postgres write, and no file of the program does,
// into what the rest of the dialect reads: names with the database, the schema
// or pg_catalog before them, casts to catalogue types, OPERATOR(pg_catalog.~),
// COLLATE. It refuses what would show DuckDB's own insides. Every token keeps
// the place it came from.
//
// lists are the parameters, from 1, that are compared with as ANY of a list: of
// text, unless the client declares another.
func fromClient(tokens []sql.Token, process int32, declared []uint32) (out []sql.Token, lists []int, err error) {
	a := &asking{in: tokens, process: process, declared: declared}
	for a.at < len(a.in) {
		if err := a.step(); err != nil {
			return nil, nil, err
		}
	}
	return a.out, a.lists, nil
}

type asking struct {
	in, out []sql.Token
	at      int
	process int32
	depth   int   // of parentheses
	casts   []int // depths at which a CAST is open
	sets    []int // depths at which a function of rows is called in FROM
	lists   []int // parameters, from 1, that are lists
	// declared are the types of parameters as far as the client says.
	declared []uint32
}

// catalogTypes are types of the catalogues as DuckDB knows them.
var catalogTypes = map[string]string{
	"oid": "BIGINT", "name": "VARCHAR", "char": "VARCHAR", "regproc": "VARCHAR", "xid": "BIGINT", "int2vector": "BIGINT[]", "oidvector": "BIGINT[]",
	"sql_identifier": "VARCHAR", "character_data": "VARCHAR", "cardinal_number": "BIGINT", "yes_or_no": "VARCHAR",
}

// named are the types that turn a name into an OID, and an OID into a name.
var named = map[string]string{"regclass": "regclass_name", "regtype": "format_type", "regnamespace": "regnamespace_name"}

// itself are the names that stand for a value of the session, with or without
// the parentheses of a call.
var itself = map[string]string{
	"current_user": literal(theUser), "session_user": literal(theUser), "user": literal(theUser), "current_role": literal(theUser),
	"current_catalog": literal("materialize"), "current_database": literal("materialize"), "current_schema": literal("public"),
}

// notAliases may follow a table function without an alias.
var notAliases = []string{
	"where", "join", "left", "right", "full", "inner", "cross", "natural", "on", "using", "group", "order", "limit", "offset", "having", "union",
	"except", "intersect", "with", "fetch", "window",
}

// inside are functions and relations that tell of DuckDB, by how they begin.
var inside = []string{"duckdb_", "pragma_", "sqlite_", keptRows, "tick_rows", "query_table", "json_execute", "json_serialize", "json_deserialize", "current_query"}

func (a *asking) peek(n int) sql.Token {
	if a.at+n >= len(a.in) {
		return sql.Token{Kind: sql.Symbol}
	}
	return a.in[a.at+n]
}

// put writes tokens that stand where t stood.
func (a *asking) put(t sql.Token, raw ...string) {
	for _, r := range raw {
		kind := sql.Symbol
		switch {
		case r[0] == '\'':
			a.out = append(a.out, sql.Token{Kind: sql.String, Text: strings.ReplaceAll(r[1:len(r)-1], "''", "'"), Raw: r, Line: t.Line, Pos: t.Pos})
			continue
		case r[0] == '"':
			kind = sql.Quoted
		case isDigit(r[0]):
			kind = sql.Number
		case isName(r):
			kind = sql.Word
		}
		a.out = append(a.out, sql.Token{Kind: kind, Text: r, Raw: r, Line: t.Line, Pos: t.Pos})
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (a *asking) step() error {
	t := a.peek(0)
	name, isNamed := nameIn(t)
	switch {
	case isNamed && a.peek(1).Is(".") && (len(a.out) == 0 || !a.out[len(a.out)-1].Is(".")) && a.qualifier(name):
		return nil
	case t.Is("::"):
		a.at++
		a.cast(t)
		return nil
	case t.Is("CAST") && a.peek(1).Is("("):
		return a.openCast(t)
	case t.Is("AS") && slices.Contains(a.casts, a.depth):
		a.at++
		a.put(t, ")")
		a.cast(t)
		return nil
	case t.Is("=") && a.peek(1).Is("ANY") && a.peek(2).Is("(") && a.peek(3).Kind == sql.Param:
		return a.anyOf(t)
	case t.Is("=") && a.peek(1).Is("ANY") && a.peek(2).Is("(") && isArray(a.peek(3)):
		a.elements(t, "IN")
		return nil
	case (t.Is("<>") || t.Is("!=")) && a.peek(1).Is("ALL") && a.peek(2).Is("(") && isArray(a.peek(3)):
		a.elements(t, "NOT", "IN")
		return nil
	case t.Is("COLLATE"):
		a.at += 2
		for a.peek(0).Is(".") {
			a.at += 2
		}
		return nil
	case t.Is("OPERATOR") && a.peek(1).Is("("):
		a.at += 2
		for !a.peek(0).Is(")") && a.at < len(a.in) {
			if operator := a.peek(0); operator.Kind == sql.Symbol && !operator.Is(".") {
				a.out = append(a.out, operator)
			}
			a.at++
		}
		a.at++
		return nil
	case isNamed && !a.peek(1).Is("."):
		return a.word(t, name)
	}
	switch {
	case t.Is("("):
		if next := a.peek(1); next.Is("SHOW") || next.Is("DESCRIBE") || next.Is("SUMMARIZE") {
			return psqlerr.WithCode(fmt.Errorf("line %d: %s is not supported in a query", next.Line, strings.ToUpper(next.Text)), codes.FeatureNotSupported)
		}
		a.depth++
	case t.Is(")"):
		if slices.Contains(a.casts, a.depth) {
			// cast has closed it, where the type began
			a.casts = a.casts[:len(a.casts)-1]
			a.depth--
			a.at++
			return nil
		}
		if slices.Contains(a.sets, a.depth) {
			a.sets = a.sets[:len(a.sets)-1]
			a.depth--
			a.aliased()
			return nil
		}
		a.depth--
	}
	a.out = append(a.out, t)
	a.at++
	return nil
}

// aliased ends a call in FROM: in Postgres its alias is its column's name, too.
func (a *asking) aliased() {
	a.out = append(a.out, a.peek(0))
	a.at++
	as := 0
	if a.peek(0).Is("AS") {
		as = 1
	}
	alias := a.peek(as)
	name, ok := nameIn(alias)
	if ok && !slices.Contains(notAliases, name) && !a.peek(as+1).Is("(") {
		a.out = append(a.out, alias)
		a.put(alias, "(")
		a.out = append(a.out, alias)
		a.put(alias, ")")
		a.at += as + 1
	}
}

// qualifier leaves out a database or schema that names nothing but where
// everything is, and says which schema has a catalogue.
func (a *asking) qualifier(name string) bool {
	t := a.peek(0)
	switch name {
	case "materialize":
		if next, ok := nameIn(a.peek(2)); !ok || !a.peek(3).Is(".") || !slices.Contains([]string{"public", "pg_catalog", "mz_catalog", "mz_internal", "mz_catalog_unstable", "information_schema"}, next) {
			return false
		}
	case "public", "pg_catalog":
	case "information_schema":
		a.put(t, "information", ".")
	case "mz_catalog_unstable":
		a.put(t, "mz_internal", ".")
	default:
		return false
	}
	a.at += 2
	return true
}

func (a *asking) word(t sql.Token, name string) error {
	called := a.peek(1).Is("(")
	for _, prefix := range inside {
		if strings.HasPrefix(name, prefix) {
			if called {
				return psqlerr.WithCode(fmt.Errorf("line %d: function %q does not exist", t.Line, name), codes.UndefinedFunction)
			}
			return psqlerr.WithCode(fmt.Errorf("line %d: unknown catalog item '%s'", t.Line, name), codes.UndefinedTable)
		}
	}
	if called && name == "query" {
		return psqlerr.WithCode(fmt.Errorf("line %d: function %q does not exist", t.Line, name), codes.UndefinedFunction)
	}
	after := sql.Token{Kind: sql.Symbol}
	if len(a.out) > 0 {
		after = a.out[len(a.out)-1]
	}
	empty := called && a.peek(2).Is(")")
	value, ok := itself[name]
	if name == "pg_backend_pid" && empty {
		value, ok = strconv.Itoa(int(a.process)), true
	}
	if called && name == "json_build_object" {
		a.put(t, "json_object")
		a.at++
		return nil
	}
	if called && (name == "generate_series" || name == "unnest" || name == "generate_subscripts") && (after.Is("FROM") || after.Is("JOIN") || after.Is("LATERAL")) {
		a.sets = append(a.sets, a.depth+1)
	}
	isValue := t.Kind == sql.Word && ok && !after.Is(".") && !after.Is("AS") && (empty || !called && name != "current_database" && name != "user")
	if !isValue {
		a.out = append(a.out, t)
		a.at++
		return nil
	}
	a.put(t, value)
	a.at++
	if empty {
		a.at += 2
	}
	// The column is called like what was asked for.
	if next := a.peek(0); (a.at >= len(a.in) || next.Is(",") && a.depth == 0) && (after.Is("SELECT") || after.Is(",")) {
		a.put(t, "AS", `"`+name+`"`)
	}
	return nil
}

// anyOf reads = ANY($1) or = ANY($1::text[]): the parameter comes as a JSON list.
func (a *asking) anyOf(t sql.Token) error {
	parameter := a.peek(3)
	number, err := strconv.Atoi(parameter.Text[1:])
	if err != nil {
		return fmt.Errorf("line %d: %s is no parameter", parameter.Line, parameter.Raw)
	}
	a.lists = append(a.lists, number)
	for !a.peek(0).Is(")") && a.at < len(a.in) {
		a.at++
	}
	a.at++
	a.put(t, "IN", "(", "SELECT", "unnest", "(", "from_json", "(")
	a.out = append(a.out, parameter)
	of := `'["VARCHAR"]'`
	if number >= 1 && number <= len(a.declared) {
		switch a.declared[number-1] {
		case pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID:
			of = `'["BIGINT"]'`
		case pgtype.Float4ArrayOID, pgtype.Float8ArrayOID:
			of = `'["DOUBLE"]'`
		}
	}
	a.put(t, ",", of, ")", ")", ")")
	return nil
}

// isArray reports whether a string is an array as Postgres writes one: '{r,v}'.
func isArray(t sql.Token) bool {
	return t.Kind == sql.String && strings.HasPrefix(t.Text, "{") && strings.HasSuffix(t.Text, "}")
}

// elements reads = ANY('{r,v}'), with or without a cast, as IN ('r', 'v').
func (a *asking) elements(t sql.Token, in ...string) {
	a.put(t, in...)
	all := strings.Trim(a.peek(3).Text, "{}")
	if all == "" {
		a.put(t, "(", "SELECT", "NULL", "WHERE", "false", ")")
	} else {
		for i, element := range strings.Split(all, ",") {
			a.put(t, []string{"(", ","}[min(i, 1)], literal(strings.Trim(element, `" `)))
		}
		a.put(t, ")")
	}
	for !a.peek(0).Is(")") && a.at < len(a.in) {
		a.at++
	}
	a.at++
}

// openCast begins CAST(x AS type), which becomes (x)::type.
func (a *asking) openCast(t sql.Token) error {
	a.at += 2
	a.depth++
	a.casts = append(a.casts, a.depth)
	a.put(t, "(")
	return nil
}

// cast reads the type after :: or AS.
func (a *asking) cast(t sql.Token) {
	for a.peek(1).Is(".") {
		if _, ok := nameIn(a.peek(0)); !ok {
			break
		}
		a.at += 2
	}
	typ := a.peek(0)
	name, _ := nameIn(typ)
	function, ok := named[name]
	switch {
	case ok:
		a.at++
		start := a.operand()
		literally := start == len(a.out)-1 && (a.out[start].Kind == sql.String || a.out[start].Kind == sql.Param) || a.out[len(a.out)-1].Is(")") && start >= 0 && a.out[start].Is("(")
		tail := []string{")"}
		if literally {
			function = name
		} else if name == "regtype" {
			tail = []string{",", "NULL", ")"}
		}
		rest := slices.Clone(a.out[start:])
		a.out = a.out[:start]
		a.put(t, function, "(")
		a.out = append(a.out, rest...)
		a.put(t, tail...)
	case catalogTypes[name] != "":
		a.at++
		a.out = append(a.out, sql.Token{Kind: sql.Symbol, Text: "::", Raw: "::", Line: t.Line, Pos: t.Pos})
		a.put(typ, catalogTypes[name])
	default:
		a.out = append(a.out, sql.Token{Kind: sql.Symbol, Text: "::", Raw: "::", Line: t.Line, Pos: t.Pos})
	}
}

// operand finds where the primary expression that ends the output begins.
func (a *asking) operand() int {
	i := len(a.out) - 1
	if i < 0 {
		return 0
	}
	if a.out[i].Is(")") {
		for depth := 0; i >= 0; i-- {
			if a.out[i].Is(")") {
				depth++
			} else if a.out[i].Is("(") {
				if depth--; depth == 0 {
					break
				}
			}
		}
		if i > 0 {
			if name, ok := nameIn(a.out[i-1]); ok && !slices.Contains(keywords, name) {
				i--
			}
		}
	}
	for i >= 2 && a.out[i-1].Is(".") {
		i -= 2
	}
	if i >= 2 && a.out[i-1].Is("::") {
		i -= 2
	}
	return max(i, 0)
}

// plain writes E'…' strings, which psql and some drivers send and the program's
// files do not have, as strings without escapes. What follows one keeps its place.
func plain(query string) string {
	var b strings.Builder
	for i := 0; i < len(query); {
		n := 1
		switch c := query[i]; {
		case (c == 'E' || c == 'e') && strings.HasPrefix(query[i+1:], "'") && (i == 0 || !isWordByte(query[i-1])):
			end, ok := escapedEnd(query, i+2)
			if !ok {
				b.WriteString(query[i+1:]) // which is refused
				return b.String()
			}
			n = end - i
			text := literal(unescaped(query[i+2 : i+n-1]))
			b.WriteString(text + strings.Repeat(" ", max(0, n-len(text))))
			i += n
			continue
		case c == '\'' || c == '"':
			if end := strings.IndexByte(query[i+1:], c); end >= 0 {
				n = end + 2
			} else {
				n = len(query) - i
			}
		case strings.HasPrefix(query[i:], "--"):
			if n = strings.IndexByte(query[i:], '\n'); n < 0 {
				n = len(query) - i
			}
		}
		b.WriteString(query[i : i+n])
		i += n
	}
	return b.String()
}

func isWordByte(c byte) bool { return c == '_' || isDigit(c) || isName(string(c)) || c == '$' }

// escapedEnd is where the string ends whose content begins at i, if it does.
func escapedEnd(query string, i int) (end int, ok bool) {
	for ; i < len(query); i++ {
		switch query[i] {
		case '\\':
			i++
		case '\'':
			if !strings.HasPrefix(query[i+1:], "'") {
				return i + 1, true
			}
			i++
		}
	}
	return 0, false
}

var escapes = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `''`, `'`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b", `\f`, "\f")

func unescaped(text string) string { return escapes.Replace(text) }
