package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Snapshot is a version of a model whose state is kept, to roll back to.
type Snapshot struct {
	Version    uint64    `json:"version"`
	Count      uint64    `json:"count"`  // labels behind the state
	Commit     string    `json:"commit"` // the name of the commit
	Spec       string    `json:"spec"`   // hash of the specification
	At         time.Time `json:"at"`     // of the commit, by Redis's clock
	StateBytes int       `json:"state_bytes"`
	Last       string    `json:"last,omitempty"` // id of the last label behind the state
}

// Snapshots returns the snapshots of a model, the newest first.
func Snapshots(ctx context.Context, client redis.UniversalClient, model string) ([]Snapshot, error) {
	index, err := client.HGetAll(ctx, snapshotsKey(model)).Result()
	if err != nil {
		return nil, readError(snapshotsKey(model), err)
	}
	snapshots := make([]Snapshot, 0, len(index))
	for version, entry := range index {
		s, err := parseSnapshot(version, entry)
		if err != nil {
			return nil, fmt.Errorf("registry: the key %s in Redis: %w", snapshotsKey(model), err)
		}
		snapshots = append(snapshots, s)
	}
	slices.SortFunc(snapshots, func(a, b Snapshot) int { return cmp.Compare(b.Version, a.Version) })
	return snapshots, nil
}

// parseSnapshot reads an entry of the index, of the field that is its version.
func parseSnapshot(version, entry string) (Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal([]byte(entry), &s); err != nil {
		return Snapshot{}, fmt.Errorf("the snapshot %.64q cannot be read: %w", version, err)
	}
	if s.Version == 0 || strconv.FormatUint(s.Version, 10) != version || s.Commit == "" || s.StateBytes < 0 {
		return Snapshot{}, fmt.Errorf("the snapshot %.64q is %.200q", version, entry)
	}
	return s, nil
}

// queue keeps a snapshot, inside of the transaction that makes it, and drops others.
func (s Snapshot) queue(ctx context.Context, pipe redis.Pipeliner, model string, state []byte, drop []string) error {
	s.StateBytes = len(state)
	entry, err := json.Marshal(s)
	if err != nil {
		return err
	}
	for _, version := range drop {
		pipe.HDel(ctx, snapshotsKey(model), version)
		pipe.Unlink(ctx, snapshotKey(model, version))
	}
	version := strconv.FormatUint(s.Version, 10)
	pipe.HSet(ctx, snapshotsKey(model), version, entry)
	pipe.Set(ctx, snapshotKey(model, version), state, 0)
	return nil
}

// dropped returns which snapshots make room for the one of a new version: those
// beyond count and older than age, but for the newest of them, to which one can
// always go back. Entries that cannot be read go as well, and those of versions
// that the model has not come to: it will.
func dropped(index map[string]string, version uint64, count int, age time.Duration, now time.Time) []string {
	var drop []string
	var kept []Snapshot
	for field, entry := range index {
		s, err := parseSnapshot(field, entry)
		if err != nil || s.Version > version {
			drop = append(drop, field)
		} else if s.Version < version { // the same is written over
			kept = append(kept, s)
		}
	}
	slices.SortFunc(kept, func(a, b Snapshot) int { return cmp.Compare(b.Version, a.Version) })
	for i, s := range kept {
		if i >= count-1 || i > 0 && now.Sub(s.At) > age {
			drop = append(drop, strconv.FormatUint(s.Version, 10))
		}
	}
	return drop
}

// versions lists the versions of an index, the newest first.
func versions(index map[string]string) string {
	var all []uint64
	for field := range maps.Keys(index) {
		if v, err := strconv.ParseUint(field, 10, 63); err == nil {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return "there is none"
	}
	slices.Sort(all)
	slices.Reverse(all)
	return "there are " + fmt.Sprint(all)
}
