// Package registry keeps models in Redis: what each has learned, which labels
// it has learned, and which models there are.
//
// A Reader gives predict the newest models within a bound. A Committer makes
// learn exactly-once: the state of a model, its version and the ids of the
// labels behind it change in one transaction or not at all, under optimistic
// locking, so that any number of learners may run and be killed at any instant.
// The lineage tells how each version came about, and the audit trail who has
// gone back to one or named another champion. A Journey is the way to a version
// or to a label, and rebuilds the model that went it, bit for bit.
//
// # Keys
//
//	tripcast:catalogue                 hash: etag, json (the models as data, in order), champion (that it named)
//	tripcast:models                    set of the names that have been in the catalogue
//	tripcast:champion                  the name of the model that is served; one that the catalogue does not have is the catalogue's champion
//	tripcast:audit:{tripcast:champion} stream of who made it that, as JSON
//	tripcast:succession:{tripcast:champion}
//	                                   hash: judged_us, since_us, champion, entry, better, streak (what Succeed remembers of the last candidates)
//	tripcast:{MODEL}:head              hash: version, count, spec, state, commit, last, ids, ids_n, committed_ms, snapshot_ms, warming
//	tripcast:{MODEL}:ids:a             set of ids learned; a and b take turns
//	tripcast:{MODEL}:ids:b
//	tripcast:{MODEL}:lineage           stream of commits, as JSON; an id is VERSION-0
//	tripcast:{MODEL}:labels            stream of the ids that commits have learned, in order, as JSON; an id is the lineage's
//	tripcast:{MODEL}:snapshots         hash: VERSION, to what it is, as JSON
//	tripcast:{MODEL}:snapshot:VERSION  its state
//	tripcast:{MODEL}:audit             stream of rollbacks, imports, restarts and warm-ups, as JSON
//
// All keys of a model share its hash tag and so its slot in Redis Cluster: what
// describes a change is written in the transaction that makes it, or not at all.
// While that slot moves from one node to another nothing is committed to the
// model, and its labels wait or come again.
// A version counts commits from 0, a model that has learned nothing and has no
// keys. A commit has a random name besides, because a Redis that has lost its
// last writes in a crash counts the same versions again. A head without last and
// snapshot_ms is of an earlier program, and gets them with its next commit. One
// with warming, which is JSON, is of a model that is being warmed up.
// Redis 6.2 or newer is needed (SMISMEMBER), and it must not evict:
// maxmemory-policy noeviction, its default.
//
// # What can be gone back to
//
// A commit keeps its state as a snapshot when the newest one is SnapshotEvery
// old, by Redis's clock, so that it is one learner of many that does and clocks
// may differ. As many snapshots are kept as SnapshotCount says, and none for
// longer than SnapshotAge but for the newest two. Rollback makes the state of
// one a new version, RollbackRebuilt that of any version that can be rebuilt, and
// Import one that was exported to a file. Each keeps what was there.
//
// # What can be rebuilt
//
// The newest LineageLength commits, about, are known with the labels they have
// learned. Travel follows them back from a version, or from a label, to a
// snapshot or to the first, and Rebuild teaches the labels again, as the caller
// has them: what they say is not in Redis but in their topic. A rollback has
// learned nothing, and goes on from the state it went back to. So does an import,
// which keeps its state as a snapshot: ways lead to it, and none beyond. Earlier programs
// kept no labels: there is no way through their commits, and from the next
// snapshot on there is.
//
// To keep the labels costs a commit of 0.13 ms some microseconds, and Redis 32
// bytes for a label that is committed alone and 17 for one of many, if an id has
// ten characters, which is 50 to 60 bytes more in the set of ids; BenchmarkHistory
// says so. With the defaults and full batches that is 44 MB a model at most.
//
// # Adding and changing a model
//
// A model that comes to the catalogue learns from the next label on. With WarmUp it
// first learns the labels of before from their topic, in the transactions that
// learners use, and joins live traffic exactly where that replay has ended. A model
// whose specification changes, or whose state cannot be read any more, is restarted
// by ApplyWith: it has learned nothing, in a new version, and is to be warmed up.
// From a restart on it is as if the model had been new, also for Travel.
//
// # How late a duplicate may come
//
// Ids are remembered in two sets. When one holds Window ids (a million unless
// configured), the other is emptied and takes over. A label is recognised as a
// duplicate if it was among the last Window labels its model has learned, and
// at times up to twice as many; later it would be learned again.
//
// # States that do not fit
//
// A state that cannot be decoded, or that belongs to another specification, is
// never overwritten by learning. Its model is left out, reported as a
// *StateError, and the others go on. Rollback repairs it, or a restart.
package registry

