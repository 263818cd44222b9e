package registry

import (
	"fmt"
	"slices"

	"tripcast.dev/functions/online"
)

// past is what Redis knows of how a model came about.
type past struct {
	spec      online.Spec
	head      head
	broken    error               // why the head cannot be read, if it cannot
	commits   []entered           // the newest first
	named     map[string]int      // where in commits
	snapshots map[string]Snapshot // by the name of the commit
}

// entered is a commit with the id of its entry in the lineage.
type entered struct {
	Commit
	entry string
}

// add adds an older commit.
func (p *past) add(c entered) {
	if _, ok := p.named[c.Name]; !ok {
		p.named[c.Name] = len(p.commits)
	}
	p.commits = append(p.commits, c)
}

// place is a state that a model has come through: a commit of labels led there,
// and rollbacks may have come back to it.
type place struct {
	entered
	names []string // of the commits whose state it is
}

// destination returns the commit that a journey is to end with, or within if it
// is to a label, which the commit of an entry has learned.
func (p *past) destination(to Destination, entry string) (entered, error) {
	model := p.spec.Name
	switch {
	case entry != "":
		for _, c := range p.commits {
			if c.entry == entry {
				return c, nil
			}
		}
		return entered{}, fmt.Errorf("%w: model %s has learned the label %.100q with the commit of entry %s, which is not in its lineage: %s",
			ErrNotFound, model, to.Label, entry, p.reach())
	case to.Version != 0:
		return p.version(to.Version)
	case p.broken != nil:
		return entered{}, fmt.Errorf("where it is now cannot be read, but an earlier version can be rebuilt: %w", p.broken)
	case p.head.version == 0:
		return entered{}, fmt.Errorf("%w: model %s has learned nothing", ErrNotFound, model)
	}
	if i, ok := p.named[p.head.commit]; ok {
		return p.commits[i], nil
	}
	return entered{}, fmt.Errorf("%w: version %d of model %s, where it is now, is not in its lineage: %s", ErrNotFound, p.head.version, model, p.reach())
}

// version returns the newest commit of a version: of those that led to the head
// if one of them is of it, as others were lost, or else of all.
func (p *past) version(version uint64) (entered, error) {
	seen := map[string]bool{}
	for name := p.head.commit; name != "" && !seen[name]; {
		seen[name] = true
		i, ok := p.named[name]
		if !ok {
			break
		}
		if p.commits[i].Version == version {
			return p.commits[i], nil
		}
		name = p.commits[i].Parent
	}
	for _, c := range p.commits {
		if c.Version == version {
			return c, nil
		}
	}
	return entered{}, fmt.Errorf("%w: model %s has no version %d in its lineage: %s", ErrNotFound, p.spec.Name, version, p.reach())
}

// reach says how far the lineage goes.
func (p *past) reach() string {
	if len(p.commits) == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("it goes from version %d to version %d", p.commits[len(p.commits)-1].Version, p.commits[0].Version)
}

// way returns the states that led to a commit's, the oldest first, and the
// snapshot before them, which is the nearest, or none where it is from nothing:
// from the beginning, or from a restart. Where the commit's state was imported
// there are no states on the way.
func (p *past) way(to entered, fromNothing bool) (places []place, base Snapshot, err error) {
	seen := map[string]bool{}
	for name, version := to.Name, to.Version; name != ""; {
		at := place{}
		for {
			if s, ok := p.snapshots[name]; ok && len(places) > 0 && !fromNothing {
				slices.Reverse(places)
				return places, s, p.fits(s.Version, s.Spec)
			}
			c, err := p.commit(name, version, fromNothing)
			if err != nil {
				return nil, Snapshot{}, err
			}
			if seen[name] {
				return nil, Snapshot{}, fmt.Errorf("registry: the key %s in Redis: version %d comes after itself", lineageKey(p.spec.Name), c.Version)
			}
			seen[name] = true
			if c.Kind == KindRestart {
				slices.Reverse(places)
				return places, Snapshot{}, nil
			}
			at.names = append(at.names, name)
			if c.Kind == KindImport {
				base, err := p.imported(c, fromNothing)
				slices.Reverse(places)
				return places, base, err
			}
			if c.Kind != KindRollback {
				at.entered = c
				break
			}
			if name, err = p.target(c); err != nil {
				return nil, Snapshot{}, err
			}
			version = c.Version
		}
		places = append(places, at)
		name, version = at.Parent, at.Version
	}
	slices.Reverse(places)
	return places, Snapshot{}, nil
}

// commit returns the one of a name, from which a version came.
func (p *past) commit(name string, version uint64, fromNothing bool) (entered, error) {
	i, ok := p.named[name]
	if !ok {
		way := "no snapshot before it is kept"
		if fromNothing {
			way = "beginning at the nearest snapshot may be the way out"
		}
		return entered{}, fmt.Errorf("%w: the commit before version %d of model %s is not in its lineage: %s, and %s",
			ErrNotFound, version, p.spec.Name, p.reach(), way)
	}
	c := p.commits[i]
	if !slices.Contains([]string{KindLearn, KindWarmUp, KindRestart, KindRollback, KindImport}, c.Kind) {
		return entered{}, fmt.Errorf("registry: version %d of model %s came about by a %.20q, which this program does not know", c.Version, p.spec.Name, c.Kind)
	}
	return c, p.fits(c.Version, c.Spec)
}

// imported returns the snapshot of an import, where each way through it begins:
// the labels that led to it are not known here.
func (p *past) imported(c entered, fromNothing bool) (Snapshot, error) {
	s, ok := p.snapshots[c.Name]
	if ok && !fromNothing {
		return s, p.fits(s.Version, s.Spec)
	}
	way := "its snapshot is not kept any more: a later one is the way out, once learners have taken one"
	if fromNothing {
		way = "beginning at the nearest snapshot may be the way out"
	}
	return Snapshot{}, fmt.Errorf("%w: version %d of model %s was imported, and what had led to it is not in its lineage: %s",
		ErrNotFound, c.Version, p.spec.Name, way)
}

// fits returns a *StateError if a version is one of another specification.
func (p *past) fits(version uint64, spec string) error {
	if spec == p.spec.Hash() {
		return nil
	}
	return &StateError{Model: p.spec.Name, Reason: fmt.Sprintf(
		"its version %d has learned under specification %.12s, the catalogue's is %.12s: only the catalogue it was learned under can rebuild it", version, spec, p.spec.Hash(),
	)}
}

// target returns the name of the commit that a rollback went back to. Earlier
// programs have not written it down: then it is the only one that it can be.
func (p *past) target(c entered) (string, error) {
	if c.Of != "" {
		return c.Of, nil
	}
	could := map[string]bool{}
	for i := p.named[c.Name] + 1; i < len(p.commits); i++ {
		if o := p.commits[i]; o.Version == c.From && o.Count == c.Count {
			could[o.Name] = true
		}
	}
	for _, s := range p.snapshots {
		if s.Version == c.From && s.Count == c.Count {
			could[s.Commit] = true
		}
	}
	for name := range could {
		if len(could) == 1 {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: version %d of model %s went back to version %d, and %d commits in its lineage can be that: %s",
		ErrNotFound, c.Version, p.spec.Name, c.From, len(could), p.reach())
}
