// Package learn is the function that teaches every model what a trip has taken
// once it has ended: a label in, and when every model has committed it, an event
// out that says which version has learned it.
//
// It knows no transport and holds no state. A label is done with only after its
// update is committed; one that comes again is found learned.
package learn

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/registry"
)

// Learner teaches labels to every model, as a registry.Committer does. A result
// is in the place of its label, and without an error the label is committed
// wherever it can be.
type Learner interface {
	LearnAll(ctx context.Context, labels []registry.Label) []registry.Result
}

// Handler learns. It may be called concurrently.
type Handler struct{ learner Learner }

// New returns a handler that teaches with this learner.
func New(learner Learner) *Handler { return &Handler{learner: learner} }

// Handle learns an event of events.TypeLabel, or of events.TypeKafka with the
// same data, and answers with one of events.TypeLearned. A retraction gives no
// event: what was learned stays learned. The trip's id, not the event's, is
// what makes a label the same when it comes again.
//
// Errors are *events.InvalidError, or those of Learner, which a retry may mend.
// Models that had learned the label before one of those find it a duplicate then.
func (h *Handler) Handle(ctx context.Context, e event.Event) (*event.Event, error) {
	answers, errs := h.HandleAll(ctx, []event.Event{e})
	return answers[0], errs[0]
}

// HandleAll does with each of these events, which came together, what Handle
// does with one, and teaches them together. Answers and errors are in the place
// of their event.
func (h *Handler) HandleAll(ctx context.Context, batch []event.Event) (answers []*event.Event, errs []error) {
	answers, errs = make([]*event.Event, len(batch)), make([]error, len(batch))
	labels := make([]registry.Label, 0, len(batch))
	places := make([]int, 0, len(batch)) // of the labels
	for i, e := range batch {
		label, err := labelOf(e)
		if err != nil {
			errs[i] = err
		} else if label != nil {
			labels, places = append(labels, *label), append(places, i)
		}
	}
	if len(labels) == 0 {
		return answers, errs
	}
	for i, result := range h.learner.LearnAll(ctx, labels) {
		answers[places[i]], errs[places[i]] = answer(labels[i].ID, result)
	}
	return answers, errs
}

// labelOf returns nil for a retraction.
func labelOf(e event.Event) (*registry.Label, error) {
	if e.Type() != events.TypeLabel && e.Type() != events.TypeKafka {
		return nil, &events.InvalidError{Field: "type", Reason: fmt.Sprintf(
			"%q is not one that learn takes: %s or %s", e.Type(), events.TypeLabel, events.TypeKafka,
		)}
	}
	if events.IsRetraction(e) {
		return nil, nil
	}
	label, err := events.DecodeLabel(e)
	if err != nil {
		return nil, err
	}
	return &registry.Label{ID: label.TripID, Features: label.Features, Y: label.DurationS}, nil
}

func answer(trip string, result registry.Result) (*event.Event, error) {
	if result.Err != nil {
		return nil, fmt.Errorf("learn trip %s: %w", trip, result.Err)
	}
	learned, err := events.Encode(learnedBy(trip, result.Outcomes))
	if err != nil {
		return nil, fmt.Errorf("learn trip %s: %w", trip, err)
	}
	return &learned, nil
}

// learnedBy leaves out the models that have not learned the label: they are broken,
// or they are being warmed up and come to it in its topic.
func learnedBy(trip string, outcomes []registry.Outcome) *events.Learned {
	l := &events.Learned{TripID: trip, Versions: make(map[string]uint64, len(outcomes))}
	for _, o := range outcomes {
		if o.Err != nil || o.Warming {
			continue
		}
		l.Versions[o.Model] = o.Version
		if o.Duplicate {
			if l.Duplicate == nil {
				l.Duplicate = map[string]bool{}
			}
			l.Duplicate[o.Model] = true
		}
	}
	return l
}
