// Package promote is the function that makes the model with the least error the
// champion: a proposal in, and out an event that says what became of it.
//
// SQL proposes a model for every hour of trips. This is where it is decided, so
// that champions do not take turns: a model has to be better by a margin, to have
// learned enough, and to leave the champion time; more time, where people have
// promoted it. It knows no transport and holds no state. Redis remembers when a
// proposal was decided about: one that comes again, or after a later one, changes
// nothing. All times are those of the events, so that a replay decides the same.
package promote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry"
)

// Registry is where the champion is, as registry.Succeed has it.
type Registry interface {
	Succeed(ctx context.Context, c registry.Candidate, judge func(registry.Reign) registry.Verdict) (registry.Succession, error)
}

// RegistryFunc is a function as a Registry.
type RegistryFunc func(ctx context.Context, c registry.Candidate, judge func(registry.Reign) registry.Verdict) (registry.Succession, error)

// Succeed calls f.
func (f RegistryFunc) Succeed(ctx context.Context, c registry.Candidate, judge func(registry.Reign) registry.Verdict) (registry.Succession, error) {
	return f(ctx, c, judge)
}

// Options are what it takes to become the champion. What is zero has its default.
type Options struct {
	Margin    float64       // by what part of the candidate's error the champion's has to be larger (0.05)
	MinLabels uint64        // how many labels the candidate has to have learned (1000)
	Hold      time.Duration // how long any champion stays, by the clock of the events (2 hours)
	HandHold  time.Duration // how long one stays that somebody has promoted (24 hours)
	Logger    *slog.Logger  // nil is slog.Default
}

func (o Options) withDefaults() Options {
	if o.Margin == 0 {
		o.Margin = 0.05
	}
	if o.MinLabels == 0 {
		o.MinLabels = 1000
	}
	if o.Hold == 0 {
		o.Hold = 2 * time.Hour
	}
	if o.HandHold == 0 {
		o.HandHold = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
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
	s, err := h.registry.Succeed(ctx, registry.Candidate{Model: p.Model, At: p.At}, func(r registry.Reign) registry.Verdict {
		return h.judge(p, r)
	})
	if err != nil {
		return nil, fmt.Errorf("decide about model %s as the champion: %w", p.Model, err)
	}
	level := slog.LevelDebug // most proposals are the champion, once an hour
	if s.Promote {
		level = slog.LevelInfo
	}
	h.options.Logger.Log(ctx, level, "a champion was proposed", "model", p.Model, "at", p.At, "champion", s.Champion, "promoted", s.Promote, "why", s.Reason)
	decided, err := events.Encode(&events.Decision{Model: p.Model, At: p.At, Champion: s.Champion, Promoted: s.Promote, Reason: s.Reason})
	if err != nil {
		return nil, fmt.Errorf("decide about model %s as the champion: %w", p.Model, err)
	}
	return &decided, nil
}

// judge says whether the proposed model is to be the champion.
func (h *Handler) judge(p events.Proposal, r registry.Reign) registry.Verdict {
	no := func(format string, args ...any) registry.Verdict {
		return registry.Verdict{Reason: fmt.Sprintf(format, args...)}
	}
	mine := p.ErrorsS[p.Model]
	its, judged := p.ErrorsS[r.Champion]
	hold, why := h.options.Hold, "a champion stays"
	if r.ByHand {
		hold, why = h.options.HandHold, "one that somebody has promoted stays"
	}
	switch until := r.Since.Add(hold); {
	case p.Model == r.Champion:
		return no("it is the champion")
	case r.Promotion != online.PromotionAutomatic:
		return no("the catalogue has promotion: %s", online.PromotionManual)
	case r.Unfit != nil:
		return no("%s", unfit(p.Model, r.Unfit))
	case r.Count < h.options.MinLabels:
		return no("it has learned %d labels, fewer than %d", r.Count, h.options.MinLabels)
	case p.At.Before(until):
		return no("%s for %v: %s does until %s", why, hold, r.Champion, until.UTC().Format(time.RFC3339))
	case !judged:
		return registry.Verdict{Promote: true, Reason: fmt.Sprintf(
			"in the hour before %s it erred by %.1f s, and %s was not judged", p.At.UTC().Format(time.RFC3339), mine, r.Champion,
		)}
	case its <= mine*(1+h.options.Margin):
		return no("it errs by %.1f s and %s by %.1f s, which is not %g %% more", mine, r.Champion, its, 100*h.options.Margin)
	}
	return registry.Verdict{Promote: true, Reason: fmt.Sprintf(
		"in the hour before %s it erred by %.1f s over %d trips and %s by %.1f s", p.At.UTC().Format(time.RFC3339), mine, p.Trips, r.Champion, its,
	)}
}

// unfit is why a model cannot be served, as a line that is not too long.
func unfit(model string, err error) string {
	var state *registry.StateError
	switch {
	case errors.As(err, &state):
		return fmt.Sprintf("it cannot be served: %.200q", state.Reason)
	case errors.Is(err, registry.ErrWarming):
		return "it is being warmed up"
	}
	return fmt.Sprintf("the catalogue has no model %.100q", model)
}
