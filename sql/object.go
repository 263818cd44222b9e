package sql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Object is what a CREATE statement makes, as Materialize's catalogue has it.
type Object struct {
	Type string // as mz_objects.type: materialized-view, source, …
	Name string // within its schema, without quotes
}

// The types of object that the program is made of.
const (
	typeSecret = "secret"
	typeSource = "source"
	typeTable  = "table"
	typeIndex  = "index"
)

// objectTypes are the words after CREATE, and the type that they make.
var objectTypes = []struct {
	words []string
	is    string
}{
	{[]string{"CONNECTION"}, "connection"},
	{[]string{"SECRET"}, typeSecret},
	{[]string{"SOURCE"}, typeSource},
	{[]string{"TABLE"}, typeTable},
	{[]string{"VIEW"}, "view"},
	{[]string{"MATERIALIZED", "VIEW"}, "materialized-view"},
	{[]string{"SINK"}, "sink"},
	{[]string{"INDEX"}, typeIndex},
	{[]string{"DEFAULT", "INDEX"}, typeIndex},
}

// String is the object as a sentence names it: materialized view features.
func (o Object) String() string { return strings.ReplaceAll(o.Type, "-", " ") + " " + o.Name }

// keywords are the type as SQL names it: MATERIALIZED VIEW.
func (o Object) keywords() string { return strings.ToUpper(strings.ReplaceAll(o.Type, "-", " ")) }

// drop is the statement that people type.
func (o Object) drop() string {
	name := o.Name
	if !plain.MatchString(name) {
		name = quote(name)
	}
	return "DROP " + o.keywords() + " " + name
}

var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Creates says what a statement makes in the current schema. Of other statements,
// and of objects whose name is qualified, it says nothing: they are run each time.
func Creates(s Statement) (Object, bool) {
	object, _, ok := creates(s)
	return object, ok
}

// creates is Creates, with how many tokens there are up to the name, or what
// gives the name.
func creates(s Statement) (object Object, length int, ok bool) {
	rest, ok := after(s.Tokens, "CREATE")
	if !ok {
		return Object{}, 0, false
	}
	var words []string
	for _, t := range objectTypes {
		if behind, ok := after(rest, t.words...); ok {
			object.Type, words, rest = t.is, t.words, behind
			break
		}
	}
	if object.Type == "" {
		return Object{}, 0, false
	}
	if behind, ok := after(rest, "IF", "NOT", "EXISTS"); ok {
		rest = behind
	}
	suffix := ""
	if words[0] == "DEFAULT" {
		// Materialize's name for it; with IF NOT EXISTS it looks for no other one.
		suffix = "_primary_idx"
		if behind, ok := after(rest, "IN", "CLUSTER"); ok && len(behind) > 0 {
			rest = behind[1:]
		}
		if rest, ok = after(rest, "ON"); !ok {
			return Object{}, 0, false
		}
	}
	if len(rest) == 0 || rest[0].Kind != Word && rest[0].Kind != Quoted || len(rest) > 1 && rest[1].Is(".") || rest[0].Is("ON") {
		return Object{}, 0, false
	}
	object.Name = identifier(rest[0]) + suffix
	return object, len(s.Tokens) - len(rest) + 1, true
}

// after is what follows the words, if the tokens start with them.
func after(tokens []Token, words ...string) ([]Token, bool) {
	if len(tokens) < len(words) {
		return nil, false
	}
	for i, w := range words {
		if !tokens[i].Is(w) {
			return nil, false
		}
	}
	return tokens[len(words):], true
}

// identifier is the name that a token stands for.
func identifier(t Token) string {
	if t.Kind == Quoted {
		return t.Text
	}
	return strings.ToLower(t.Text)
}

// quote is a name that is read as nothing but a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// secretAt is the index of the token that holds the value of a CREATE or ALTER
// SECRET. It is not in what is hashed, printed or told.
func secretAt(s Statement) (int, bool) {
	if len(s.Tokens) < 2 || !s.Tokens[0].Is("CREATE") && !s.Tokens[0].Is("ALTER") || !s.Tokens[1].Is("SECRET") {
		return 0, false
	}
	as := slices.IndexFunc(s.Tokens, func(t Token) bool { return t.Is("AS") })
	return as + 1, as >= 0 && as+1 < len(s.Tokens)
}

// Printable is the statement's text, and of a secret all but the secret.
func (s Statement) Printable() string {
	at, ok := secretAt(s)
	if !ok {
		return s.Text
	}
	return s.Text[:s.Tokens[at].Pos-s.Tokens[0].Pos] + "'…'"
}

// recordPrefix begins what a comment says of the statement that made an object.
const recordPrefix = "tripcast:sha256:"

var recorded = regexp.MustCompile(regexp.QuoteMeta(recordPrefix) + `[0-9a-f]{64}`)

// Record is what the comment of an object says of the statement that made it, for
// what stands in for a server and has made its objects itself.
func Record(s Statement) string { return record(s) }

// record is what the comment of an object says of the statement that makes it.
// It is of the tokens: a file may be laid out anew. Materialize keeps a
// definition in a form of its own, which does not compare with the file's.
func record(s Statement) string {
	tokens := s.Tokens
	if at, ok := secretAt(s); ok {
		tokens = tokens[:at] // who reads the comment must not be able to try values
	}
	hash := sha256.New()
	for _, t := range tokens {
		text := t.Text
		if t.Kind == Word {
			text = strings.ToLower(text)
		}
		fmt.Fprintf(hash, "%d %d %s\n", t.Kind, len(text), text)
	}
	return recordPrefix + hex.EncodeToString(hash.Sum(nil))
}

// made reports whether a comment records that the statement made the object, or
// the one that it was rewritten from: where Materialize is told to have no source
// of the older form any more, it rewrites those it has as Tables does.
func made(s Statement, comment string) bool {
	is := recorded.FindString(comment)
	return is == record(s) || is != "" && is == s.older
}

// commentOn records what made an object, beside what its comment said before.
func commentOn(o Object, s Statement, before string) string {
	text := record(s)
	if before = strings.TrimSpace(recorded.ReplaceAllString(before, "")); before != "" {
		text = before + "\n" + text
	}
	return fmt.Sprintf("COMMENT ON %s %s IS %s", o.keywords(), quote(o.Name), literal(text))
}
