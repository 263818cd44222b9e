package live

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tripcast.dev/functions/registry"
)

// lineage is when each version of one model was committed. It does not change.
type lineage struct {
	model   string
	commits []committed // by version
	commit  string      // the name of the newest
	asOf    int64       // every commit before this is in, ms
}

type committed struct {
	version uint64
	at      int64 // by Redis's clock, ms
}

// newest is the version of the newest commit.
func (l lineage) newest() uint64 {
	if len(l.commits) == 0 {
		return 0
	}
	return l.commits[len(l.commits)-1].version
}

// staleness is for how long, in milliseconds, a newer version had been there when
// a prediction was made. It is not known of one that was seen since the lineage
// was read, nor of one that is older than all of it.
func (l lineage) staleness(s sample) (ms int64, ok bool) {
	if s.at >= l.asOf {
		return 0, false
	}
	next := s.version + 1
	if next > l.newest() {
		return 0, true
	}
	i, found := slices.BinarySearchFunc(l.commits, next, func(c committed, v uint64) int { return cmp.Compare(c.version, v) })
	if !found {
		return 0, false
	}
	return max(0, s.predictedAt-l.commits[i].at), true
}

// readLineage returns the lineage of a model whose newest version is head: what
// has come since, or all anew where that does not go on from what there was.
func (f *Feed) readLineage(ctx context.Context, before lineage, model string, head uint64, asOf time.Time) (lineage, error) {
	after := lineage{model: model, asOf: asOf.UnixMilli()}
	if before.model == model && head >= before.newest() && before.commit != "" {
		commits, err := registry.LineageSince(ctx, f.config.Redis, model, before.newest(), keptCommits)
		if err != nil {
			return lineage{}, err
		}
		if after.commits, after.commit = before.commits, before.commit; after.extend(commits) {
			return after, nil
		}
	}
	commits, err := registry.Lineage(ctx, f.config.Redis, model, keptCommits)
	if err != nil {
		return lineage{}, err
	}
	after.replace(commits)
	return after, nil
}

// extend adds commits, the oldest first, unless one is missing before them or
// between them.
func (l *lineage) extend(commits []registry.Commit) bool {
	for _, c := range commits {
		if c.Parent != l.commit || c.Version != l.newest()+1 {
			return false
		}
		l.commits, l.commit = append(l.commits, committed{c.Version, c.At.UnixMilli()}), c.Name
	}
	// A copy now and then, so that what is forgotten can be freed.
	if len(l.commits) > 2*keptCommits {
		l.commits = slices.Clone(l.commits[len(l.commits)-keptCommits:])
	}
	return true
}

// replace takes commits, the newest first. Where versions count again, because
// Redis lost its last writes, those that were lost are left out.
func (l *lineage) replace(commits []registry.Commit) {
	l.commits, l.commit = nil, ""
	for _, c := range commits {
		if n := len(l.commits); n > 0 && c.Version >= l.commits[n-1].version {
			continue
		}
		if l.commit == "" {
			l.commit = c.Name
		}
		l.commits = append(l.commits, committed{c.Version, c.At.UnixMilli()})
	}
	slices.Reverse(l.commits)
}
