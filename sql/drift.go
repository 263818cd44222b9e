package sql

import (
	"context"
	"fmt"
	"strings"
)

// Difference is how one object of the current schema is not as the files say.
type Difference struct {
	How    How
	Object Object
	// At is the place in the files, file:line, and empty for what is in none.
	At string
	// Is says what is there under the name, where that is of another type.
	Is Object
	// Dependents would go with the object if it were dropped, in an order in which
	// they can be dropped one by one.
	Dependents []Object
}

// How an object differs.
type How string

// The ways to differ.
const (
	Extra   How = "extra"   // it is there, and in no file
	Missing How = "missing" // it is in a file, and not there
	Changed How = "changed" // it was made by another statement than the file has
	// Unrecorded is what has no record of the statement that made it: it was made
	// by hand, or the connection broke just then. It may be as the file says.
	Unrecorded How = "unrecorded"
)

// String is one line that ends with the way out.
func (d Difference) String() string {
	switch d.How {
	case Extra:
		return fmt.Sprintf("extra: %s is in no file: %s, if nobody needs it", d.Object, d.Object.drop())
	case Missing:
		return fmt.Sprintf("missing: %s of %s is not there", d.Object, d.At)
	case Unrecorded:
		return fmt.Sprintf("unrecorded: %s of %s is there, and which statement made it is not recorded", d.Object, d.At)
	}
	there := d.Object
	text := fmt.Sprintf("changed: %s is not as %s has it now", there, d.At)
	if d.Is.Type != "" {
		there = d.Is
		text = fmt.Sprintf("changed: %s of %s is %s in the database", d.Object, d.At, article(there.Type))
	}
	if len(d.Dependents) == 0 {
		return fmt.Sprintf("%s: %s and apply again", text, there.drop())
	}
	var names []string
	for _, o := range d.Dependents {
		names = append(names, o.String())
	}
	return fmt.Sprintf("%s: drop %s, then %s (%s CASCADE does), and apply again", text, strings.Join(names, ", "), there, there.drop())
}

func article(objectType string) string {
	name := strings.ReplaceAll(objectType, "-", " ")
	if strings.ContainsRune("aeiou", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// Drift is how the current schema of a database differs from the files.
type Drift struct {
	Differences []Difference
	// Unknown is why it cannot be said, for a server without a catalogue.
	Unknown error
}

// Lines are the differences, one a line; unrecorded objects, which tend to be
// many, share one.
func (d Drift) Lines() []string {
	if d.Unknown != nil {
		return []string{"whether anything differs is unknown: " + d.Unknown.Error()}
	}
	var lines, unrecorded []string
	for _, difference := range d.Differences {
		if difference.How == Unrecorded {
			unrecorded = append(unrecorded, difference.Object.Name)
			continue
		}
		lines = append(lines, difference.String())
	}
	if len(unrecorded) > 0 {
		lines = append(lines, fmt.Sprintf("unrecorded: which statements made %s is not recorded, so whether they changed is not known: "+
			"apply --adopt takes them to be as the files have them", strings.Join(unrecorded, ", ")))
	}
	return lines
}

// compare says how the catalogue differs from what the statements make.
func compare(ctx context.Context, db DB, c catalogue, statements []Statement) (Drift, error) {
	if c.unknown != nil {
		return Drift{Unknown: c.unknown}, nil
	}
	var d Drift
	wanted := map[string]bool{}
	changed := map[int]entry{} // by index of the difference
	for _, s := range statements {
		object, ok := Creates(s)
		if !ok || wanted[object.Name] {
			continue
		}
		wanted[object.Name] = true
		difference := Difference{Object: object, At: s.String()}
		is, found := c.find(object.Name)
		switch {
		case !found:
			difference.How = Missing
		case is.Type != object.Type:
			difference.How, difference.Is = Changed, is.Object
		case recorded.FindString(is.comment) == "":
			difference.How = Unrecorded
		case !made(s, is.comment):
			difference.How = Changed
		default:
			continue
		}
		if difference.How == Changed {
			changed[len(d.Differences)] = is
		}
		d.Differences = append(d.Differences, difference)
	}
	for _, e := range c.objects {
		if !wanted[e.Name] && !c.isProgress(e) {
			d.Differences = append(d.Differences, Difference{How: Extra, Object: e.Object})
		}
	}
	if len(changed) == 0 {
		return d, nil
	}
	onIt, err := dependents(ctx, db)
	if err != nil {
		return Drift{}, err
	}
	for i, e := range changed {
		for _, dependent := range onIt[e.id] {
			d.Differences[i].Dependents = append(d.Differences[i].Dependents, dependent.Object)
		}
	}
	return d, nil
}
