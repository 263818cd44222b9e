package stream

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"

	tripsql "tripcast.dev/sql"
)

// declaration is DECLARE name CURSOR FOR SUBSCRIBE …, of a relation that exists.
type declaration struct {
	name     string
	watched  watched
	relation []column // what is subscribed to
	columns  []column // what a FETCH returns
	snapshot bool
	progress bool
	key      []int // of relation, with ENVELOPE UPSERT
	order    []int // of relation, in which a FETCH returns its columns
}

// asker understands a query.
type asker func(ctx context.Context, tokens []tripsql.Token) (*understood, error)

// declare reads a DECLARE.
func (s *Stream) declare(ctx context.Context, statement tripsql.Statement, ask asker) (*declaration, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens}
	if err := c.expect("DECLARE"); err != nil {
		return nil, err
	}
	name, err := c.name()
	if err != nil {
		return nil, err
	}
	if err := c.expect("CURSOR"); err != nil {
		return nil, err
	}
	c.accept("WITHOUT", "HOLD")
	if err := c.expect("FOR"); err != nil {
		return nil, err
	}
	if !c.accept("SUBSCRIBE") {
		return nil, psqlerr.WithCode(fmt.Errorf("a cursor for %s is not supported: one for SUBSCRIBE is", strings.ToUpper(c.peek().Raw)), codes.FeatureNotSupported)
	}
	c.accept("TO")
	d := &declaration{name: name, snapshot: true}
	if err := s.subject(ctx, c, d, ask); err != nil {
		return nil, err
	}
	if err := d.clauses(c); err != nil {
		return nil, err
	}
	d.shape()
	return d, nil
}

// subject reads what is subscribed to: a view, or a query in parentheses.
func (s *Stream) subject(ctx context.Context, c *cursor, d *declaration, ask asker) error {
	var tokens []tripsql.Token
	name := ""
	if c.peek().Is("(") {
		var err error
		if tokens, err = c.parenthesized(); err != nil {
			return err
		}
		if len(tokens) == 4 && tokens[0].Is("SELECT") && tokens[1].Is("*") && tokens[2].Is("FROM") {
			name, _ = nameIn(tokens[3])
		}
	} else {
		at := c.peek()
		var err error
		if name, err = c.name(); err != nil {
			return err
		}
		if !s.engine.program.exists(name) {
			return psqlerr.WithCode(fmt.Errorf("unknown catalog item '%s'", name), codes.UndefinedTable)
		}
		star, err := tripsql.Split("query", "SELECT * FROM "+at.Raw)
		if err != nil {
			return err
		}
		tokens = star[0].Tokens
	}
	if source := s.engine.program.sources[name]; source != nil {
		return fmt.Errorf("the stand-in does not keep the records of source %s: subscribe to a view over it, or read topic %s", name, source.topic)
	}
	if v := s.engine.byName[name]; v != nil && v.out != nil {
		d.relation = v.columns
		d.watched = &watchedView{engine: s.engine, view: v, below: s.engine.below(v)}
		return nil
	}
	q, err := ask(ctx, tokens)
	if err != nil {
		return err
	}
	if len(q.parameters) > 0 {
		return psqlerr.WithCode(fmt.Errorf("SUBSCRIBE with parameters is not supported: write the values"), codes.FeatureNotSupported)
	}
	d.relation = q.columns
	d.watched = &watchedQuery{queries: s.query, query: q.query, columns: q.columns, clocked: s.engine.clocked(tokens)}
	return nil
}

// parenthesized reads ( … ), and gives what is in it.
func (c *cursor) parenthesized() ([]tripsql.Token, error) {
	from, depth := c.at+1, 0
	for !c.done() {
		switch t := c.next(); {
		case t.Is("("):
			depth++
		case t.Is(")"):
			if depth--; depth == 0 {
				return c.tokens[from : c.at-1], nil
			}
		}
	}
	return nil, fmt.Errorf("line %d: ) expected, not the end of the statement", c.line())
}

// clauses reads ENVELOPE … and WITH (…).
func (d *declaration) clauses(c *cursor) error {
	for !c.done() {
		switch {
		case c.accept("ENVELOPE", "UPSERT"):
			if err := d.upsert(c); err != nil {
				return err
			}
		case c.accept("WITH"):
			options, err := c.options()
			if err != nil {
				return err
			}
			if err := d.options(options); err != nil {
				return err
			}
		default:
			return psqlerr.WithCode(fmt.Errorf("line %d: %q is not supported here: ENVELOPE UPSERT (KEY (…)) and WITH (SNAPSHOT, PROGRESS) are", c.line(), c.peek().Raw), codes.FeatureNotSupported)
		}
	}
	return nil
}

