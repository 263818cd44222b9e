package stream

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	tripsql "tripcast.dev/sql"
)

// catalogSQL makes the catalogues in a query session.
//
//go:embed catalog.sql
var catalogSQL string

// catalog is what clients can ask about the program: its objects, their columns
// and the comments that clients have left on them. DuckDB has an
// information_schema and a pg_catalog too, but they tell of DuckDB. It is kept
// in the query session, whose lock guards it.
type catalog struct {
	conn    *sql.Conn
	objects []object
}

// object is a named thing of the program, or a secret or connection that a client
// has created, in the order in which they came.
type object struct {
	id         string
	name       string
	kind       string // as CREATE names it
	cluster    string
	connection string
	topic      string
	on         string // of an index
	key        []string
	positions  []int  // of the key's columns
	definition string // of a view: what follows AS
	statement  string
	tokens     []tripsql.Token
	keyFormat  string
}

// typeName is the kind as mz_objects has it: materialized-view.
func (o object) typeName() string { return objectType(o.kind) }

func objectType(kind string) string {
	return strings.ReplaceAll(strings.ToLower(kind), " ", "-")
}

// theCluster is the one that there is, where a statement names none.
const theCluster = "local"

// openCatalog makes the catalogues and the database that clients are told they
// are in: views that the session creates from here on are in its schema public.
func openCatalog(ctx context.Context, conn *sql.Conn) (*catalog, error) {
	for _, statement := range []string{
		"ATTACH ':memory:' AS materialize", "USE materialize", "CREATE SCHEMA public", catalogSQL,
		// Errors come with the offset of what they are about.
		"SET SESSION errors_as_json = true",
		// The engine's macros are in memory.main.
		"SET SESSION search_path = 'materialize.public,materialize.mz_catalog,materialize.postgres,memory.main'",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("stream: making the catalogues: %w", err)
		}
	}
	return &catalog{conn: conn}, nil
}

// fill describes a program whose views have their columns.
func (c *catalog) fill(ctx context.Context, d *duck, p *program, views map[string]*view) error {
	for name, setting := range settings {
		if err := c.exec(ctx, "INSERT INTO facts.settings VALUES (?, ?)", name, setting); err != nil {
			return err
		}
	}
	clusters := []string{theCluster}
	for _, s := range p.statements {
		o, err := describeStatement(s)
		if err != nil {
			return fmt.Errorf("stream: %s: %w", s, err)
		}
		if !slices.Contains(clusters, o.cluster) && o.cluster != "" {
			clusters = append(clusters, o.cluster)
		}
		var columns []column
		switch o.kind {
		case "INDEX":
			of := columnsOf(p, views, o.on)
			if s.Tokens[1].Is("DEFAULT") {
				// Of which columns a default index is only Materialize works out: here it
				// is of all.
				for _, c := range of {
					o.key = append(o.key, c.name)
				}
			}
			for _, name := range o.key {
				at := slices.IndexFunc(of, func(c column) bool { return c.name == name })
				if at < 0 {
					return fmt.Errorf("stream: %s: %s has no column %s", s, o.on, name)
				}
				o.positions, columns = append(o.positions, at+1), append(columns, of[at])
			}
		case "SOURCE", "TABLE", "VIEW", "MATERIALIZED VIEW":
			columns = columnsOf(p, views, o.name)
		}
		if err := c.add(ctx, o); err != nil {
			return err
		}
		for i, column := range columns {
			if err := c.exec(ctx, "INSERT INTO facts.columns VALUES (?, ?, ?, ?)", c.objects[len(c.objects)-1].id, column.name, i+1, typeName(column.kind)); err != nil {
				return err
			}
		}
		// As whoever applies the program to Materialize leaves on each object.
		newest := c.objects[len(c.objects)-1]
		if err := c.exec(ctx, "INSERT INTO facts.comments VALUES (?, ?, NULL, ?)", newest.id, newest.typeName(), tripsql.Record(s)); err != nil {
			return err
		}
		if err := c.depend(ctx, d, p); err != nil {
			return fmt.Errorf("stream: %s: what %s is made of: %w", s, o.name, err)
		}
	}
	for i, name := range clusters {
		if err := c.exec(ctx, "INSERT INTO facts.clusters VALUES (?, ?)", fmt.Sprintf("u%d", i+1), name); err != nil {
			return err
		}
	}
	return nil
}

// columnsOf are the columns of a relation of the program.
func columnsOf(p *program, views map[string]*view, name string) []column {
	if v := views[name]; v != nil {
		return v.columns
	}
	if s := p.sources[name]; s != nil {
		return s.columns
	}
	return nil
}

// typeName is a column's type in mz_columns and information_schema.
func typeName(k kind) string {
	switch k {
	case kindTime:
		return "timestamp without time zone"
	case kindMap:
		return "map"
	}
	return k.String()
}

func (c *catalog) exec(ctx context.Context, query string, arguments ...any) error {
	if _, err := c.conn.ExecContext(ctx, query, arguments...); err != nil {
		return fmt.Errorf("stream: writing the catalogues: %w", err)
	}
	return nil
}

