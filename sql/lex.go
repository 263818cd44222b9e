package sql

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what a token is.
type Kind uint8

// The kinds of token that a Materialize script is made of.
const (
	Word    Kind = iota // identifier or keyword, as written
	Quoted              // "identifier", Text without the quotes
	String              // 'text', Text without the quotes and with '' undone
	Number              // 1, 1.5, 1e-3
	Symbol              // operators and punctuation, longest match
	Param               // $1
	illegal             // what Lex refuses, Text says why
)

// Token is one lexical element of a statement.
type Token struct {
	Kind Kind
	Text string
	Raw  string // as it stands in the file
	Line int    // from 1, in the file
	Pos  int    // byte offset in the scanned text
}

// Is reports whether the token is the given keyword or symbol, in any case.
func (t Token) Is(text string) bool {
	return (t.Kind == Word || t.Kind == Symbol) && strings.EqualFold(t.Text, text)
}

// symbols longer than one byte, longest first.
var symbols = []string{"->>", "#>>", "->", "#>", "=>", "::", "<=", ">=", "<>", "!=", "!~*", "!~", "~*", "||", "@>", "<@", "&&"}

// Lex splits a script into tokens; comments, which nest, and white space are
// dropped. The error names the line of a quote or comment that never ends, and
// of the two kinds of string that are not read: E'…' and $$…$$.
func Lex(text string) ([]Token, error) {
	var tokens []Token
	line := 1
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(text[i:], "--"):
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				end = len(text) - i
			}
			i += end
		case strings.HasPrefix(text[i:], "/*"):
			n := comment(text[i:])
			if n == 0 {
				return nil, fmt.Errorf("line %d: comment never ends", line)
			}
			line += strings.Count(text[i:i+n], "\n")
			i += n
		default:
			token := scan(text[i:])
			if token.Kind == illegal {
				return nil, fmt.Errorf("line %d: %s", line, token.Text)
			}
			token.Line, token.Pos = line, i
			tokens = append(tokens, token)
			line += strings.Count(token.Raw, "\n")
			i += len(token.Raw)
		}
	}
	return tokens, nil
}

// comment is the length of the comment that text starts with, 0 if it never ends.
func comment(text string) int {
	depth := 0
	for n := 0; n < len(text); {
		switch {
		case strings.HasPrefix(text[n:], "/*"):
			depth++
			n += 2
		case strings.HasPrefix(text[n:], "*/"):
			depth--
			n += 2
			if depth == 0 {
				return n
			}
		default:
			n++
		}
	}
	return 0
}

// scan reads the one token that text starts with.
func scan(text string) Token {
	c := text[0]
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case c == '\'':
		return quoted(text, '\'', String)
	case c == '"':
		return quoted(text, '"', Quoted)
	case strings.HasPrefix(text, "$$"):
		return Token{Kind: illegal, Text: "$$…$$ strings are not supported"}
	case len(text) > 1 && text[1] == '\'' && (c == 'E' || c == 'e'):
		return Token{Kind: illegal, Text: "E'…' strings are not supported"}
	case c == '$' && len(text) > 1 && isDigit(text[1]):
		n := 1
		for n < len(text) && isDigit(text[n]) {
			n++
		}
		return Token{Kind: Param, Text: text[:n], Raw: text[:n]}
	case isDigit(c) || c == '.' && len(text) > 1 && isDigit(text[1]):
		n := number(text)
		return Token{Kind: Number, Text: text[:n], Raw: text[:n]}
	case r == '_' || unicode.IsLetter(r):
		n := size
		for n < len(text) {
			r, size := utf8.DecodeRuneInString(text[n:])
			if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				break
			}
			n += size
		}
		return Token{Kind: Word, Text: text[:n], Raw: text[:n]}
	}
	for _, s := range symbols {
		if strings.HasPrefix(text, s) {
			return Token{Kind: Symbol, Text: s, Raw: s}
		}
	}
	return Token{Kind: Symbol, Text: text[:size], Raw: text[:size]}
}

func quoted(text string, quote byte, kind Kind) Token {
	for n := 1; n < len(text); n++ {
		if text[n] != quote {
			continue
		}
		if n+1 < len(text) && text[n+1] == quote {
			n++
			continue
		}
		q := string(quote)
		return Token{Kind: kind, Text: strings.ReplaceAll(text[1:n], q+q, q), Raw: text[:n+1]}
	}
	return Token{Kind: illegal, Text: fmt.Sprintf("quote %c never ends", quote)}
}

func number(text string) int {
	n := 0
	for n < len(text) && (isDigit(text[n]) || text[n] == '.') {
		n++
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		m := n + 1
		if m < len(text) && (text[m] == '+' || text[m] == '-') {
			m++
		}
		if m < len(text) && isDigit(text[m]) {
			for m < len(text) && isDigit(text[m]) {
				m++
			}
			return m
		}
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
