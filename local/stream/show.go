package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"

	tripsql "tripcast.dev/sql"
)

// settings that clients ask for when they connect. The server's version is what
// psql-wire announces, as clients choose their queries by both; Materialize says
// 9.5.0.
var settings = map[string]string{
	"server_version": serverVersion, "server_version_num": "150000", "server_encoding": "UTF8", "client_encoding": "UTF8",
	"timezone": "UTC", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "standard_conforming_strings": "on", "integer_datetimes": "on",
	"transaction_isolation": "strict serializable", "default_transaction_isolation": "strict serializable",
	"transaction_read_only": "off", "default_transaction_read_only": "off", "is_superuser": "off", "session_authorization": theUser,
	"search_path": "public", "cluster": theCluster, "database": "materialize", "application_name": "", "client_min_messages": "notice",
	"extra_float_digits": "3", "statement_timeout": "0", "max_identifier_length": "255", "max_index_keys": "32", "lc_collate": "C", "lc_ctype": "C",
}

const (
	serverVersion = "15.0"
	theUser       = "materialize"
)

// listing is what SHOW lists: the words that name it, the relation of mz_internal
// that has it, and the columns that are shown, as in Materialize.
type listing struct {
	words   []string
	from    string
	columns string
	on      string // the column that ON, or FROM of COLUMNS, asks for
	cluster bool   // IN CLUSTER may follow
}

var listings = []listing{
	{words: []string{"TABLES"}, from: "mz_show_tables", columns: "name, comment"},
	{words: []string{"VIEWS"}, from: "mz_show_views", columns: "name, comment"},
	{words: []string{"MATERIALIZED", "VIEWS"}, from: "mz_show_materialized_views", columns: "name, cluster, comment", cluster: true},
	{words: []string{"SOURCES"}, from: "mz_show_sources", columns: "name, type, cluster, comment", cluster: true},
	{words: []string{"SINKS"}, from: "mz_show_sinks", columns: "name, type, cluster, comment", cluster: true},
	{words: []string{"CONNECTIONS"}, from: "mz_show_connections", columns: "name, type, comment"},
	{words: []string{"SECRETS"}, from: "mz_show_secrets", columns: "name, comment"},
	{words: []string{"INDEXES"}, from: "mz_show_indexes", columns: `name, "on", cluster, key, comment`, on: `"on"`, cluster: true},
	{words: []string{"OBJECTS"}, from: "mz_show_objects", columns: "name, type, comment"},
	{words: []string{"COLUMNS"}, from: showColumns, columns: "name, nullable, type, comment", on: "on_name"},
	{words: []string{"CLUSTERS"}, from: "mz_show_clusters", columns: "name, replicas, comment"},
	{words: []string{"SCHEMAS"}, from: "mz_show_schemas", columns: "name, comment"},
	{words: []string{"DATABASES"}, from: "mz_show_databases", columns: "name, comment"},
}

const showColumns = "mz_show_columns"

// show prepares SHOW: what there is, the CREATE of one thing, or a setting.
func (t *text) show(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens, at: 1}
	if c.accept("CREATE") {
		return t.showCreate(c)
	}
	for _, what := range listings {
		if c.accept(what.words...) {
			return t.list(ctx, what, c)
		}
	}
	return t.showSetting(c)
}

// list prepares the query that answers SHOW.
func (t *text) list(ctx context.Context, what listing, c *cursor) (*wire.PreparedStatement, error) {
	filters, err := t.filters(what, c)
	if err != nil {
		return nil, err
	}
	order := "name"
	if what.from == showColumns {
		order = "position"
		if len(filters) == 0 {
			return nil, errors.New("SHOW COLUMNS needs FROM and a relation")
		}
	}
	query := "SELECT " + what.columns + " FROM mz_internal." + what.from
	if len(filters) > 0 {
		query += " WHERE " + strings.Join(filters, " AND ")
	}
	asked, err := tripsql.Split("query", query+" ORDER BY "+order)
	if err != nil {
		return nil, err
	}
	own := *t
	own.query = wire.Query{} // whose places are none of the client's text
	return own.selects(ctx, asked[0])
}

