package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"

	tripsql "tripcast.dev/sql"
)

// comment is a COMMENT ON of something that exists.
type comment struct {
	id     string
	kind   string // as mz_comments has it
	column any    // its position, or nil
	text   any    // nil takes the comment away
}

// commentable are the kinds of what can be commented on, longest first.
var commentable = [][]string{
	{"MATERIALIZED", "VIEW"},
	{"VIEW"},
	{"TABLE"},
	{"SOURCE"},
	{"SINK"},
	{"INDEX"},
	{"CONNECTION"},
	{"SECRET"},
	{"COLUMN"},
	{"SCHEMA"},
	{"DATABASE"},
	{"CLUSTER"},
}

// comments prepares COMMENT ON. A comment is there at once, whatever becomes of
// the transaction, and as long as the process lives.
func (t *text) comments(ctx context.Context, statement tripsql.Statement) (*wire.PreparedStatement, error) {
	q := t.stream.query
	parsed, err := q.parseComment(ctx, statement)
	if err != nil {
		return nil, err
	}
	return wire.NewStatement(t.session.guarded(func(ctx context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		if err := q.comment(ctx, parsed); err != nil {
			return err
		}
		return w.Complete("COMMENT")
	})), nil
}

func (q *queries) parseComment(ctx context.Context, statement tripsql.Statement) (comment, error) {
	c := &cursor{statement: statement, tokens: statement.Tokens}
	if err := c.expect("COMMENT", "ON"); err != nil {
		return comment{}, err
	}
	kind := ""
	for _, words := range commentable {
		if c.accept(words...) {
			kind = strings.Join(words, " ")
			break
		}
	}
	if kind == "" {
		return comment{}, psqlerr.WithCode(fmt.Errorf("line %d: COMMENT ON %s is not supported", c.line(), strings.ToUpper(c.peek().Raw)), codes.FeatureNotSupported)
	}
	path, err := c.path()
	if err != nil {
		return comment{}, err
	}
	if err := c.expect("IS"); err != nil {
		return comment{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	what, err := q.catalog.commented(ctx, kind, path)
	if err != nil {
		return comment{}, err
	}
	switch text := c.next(); {
	case text.Kind == tripsql.String:
		what.text = text.Text
	case !text.Is("NULL"):
		return comment{}, fmt.Errorf("line %d: a string or NULL expected, not %q", text.Line, text.Raw)
	}
	if !c.done() {
		return comment{}, fmt.Errorf("line %d: end of statement expected, not %q", c.line(), c.peek().Raw)
	}
	return what, nil
}

// path reads a name with what it is in: materialize.public.trips.
func (c *cursor) path() ([]string, error) {
	var path []string
	for {
		name, err := c.name()
		if err != nil {
			return nil, err
		}
		path = append(path, name)
		if !c.accept(".") {
			return path, nil
		}
	}
}

// commented finds what a comment is on.
func (c *catalog) commented(ctx context.Context, kind string, path []string) (comment, error) {
	last := path[len(path)-1]
	unknown := psqlerr.WithCode(fmt.Errorf("unknown catalog item '%s'", strings.Join(path, ".")), codes.UndefinedTable)
	var query string
	switch kind {
	case "COLUMN":
		return c.commentedColumn(ctx, path)
	case "SCHEMA":
		unknown = psqlerr.WithCode(fmt.Errorf("unknown schema '%s'", last), codes.InvalidSchemaName)
		query = "SELECT id FROM facts.schemas WHERE name = ?"
	case "DATABASE":
		unknown = psqlerr.WithCode(fmt.Errorf("unknown database '%s'", last), codes.InvalidCatalogName)
		query = "SELECT id FROM mz_catalog.mz_databases WHERE name = ?"
	case "CLUSTER":
		unknown = psqlerr.WithCode(fmt.Errorf("unknown cluster '%s'", last), codes.UndefinedObject)
		query = "SELECT id FROM facts.clusters WHERE name = ?"
	default:
		o, ok := c.find(kind, last)
		if ok {
			return comment{id: o.id, kind: o.typeName()}, nil
		}
		for _, o := range c.objects {
			if o.name == last {
				return comment{}, wrongKind(last, kind)
			}
		}
		return comment{}, unknown
	}
	var id string
	if err := c.conn.QueryRowContext(ctx, query, last).Scan(&id); err != nil {
		return comment{}, unknown
	}
	return comment{id: id, kind: objectType(kind)}, nil
}

func wrongKind(name, kind string) error {
	return psqlerr.WithCode(fmt.Errorf("materialize.public.%s is not a %s", name, strings.ToLower(kind)), codes.WrongObjectType)
}

func (c *catalog) commentedColumn(ctx context.Context, path []string) (comment, error) {
	if len(path) < 2 {
		return comment{}, psqlerr.WithCode(errors.New("COMMENT ON COLUMN needs relation.column"), codes.Syntax)
	}
	relation, name := path[len(path)-2], path[len(path)-1]
	var on comment
	var position int64
	const query = "SELECT o.id, o.type, c.position FROM facts.objects AS o JOIN facts.columns AS c ON c.id = o.id WHERE o.name = ? AND c.name = ?"
	if err := c.conn.QueryRowContext(ctx, query, relation, name).Scan(&on.id, &on.kind, &position); err != nil {
		return comment{}, psqlerr.WithCode(fmt.Errorf("column %q does not exist", relation+"."+name), codes.UndefinedColumn)
	}
	on.column = position
	return on, nil
}

// comment writes a comment in the place of the one before it.
func (q *queries) comment(ctx context.Context, on comment) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	const old = "DELETE FROM facts.comments WHERE id = ? AND object_type = ? AND object_sub_id IS NOT DISTINCT FROM ?"
	if err := q.catalog.exec(ctx, old, on.id, on.kind, on.column); err != nil {
		return err
	}
	if on.text == nil {
		return nil
	}
	return q.catalog.exec(ctx, "INSERT INTO facts.comments VALUES (?, ?, ?, ?)", on.id, on.kind, on.column, on.text)
}

// create notes a secret or a connection that the program need not have, so that
// who applies the program finds what it has created.
func (q *queries) create(ctx context.Context, s tripsql.Statement) error {
	o, err := describeStatement(s)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.catalog.find(o.kind, o.name); ok || o.kind != "SECRET" && o.kind != "CONNECTION" {
		return nil
	}
	return q.catalog.add(ctx, o)
}

// jsonList is a list as from_json reads it, or nil.
func jsonList[T string | int](all []T) any {
	if all == nil {
		return nil
	}
	b, _ := json.Marshal(all) // of strings and numbers: it cannot fail
	return string(b)
}
