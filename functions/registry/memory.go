package registry

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// What the key of the succession holds, times in microseconds.
const (
	fieldJudged   = "judged_us" // when the newest candidates were compared
	fieldSince    = "since_us"
	fieldReigning = "champion" // whom that is of
	fieldEntry    = "entry"    // the newest of the audit trail when that was written
	fieldBetter   = "better"   // the candidate that was better than the champion, at last
	fieldStreak   = "streak"   // how often in a row
)

// memory is what was written with the last verdict. Whoever promotes by hand
// forgets it.
type memory struct {
	judged, since time.Time // zero before the first
	champion      string
	entry         string
	better        string
	streak        int
}

func readMemory(ctx context.Context, tx *redis.Tx) (memory, error) {
	values, err := tx.HMGet(ctx, successionKey, fieldJudged, fieldSince, fieldReigning, fieldEntry, fieldBetter, fieldStreak).Result()
	if err != nil {
		return memory{}, readError(successionKey, err)
	}
	var text [6]string
	for i, v := range values {
		text[i], _ = v.(string)
	}
	m := memory{champion: text[2], entry: text[3], better: text[4]}
	// What nobody here writes is as if nothing was written.
	for i, to := range []*time.Time{&m.judged, &m.since} {
		if us, err := strconv.ParseInt(text[i], 10, 64); err == nil && us > 0 && us < lastMillisecond*1000 {
			*to = time.UnixMicro(us).UTC()
		}
	}
	if n, err := strconv.Atoi(text[5]); err == nil && n > 0 {
		m.streak = n
	}
	return m, nil
}

// knows reports whether this is of the reign of a champion that an action has made.
func (m memory) knows(newest dated, champion string) bool {
	// What Succeed has done itself is newer than what it has written with it.
	same := newest.id == m.entry || newest.By == ByProposal
	return same && m.champion == champion && !m.since.IsZero()
}

// write replaces what is remembered, and the champion with it if the verdict says so.
func (m memory) write(ctx context.Context, tx *redis.Tx, from string, s Succession) error {
	by := Actor{Name: ByProposal, Reason: s.Reason}
	if err := by.checkText(); err != nil {
		return err
	}
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, successionKey,
			fieldJudged, m.judged.UnixMicro(), fieldSince, m.since.UnixMicro(), fieldReigning, m.champion,
			fieldEntry, m.entry, fieldBetter, m.better, fieldStreak, m.streak)
		if !s.Promote {
			return nil
		}
		pipe.Set(ctx, championKey, s.Candidate, 0)
		_, err := Action{Kind: KindPromote, Model: s.Candidate, From: from, To: s.Candidate, By: by.Name, Reason: by.Reason}.queue(ctx, pipe, championAuditKey)
		return err
	})
	return err
}

// dated is an action with the id of its entry.
type dated struct {
	Action
	id string
}

// byHand reports whether a person has made the champion. A catalogue's first
// champion is nobody's choice over another.
func (d dated) byHand() bool {
	return d.Kind == KindPromote && d.By != ByProposal || d.Kind == KindApply && d.From != ""
}

// newestAction is who made the champion that, as far as it is known.
func newestAction(ctx context.Context, tx *redis.Tx) (dated, error) {
	if err := notAStream(championAuditKey, tx.Type(ctx, championAuditKey)); err != nil {
		return dated{}, err
	}
	entries, err := tx.XRevRangeN(ctx, championAuditKey, "+", "-", 1).Result()
	if err != nil || len(entries) == 0 {
		return dated{}, err
	}
	action, err := parseAction(entries[0])
	if err != nil {
		return dated{id: entries[0].ID}, nil // an entry of somebody else's
	}
	return dated{action, entries[0].ID}, nil
}

// watch runs a transaction on the keys of the champion. Its error is a
// redis.TxFailedErr where one of them has changed meanwhile.
func watch(ctx context.Context, client redis.UniversalClient, doing string, fn func(*redis.Tx) error) error {
	err := client.Watch(ctx, fn, championKey, championAuditKey, successionKey)
	var typed *typeError
	if err == nil || errors.Is(err, redis.TxFailedErr) || errors.Is(err, ErrActor) || errors.Is(err, ErrConflict) ||
		errors.Is(err, ErrUnavailable) || errors.As(err, &typed) || isWrongType(err) {
		return err
	}
	return unavailable(doing, err)
}
