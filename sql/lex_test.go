package sql

import (
	"slices"
	"strings"
	"testing"
)

func TestLex(t *testing.T) {
	type token struct {
		kind Kind
		text string
	}
	for _, c := range []struct {
		name, text string
		want       []token
	}{
		{"nothing", " \t\r\n\f", nil},
		{"words", "SELECT a_1 FROM Zürich$2", []token{{Word, "SELECT"}, {Word, "a_1"}, {Word, "FROM"}, {Word, "Zürich$2"}}},
		{"string", "'it''s'", []token{{String, "it's"}}},
		{"empty strings", "'' ''''", []token{{String, ""}, {String, "'"}}},
		{"string with what looks like a comment", "'a -- b /* c'", []token{{String, "a -- b /* c"}}},
		{"string over lines", "'a\nb' x", []token{{String, "a\nb"}, {Word, "x"}}},
		{"quoted name", `"a ""b"" 'c'"`, []token{{Quoted, `a "b" 'c'`}}},
		{"quotes in quotes", `'"' "'"`, []token{{String, `"`}, {Quoted, "'"}}},
		{"line comment", "a -- b\nc", []token{{Word, "a"}, {Word, "c"}}},
		{"line comment at the end", "a -- b", []token{{Word, "a"}}},
		{"comment", "a/* ; 'x */b", []token{{Word, "a"}, {Word, "b"}}},
		{"nested comment", "a /* b /* c */ d */ e", []token{{Word, "a"}, {Word, "e"}}},
		{"json arrows", "a->>'b'->'c'", []token{{Word, "a"}, {Symbol, "->>"}, {String, "b"}, {Symbol, "->"}, {String, "c"}}},
		{"map", "MAP['a'=>1]", []token{{Word, "MAP"}, {Symbol, "["}, {String, "a"}, {Symbol, "=>"}, {Number, "1"}, {Symbol, "]"}}},
		{"cast", "a::int8", []token{{Word, "a"}, {Symbol, "::"}, {Word, "int8"}}},
		{"comparisons", "<=>=<>!=<", []token{{Symbol, "<="}, {Symbol, ">="}, {Symbol, "<>"}, {Symbol, "!="}, {Symbol, "<"}}},
		{"patterns", "~ !~ ~* !~*", []token{{Symbol, "~"}, {Symbol, "!~"}, {Symbol, "~*"}, {Symbol, "!~*"}}},
		{"numbers", "1 1.5 .5 1e3 1E-3 1e", []token{{Number, "1"}, {Number, "1.5"}, {Number, ".5"}, {Number, "1e3"}, {Number, "1E-3"}, {Number, "1"}, {Word, "e"}}},
		{"minus is no part of a number", "a-1", []token{{Word, "a"}, {Symbol, "-"}, {Number, "1"}}},
		{"parameters", "$1+$23", []token{{Param, "$1"}, {Symbol, "+"}, {Param, "$23"}}},
		{"members", "a.b.*", []token{{Word, "a"}, {Symbol, "."}, {Word, "b"}, {Symbol, "."}, {Symbol, "*"}}},
		{"beyond ASCII", "a ≤ b", []token{{Word, "a"}, {Symbol, "≤"}, {Word, "b"}}},
		{"not UTF-8", "a \xff b", []token{{Word, "a"}, {Symbol, "\xff"}, {Word, "b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens, err := Lex(c.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []token
			for _, tok := range tokens {
				got = append(got, token{tok.Kind, tok.Text})
				if c.text[tok.Pos:tok.Pos+len(tok.Raw)] != tok.Raw {
					t.Errorf("token %q does not stand at %d", tok.Raw, tok.Pos)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("Lex(%q)\n got %v\nwant %v", c.text, got, c.want)
			}
		})
	}
}

func TestLexLines(t *testing.T) {
	tokens, err := Lex("a -- 1\nb /* 2\n3 */ c 'x\ny' d\n\ne")
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, tok := range tokens {
		lines = append(lines, tok.Line)
	}
	if want := []int{1, 2, 3, 3, 4, 6}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}

func TestLexErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a\n\n'b", "line 3: quote ' never ends"},
		{"a\n'b''", "line 2: quote ' never ends"},
		{"\"b\n", "line 1: quote \" never ends"},
		{"a\n/* b\nc", "line 2: comment never ends"},
		{"/* a /* b */", "line 1: comment never ends"},
		{"SELECT\nE'a\\'b'", "line 2: E'…' strings are not supported"},
		{"$$a$$", "line 1: $$…$$ strings are not supported"},
	} {
		if _, err := Lex(c.text); err == nil || err.Error() != c.want {
			t.Errorf("Lex(%q): %v, want %s", c.text, err, c.want)
		}
	}
}

func TestTokenIs(t *testing.T) {
	for _, c := range []struct {
		token Token
		text  string
		want  bool
	}{
		{Token{Kind: Word, Text: "select"}, "SELECT", true},
		{Token{Kind: Symbol, Text: "("}, "(", true},
		{Token{Kind: Quoted, Text: "select"}, "SELECT", false},
		{Token{Kind: String, Text: "("}, "(", false},
	} {
		if got := c.token.Is(c.text); got != c.want {
			t.Errorf("%+v is %q: %t", c.token, c.text, got)
		}
	}
}

// What Lex drops is white space and comments and nothing else: between two
// tokens, and around them, nothing of a token is left.
func FuzzLex(f *testing.F) {
	for _, seed := range []string{
		"", "SELECT 'it''s' -- x\n, $1::int8 /* a /* b */ */;", `"a""b"`, "MAP['a' => 1]", "a->>'b'", "1.5e-3.x", "\xff'", "/*", "E'\\''", "é\u00a0é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := Lex(text)
		if err != nil {
			if len(tokens) > 0 {
				t.Errorf("tokens beside the error %v", err)
			}
			return
		}
		at := 0
		for _, tok := range tokens {
			if tok.Pos < at || len(tok.Raw) == 0 || text[tok.Pos:tok.Pos+len(tok.Raw)] != tok.Raw {
				t.Fatalf("token %+v does not stand where it says (after %d)", tok, at)
			}
			if tok.Line != 1+strings.Count(text[:tok.Pos], "\n") {
				t.Errorf("token %+v is on another line", tok)
			}
			dropped(t, text[at:tok.Pos])
			at = tok.Pos + len(tok.Raw)
		}
		dropped(t, text[at:])
	})
}

func dropped(t *testing.T, gap string) {
	t.Helper()
	for gap != "" {
		switch {
		case strings.HasPrefix(gap, "--"):
			_, gap, _ = strings.Cut(gap, "\n")
		case strings.HasPrefix(gap, "/*"):
			depth, n := 1, 2
			for ; depth > 0; n++ {
				if strings.HasPrefix(gap[n:], "/*") {
					depth++
					n++
				} else if strings.HasPrefix(gap[n:], "*/") {
					depth--
					n++
				}
			}
			gap = gap[n:]
		case strings.ContainsRune(" \t\r\n\f", rune(gap[0])):
			gap = gap[1:]
		default:
			t.Fatalf("%q was dropped", gap)
		}
	}
}
