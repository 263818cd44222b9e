// Package predict is the function that predicts how long a trip will take the
// moment it starts: features in, one event with every model's answer out.
//
// It knows no transport and holds no state. The features it was given are in
// its answer, so that models learn from what was known when it predicted.
package predict

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/functions/registry"
)

// Models gives the models to predict with, as a registry.Reader does.
type Models interface {
	Models(ctx context.Context) (*registry.Models, error)
}

// Handler predicts. It may be called concurrently.
type Handler struct {
	models Models
	log    *slog.Logger
	silent sync.Map // names of models that were logged because they do not answer
}

// New returns a handler that predicts with these models.
func New(models Models, log *slog.Logger) *Handler {
	return &Handler{models: models, log: log}
}

// Handle turns an event of events.TypeFeatures, or of events.TypeKafka with the
// same data, into one of events.TypePrediction. A retraction gives no event.
//
// Durations are cut off at 0, which a linear model knows nothing of. A model
// that panics or has no finite answer is left out, and logged once. Where the
// champion is left out or broken, the first model of the catalogue that answers
// stands in for it.
//
// Errors are *events.InvalidError, or those of Models and registry.ErrNoModels,
// which a retry may mend.
func (h *Handler) Handle(ctx context.Context, e event.Event) (*event.Event, error) {
	if e.Type() != events.TypeFeatures && e.Type() != events.TypeKafka {
		return nil, &events.InvalidError{Field: "type", Reason: fmt.Sprintf(
			"%q is not one that predict takes: %s or %s", e.Type(), events.TypeFeatures, events.TypeKafka,
		)}
	}
	if events.IsRetraction(e) {
		return nil, nil
	}
	trip, err := events.DecodeFeatures(e)
	if err != nil {
		return nil, err
	}
	models, err := h.models.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("predict trip %s: %w", trip.TripID, err)
	}
	prediction := h.predict(models, trip)
	if len(prediction.Predictions) == 0 {
		return nil, fmt.Errorf("predict trip %s: %w: none answers", trip.TripID, registry.ErrNoModels)
	}
	made, err := events.Encode(&prediction)
	if err != nil {
		return nil, fmt.Errorf("predict trip %s: %w", trip.TripID, err)
	}
	return &made, nil
}

func (h *Handler) predict(models *registry.Models, trip events.Features) events.Prediction {
	p := events.Prediction{
		TripID:      trip.TripID,
		Features:    trip.Features,
		Predictions: make(map[string]events.ModelPrediction, len(models.Healthy)),
	}
	var x []float64
	for _, m := range models.Healthy {
		x = m.Pipeline.Vector(x[:0], trip.Features)
		seconds, err := m.Pipeline.Answer(x)
		if err != nil {
			h.leaveOut(m, err)
			continue
		}
		if _, wasSilent := h.silent.Load(m.Name); wasSilent {
			h.silent.Delete(m.Name)
		}
		p.Predictions[m.Name] = events.ModelPrediction{DurationS: max(seconds, 0), Version: m.Version}
		if p.Champion == "" || m.Name == models.Champion {
			p.Champion = m.Name
		}
	}
	return p
}

// leaveOut logs a model that does not answer, until it has answered again.
func (h *Handler) leaveOut(m registry.Model, why error) {
	if _, logged := h.silent.LoadOrStore(m.Name, true); !logged {
		h.log.Error("model is left out of predictions", "model", m.Name, "version", m.Version, "err", why)
	}
}
