package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB is a session of Materialize: a *pgx.Conn, or what stands in for it.
type DB interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}

// What is asked of Materialize's catalogue. Relations of mz_catalog are part of
// its stable interface, those of mz_internal are not: a question to which there
// is no answer makes drift unknown, and nothing else.
const (
	schemaQuery = `SELECT s.id
FROM mz_catalog.mz_schemas AS s
JOIN mz_catalog.mz_databases AS d ON d.id = s.database_id
WHERE d.name = current_database() AND s.name = current_schema()`

	objectsQuery = `SELECT o.id, o.type, o.name, c.comment
FROM mz_catalog.mz_objects AS o
LEFT JOIN mz_internal.mz_comments AS c ON c.id = o.id AND c.object_sub_id IS NULL
WHERE o.schema_id = `

	dependentsQuery = `SELECT d.referenced_object_id, o.id, o.type, o.name
FROM mz_internal.mz_object_dependencies AS d
JOIN mz_catalog.mz_objects AS o ON o.id = d.object_id
WHERE d.referenced_object_id LIKE 'u%'`

	clustersQuery = `SELECT name FROM mz_catalog.mz_clusters`
)

// entry is an object as the catalogue has it.
type entry struct {
	Object
	id      string
	comment string
}

// catalogue is the current schema of a database.
type catalogue struct {
	objects []entry
	// unknown is why there is no catalogue, in which case there are no objects.
	unknown error
}

// readCatalogue asks for the current schema. The error is one of the connection;
// what the server does not answer is unknown.
func readCatalogue(ctx context.Context, db DB) (catalogue, error) {
	schemas, err := rows(ctx, db, schemaQuery)
	if err != nil {
		return unknown(err)
	}
	if len(schemas) != 1 {
		return catalogue{unknown: errors.New("the database has no catalogue of the current schema")}, nil
	}
	objects, err := rows(ctx, db, objectsOf(schemas[0][0]))
	if err != nil {
		return unknown(err)
	}
	var c catalogue
	for _, o := range objects {
		c.objects = append(c.objects, entry{id: o[0], Object: Object{Type: o[1], Name: o[2]}, comment: o[3]})
	}
	return c, nil
}

func objectsOf(schema string) string { return objectsQuery + literal(schema) + "\nORDER BY o.name" }

// isAnswer reports whether an error is the server's, and not the connection's.
func isAnswer(err error) bool { return errors.As(err, new(*pgconn.PgError)) }

func unknown(err error) (catalogue, error) {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return catalogue{unknown: fmt.Errorf("the catalogue cannot be read: %s", answer.Message)}, nil
	}
	return catalogue{}, fmt.Errorf("sql: reading the catalogue: %w", err)
}

// find is the object of a name, which objects of all types share.
func (c catalogue) find(name string) (entry, bool) {
	i := slices.IndexFunc(c.objects, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return c.objects[i], true
}

// isProgress reports whether an object is where Materialize itself notes how far
// it has read a source: a source beside that of the files, called x_progress, or
// x_progress1 if there was one.
func (c catalogue) isProgress(e entry) bool {
	of, ok := strings.CutSuffix(strings.TrimRight(e.Name, "0123456789"), "_progress")
	if !ok || e.Type != typeSource {
		return false
	}
	_, ok = c.find(of)
	return ok
}

// dependents is, by id, what would go with an object if that were dropped, in an
// order in which all of it can be dropped one by one. It is nil where the server
// does not say.
func dependents(ctx context.Context, db DB) (map[string][]entry, error) {
	found, err := rows(ctx, db, dependentsQuery)
	if isAnswer(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sql: reading the dependencies: %w", err)
	}
	direct := map[string][]entry{}
	for _, r := range found {
		direct[r[0]] = append(direct[r[0]], entry{id: r[1], Object: Object{Type: r[2], Name: r[3]}})
	}
	all := map[string][]entry{}
	for id := range direct {
		all[id] = inOrder(direct, id)
	}
	return all, nil
}

// inOrder are the objects that stand on one, those that nothing stands on first.
func inOrder(direct map[string][]entry, id string) []entry {
	var all []entry
	seen := map[string]bool{}
	var visit func(string)
	visit = func(id string) {
		for _, e := range direct[id] {
			if !seen[e.id] {
				seen[e.id] = true
				visit(e.id)
				all = append(all, e)
			}
		}
	}
	visit(id)
	return all
}

// useCluster makes a cluster the one in which objects are created. Materialize
// would take any name here and refuse the first object.
func useCluster(ctx context.Context, db DB, name string) error {
	if err := checkCluster(ctx, db, name); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, setCluster(name)); err != nil {
		return fmt.Errorf("sql: using cluster %s: %w", name, err)
	}
	return nil
}

func setCluster(name string) string { return "SET cluster = " + quote(name) }

func checkCluster(ctx context.Context, db DB, name string) error {
	found, err := rows(ctx, db, clustersQuery)
	if isAnswer(err) {
		return nil // one that keeps no list of clusters
	}
	if err != nil {
		return fmt.Errorf("sql: reading the clusters: %w", err)
	}
	var names []string
	for _, r := range found {
		if r[0] == name {
			return nil
		}
		if !strings.HasPrefix(r[0], "mz_") { // Materialize's own
			names = append(names, r[0])
		}
	}
	slices.Sort(names)
	return fmt.Errorf("sql: there is no cluster %s: there are %s, and CREATE CLUSTER makes one", name, strings.Join(names, ", "))
}

// rows are the answer to a question, NULL as the empty string. The simple
// protocol is what every server and proxy of Postgres's speaks.
func rows(ctx context.Context, db DB, query string) ([][]string, error) {
	answer, err := db.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	var all [][]string
	for answer.Next() {
		var line []string
		for _, value := range answer.RawValues() {
			line = append(line, string(value))
		}
		all = append(all, line)
	}
	return all, answer.Err()
}