func (d *declaration) options(options map[string]string) error {
	for _, name := range sortedKeys(options) {
		at := map[string]*bool{"SNAPSHOT": &d.snapshot, "PROGRESS": &d.progress}[name]
		if at == nil {
			return fmt.Errorf("unknown option %s: SNAPSHOT and PROGRESS are known", name)
		}
		switch strings.ToLower(options[name]) {
		case "", "true":
			*at = true
		case "false":
			*at = false
		default:
			return fmt.Errorf("invalid %s: %q is neither true nor false", name, options[name])
		}
	}
	return nil
}

// upsert reads (KEY (column, …)).
func (d *declaration) upsert(c *cursor) error {
	if err := c.expect("(", "KEY"); err != nil {
		return err
	}
	names, err := c.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		at := slices.IndexFunc(d.relation, func(c column) bool { return c.name == name })
		if at < 0 {
			return psqlerr.WithCode(fmt.Errorf("no such column: %s", name), codes.UndefinedColumn)
		}
		d.key = append(d.key, at)
	}
	return c.expect(")")
}

// shape says what a FETCH returns: the time, what happened, and the row; with
// ENVELOPE UPSERT the key before the rest of it.
func (d *declaration) shape() {
	d.columns = []column{{"mz_timestamp", kindNumeric}}
	if d.progress {
		d.columns = append(d.columns, column{"mz_progressed", kindBool})
	}
	if d.key == nil {
		d.columns = append(d.columns, column{"mz_diff", kindInt})
	} else {
		d.columns = append(d.columns, column{"mz_state", kindText})
	}
	d.order = slices.Clone(d.key)
	for at := range d.relation {
		if !slices.Contains(d.key, at) {
			d.order = append(d.order, at)
		}
	}
	for _, at := range d.order {
		d.columns = append(d.columns, d.relation[at])
	}
}

// fetching is FETCH [FORWARD] [n | ALL] [FROM | IN] name [WITH (TIMEOUT …)].
type fetching struct {
	name    string
	count   int
	wait    bool // for the first row, as long as it takes
	timeout time.Duration
}

const everything = int(^uint(0) >> 1)

func parseFetch(statement tripsql.Statement) (*fetching, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens}
	if err := c.expect("FETCH"); err != nil {
		return nil, err
	}
	f := &fetching{count: 1, wait: true}
	c.accept("FORWARD")
	switch t := c.peek(); {
	case t.Kind == tripsql.Number:
		n, err := strconv.Atoi(c.next().Text)
		if err != nil {
			return nil, fmt.Errorf("line %d: FETCH %s: a number of rows expected", t.Line, t.Raw)
		}
		f.count = n
	case c.accept("ALL"):
		f.count = everything
	}
	if !c.accept("FROM") {
		c.accept("IN")
	}
	var err error
	if f.name, err = c.name(); err != nil {
		return nil, err
	}
	if c.accept("WITH") {
		options, err := c.options()
		if err != nil {
			return nil, err
		}
		if err := f.options(options); err != nil {
			return nil, err
		}
	}
	if !c.done() {
		return nil, fmt.Errorf("line %d: end of statement expected, not %q", c.line(), c.peek().Raw)
	}
	return f, nil
}

func (f *fetching) options(options map[string]string) error {
	for _, name := range sortedKeys(options) {
		if name != "TIMEOUT" {
			return fmt.Errorf("unknown option %s: TIMEOUT is known", name)
		}
		timeout, err := interval(options[name])
		if err != nil {
			return fmt.Errorf("invalid TIMEOUT: %w", err)
		}
		if timeout < 0 || timeout > 24*time.Hour {
			return fmt.Errorf("timeout out of range: %s", timeout)
		}
		f.wait, f.timeout = false, timeout
	}
	return nil
}

// unit is one of an interval, by how its names begin.
type unit struct {
	name string
	long time.Duration
}

var units = []unit{
	{"ms", time.Millisecond},
	{"milli", time.Millisecond},
	{"us", time.Microsecond},
	{"micro", time.Microsecond},
	{"s", time.Second},
	{"m", time.Minute},
	{"h", time.Hour},
	{"d", 24 * time.Hour},
}

// interval reads what may stand for a timeout: 250ms, 1s, 1.5 seconds, 2; several
// of them add up.
func interval(text string) (time.Duration, error) {
	var sum time.Duration
	rest := strings.TrimSpace(strings.ToLower(text))
	wrong := fmt.Errorf("%q is no interval such as '250ms' or '1 second'", text)
	if rest == "" {
		return 0, wrong
	}
	for rest != "" {
		digits := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits < 0 {
			digits = len(rest)
		}
		n, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, wrong
		}
		rest = strings.TrimSpace(rest[digits:])
		letters := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if letters < 0 {
			letters = len(rest)
		}
		long := time.Second
		if name := rest[:letters]; name != "" {
			at := slices.IndexFunc(units, func(u unit) bool { return strings.HasPrefix(name, u.name) })
			if at < 0 {
				return 0, wrong
			}
			long = units[at].long
		}
		sum += time.Duration(n * float64(long))
		rest = strings.TrimSpace(rest[letters:])
	}
	return sum, nil
}
