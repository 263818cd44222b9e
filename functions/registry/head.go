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
	fieldState     = "state"
)

// head is what Redis knows of a model, but for the ids.
type head struct {
	version   uint64
	count     uint64 // labels learned
	spec      string // hash of the specification
	ids       string // the set that takes new ids, a or b
	idsN      uint64 // how many it holds
	committed time.Time
	commit    string // a random name of the commit that wrote this, "" before the first
	state     string
}

// readHead queues the read of a head; parse the reply with parseHead. The
// state is large and comes only where it is asked for.
func readHead(ctx context.Context, pipe redis.Pipeliner, model string, withState bool) *redis.SliceCmd {
	fields := []string{fieldVersion, fieldCount, fieldSpec, fieldIDs, fieldIDsN, fieldCommitted, fieldCommit}
	if withState {
		fields = append(fields, fieldState)
	}
	return pipe.HMGet(ctx, headKey(model), fields...)
}

// parseHead reads the reply to readHead. No head at all is that of a model
// with nothing learned. What no Committer writes is a *StateError.
func parseHead(model string, values []any) (head, error) {
	text := make([]string, 8)
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
	h := head{spec: text[2], ids: text[3], commit: text[6], state: text[7]}
	broken := func(field, value string) error {
		return &StateError{Model: model, Reason: fmt.Sprintf("its head in Redis has the %s %.64q", field, value)}
	}
	var committed uint64
	for i, to := range map[int]*uint64{0: &h.version, 1: &h.count, 4: &h.idsN, 5: &committed} {
		var err error
		if *to, err = strconv.ParseUint(text[i], 10, 63); err != nil {
			return head{}, broken([]string{fieldVersion, fieldCount, "", "", fieldIDsN, fieldCommitted}[i], text[i])
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
	return h, nil
}

// next is the head after a commit of n labels at a time, of which window ids
// fit into a set. It reports whether the sets of ids take turns.
func (h head) next(spec string, n int, window int, now time.Time) (after head, rotated bool) {
	after = head{
		version: h.version + 1, count: h.count + uint64(n), spec: spec,
		ids: h.ids, idsN: h.idsN + uint64(n), committed: now,
		commit: strconv.FormatUint(rand.Uint64(), 36),
	}
	if h.idsN >= uint64(window) {
		after.ids, after.idsN = otherIDs(h.ids), uint64(n)
		return after, true
	}
	return after, false
}

func otherIDs(set string) string {
	if set == "a" {
		return "b"
	}
	return "a"
}

// write queues a head and the ids behind it, inside of a transaction.
func (h head) write(ctx context.Context, pipe redis.Pipeliner, model string, state []byte, ids []any, rotated bool) {
	if rotated {
		pipe.Unlink(ctx, idsKey(model, h.ids))
	}
	pipe.SAdd(ctx, idsKey(model, h.ids), ids...)
	pipe.HSet(
		ctx, headKey(model),
		fieldVersion, h.version, fieldCount, h.count, fieldSpec, h.spec,
		fieldIDs, h.ids, fieldIDsN, h.idsN, fieldCommitted, h.committed.UnixMilli(),
		fieldCommit, h.commit,
		fieldState, state,
	)
}
