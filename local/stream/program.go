package stream

import (
	"fmt"
	"strconv"
	"strings"

	"tripcast.dev/sql"
)

// program is what the statements of sql/ declare.
type program struct {
	sources    map[string]*source
	views      []*viewDefinition // in the order of the files, which is the order of dependence
	sinks      []*sinkDefinition
	statements []sql.Statement
	// created is everything the statements create, by what it is called.
	created map[string]created
}

// source is a topic that is read, under the name that views select from.
type source struct {
	at      sql.Statement
	name    string
	topic   string
	columns []column
	include []string // what each column holds: data, key, partition, offset, timestamp
}

// viewDefinition is a CREATE [MATERIALIZED] VIEW.
type viewDefinition struct {
	at           sql.Statement
	name         string
	body         []sql.Token
	materialized bool
}

// sinkDefinition is a CREATE SINK.
type sinkDefinition struct {
	at         sql.Statement
	name       string
	from       string
	topic      string
	partitions int
	config     map[string]string
	key        []string
	headers    string
}

// parseProgram reads the statements. What it does not support is an error that
// names the file, the line and the statement.
func parseProgram(statements []sql.Statement) (*program, error) {
	p := &program{sources: map[string]*source{}, statements: statements, created: map[string]created{}}
	topics := map[string]string{} // of CREATE SOURCE without a format
	for _, s := range statements {
		c := &cursor{statement: s, tokens: s.Tokens}
		err := p.statement(c, topics)
		if err == nil {
			err = p.remember(s)
		}
		if err != nil {
			return nil, fmt.Errorf("stream: %s: %s: %w", s, head(s), err)
		}
	}
	return p, nil
}

// head is the beginning of a statement, to be recognised in a message.
func head(s sql.Statement) string {
	text := []rune(strings.Join(strings.Fields(s.Text), " "))
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}

func (p *program) statement(c *cursor, topics map[string]string) error {
	if !c.accept("CREATE") {
		return fmt.Errorf("only CREATE statements are supported")
	}
	switch {
	case c.accept("CONNECTION"), c.accept("SECRET"), c.accept("INDEX"), c.accept("DEFAULT", "INDEX"):
		// The stand-in is given its broker and keeps every maintained view in
		// memory: connections and indexes have nothing to do here.
		return nil
	case c.accept("SOURCE"):
		return p.source(c, topics)
	case c.accept("TABLE"):
		return p.table(c, topics)
	case c.accept("VIEW"):
		return p.view(c, false)
	case c.accept("MATERIALIZED"):
		if err := c.expect("VIEW"); err != nil {
			return err
		}
		return p.view(c, true)
	case c.accept("SINK"):
		return p.sink(c)
	}
	return fmt.Errorf("CREATE %s is not supported", c.peek().Raw)
}

