package registry

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Fields of a model's head.
const (
	fieldVersion   = "version"
	fieldCount     = "count"
	fieldSpec      = "spec"
	fieldIDs       = "ids"
	fieldIDsN      = "ids_n"
	fieldCommitted = "committed_ms"
	fieldCommit    = "commit"
	fieldSnapshot  = "snapshot_ms"
	fieldLast      = "last"
	fieldWarming   = "warming"
	fieldState     = "state"
)

// lastMillisecond is that of the year 9999: JSON knows no later time.
const lastMillisecond = 253402300799999

// head is what Redis knows of a model, but for the ids.
type head struct {
	version   uint64
	count     uint64 // labels learned
	spec      string // hash of the specification
	ids       string // the set that takes new ids, a or b
	idsN      uint64 // how many it holds
	committed time.Time
	commit    string    // a random name of the commit that wrote this, "" before the first
	snapshot  time.Time // when the newest snapshot was taken, zero before the first
	last      string    // id of the last label behind the state
	warming   *warming  // nil where live labels teach the model
	state     string
}

// readHead queues the read of a head; parse the reply with parseHead. The
// state is large and comes only where it is asked for.
func readHead(ctx context.Context, pipe redis.Pipeliner, model string, withState bool) *redis.SliceCmd {
	fields := []string{fieldVersion, fieldCount, fieldSpec, fieldIDs, fieldIDsN, fieldCommitted, fieldCommit, fieldSnapshot, fieldLast, fieldWarming}
	if withState {
		fields = append(fields, fieldState)
	}
	return pipe.HMGet(ctx, headKey(model), fields...)
}

// parseHead reads the reply to readHead. No head at all is that of a model
// with nothing learned. What no Committer writes is a *StateError.
func parseHead(model string, values []any) (head, error) {
	text := make([]string, 11)
	present := 0
	for i, v := range values {
		if s, ok := v.(string); ok {
			text[i] = s
			present++
		}
	}
	if present == 0 {
		return head{ids: "a"}, nil
	}
	h := head{spec: text[2], ids: text[3], commit: text[6], last: text[8], state: text[10]}
	broken := func(field, value string) error {
		return &StateError{Model: model, Reason: fmt.Sprintf("its head in Redis has the %s %.64q", field, value)}
	}
	if text[7] == "" { // a head from before there were snapshots
		text[7] = "0"
	}
	var committed, snapshot uint64
	for _, f := range []struct {
		name string
		at   int
		to   *uint64
		most uint64
	}{
		{fieldVersion, 0, &h.version, math.MaxInt64},
		{fieldCount, 1, &h.count, math.MaxInt64},
		{fieldIDsN, 4, &h.idsN, math.MaxInt64},
		{fieldCommitted, 5, &committed, lastMillisecond},
		{fieldSnapshot, 7, &snapshot, lastMillisecond},
	} {
		var err error
		if *f.to, err = strconv.ParseUint(text[f.at], 10, 64); err != nil || *f.to > f.most {
			return head{}, broken(f.name, text[f.at])
		}
	}
	if h.version == 0 || h.version == math.MaxInt64 {
		return head{}, broken(fieldVersion, text[0])
	}
	if h.commit == "" {
		return head{}, broken(fieldCommit, h.commit)
	}
	if h.ids != "a" && h.ids != "b" {
		return head{}, broken(fieldIDs, h.ids)
	}
	h.committed = time.UnixMilli(int64(committed)).UTC()
	if snapshot != 0 {
		h.snapshot = time.UnixMilli(int64(snapshot)).UTC()
	}
	if text[9] != "" { // a head from before there was warming up, or of a model that is live
		var err error
		if h.warming, err = parseWarming(text[9]); err != nil {
			return head{}, &StateError{Model: model, Reason: fmt.Sprintf("its head in Redis has the %s %.64q: %v", fieldWarming, text[9], err)}
		}
	}
	return h, nil
}

// next is the head after a commit of labels at a time, of which window ids fit
// into a set. It reports whether the sets of ids take turns.
func (h head) next(spec string, n int, last string, window int, now time.Time) (after head, rotated bool) {
	after = head{
		version: h.version + 1, count: h.count + uint64(n), spec: spec,
		ids: h.ids, idsN: h.idsN + uint64(n), committed: now,
		commit: randomName(), snapshot: h.snapshot, last: last, warming: h.warming,
	}
	if h.idsN >= uint64(window) {
		after.ids, after.idsN = otherIDs(h.ids), uint64(n)
		return after, true
	}
	return after, false
}

// date is a time as it is written to Redis.
func date(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// randomName is one for a commit.
func randomName() string { return strconv.FormatUint(rand.Uint64(), 36) }

func otherIDs(set string) string {
	if set == "a" {
		return "b"
	}
	return "a"
}

// snapshotDue reports whether the newest snapshot is old, or of a time that is
// still to come as the clock was put back. Heads are dated in milliseconds.
func (h head) snapshotDue(now time.Time, every time.Duration) bool {
	age := now.Sub(h.snapshot).Abs()
	return h.snapshot.IsZero() || age.Milliseconds() >= every.Milliseconds()
}

// snapshotted is a head as a snapshot.
func (h head) snapshotted() Snapshot {
	return Snapshot{Version: h.version, Count: h.count, Commit: h.commit, Spec: h.spec, At: h.committed, Last: h.last}
}

// write queues a head, inside of a transaction.
func (h head) write(ctx context.Context, pipe redis.Pipeliner, model string, state []byte) {
	fields := []any{
		fieldVersion, h.version, fieldCount, h.count, fieldSpec, h.spec,
		fieldIDs, h.ids, fieldIDsN, h.idsN, fieldCommitted, h.committed.UnixMilli(),
		fieldCommit, h.commit, fieldLast, h.last,
		fieldState, state,
	}
	if !h.snapshot.IsZero() {
		fields = append(fields, fieldSnapshot, h.snapshot.UnixMilli())
	}
	if h.warming != nil {
		fields = append(fields, fieldWarming, h.warming.encode())
	}
	pipe.HSet(ctx, headKey(model), fields...)
}

// writeIDs queues the ids behind a head, inside of its transaction.
func (h head) writeIDs(ctx context.Context, pipe redis.Pipeliner, model string, ids []any, rotated bool) {
	if rotated {
		pipe.Unlink(ctx, idsKey(model, h.ids))
	}
	pipe.SAdd(ctx, idsKey(model, h.ids), ids...)
}
