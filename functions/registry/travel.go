package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Destination is a state that a model has been in. The zero Destination is the
// one it is in now.
type Destination struct {
	Version uint64 // the newest commit of this version
	Label   string // right after this label, which may lie within a commit
}

// Journey is the way that a model has taken from a snapshot, or from nothing, to
// a destination: which labels it has learned and in which order, and what Redis
// keeps of the states between. It is a copy: Redis is not asked again.
type Journey struct {
	// Progress, if it is set, is told by Rebuild after each commit how many of the
	// Labels it has taught.
	Progress func(taught int)

	spec  online.Spec
	base  Snapshot // zero is nothing
	state string   // of the base
	steps []step
	to    Commit
	// partial is set where the destination lies within the last step, of which
	// labels after it are left out.
	partial bool
}

// step is what a commit of labels has taken a model on by.
type step struct {
	version uint64
	labels  []string // their ids, in the order they were learned in
	stored  []stored // what is kept of the state that it led to
}

// stored is the state of a version.
type stored struct {
	version uint64
	state   string
}

// Labels returns the ids of the labels on the way, in the order they were
// learned in.
func (j *Journey) Labels() []string {
	var all []string
	for _, s := range j.steps {
		all = append(all, s.labels...)
	}
	return all
}

// From is the version of the snapshot where the journey begins, 0 if that is a
// model that has learned nothing.
func (j *Journey) From() uint64 { return j.base.Version }

// Version is the one it leads to, or within whose commit it ends.
func (j *Journey) Version() uint64 { return j.to.Version }

// travelAttempts is how often a snapshot may be dropped while a journey begins at it.
const travelAttempts = 10

// Travel finds out how a model has come to a destination. The journey begins at
// the nearest snapshot before that, or fromNothing. Learners go on meanwhile.
//
// It follows the commits by their names, as versions may count again, and where
// a rollback went back it goes on from the state it went back to. A restart is where
// it begins from nothing. A destination
// that the model does not have is an ErrNotFound, and so is a way that is not
// kept any more: it says from where on it is. A model, or a commit on the way,
// of another specification than the catalogue's is a *StateError.
func Travel(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, model string, to Destination, fromNothing bool) (*Journey, error) {
	if to.Label != "" && to.Version != 0 {
		return nil, fmt.Errorf("registry: travel to the label %.100q or to version %d: one of them can be the destination", to.Label, to.Version)
	}
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return nil, err
	}
	spec, err := find(c, model)
	if err != nil {
		return nil, err
	}
	t := traveller{client: client, spec: spec, to: to, fromNothing: fromNothing}
	for attempt := 1; ; attempt++ {
		j, err := t.try(ctx)
		if !errors.Is(err, errMovedOn) {
			return j, err
		}
		if attempt == travelAttempts {
			return nil, fmt.Errorf("%w: read model %s: its learners were faster %d times", ErrBusy, model, attempt)
		}
		if err := sleep(ctx, attempt); err != nil {
			return nil, fmt.Errorf("registry: read model %s: %w", model, err)
		}
	}
}

// errMovedOn is something that was there, and is not any more.
var errMovedOn = errors.New("registry: moved on")

// traveller is a journey that is to be found.
type traveller struct {
	client      redis.UniversalClient
	spec        online.Spec
	to          Destination
	fromNothing bool
}

func (t traveller) try(ctx context.Context) (*Journey, error) {
	entry := ""
	if t.to.Label != "" {
		var err error
		if entry, err = findLabel(ctx, t.client, t.spec.Name, t.to.Label); err != nil {
			return nil, err
		}
	}
	past, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	to, err := past.destination(t.to, entry)
	if err != nil {
		return nil, err
	}
	j := &Journey{spec: t.spec, to: to.Commit}
	places, base, err := past.way(to, t.fromNothing)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 && base.Version == 0 {
		return nil, fmt.Errorf("%w: version %d of model %s has learned nothing: that is where it was restarted", ErrNotFound, to.Version, t.spec.Name)
	}
	if err := t.learned(ctx, j, places); err != nil {
		return nil, err
	}
	if t.to.Label != "" {
		j.endAt(t.to.Label)
	}
	if err := t.states(ctx, j, places, base, past); err != nil {
		return nil, err
	}
	return j, j.adds(places)
}

// look reads, at one moment, what there is of a model but for its snapshots'
// states and its labels. These are found later by what was read here.
func (t traveller) look(ctx context.Context) (*past, error) {
	name := t.spec.Name
	var headCmd *redis.SliceCmd
	var lineage *redis.XMessageSliceCmd
	var index *redis.MapStringStringCmd
	_, failed := t.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error { // each says what became of it
		headCmd = readHead(ctx, pipe, name, true)
		lineage = pipe.XRevRange(ctx, lineageKey(name), "+", "-")
		index = pipe.HGetAll(ctx, snapshotsKey(name))
		return nil
	})
	if err := cmp.Or(readError(lineageKey(name), lineage.Err()), readError(snapshotsKey(name), index.Err())); err != nil {
		return nil, err
	}
	h, err := headOf(name, headCmd)
	if errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	if failed != nil && !isWrongType(failed) {
		return nil, unavailable("read model "+name, failed)
	}
	// A head that is broken is one more reason to rebuild its model.
	p := &past{spec: t.spec, head: h, broken: err, named: map[string]int{}, snapshots: map[string]Snapshot{}}
	for _, entry := range lineage.Val() {
		c, err := parseCommit(entry)
		if err != nil {
			return nil, entryError(lineageKey(name), entry, err)
		}
		p.add(entered{c, entry.ID})
	}
	for version, entry := range index.Val() {
		s, err := parseSnapshot(version, entry)
		if err != nil {
			return nil, fmt.Errorf("registry: the key %s in Redis: %w", snapshotsKey(name), err)
		}
		p.snapshots[s.Commit] = s
	}
	return p, nil
}

