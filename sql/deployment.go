package sql

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Deployment is a program and how it is to run on a server.
type Deployment struct {
	Statements []Statement
	// Connection takes the place of the program's own, for a Kafka with TLS or
	// users. nil is the program's.
	Connection *Connection
	// Cluster is where sources, materialized views, indexes and sinks are made.
	// Empty is the one that the session has.
	Cluster string
	Sources SourceSyntax // empty is AutoSyntax
	// Adopt takes objects whose statement is not recorded to be as the files have
	// them, and records that.
	Adopt bool
	// Created is told of each object as soon as it is there. It may be nil.
	Created func(Object, Statement)
}

// Result is what Apply has done, and what it has left.
type Result struct {
	Ran     int // statements, but for those whose object was there
	Created int // objects
	There   int // objects of the program that were there before
	Drift   Drift
	// Unrecorded is why the server takes no record of the statements, if it does
	// not.
	Unrecorded error
}

// statements are those of the connection and then those of the program, without
// the one connection that is there twice.
func (d Deployment) statements() ([]Statement, error) {
	if d.Connection == nil {
		return d.Statements, nil
	}
	all, err := d.Connection.Statements()
	if err != nil {
		return nil, err
	}
	for _, s := range d.Statements {
		if o, ok := Creates(s); !ok || o.Type != "connection" || o.Name != connectionName {
			all = append(all, s)
		}
	}
	return all, nil
}

// Apply makes what is missing, in the order of the statements, and records of
// each object which statement made it. What is there stays as it is, and how it
// differs is in the result. The first error stops it, and names the place and no
// secret: applying again goes on from there. What is no object of the current
// schema, such as the value of a secret, is set each time.
//
// Neither Materialize nor this keeps two from applying at once; both then find
// everything there, as every statement says IF NOT EXISTS.
func (d Deployment) Apply(ctx context.Context, db DB) (Result, error) {
	statements, err := d.statements()
	if err != nil {
		return Result{}, err
	}
	result, err := d.apply(ctx, db, statements)
	return result, redact(err, statements)
}

func (d Deployment) apply(ctx context.Context, db DB, statements []Statement) (Result, error) {
	there, err := readCatalogue(ctx, db)
	if err != nil {
		return Result{}, err
	}
	if d.Cluster != "" {
		if err := useCluster(ctx, db, d.Cluster); err != nil {
			return Result{}, err
		}
	}
	a := begin(d, db, there, statements)
	for _, s := range statements {
		if err := a.statement(ctx, s); err != nil {
			return a.result, err
		}
	}
	now := there
	if there.unknown == nil {
		if now, err = readCatalogue(ctx, db); err != nil {
			return a.result, err
		}
	}
	a.result.Drift, err = compare(ctx, db, now, a.ran)
	return a.result, err
}

// Check says how the database differs, and changes nothing. Sources that are not
// there are expected in the older form unless the newer one is asked for, or in
// use.
func (d Deployment) Check(ctx context.Context, db DB) (Drift, error) {
	statements, err := d.statements()
	if err != nil {
		return Drift{}, err
	}
	there, err := readCatalogue(ctx, db)
	if err != nil {
		return Drift{}, err
	}
	if d.Cluster != "" {
		if err := checkCluster(ctx, db, d.Cluster); err != nil {
			return Drift{}, err
		}
	}
	a := begin(d, db, there, statements)
	var wanted []Statement
	for _, s := range statements {
		older, newer, err := a.forms(s)
		if err != nil {
			return Drift{}, err
		}
		if a.newer && newer != nil {
			older = newer
		}
		wanted = append(wanted, older...)
	}
	return compare(ctx, db, there, wanted)
}

