package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// ByProposal is who the audit trail names for a champion that Succeed has made.
const ByProposal = "best model"

// Candidate is a model that is proposed as the champion.
type Candidate struct {
	Model string
	// At is when it was judged, by the clock of the events. All that Succeed
	// remembers is by this clock: a replay is judged as what it repeats.
	At time.Time
}

// Reign is what is known of the champion when a candidate comes.
type Reign struct {
	Champion  string
	Promotion online.Promotion // the catalogue's
	// Since is when the first candidate came that found this champion, which may
	// be this one.
	Since  time.Time
	ByHand bool // somebody has promoted it
	// Unfit is why the candidate cannot be served: an ErrNotFound, an ErrWarming or a
	// *StateError.
	Unfit error
	Count uint64 // labels the candidate has learned, 0 where it is unfit
}

// Verdict is what becomes of a candidate.
type Verdict struct {
	Promote bool
	Reason  string // of one line, at most 500 characters
}

// Succession is how a candidate fared.
type Succession struct {
	Verdict
	Champion string // now
	// Stale says that this candidate, or a later one, has been judged before: the
	// verdict is that nothing is to be done.
	Stale bool
}

// Succeed asks judge whether a candidate is to be the champion, and makes it that,
// by ByProposal. The verdict and that it was given are written in one transaction:
// a candidate is judged once, however often it comes, and none that is older than
// one that was judged. judge may be called again where somebody else was faster,
// and says the same of the same.
//
// It returns an ErrNoModels before there is a catalogue, an ErrUnavailable or an
// ErrBusy, after which it is to be tried again, and an ErrActor where the reason is
// no line of the audit trail.
func Succeed(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, candidate Candidate, judge func(Reign) Verdict) (Succession, error) {
	c, _, err := readCatalogue(ctx, client, kinds)
	if err != nil {
		return Succession{}, err
	}
	reign := Reign{Promotion: c.Promotion}
	reign.Count, reign.Unfit = servable(ctx, client, c, candidate.Model)
	if errors.Is(reign.Unfit, ErrUnavailable) {
		return Succession{}, reign.Unfit
	}
	for attempt := 0; ; attempt++ {
		s, err := trySucceed(ctx, client, c, candidate, reign, judge)
		var typed *typeError
		switch {
		case errors.Is(err, redis.TxFailedErr): // somebody else did: look again
			if err := sleep(ctx, attempt); err != nil {
				return Succession{}, fmt.Errorf("%w: judge %s: others were faster each time: %w", ErrBusy, candidate.Model, err)
			}
			continue
		case err == nil:
			return s, nil
		case errors.Is(err, ErrActor) || errors.As(err, &typed):
			return Succession{}, err
		case isWrongType(err):
			return Succession{}, readError(successionKey, err)
		}
		return Succession{}, unavailable("judge "+candidate.Model, err)
	}
}

// servable returns how many labels a model has learned, or why it cannot be served.
func servable(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, model string) (uint64, error) {
	if err := served(ctx, client, c, model); err != nil {
		return 0, err
	}
	var cmd *redis.SliceCmd
	if err := pipelined(ctx, client, func(pipe redis.Pipeliner) { cmd = readHead(ctx, pipe, model, false) }); err != nil {
		return 0, unavailable("read model "+model, err)
	}
	h, err := headOf(model, cmd)
	return h.count, err
}

// What the key of the succession holds, times in microseconds.
const (
	fieldJudged = "judged_us" // the newest candidate's
	fieldSince  = "since_us"
	fieldEntry  = "entry" // the newest of the audit trail when that was written
)

// memory is what was written with the last verdict.
type memory struct {
	judged, since time.Time // zero before the first
	entry         string
}

func trySucceed(ctx context.Context, client redis.UniversalClient, c *online.Catalogue, candidate Candidate, reign Reign, judge func(Reign) Verdict) (Succession, error) {
	var s Succession
	err := client.Watch(ctx, func(tx *redis.Tx) error {
		m, err := readMemory(ctx, tx)
		if err != nil {
			return err
		}
		if reign.Champion, err = tx.Get(ctx, championKey).Result(); errors.Is(err, redis.Nil) {
			reign.Champion, err = c.Champion, nil
		}
		if err != nil {
			return err
		}
		s = Succession{Champion: reign.Champion}
		if !candidate.At.After(m.judged) {
			s.Stale, s.Reason = true, fmt.Sprintf("one of %s was judged before", m.judged.Format(time.RFC3339))
			return nil
		}
		entry, err := newestAction(ctx, tx)
		if err != nil {
			return err
		}
		reign.ByHand = entry.Kind == KindPromote && entry.By != ByProposal
		reign.Since = candidate.At
		// What this has done itself is newer than what it has written with it.
		if known := entry.id == m.entry || entry.By == ByProposal; known && !m.since.IsZero() {
			reign.Since = m.since
		}
		s.Verdict = judge(reign)
		if s.Promote = s.Promote && candidate.Model != reign.Champion; s.Promote {
			reign.Since, s.Champion = candidate.At, candidate.Model
		}
		return writeVerdict(ctx, tx, memory{candidate.At, reign.Since, entry.id}, reign.Champion, candidate.Model, s.Verdict)
	}, championKey, successionKey)
	return s, err
}

func readMemory(ctx context.Context, tx *redis.Tx) (memory, error) {
	values, err := tx.HMGet(ctx, successionKey, fieldJudged, fieldSince, fieldEntry).Result()
	if err != nil {
		return memory{}, err
	}
	var m memory
	for i, to := range []*time.Time{&m.judged, &m.since} {
		text, _ := values[i].(string)
		// What nobody here writes is as if nothing was written.
		if us, err := strconv.ParseInt(text, 10, 64); err == nil && us > 0 && us < lastMillisecond*1000 {
			*to = time.UnixMicro(us).UTC()
		}
	}
	m.entry, _ = values[2].(string)
	return m, nil
}

// dated is an action with the id of its entry.
type dated struct {
	Action
	id string
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

func writeVerdict(ctx context.Context, tx *redis.Tx, m memory, from, model string, v Verdict) error {
	by := Actor{Name: ByProposal, Reason: v.Reason}
	if err := by.check(); err != nil {
		return err
	}
	_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, successionKey, fieldJudged, m.judged.UnixMicro(), fieldSince, m.since.UnixMicro(), fieldEntry, m.entry)
		if !v.Promote {
			return nil
		}
		pipe.Set(ctx, championKey, model, 0)
		_, err := Action{Kind: KindPromote, Model: model, From: from, To: model, By: by.Name, Reason: by.Reason}.queue(ctx, pipe, championAuditKey)
		return err
	})
	return err
}