// source reads CREATE SOURCE, in the form that carries the format and in the
// form that leaves it to CREATE TABLE … FROM SOURCE.
func (p *program) source(c *cursor, topics map[string]string) error {
	name, err := c.created()
	if err != nil {
		return err
	}
	if err := c.skipCluster(); err != nil {
		return err
	}
	if err := c.expect("FROM", "KAFKA", "CONNECTION"); err != nil {
		return err
	}
	if _, err := c.name(); err != nil {
		return err
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	topic := options["TOPIC"]
	if topic == "" {
		return fmt.Errorf("the source names no TOPIC")
	}
	if !c.done() {
		return p.format(c, name, topic)
	}
	if _, ok := topics[name]; ok || p.exists(name) {
		return fmt.Errorf("%s is defined twice", name)
	}
	topics[name] = topic
	return nil
}

func (p *program) table(c *cursor, topics map[string]string) error {
	name, err := c.created()
	if err != nil {
		return err
	}
	if err := c.expect("FROM", "SOURCE"); err != nil {
		return err
	}
	from, err := c.name()
	if err != nil {
		return err
	}
	topic, ok := topics[from]
	if !ok {
		return fmt.Errorf("source %s does not exist", from)
	}
	if c.peek().Is("(") {
		if _, err := c.options(); err != nil {
			return err
		}
	}
	return p.format(c, name, topic)
}

// format reads KEY FORMAT … VALUE FORMAT … INCLUDE … ENVELOPE ….
func (p *program) format(c *cursor, name, topic string) error {
	s := &source{at: c.statement, name: name, topic: topic}
	s.add("data", kindJSON, "data")
	formatted := false
	for !c.done() {
		switch {
		case c.accept("KEY"):
			if err := c.expect("FORMAT", "TEXT"); err != nil {
				return err
			}
		case c.accept("VALUE", "FORMAT"), c.accept("FORMAT"):
			if err := c.expect("JSON"); err != nil {
				return err
			}
			formatted = true
		case c.accept("INCLUDE"):
			if err := s.includes(c); err != nil {
				return err
			}
		case c.accept("ENVELOPE"):
			if err := c.expect("NONE"); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is not supported here", c.peek().Raw)
		}
	}
	if !formatted {
		return fmt.Errorf("the source needs VALUE FORMAT JSON")
	}
	if p.exists(name) {
		return fmt.Errorf("%s is defined twice", name)
	}
	p.sources[name] = s
	return nil
}

func (s *source) add(name string, k kind, what string) {
	s.columns = append(s.columns, column{name, k})
	s.include = append(s.include, what)
}

func (s *source) includes(c *cursor) error {
	for {
		what := strings.ToLower(c.next().Text)
		name := what
		if c.accept("AS") {
			var err error
			if name, err = c.name(); err != nil {
				return err
			}
		}
		switch what {
		case "key":
			s.add(name, kindText, what)
		case "partition", "offset":
			s.add(name, kindInt, what)
		case "timestamp":
			s.add(name, kindTime, what)
		default:
			return fmt.Errorf("INCLUDE %s is not supported: KEY, PARTITION, OFFSET and TIMESTAMP are", what)
		}
		if !c.accept(",") {
			return nil
		}
	}
}

func (p *program) view(c *cursor, materialized bool) error {
	name, err := c.created()
	if err != nil {
		return err
	}
	if err := c.skipCluster(); err != nil {
		return err
	}
	if err := c.expect("AS"); err != nil {
		return err
	}
	body := c.rest()
	if len(body) == 0 || !body[0].Is("SELECT") && !body[0].Is("WITH") && !body[0].Is("VALUES") && !body[0].Is("(") {
		return fmt.Errorf("a view needs a SELECT")
	}
	if p.exists(name) {
		return fmt.Errorf("%s is defined twice", name)
	}
	p.views = append(p.views, &viewDefinition{at: c.statement, name: name, body: body, materialized: materialized})
	return nil
}

func (p *program) exists(name string) bool {
	if _, ok := p.sources[name]; ok {
		return true
	}
	for _, v := range p.views {
		if v.name == name {
			return true
		}
	}
	return false
}

func (p *program) sink(c *cursor) error {
	s := &sinkDefinition{at: c.statement, config: map[string]string{}}
	var err error
	if s.name, err = c.created(); err != nil {
		return err
	}
	if err := c.skipCluster(); err != nil {
		return err
	}
	if err := c.expect("FROM"); err != nil {
		return err
	}
	if s.from, err = c.name(); err != nil {
		return err
	}
	if !p.exists(s.from) {
		return fmt.Errorf("%s does not exist", s.from)
	}
	if err := c.expect("INTO", "KAFKA", "CONNECTION"); err != nil {
		return err
	}
	if _, err := c.name(); err != nil {
		return err
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	if err := s.options(options); err != nil {
		return err
	}
	if err := s.clauses(c); err != nil {
		return err
	}
	p.sinks = append(p.sinks, s)
	return nil
}

func (s *sinkDefinition) options(options map[string]string) error {
	if s.topic = options["TOPIC"]; s.topic == "" {
		return fmt.Errorf("the sink names no TOPIC")
	}
	s.partitions = 1
	if n, ok := options["TOPIC PARTITION COUNT"]; ok {
		var err error
		if s.partitions, err = strconv.Atoi(n); err != nil || s.partitions < 1 {
			return fmt.Errorf("TOPIC PARTITION COUNT: %q is not a positive number", n)
		}
	}
	for name, v := range options {
		if config, ok := strings.CutPrefix(name, "TOPIC CONFIG "); ok {
			s.config[config] = v
		}
	}
	return nil
}

func (s *sinkDefinition) clauses(c *cursor) error {
	upsert := false
	for !c.done() {
		switch {
		case c.accept("KEY", "FORMAT"):
			if err := c.expect("TEXT"); err != nil {
				return err
			}
		case c.accept("VALUE", "FORMAT"), c.accept("FORMAT"):
			if err := c.expect("JSON"); err != nil {
				return err
			}
		case c.accept("KEY"):
			var err error
			if s.key, err = c.names(); err != nil {
				return err
			}
			c.accept("NOT", "ENFORCED")
		case c.accept("HEADERS"):
			var err error
			if s.headers, err = c.name(); err != nil {
				return err
			}
		case c.accept("ENVELOPE"):
			if err := c.expect("UPSERT"); err != nil {
				return err
			}
			upsert = true
		case c.accept("WITH"):
			// SNAPSHOT = false skips what was there before the sink: the stand-in
			// starts with the sink, so there is nothing to skip.
			if _, err := c.options(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is not supported here", c.peek().Raw)
		}
	}
	if !upsert {
		return fmt.Errorf("a sink needs ENVELOPE UPSERT")
	}
	if len(s.key) != 1 {
		return fmt.Errorf("a sink needs a KEY of one column, not %d", len(s.key))
	}
	return nil
}
