package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Import makes a version that was exported, from here or from another Redis, the
// next version of the model as, or of the model of its own name where as is "":
// in place of the version that is expected, or of whichever it is where expect
// is 0. As with a Rollback, what was there is kept as a snapshot, learners and
// readers go on by themselves, and the ids that the target has learned stay
// learned. So is what is imported: a Journey can begin there, not before.
//
// A file has no ids. Labels that the imported state has learned, and the target
// has not, are learned again if they come again.
//
// The model must be in the catalogue, or it is an ErrNotFound, and with the
// specification of the file, or it is a *SpecDiffersError. A state that does not
// decode is a *StateError, another version than expected an ErrConflict. On an
// error nothing is changed. The Action's To is the version that it has become.
func Import(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, k *Kept, as string, expect uint64, by Actor) (Action, error) {
	if err := by.check(); err != nil {
		return Action{}, err
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Action{}, err
	}
	if as == "" {
		as = k.Spec.Name
	}
	spec, err := find(c, as)
	if err != nil {
		return Action{}, fmt.Errorf("%w: to import %s, put its specification into the catalogue and apply that, or name a model that has it", err, k.Spec.Name)
	}
	if spec.Hash() != k.Spec.Hash() {
		return Action{}, &SpecDiffersError{Model: as, File: k.Spec, Differences: differences(k.Spec, spec)}
	}
	i := install{
		client: client, spec: spec, kind: KindImport, from: k.Snapshot.Version, expect: expect, by: by,
		given: &given{Snapshot: k.Snapshot, state: string(k.State)},
	}
	return i.do(ctx)
}

// SpecDiffersError is a state that is of another specification than the model
// that is to get it.
type SpecDiffersError struct {
	Model       string
	File        online.Spec // of the state
	Differences []string    // each a parameter or a feature, and what it is in the file and here
}

func (e *SpecDiffersError) Error() string {
	const most = 5
	text, more := strings.Join(e.Differences[:min(most, len(e.Differences))], "; "), ""
	if len(e.Differences) > most {
		more = fmt.Sprintf("; and %d more", len(e.Differences)-most)
	}
	return fmt.Sprintf("registry: the file is of another specification than model %s of the catalogue: %s%s: "+
		"put that of the file into the catalogue under a new name, and import it as that", e.Model, text, more)
}

// differences lists what two specifications do not have in common.
func differences(file, catalogue online.Spec) []string {
	var d specDiffer
	a, b := decoded(file), decoded(catalogue)
	delete(a, "name")
	delete(b, "name")
	d.values("", a, b)
	return d.found
}

// decoded is a specification as JSON has it.
func decoded(s online.Spec) map[string]any {
	values := map[string]any{}
	if encoded, err := json.Marshal(s); err == nil {
		_ = json.Unmarshal(encoded, &values) // it was encoded just now
	}
	return values
}

// specDiffer collects where two values as JSON has them differ.
type specDiffer struct{ found []string }

func (d *specDiffer) values(path string, file, here any) {
	switch a := file.(type) {
	case map[string]any:
		if b, ok := here.(map[string]any); ok {
			names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
			slices.Sort(names)
			for _, name := range slices.Compact(names) {
				x, inFile := a[name]
				y, isHere := b[name]
				d.element(strings.TrimPrefix(path+"."+name, "."), x, y, inFile, isHere)
			}
			return
		}
	case []any:
		if b, ok := here.([]any); ok {
			for i := range max(len(a), len(b)) {
				var x, y any
				if i < len(a) {
					x = a[i]
				}
				if i < len(b) {
					y = b[i]
				}
				d.element(fmt.Sprintf("%s[%d]", path, i), x, y, i < len(a), i < len(b))
			}
			return
		}
	}
	if x, y := asJSON(file), asJSON(here); x != y {
		d.found = append(d.found, fmt.Sprintf("%s is %s in the file and %s in the catalogue", path, x, y))
	}
}

// element compares what has the same name or place, as far as it is there.
func (d *specDiffer) element(path string, file, here any, inFile, isHere bool) {
	switch {
	case !inFile:
		d.found = append(d.found, fmt.Sprintf("%s is not in the file, and %s in the catalogue", path, asJSON(here)))
	case !isHere:
		d.found = append(d.found, fmt.Sprintf("%s is %s in the file, and not in the catalogue", path, asJSON(file)))
	default:
		d.values(path, file, here)
	}
}

func asJSON(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil { // it came from JSON
		return fmt.Sprint(v)
	}
	if len(encoded) > 200 {
		return string(encoded[:200]) + "…"
	}
	return string(encoded)
}