// filters reads IN CLUSTER, ON, FROM, LIKE and WHERE as conditions.
func (t *text) filters(what listing, c *cursor) ([]string, error) {
	var filters []string
	for !c.done() {
		filter := ""
		var err error
		switch {
		case what.cluster && c.accept("IN", "CLUSTER"):
			filter, err = equals("cluster", c)
		case what.on != "" && (c.accept("ON") || what.from == showColumns && c.accept("FROM")):
			if filter, err = equals(what.on, c); err == nil {
				err = t.known(c)
			}
		case c.accept("FROM"):
			filter, err = inSchema(c)
		case c.accept("LIKE"):
			pattern := c.next()
			if pattern.Kind != tripsql.String {
				err = fmt.Errorf("line %d: a pattern expected, not %q", pattern.Line, pattern.Raw)
			}
			filter = "name LIKE " + pattern.Raw
		case c.accept("WHERE"):
			filter = "(" + rawText(c.rest()) + ")"
		default:
			err = fmt.Errorf("line %d: %q is not supported here", c.line(), c.peek().Raw)
		}
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return filters, nil
}

// equals reads a name, the last of its path, and compares a column with it.
func equals(column string, c *cursor) (string, error) {
	path, err := c.path()
	if err != nil {
		return "", err
	}
	return column + " = " + literal(path[len(path)-1]), nil
}

// known checks that the name that c has just read is a relation.
func (t *text) known(c *cursor) error {
	name, _ := nameIn(c.tokens[c.at-1])
	if !t.stream.engine.program.exists(name) {
		return unknownItem(name)
	}
	return nil
}

func unknownItem(name string) error {
	return psqlerr.WithCode(fmt.Errorf("unknown catalog item '%s'", name), codes.UndefinedTable)
}

// inSchema reads FROM schema: all that the program has is in public.
func inSchema(c *cursor) (string, error) {
	path, err := c.path()
	if err != nil {
		return "", err
	}
	switch name := path[len(path)-1]; name {
	case "public":
		return "true", nil
	case "mz_catalog", "mz_internal", "pg_catalog", "information_schema", "materialize":
		return fmt.Sprint(name == "materialize"), nil // SHOW SCHEMAS FROM materialize
	default:
		return "", psqlerr.WithCode(fmt.Errorf("unknown schema '%s'", name), codes.InvalidSchemaName)
	}
}

// rawText writes tokens out again.
func rawText(tokens []tripsql.Token) string {
	var all []string
	for _, t := range tokens {
		all = append(all, t.Raw)
	}
	return strings.Join(all, " ")
}

// showCreate answers SHOW CREATE kind name with the statement as in the files.
func (t *text) showCreate(c *cursor) (*wire.PreparedStatement, error) {
	kind := ""
	for _, words := range kinds {
		if c.accept(words...) {
			kind = strings.Join(words, " ")
			break
		}
	}
	if kind == "" || kind == "SECRET" || kind == defaultIndex {
		return nil, fmt.Errorf("line %d: SHOW CREATE %s is not supported", c.line(), c.peek().Raw)
	}
	path, err := c.path()
	if err != nil {
		return nil, err
	}
	name := path[len(path)-1]
	t.stream.query.mu.Lock()
	defer t.stream.query.mu.Unlock()
	all := t.stream.query.catalog
	if o, ok := all.find(kind, name); ok {
		return t.showing([]string{"name", "create_sql"}, []string{"materialize.public." + name, o.statement}), nil
	}
	for _, o := range all.objects {
		if o.name == name {
			return nil, wrongKind(name, kind)
		}
	}
	return nil, unknownItem(name)
}

func (t *text) showSetting(c *cursor) (*wire.PreparedStatement, error) {
	name := settingName(c)
	value, ok := t.session.settings[name]
	if !ok {
		value, ok = settings[name]
	}
	if !ok || !c.done() {
		var all []string
		for _, what := range listings {
			all = append(all, strings.Join(what.words, " "))
		}
		return nil, psqlerr.WithCode(fmt.Errorf("unrecognized configuration parameter %q: SHOW knows %s, CREATE and a few settings", name, strings.Join(all, ", ")), codes.UndefinedObject)
	}
	return t.showing([]string{name}, []string{value}), nil
}

// settingName reads a setting's name, also where it is more than a word.
func settingName(c *cursor) string {
	switch {
	case c.accept("TIME", "ZONE"):
		return "timezone"
	case c.accept("TRANSACTION", "ISOLATION", "LEVEL"):
		return "transaction_isolation"
	case c.accept("SESSION", "AUTHORIZATION"):
		return "session_authorization"
	}
	return strings.ToLower(c.next().Text)
}

// set prepares SET and RESET: the session remembers what it was told, for SHOW.
// Nothing else is done with it.
func (t *text) set(verb string, c *cursor) *wire.PreparedStatement {
	all, local := verb == "DISCARD" || c.accept("ALL"), c.accept("LOCAL")
	if !local {
		c.accept("SESSION")
	}
	name := settingName(c)
	if verb == "SET" && !c.accept("=") {
		c.accept("TO")
	}
	var value []string
	for !c.done() {
		value = append(value, c.next().Text)
	}
	_, isSetting := settings[name]
	return wire.NewStatement(t.session.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		switch {
		case all:
			maps.DeleteFunc(t.session.settings, func(string, string) bool { return true })
		case verb == "RESET", len(value) == 1 && strings.EqualFold(value[0], "default"):
			delete(t.session.settings, name)
		case verb == "SET" && !local && isSetting:
			t.session.settings[name] = strings.ReplaceAll(strings.Join(value, " "), " , ", ", ")
		}
		return w.Complete(verb)
	}))
}

// showing answers with one row.
func (t *text) showing(names, values []string) *wire.PreparedStatement {
	r := &result{rows: [][]value{nil}}
	for i, name := range names {
		r.columns = append(r.columns, column{name, kindText})
		r.rows[0] = append(r.rows[0], textValue(values[i]))
	}
	return wire.NewStatement(t.session.guarded(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		return writeRows(w, r)
	}), wire.WithColumns(wireColumns(r.columns)))
}
