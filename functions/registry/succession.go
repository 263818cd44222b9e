package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// ByProposal is who the audit trail names for a champion that Succeed has made.
// Nobody else may be called that.
const ByProposal = "best model"

// Candidates are the models that are proposed as the champion by one judgment of
// them all.
type Candidates struct {
	// Models are in order, the best first, one at least. The first of them that can
	// be served and has learned enough is the one that is judged.
	Models []string
	// MinLabels is how many labels a model has to have learned, unless it is the
	// champion.
	MinLabels uint64
	// At is when they were compared, by the clock of the events. All that Succeed
	// remembers is by this clock.
	At time.Time
}

// Reign is what is known of the champion, and of the candidate, when one is judged.
type Reign struct {
	// Champion is the one that is served: the catalogue's, unless a model of the
	// catalogue has been made it since.
	Champion string
	// ChampionUnfit is why the champion cannot be served: an ErrWarming or a
	// *StateError mostly.
	ChampionUnfit error
	Promotion     online.Promotion // the catalogue's
	// Since is when the first candidates came that found this champion, which may
	// be these.
	Since time.Time
	// ByHand says that somebody has promoted it, or applied a file that names it in
	// place of another one.
	ByHand bool

	// Candidate is the model that is judged: the first of all if none of them can be.
	Candidate string
	// Unfit is why the candidate cannot be served: an ErrNotFound, an ErrWarming or a
	// *StateError mostly.
	Unfit error
	Count uint64 // labels the candidate has learned, 0 where it is unfit
	// Streak is how many verdicts in a row, up to the last one, were that this
	// candidate is better than this champion.
	Streak int
}

// Verdict is what becomes of a candidate.
type Verdict struct {
	Promote bool
	Better  bool   // than the champion, which counts into the Streak of the next
	Reason  string // of one line, at most 500 characters
}

// Succession is how the candidates fared.
type Succession struct {
	Verdict
	Candidate string // that was judged
	Champion  string // now
	// Stale says that these candidates, or later ones, have been judged before: the
	// verdict is that nothing is to be done.
	Stale bool
	// Newest is when the newest candidates were compared that have been judged:
	// these, unless they are stale.
	Newest time.Time
}

// Succeed asks judge whether the first candidate that is fit is to be the champion,
// and makes it that, by ByProposal. The verdict and that it was given are written in
// one transaction: candidates are judged once, however often they come, and none that
// are older than some that were judged, until somebody has promoted a model. judge
// may be called again where somebody else was faster, and says the same of the same.
// A candidate that is unfit is not promoted, whatever judge says.
//
// It returns an ErrNoModels before there is a catalogue, an ErrUnavailable or an
// ErrBusy, after which it is to be tried again, and an ErrActor where the reason is
// no line of the audit trail.
func Succeed(ctx context.Context, client redis.UniversalClient, kinds online.Kinds, candidates Candidates, judge func(Reign) Verdict) (Succession, error) {
	t := trial{client, kinds, candidates, judge}
	for attempt := 0; ; attempt++ {
		s, err := t.hold(ctx)
		if !errors.Is(err, redis.TxFailedErr) {
			return s, err
		}
		if err := sleep(ctx, attempt); err != nil { // somebody else did something: look again
			return Succession{}, fmt.Errorf("%w: judge %.200q: others were faster each time: %w", ErrBusy, candidates.Models, err)
		}
	}
}

// trial is candidates that are to be judged.
type trial struct {
	client     redis.UniversalClient
	kinds      online.Kinds
	candidates Candidates
	judge      func(Reign) Verdict
}

// hold judges by what there is now. Where that has changed meanwhile it is a
// redis.TxFailedErr, and nothing is written.
func (t trial) hold(ctx context.Context) (Succession, error) {
	c, _, err := readCatalogue(ctx, t.client, t.kinds)
	if err != nil {
		return Succession{}, err
	}
	named, err := namedChampion(ctx, t.client)
	if err != nil {
		return Succession{}, err
	}
	reign, err := t.look(ctx, c, leader(c, named))
	if err != nil {
		return Succession{}, err
	}
	var s Succession
	if err := watch(ctx, t.client, "judge candidates", func(tx *redis.Tx) (err error) {
		s, err = t.decide(ctx, tx, named, reign)
		return err
	}); err != nil {
		return Succession{}, err
	}
	if !s.Promote {
		return s, nil
	}
	// A catalogue is in another slot than its champion: one that was applied
	// meanwhile may be without this model, which then counts as none.
	if c, _, err = readCatalogue(ctx, t.client, t.kinds); err != nil {
		return Succession{}, err
	}
	if s.Champion = leader(c, s.Candidate); s.Champion != s.Candidate {
		s.Promote, s.Reason = false, "a catalogue without it was applied meanwhile"
	}
	return s, nil
}

// look says which candidate is to be judged, and who can be served.
func (t trial) look(ctx context.Context, c *online.Catalogue, champion string) (Reign, error) {
	r := Reign{Champion: champion, Promotion: c.Promotion}
	if _, r.ChampionUnfit = served(ctx, t.client, c, champion); errors.Is(r.ChampionUnfit, ErrUnavailable) {
		return Reign{}, r.ChampionUnfit
	}
	r.Unfit = fmt.Errorf("%w: nobody is a candidate", ErrNotFound)
	for i, model := range t.candidates.Models {
		h, unfit := served(ctx, t.client, c, model)
		if errors.Is(unfit, ErrUnavailable) {
			return Reign{}, unfit
		}
		fit := unfit == nil && (model == champion || h.count >= t.candidates.MinLabels)
		if i == 0 || fit {
			r.Candidate, r.Count, r.Unfit = model, h.count, unfit
		}
		if fit {
			break
		}
	}
	return r, nil
}

// decide gives the verdict, in a transaction that has found the same champion.
func (t trial) decide(ctx context.Context, tx *redis.Tx, named string, r Reign) (Succession, error) {
	m, err := readMemory(ctx, tx)
	if err != nil {
		return Succession{}, err
	}
	s := Succession{Candidate: r.Candidate, Champion: r.Champion, Newest: m.judged}
	if !t.candidates.At.After(m.judged) {
		s.Stale, s.Reason = true, fmt.Sprintf("one of %s was judged before", m.judged.Format(time.RFC3339))
		return s, nil
	}
	switch now, err := namedChampion(ctx, tx); {
	case err != nil:
		return Succession{}, err
	case now != named:
		return Succession{}, redis.TxFailedErr
	}
	entry, err := newestAction(ctx, tx)
	if err != nil {
		return Succession{}, err
	}
	r.ByHand = entry.byHand() && entry.To == r.Champion
	r.Since = t.candidates.At
	if m.knows(entry, r.Champion) {
		r.Since = m.since
		if m.better == r.Candidate {
			r.Streak = m.streak
		}
	}
	s.Newest, s.Verdict = t.candidates.At, t.judge(r)
	s.Promote = s.Promote && r.Candidate != r.Champion && r.Unfit == nil
	next := memory{judged: t.candidates.At, since: r.Since, champion: r.Champion, entry: entry.id}
	switch {
	case s.Promote:
		s.Champion = r.Candidate
		next.since, next.champion = t.candidates.At, r.Candidate
	case s.Better && r.Candidate != r.Champion:
		next.better, next.streak = r.Candidate, r.Streak+1
	}
	return s, next.write(ctx, tx, r.Champion, s)
}