// Print writes the statements as Apply would run them on an empty database, in
// the older form of sources unless the newer one is asked for, without secrets.
func (d Deployment) Print(w io.Writer) error {
	statements, err := d.statements()
	if err != nil {
		return err
	}
	if d.Sources == NewerSyntax {
		if statements, err = Tables(statements); err != nil {
			return err
		}
	}
	var text strings.Builder
	if d.Cluster != "" {
		fmt.Fprintf(&text, "%s;\n\n", setCluster(d.Cluster))
	}
	for _, s := range statements {
		fmt.Fprintf(&text, "-- %s\n%s;\n", s, s.Printable())
		if o, ok := Creates(s); ok {
			fmt.Fprintf(&text, "%s;\n", commentOn(o, s, ""))
		}
		text.WriteByte('\n')
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// applying is one Apply, as far as it has come.
type applying struct {
	Deployment
	db     DB
	there  catalogue
	newer  bool        // sources are made in the newer form
	ran    []Statement // in the forms that were taken
	result Result
}

// begin settles the form of sources as far as what is there says it: where one
// has its table, the others get theirs.
func begin(d Deployment, db DB, there catalogue, statements []Statement) *applying {
	a := &applying{Deployment: d, db: db, there: there, newer: d.Sources == NewerSyntax}
	for _, s := range statements {
		if newer, ok, _ := tables(s); ok && a.auto() {
			a.newer = a.newer || slices.ContainsFunc(newer, a.isThere)
		}
	}
	return a
}

func (a *applying) auto() bool { return a.Sources == "" || a.Sources == AutoSyntax }

// forms are a statement as it is written, and, for a source that may be made in
// the newer form, in that. Of a source that is there the form is settled.
func (a *applying) forms(s Statement) (older, newer []Statement, err error) {
	older = []Statement{s}
	if a.Sources == OlderSyntax || a.auto() && a.isThere(s) {
		return older, nil, nil
	}
	newer, ok, err := tables(s)
	switch {
	case err != nil && a.newer:
		return nil, nil, err
	case err != nil || !ok:
		return older, nil, nil
	}
	return older, newer, nil
}

func (a *applying) isThere(s Statement) bool {
	o, ok := Creates(s)
	e, found := a.there.find(o.Name)
	return ok && found && e.Type == o.Type
}

func (a *applying) statement(ctx context.Context, s Statement) error {
	older, newer, err := a.forms(s)
	if err != nil {
		return err
	}
	if !a.newer || newer == nil {
		err := a.all(ctx, older)
		if newer == nil || !wantsTables(err) {
			return err
		}
		a.newer = true
	}
	return a.all(ctx, newer)
}

func (a *applying) all(ctx context.Context, statements []Statement) error {
	for _, s := range statements {
		if err := a.run(ctx, s); err != nil {
			return err
		}
		a.ran = append(a.ran, s)
	}
	return nil
}

// run runs one statement, unless what it makes is there.
func (a *applying) run(ctx context.Context, s Statement) error {
	object, ok := Creates(s)
	if is, found := a.there.find(object.Name); ok && found {
		a.result.There++
		if a.Adopt && is.Type == object.Type && recorded.FindString(is.comment) == "" {
			return a.record(ctx, object, s, is.comment)
		}
		return nil
	}
	if _, err := a.db.Exec(ctx, s.Text); err != nil {
		return fmt.Errorf("sql: %s: %w", s, err)
	}
	a.result.Ran++
	if !ok || a.there.unknown != nil {
		return nil // whether it was there nobody knows
	}
	a.result.Created++
	if a.Created != nil {
		a.Created(object, s)
	}
	return a.record(ctx, object, s, "")
}

// record notes what made an object. Materialize runs no two changes of its
// catalogue in one transaction, so the connection may break between them: the
// object is then unrecorded, and Adopt mends it.
func (a *applying) record(ctx context.Context, o Object, s Statement, before string) error {
	_, err := a.db.Exec(ctx, commentOn(o, s, before))
	if err == nil {
		return nil
	}
	err = fmt.Errorf("sql: %s: recording what made %s: %w", s, o, err)
	if !isAnswer(err) {
		return err
	}
	if a.result.Unrecorded == nil {
		a.result.Unrecorded = err
	}
	return nil
}

// String counts.
func (r Result) String() string {
	if r.Drift.Unknown != nil {
		return fmt.Sprintf("%d statements", r.Ran)
	}
	return fmt.Sprintf("created %d; %d were there", r.Created, r.There)
}

// Warnings are what somebody should look at, one a line.
func (r Result) Warnings() []string {
	lines := r.Drift.Lines()
	if r.Unrecorded != nil {
		lines = append(lines, r.Unrecorded.Error())
	}
	return lines
}