import (
	"errors"
	"fmt"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/state"
)

var (
	// ErrUnavailable is returned when Redis could not be reached in time. Retry.
	ErrUnavailable = errors.New("registry: Redis is unavailable")
	// ErrBusy is returned when a label could not be committed in time because
	// of other learners or a full queue. Retry.
	ErrBusy = errors.New("registry: busy")
	// ErrNoModels is returned when no model can be served or taught: no
	// catalogue has been applied, or every model is broken.
	ErrNoModels = errors.New("registry: no models")
	// ErrClosed is returned by a Committer that was closed.
	ErrClosed = errors.New("registry: closed")
	// ErrNotFound is returned where there is no such model, or no such version
	// of it to go back to. It says which there are.
	ErrNotFound = errors.New("registry: not found")
	// ErrConflict is returned where somebody was faster, or a model is not in the
	// state to do this to it. It says what is there now.
	ErrConflict = errors.New("registry: conflict")
	// ErrWarming is returned for what cannot be done to a model that is being
	// warmed up. Wait, or abandon that.
	ErrWarming = errors.New("registry: being warmed up")
	// ErrActor is returned for an Actor that the audit trail does not take.
	ErrActor = errors.New("registry: whoever does this")
)

// StateError is a model whose state in Redis is not one of its specification.
// Nothing is written to such a model.
type StateError struct {
	Model  string
	Reason string
	// Newer is set when the state was written in a format newer than this
	// program knows: another program may still learn with it.
	Newer bool
}

func (e *StateError) Error() string { return "registry: model " + e.Model + ": " + e.Reason }

// PanicError is a label on which a model panicked. The model is unharmed, and
// the label is not learned.
type PanicError struct {
	Model string
	Label string // its id
	Value any    // what it panicked with
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("registry: model %s panicked on label %s: %v", e.Model, e.Label, e.Value)
}

const (
	catalogueKey = "tripcast:catalogue"
	championKey  = "tripcast:champion"
	// Its hash tag is the champion's key, so that both are in one slot.
	championAuditKey = "tripcast:audit:{" + championKey + "}"
	// In the same slot, too.
	successionKey = "tripcast:succession:{" + championKey + "}"
	modelsKey     = "tripcast:models"

	catalogueEtag = "etag"
	catalogueJSON = "json"
	// The champion that the last catalogue named, who need not be the one by now.
	catalogueChampion = "champion"
)

func headKey(model string) string { return "tripcast:{" + model + "}:head" }

// idsKey returns the key of the set of ids named a or b.
func idsKey(model, set string) string { return "tripcast:{" + model + "}:ids:" + set }

func lineageKey(model string) string { return "tripcast:{" + model + "}:lineage" }

func labelsKey(model string) string { return "tripcast:{" + model + "}:labels" }

// snapshotsKey returns the key of the index of a model's snapshots.
func snapshotsKey(model string) string { return "tripcast:{" + model + "}:snapshots" }

// snapshotKey returns the key of the state of a version.
func snapshotKey(model, version string) string { return "tripcast:{" + model + "}:snapshot:" + version }

func auditKey(model string) string { return "tripcast:{" + model + "}:audit" }

func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}

// fits returns a *StateError if a head is that of another specification.
func fits(spec online.Spec, h head) error {
	if h.spec != spec.Hash() && h.version != 0 {
		return &StateError{Model: spec.Name, Reason: fmt.Sprintf(
			"its state belongs to specification %.12s, not to %.12s of the catalogue: %s", h.spec, spec.Hash(), waysToChange(spec.Name),
		)}
	}
	return nil
}

// waysToChange says how a model that has learned gets another specification.
func waysToChange(model string) string {
	return "give the changed model a new name, or have this one begin anew: models apply FILE --restart " + model
}

// load builds a spec's pipeline with the state that its head holds.
func load(spec online.Spec, h head) (*online.Pipeline, error) {
	if err := fits(spec, h); err != nil {
		return nil, err
	}
	p, err := spec.New()
	if err != nil {
		return nil, fmt.Errorf("registry: build model %s: %w", spec.Name, err)
	}
	if h.version == 0 {
		return p, nil
	}
	if err := p.UnmarshalBinary([]byte(h.state)); err != nil {
		var format *state.FormatError
		if errors.As(err, &format) && format.Newer {
			return nil, &StateError{Model: spec.Name, Reason: err.Error(), Newer: true}
		}
		return nil, &StateError{Model: spec.Name, Reason: fmt.Sprintf(
			"%v: roll back to a snapshot, or have it begin anew: models apply FILE --restart %s", err, spec.Name,
		)}
	}
	return p, nil
}
