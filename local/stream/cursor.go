package stream

import (
	"fmt"
	"strings"

	"tripcast.dev/sql"
)

// cursor reads the tokens of one statement.
type cursor struct {
	statement sql.Statement
	tokens    []sql.Token
	at        int
}

func (c *cursor) done() bool { return c.at >= len(c.tokens) }

func (c *cursor) peek() sql.Token {
	if c.done() {
		return sql.Token{Kind: sql.Symbol, Text: "end of statement", Raw: "end of statement"}
	}
	return c.tokens[c.at]
}

func (c *cursor) next() sql.Token {
	t := c.peek()
	c.at++
	return t
}

// accept reads these words if they come next, all of them or none.
func (c *cursor) accept(words ...string) bool {
	if c.at+len(words) > len(c.tokens) {
		return false
	}
	for i, w := range words {
		if !c.tokens[c.at+i].Is(w) {
			return false
		}
	}
	c.at += len(words)
	return true
}

func (c *cursor) expect(words ...string) error {
	for _, w := range words {
		if !c.accept(w) {
			return fmt.Errorf("line %d: %s expected, not %q", c.line(), w, c.peek().Raw)
		}
	}
	return nil
}

func (c *cursor) line() int {
	if c.done() && len(c.tokens) > 0 {
		return c.tokens[len(c.tokens)-1].Line
	}
	return c.peek().Line
}

func (c *cursor) rest() []sql.Token {
	rest := c.tokens[min(c.at, len(c.tokens)):]
	c.at = len(c.tokens)
	return rest
}

// name reads an identifier; one without quotes is folded to lower case.
func (c *cursor) name() (string, error) {
	t := c.next()
	name, ok := nameIn(t)
	if !ok {
		return "", fmt.Errorf("line %d: a name expected, not %q", t.Line, t.Raw)
	}
	return name, nil
}

// names reads ( name, … ).
func (c *cursor) names() ([]string, error) {
	if err := c.expect("("); err != nil {
		return nil, err
	}
	var names []string
	for {
		name, err := c.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if !c.accept(",") {
			return names, c.expect(")")
		}
	}
}

// nameIn is what a token names, if it names anything.
func nameIn(t sql.Token) (name string, ok bool) {
	switch t.Kind {
	case sql.Word:
		return strings.ToLower(t.Text), true
	case sql.Quoted:
		return t.Text, true
	}
	return "", false
}

// created reads [IF NOT EXISTS] name.
func (c *cursor) created() (string, error) {
	c.accept("IF", "NOT", "EXISTS")
	return c.name()
}

// skipCluster reads IN CLUSTER name, which has no meaning here.
func (c *cursor) skipCluster() error {
	if c.accept("IN", "CLUSTER") {
		_, err := c.name()
		return err
	}
	return nil
}

// options reads ( NAME [=] value, … ). The words of a name are joined by one
// space and upper-cased; the entries of a MAP value are added one by one, as
// "NAME key".
func (c *cursor) options() (map[string]string, error) {
	if err := c.expect("("); err != nil {
		return nil, err
	}
	options := map[string]string{}
	for !c.accept(")") {
		var words []string
		for c.peek().Kind == sql.Word && !c.peek().Is("MAP") {
			words = append(words, strings.ToUpper(c.next().Text))
		}
		assigned := c.accept("=")
		name := strings.Join(words, " ")
		switch t := c.next(); {
		case assigned && t.Kind == sql.Word && !t.Is("MAP"):
			options[name] = t.Text
		case t.Kind == sql.String, t.Kind == sql.Number, t.Kind == sql.Quoted:
			options[name] = t.Text
		case t.Is("MAP"):
			if err := c.mapOption(name, options); err != nil {
				return nil, err
			}
		case (t.Is(",") || t.Is(")")) && len(words) > 1:
			// SNAPSHOT false: the last word is the value
			options[strings.Join(words[:len(words)-1], " ")] = words[len(words)-1]
			c.at--
		case (t.Is(",") || t.Is(")")) && len(words) == 1:
			options[name] = ""
			c.at--
		default:
			return nil, fmt.Errorf("line %d: a value expected, not %q", t.Line, t.Raw)
		}
		if !c.accept(",") && !c.peek().Is(")") {
			return nil, fmt.Errorf("line %d: , or ) expected, not %q", c.line(), c.peek().Raw)
		}
	}
	return options, nil
}

func (c *cursor) mapOption(name string, options map[string]string) error {
	if err := c.expect("["); err != nil {
		return err
	}
	for !c.accept("]") {
		key := c.next()
		if err := c.expect("=>"); err != nil {
			return err
		}
		value := c.next()
		if key.Kind != sql.String || value.Kind != sql.String {
			return fmt.Errorf("line %d: a MAP of text is expected", key.Line)
		}
		options[name+" "+key.Text] = value.Text
		if !c.accept(",") && !c.peek().Is("]") {
			return fmt.Errorf("line %d: , or ] expected, not %q", c.line(), c.peek().Raw)
		}
	}
	return nil
}
