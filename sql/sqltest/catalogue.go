package sqltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"tripcast.dev/sql"
)

const schemaID = "u3"

// question answers what is asked of the catalogue, by the relations that are
// named.
func (s *Server) question(query string) []pgproto3.BackendMessage {
	names := func(relation string) bool { return strings.Contains(query, relation) }
	switch {
	case s.options.NoCatalogue:
		return refuse("42P01", "unknown catalog item 'mz_catalog.mz_schemas'")
	case names("mz_object_dependencies"):
		return answered([]string{"referenced_object_id", "id", "type", "name"}, s.dependencies())
	case names("mz_objects") && strings.Contains(query, "schema_id = '"+schemaID+"'"):
		var rows [][]*string
		for _, o := range s.objects {
			row := []*string{&o.ID, &o.Type, &o.Name, nil}
			if o.Comment != "" {
				row[3] = &o.Comment
			}
			rows = append(rows, row)
		}
		return answered([]string{"id", "type", "name", "comment"}, rows)
	case names("mz_schemas"):
		id := schemaID
		return answered([]string{"id"}, [][]*string{{&id}})
	case names("mz_clusters"):
		clusters := s.options.Clusters
		if clusters == nil {
			clusters = []string{"mz_system", "mz_catalog_server", "quickstart"}
		}
		var rows [][]*string
		for _, c := range clusters {
			rows = append(rows, []*string{&c})
		}
		return answered([]string{"name"}, rows)
	}
	return refuse("XX000", "the test's server does not know what to answer to %s", query)
}

func (s *Server) dependencies() [][]*string {
	var rows [][]*string
	for _, o := range s.objects {
		for _, used := range o.Uses {
			if on := s.find(used); on != nil {
				rows = append(rows, []*string{&on.ID, &o.ID, &o.Type, &o.Name})
			}
		}
	}
	return rows
}

func answered(columns []string, rows [][]*string) []pgproto3.BackendMessage {
	description := &pgproto3.RowDescription{}
	for _, c := range columns {
		description.Fields = append(description.Fields, pgproto3.FieldDescription{Name: []byte(c), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1})
	}
	messages := []pgproto3.BackendMessage{description}
	for _, r := range rows {
		row := &pgproto3.DataRow{}
		for _, value := range r {
			if value == nil {
				row.Values = append(row.Values, nil)
				continue
			}
			row.Values = append(row.Values, []byte(*value))
		}
		messages = append(messages, row)
	}
	return append(messages, done("SELECT "+strconv.Itoa(len(rows)))...)
}

func (s *Server) find(name string) *Object {
	i := slices.IndexFunc(s.objects, func(o *Object) bool { return o.Name == name })
	if i < 0 {
		return nil
	}
	return s.objects[i]
}

// change does to the catalogue what a statement says.
func (s *Server) change(text string) []pgproto3.BackendMessage {
	statements, err := sql.Split("statement", text)
	if err != nil || len(statements) != 1 {
		return refuse("42601", "not one statement: %s", text)
	}
	statement := statements[0]
	object, creates := sql.Creates(statement)
	switch {
	case creates:
		return s.create(object, statement)
	case statement.Tokens[0].Is("COMMENT"):
		return s.comment(statement)
	}
	return done(strings.ToUpper(statement.Tokens[0].Text))
}

func (s *Server) create(object sql.Object, statement sql.Statement) []pgproto3.BackendMessage {
	has := func(word string) bool {
		return slices.ContainsFunc(statement.Tokens, func(t sql.Token) bool { return t.Is(word) })
	}
	formatted := object.Type == "source" && has("FORMAT")
	switch {
	case formatted && s.options.ForceTables:
		return refuse("XX000", "CREATE SOURCE (ENVELOPE|FORMAT|INCLUDE) not supported; use CREATE TABLE .. FROM SOURCE instead")
	case object.Type == "table" && s.options.NoTables:
		return refuse("55P02", "Whether to allow CREATE TABLE .. FROM SOURCE syntax. is not available")
	case s.find(object.Name) != nil && !has("EXISTS"):
		return refuse("42710", "%s already exists", object)
	case s.find(object.Name) != nil:
		return done("CREATE") // with a notice
	}
	made := &Object{Object: object}
	for _, t := range statement.Tokens {
		// Whatever else is in the catalogue and is named is used.
		if name := strings.ToLower(t.Text); (t.Kind == sql.Word || t.Kind == sql.Quoted) && name != object.Name && s.find(name) != nil && !slices.Contains(made.Uses, name) {
			made.Uses = append(made.Uses, name)
		}
	}
	if formatted {
		progress := &Object{Object: sql.Object{Type: "source", Name: object.Name + "_progress"}}
		made.Uses = append(made.Uses, progress.Name)
		s.add(progress)
	}
	s.add(made)
	return done("CREATE")
}

func (s *Server) add(o *Object) {
	s.ids++
	o.ID = fmt.Sprintf("u%d", s.ids)
	s.objects = append(s.objects, o)
}

// comment is COMMENT ON type name IS 'text'.
func (s *Server) comment(statement sql.Statement) []pgproto3.BackendMessage {
	n := len(statement.Tokens)
	if n < 6 || !statement.Tokens[n-2].Is("IS") || statement.Tokens[n-1].Kind != sql.String {
		return refuse("42601", "no comment: %s", statement.Text)
	}
	var words []string
	for _, t := range statement.Tokens[2 : n-3] {
		words = append(words, strings.ToLower(t.Text))
	}
	object := sql.Object{Type: strings.Join(words, "-"), Name: statement.Tokens[n-3].Text}
	on := s.find(object.Name)
	if on == nil || on.Type != object.Type {
		return refuse("42704", "unknown catalog item '%s'", object)
	}
	on.Comment = statement.Tokens[n-1].Text
	return done("COMMENT")
}
