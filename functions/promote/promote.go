// Package promote is the function that makes the model with the least error the
// champion: a proposal in, and out an event that says what became of it.
//
// SQL proposes a model for every hour of trips, with the errors of all. This is where
// it is decided, so that champions do not take turns: the best of those that can be
// served and have learned enough has to be better by a margin, for some hours in a
// row, and to leave the champion time; more time, where people have promoted it. A
// champion that cannot be served is replaced at once. It knows no transport and holds
// no state: Redis remembers when a proposal was decided about, and one that comes
// again, or after a later one, changes nothing.
//
// All times, and the hours in a row, are those of the events, so that it does not
// matter how fast these come. What the models have learned, which of them can be
// served and what people have promoted is as of now: a replay of old proposals is
// decided by today's models.
package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry"
)

// Registry is where the champion is, as registry.Succeed has it.
type Registry interface {
	Succeed(ctx context.Context, c registry.Candidates, judge func(registry.Reign) registry.Verdict) (registry.Succession, error)
}

// Options are what it takes to become the champion. What is zero has its default.
type Options struct {
	Margin    float64       // by what part of the candidate's error the champion's has to be larger (0.05)
	MinLabels uint64        // how many labels the candidate has to have learned (1000)
	Streak    int           // how many judged hours in a row it has to be that much better (3)
	Hold      time.Duration // how long any champion stays, by the clock of the events (2 hours)
	HandHold  time.Duration // how long one stays that somebody has promoted (24 hours)
	Logger    *slog.Logger  // nil is slog.Default
}

func (o Options) withDefaults() Options {
	return Options{
		Margin:    cmp.Or(o.Margin, 0.05),
		MinLabels: cmp.Or(o.MinLabels, 1000),
		Streak:    cmp.Or(o.Streak, 3),
		Hold:      cmp.Or(o.Hold, 2*time.Hour),
		HandHold:  cmp.Or(o.HandHold, 24*time.Hour),
		Logger:    cmp.Or(o.Logger, slog.Default()),
	}
}

// Handler promotes. It may be called concurrently.
type Handler struct {
	registry Registry
	options  Options
}

// New returns a handler that decides by these options.
func New(r Registry, o Options) *Handler { return &Handler{registry: r, options: o.withDefaults()} }

// Handle decides about an event of events.TypeProposal, or of events.TypeKafka with
// the same data, and answers with one of events.TypeDecision. A retraction gives no
// event. A model that is unknown, broken or not good enough is a decision, not an
// error: no retry would mend it.
//
// Errors are *events.InvalidError, or those of Registry, which a retry may mend.
func (h *Handler) Handle(ctx context.Context, e event.Event) (*event.Event, error) {
	if e.Type() != events.TypeProposal && e.Type() != events.TypeKafka {
		return nil, &events.InvalidError{Field: "type", Reason: fmt.Sprintf(
			"%q is not one that promote takes: %s or %s", e.Type(), events.TypeProposal, events.TypeKafka,
		)}
	}
	if events.IsRetraction(e) {
		return nil, nil
	}
	p, err := events.DecodeProposal(e)
	if err != nil {
		return nil, err
	}
	candidates := registry.Candidates{Models: ranked(p), MinLabels: h.options.MinLabels, At: p.At}
	s, err := h.registry.Succeed(ctx, candidates, func(r registry.Reign) registry.Verdict {
		v := h.judge(p, r)
		v.Reason = line(v.Reason)
		return v
	})
	if err != nil {
		return nil, fmt.Errorf("decide about model %s as the champion: %w", p.Model, err)
	}
	h.tell(ctx, p, s)
	decided, err := events.Encode(&events.Decision{Model: s.Candidate, At: p.At, Champion: s.Champion, Promoted: s.Promote, Reason: s.Reason})
	if err != nil {
		return nil, fmt.Errorf("decide about model %s as the champion: %w", p.Model, err)
	}
	return &decided, nil
}

// ranked are the models of a proposal: the proposed one, then the others by their
// error, and by name where that is the same.
func ranked(p events.Proposal) []string {
	return slices.SortedFunc(maps.Keys(p.ErrorsS), func(a, b string) int {
		switch p.Model {
		case a:
			return -1
		case b:
			return 1
		}
		return cmp.Or(cmp.Compare(p.ErrorsS[a], p.ErrorsS[b]), cmp.Compare(a, b))
	})
}