// add gives an object its id.
func (c *catalog) add(ctx context.Context, o object) error {
	o.id = fmt.Sprintf("u%d", len(c.objects)+1)
	c.objects = append(c.objects, o)
	orNull := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return c.exec(ctx, "INSERT INTO facts.objects SELECT ?, ?, ?, ?, ?, ?, ?, ?, from_json(?, '[\"VARCHAR\"]'), from_json(?, '[\"BIGINT\"]'), ?, ?, ?",
		o.id, 20000+len(c.objects), o.name, o.typeName(), orNull(o.cluster), orNull(o.connection), orNull(o.topic), orNull(o.on),
		jsonList(o.key), jsonList(o.positions), orNull(o.definition), orNull(o.statement), orNull(o.keyFormat))
}

// find looks an object up by kind and name.
func (c *catalog) find(kind, name string) (object, bool) {
	for _, o := range c.objects {
		if o.name == name && o.kind == kind {
			return o, true
		}
	}
	return object{}, false
}

// depend notes the objects that the newest one is made of.
func (c *catalog) depend(ctx context.Context, d *duck, p *program) error {
	newest := c.objects[len(c.objects)-1]
	named := []string{newest.connection, newest.on}
	for _, s := range p.sinks {
		if newest.kind == "SINK" && s.name == newest.name {
			named = append(named, s.from)
		}
	}
	for _, v := range p.views {
		if newest.definition == "" || v.name != newest.name {
			continue
		}
		query, err := duckSQL(v.body)
		if err != nil {
			return err
		}
		t, err := d.parse(ctx, query)
		if err != nil {
			return err
		}
		walk(t.root, func(n node) bool {
			if str(n, "type") == "BASE_TABLE" {
				named = append(named, str(n, "table_name"))
			}
			return true
		})
	}
	for _, t := range newest.tokens {
		// A connection names secrets, a table its source.
		if name, ok := nameIn(t); ok && (newest.kind == "CONNECTION" || newest.kind == "TABLE") {
			named = append(named, name)
		}
	}
	for _, o := range c.objects[:len(c.objects)-1] {
		if !slices.Contains(named, o.name) || !readable(newest.kind, o.kind) {
			continue
		}
		if err := c.exec(ctx, "INSERT INTO facts.dependencies VALUES (?, ?)", newest.id, o.id); err != nil {
			return err
		}
	}
	return nil
}

// readable reports whether an object of one kind can be made of one of another.
func readable(kind, of string) bool {
	relation := of == "SOURCE" || of == "TABLE" || of == "VIEW" || of == "MATERIALIZED VIEW"
	switch kind {
	case "CONNECTION":
		return of == "SECRET" || of == "CONNECTION"
	case "SOURCE":
		return of == "CONNECTION"
	case "SINK":
		return of == "CONNECTION" || relation
	case "SECRET":
		return false
	}
	return relation
}

// describeStatement reads a CREATE for the catalogues.
func describeStatement(s tripsql.Statement) (object, error) {
	what, _, err := creates(s)
	if err != nil {
		return object{}, err
	}
	o := object{name: what.name, kind: what.kind, statement: s.Text, tokens: s.Tokens}
	if o.kind == defaultIndex {
		o.kind, o.on, o.name = "INDEX", what.name, what.name+"_primary_idx"
	}
	switch o.kind {
	case "SECRET":
		o.statement, o.tokens = "", nil // which tell it
	case "SOURCE", "SINK", "MATERIALIZED VIEW", "INDEX":
		o.cluster = theCluster
	}
	for i, t := range s.Tokens {
		after := func(words ...string) (string, bool) {
			c := &cursor{statement: s, tokens: s.Tokens, at: i}
			if !c.accept(words...) {
				return "", false
			}
			name, err := c.name()
			return name, err == nil
		}
		if name, ok := after("IN", "CLUSTER"); ok && o.cluster != "" {
			o.cluster = name
		}
		if format, ok := after("KEY", "FORMAT"); ok {
			o.keyFormat = format
		}
		if name, ok := after("KAFKA", "CONNECTION"); ok {
			o.connection = name
		}
		if name, ok := after("ON"); ok && o.kind == "INDEX" {
			o.on = name
			c := &cursor{statement: s, tokens: s.Tokens, at: i + 2}
			if keys, err := c.names(); err == nil { // an expression is left out
				o.key = keys
			} else {
				o.key = []string{}
			}
		}
		if t.Is("TOPIC") && o.topic == "" {
			c := &cursor{statement: s, tokens: s.Tokens, at: i + 1}
			c.accept("=")
			if topic := c.next(); topic.Kind == tripsql.String {
				o.topic = topic.Text
			}
		}
		if t.Is("AS") && (o.kind == "VIEW" || o.kind == "MATERIALIZED VIEW") && o.definition == "" && i+1 < len(s.Tokens) {
			o.definition = s.Text[s.Tokens[i+1].Pos-s.Tokens[0].Pos:]
		}
	}
	if o.kind == "INDEX" && s.Tokens[2].Is("ON") {
		o.name = strings.Join(append([]string{o.on}, o.key...), "_") + "_idx" // as Materialize names one
	}
	return o, nil
}
