package stream

import (
	"fmt"
	"strings"

	"tripcast.dev/sql"
)

// created is an object of the program as CREATE names it.
type created struct {
	kind string // VIEW, MATERIALIZED VIEW, …
	name string // for a DEFAULT INDEX, of what it is on
}

func (c created) String() string {
	if c.kind == defaultIndex {
		return "relation " + c.name // what does or does not exist
	}
	return strings.ToLower(c.kind) + " " + c.name
}

// kinds that CREATE knows here.
var kinds = [][]string{
	{"CONNECTION"}, {"SECRET"}, {"SOURCE"}, {"TABLE"}, {"VIEW"}, {"MATERIALIZED", "VIEW"}, {"SINK"}, {"INDEX"}, {"DEFAULT", "INDEX"},
}

const defaultIndex = "DEFAULT INDEX"

// creates reads what a CREATE statement creates, as far as its name.
func creates(s sql.Statement) (what created, ifNotExists bool, err error) {
	c := &cursor{statement: s, tokens: s.Tokens}
	if err := c.expect("CREATE"); err != nil {
		return what, false, err
	}
	for _, words := range kinds {
		if c.accept(words...) {
			what.kind = strings.Join(words, " ")
			break
		}
	}
	if what.kind == "" {
		return what, false, fmt.Errorf("CREATE %s is not supported", c.peek().Raw)
	}
	ifNotExists = c.accept("IF", "NOT", "EXISTS")
	if what.kind == defaultIndex {
		if err := c.skipCluster(); err != nil {
			return what, false, err
		}
		if err := c.expect("ON"); err != nil {
			return what, false, err
		}
	}
	what.name, err = c.name()
	return what, ifNotExists, err
}

// remember notes what a statement of the program creates.
func (p *program) remember(s sql.Statement) error {
	what, _, err := creates(s)
	if err == nil && what.kind != defaultIndex {
		p.created[what.name] = what
	}
	return err
}

// create answers a client's CREATE as Materialize would if there is nothing to
// do: IF NOT EXISTS keeps what is there, whatever the new definition says. This
// is what applies the program to the stand-in, which runs it already; it creates
// nothing.
func (p *program) create(s sql.Statement) (created, error) {
	what, ifNotExists, err := creates(s)
	if err != nil {
		return what, err
	}
	there, exists := p.created[what.name]
	switch what.kind {
	case "SECRET", "CONNECTION":
		// Neither does anything here, in the program or after it: the stand-in has
		// its broker and credentials from its own command line and environment.
		// Whoever applies the program to a secured Kafka creates both first, under
		// names that the program need not have, and is done as well.
		if !exists && !ifNotExists {
			return what, fmt.Errorf("the stand-in keeps no %ss: say CREATE %s IF NOT EXISTS", strings.ToLower(what.kind), what.kind)
		}
		if !exists {
			return what, nil
		}
	case defaultIndex:
		// Every view that is maintained is in memory, with or without an index.
		exists = p.exists(what.name)
		there = what
	}
	switch {
	case !exists:
		return what, fmt.Errorf("%s does not exist: the stand-in runs the sql/ it was started with, to change it restart it with other files", what)
	case there != what:
		return what, fmt.Errorf("%s is a %s, not a %s", what.name, strings.ToLower(there.kind), strings.ToLower(what.kind))
	case !ifNotExists:
		return what, fmt.Errorf("%s %s already exists: say IF NOT EXISTS", strings.ToLower(what.kind), what.name)
	}
	return what, nil
}