// learned makes the steps of a journey of the labels of its places.
func (t traveller) learned(ctx context.Context, j *Journey, places []place) error {
	entries := make([]string, len(places))
	for i, p := range places {
		entries[i] = p.entry
	}
	learned, err := readLabels(ctx, t.client, t.spec.Name, entries)
	if err != nil {
		return err
	}
	for _, p := range places {
		labels, ok := learned[p.entry]
		if !ok {
			return t.notKept(ctx, p)
		}
		if len(labels) != p.Labels || labels[0] != p.First || labels[len(labels)-1] != p.Last {
			return fmt.Errorf("registry: entry %s of the key %s in Redis has %d labels from %.100q to %.100q, version %d has learned %d from %.100q to %.100q",
				p.entry, labelsKey(t.spec.Name), len(labels), labels[0], labels[len(labels)-1], p.Version, p.Labels, p.First, p.Last)
		}
		j.steps = append(j.steps, step{version: p.Version, labels: labels})
	}
	return nil
}

// notKept is a commit whose labels are not known.
func (t traveller) notKept(ctx context.Context, p place) error {
	key := labelsKey(t.spec.Name)
	first, err := t.client.XRangeN(ctx, key, "-", "+", 1).Result()
	if err != nil {
		return readError(key, err)
	}
	way := "a later snapshot is the way out, once learners have taken one"
	if t.fromNothing {
		way = "beginning at the nearest snapshot may be the way out"
	}
	return fmt.Errorf("%w: the labels of version %d of model %s are not known: their order is %s, others were trimmed, or learned by an earlier program, which kept none: %s",
		ErrNotFound, p.Version, t.spec.Name, keptFrom(first), way)
}

// endAt leaves out what was learned after a label of the last step.
func (j *Journey) endAt(label string) {
	last := &j.steps[len(j.steps)-1]
	if at := slices.Index(last.labels, label); at >= 0 && at+1 < len(last.labels) {
		last.labels, j.partial = last.labels[:at+1], true
	}
}

// states reads what is kept of the states on a way. The base is needed; others
// may have been dropped meanwhile.
func (t traveller) states(ctx context.Context, j *Journey, places []place, base Snapshot, past *past) error {
	var wanted []Snapshot
	at := map[string]int{} // the step that led to the commit's state
	for i, p := range places {
		if i == len(places)-1 && j.partial {
			break
		}
		for _, name := range p.names {
			at[name] = i
			if s, ok := past.snapshots[name]; ok {
				wanted = append(wanted, s)
			}
		}
	}
	if base.Version != 0 {
		wanted = append(wanted, base)
	}
	kept, err := t.snapshots(ctx, wanted)
	if err != nil {
		return err
	}
	for _, s := range wanted {
		state, ok := kept[s.Commit]
		switch {
		case s == base && !ok:
			return errMovedOn
		case s == base:
			j.base, j.state = s, state
		case ok:
			to := &j.steps[at[s.Commit]]
			to.stored = append(to.stored, stored{s.Version, state})
		}
	}
	// The head itself may be a snapshot as well.
	if i, ok := at[past.head.commit]; ok && kept[past.head.commit] != past.head.state {
		j.steps[i].stored = append(j.steps[i].stored, stored{past.head.version, past.head.state})
	}
	for i := range j.steps {
		slices.SortStableFunc(j.steps[i].stored, func(a, b stored) int { return cmp.Compare(a.version, b.version) })
	}
	return nil
}

// snapshots returns, by the commit, the states of snapshots that are still there.
func (t traveller) snapshots(ctx context.Context, wanted []Snapshot) (map[string]string, error) {
	kept := map[string]string{}
	if len(wanted) == 0 {
		return kept, nil
	}
	name := t.spec.Name
	var index *redis.MapStringStringCmd
	states := make([]*redis.StringCmd, len(wanted))
	_, failed := t.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error { // each says what became of it
		index = pipe.HGetAll(ctx, snapshotsKey(name))
		for i, s := range wanted {
			states[i] = pipe.Get(ctx, snapshotKey(name, strconv.FormatUint(s.Version, 10)))
		}
		return nil
	})
	if err := readError(snapshotsKey(name), index.Err()); err != nil {
		return nil, err
	}
	if failed != nil && !isWrongType(failed) && !errors.Is(failed, redis.Nil) {
		return nil, unavailable("read the snapshots of model "+name, failed)
	}
	for i, s := range wanted {
		version := strconv.FormatUint(s.Version, 10)
		now, err := parseSnapshot(version, index.Val()[version])
		if err != nil || now.Commit != s.Commit { // dropped, and perhaps another in its place
			continue
		}
		if err := states[i].Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, readError(snapshotKey(name, version), err)
		}
		kept[s.Commit] = states[i].Val()
	}
	return kept, nil
}

// adds returns an error where the commits on a way do not add up: then it is not
// the one that was taken.
func (j *Journey) adds(places []place) error {
	count := j.base.Count
	for _, p := range places {
		if count += uint64(p.Labels); count != p.Count {
			return fmt.Errorf("registry: the key %s in Redis does not add up: version %d has %d labels behind it, the commits that led to it %d",
				lineageKey(j.spec.Name), p.Version, p.Count, count)
		}
	}
	return nil
}