// tell logs what is not as in every hour, in which the champion is proposed.
func (h *Handler) tell(ctx context.Context, p events.Proposal, s registry.Succession) {
	level := slog.LevelInfo
	switch {
	case s.Stale && s.Newest.Sub(p.At) > behind:
		h.options.Logger.WarnContext(ctx, "a proposal is older by more than a day than one that was judged, and changes nothing: "+
			"if that one was of a clock that was wrong, or the trips begin anew, promote a model by hand (models promote NAME), and it is forgotten",
			"model", p.Model, "at", p.At, "judged", s.Newest)
		return
	case s.Stale, s.Candidate == s.Champion && !s.Promote:
		level = slog.LevelDebug
	}
	h.options.Logger.Log(ctx, level, "a champion was proposed",
		"model", p.Model, "at", p.At, "judged", s.Candidate, "champion", s.Champion, "promoted", s.Promote, "why", s.Reason)
}

// behind is by how much a proposal may be late for reasons of every day.
const behind = 24 * time.Hour

// judge says whether the candidate is to be the champion.
func (h *Handler) judge(p events.Proposal, r registry.Reign) registry.Verdict {
	no := func(format string, args ...any) registry.Verdict {
		return registry.Verdict{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.Candidate == r.Champion:
		return no("it is the champion")
	case r.Promotion != online.PromotionAutomatic:
		return no("the catalogue has promotion: %s", online.PromotionManual)
	case r.Unfit != nil:
		return no("%s", unfit(r.Candidate, r.Unfit))
	case r.Count < h.options.MinLabels:
		return no("it has learned %d labels, fewer than %d", r.Count, h.options.MinLabels)
	case r.ChampionUnfit != nil:
		return registry.Verdict{Promote: true, Reason: fmt.Sprintf(
			"in the hour before %s it erred by %s, and of %s, the champion: %s",
			p.At.UTC().Format(time.RFC3339), seconds(p.ErrorsS[r.Candidate]), r.Champion, unfit(r.Champion, r.ChampionUnfit),
		)}
	}
	return h.compare(p, r)
}

// compare says so of two that can both be served.
func (h *Handler) compare(p events.Proposal, r registry.Reign) registry.Verdict {
	mine := p.ErrorsS[r.Candidate]
	its, judged := p.ErrorsS[r.Champion]
	if judged && its <= mine*(1+h.options.Margin) {
		return registry.Verdict{Reason: fmt.Sprintf(
			"it errs by %s and %s by %s, which is not %g %% more", seconds(mine), r.Champion, seconds(its), 100*h.options.Margin,
		)}
	}
	v := registry.Verdict{Better: true}
	hold, why := h.options.Hold, "a champion stays"
	if r.ByHand {
		hold, why = h.options.HandHold, "one that somebody has promoted stays"
	}
	streak, at := r.Streak+1, p.At.UTC().Format(time.RFC3339)
	switch until := r.Since.Add(hold); {
	case p.At.Before(until):
		v.Reason = fmt.Sprintf("%s for %v: %s does until %s", why, hold, r.Champion, until.UTC().Format(time.RFC3339))
	case streak < h.options.Streak:
		v.Reason = fmt.Sprintf("it has been better for %d of %d hours in a row", streak, h.options.Streak)
	case !judged: // as it was silent on some trip, or worse
		v.Promote, v.Reason = true, fmt.Sprintf(
			"for %d hours in a row it was better: in the one before %s it erred by %s over %d trips, and %s was not judged",
			streak, at, seconds(mine), p.Trips, r.Champion,
		)
	default:
		v.Promote, v.Reason = true, fmt.Sprintf(
			"for %d hours in a row it was better: in the one before %s it erred by %s over %d trips and %s by %s",
			streak, at, seconds(mine), p.Trips, r.Champion, seconds(its),
		)
	}
	return v
}

// seconds is an error, be it absurd, as a few characters.
func seconds(s float64) string {
	if s < 1e7 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.3g s", s)
}

// unfit is why a model cannot be served, as a line that is not too long.
func unfit(model string, err error) string {
	var state *registry.StateError
	switch {
	case errors.Is(err, registry.ErrWarming):
		return "it is being warmed up"
	case errors.Is(err, registry.ErrNotFound):
		return fmt.Sprintf("the catalogue has no model %.100q", model)
	case errors.As(err, &state):
		return fmt.Sprintf("it cannot be served: %.200q", state.Reason)
	}
	return fmt.Sprintf("it cannot be served: %.200q", err)
}

// line is what the audit trail takes of a reason: a longer one would be refused, and
// the proposal would come again for ever.
func line(reason string) string {
	const most = 500
	if all := []rune(reason); len(all) > most {
		return string(all[:most-1]) + "…"
	}
	return reason
}
