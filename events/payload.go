package events

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// Payload is the data of one event of the house: *PickUp, *DropOff, *Features,
// *Prediction, *Label, *Learned, *Proposal or *Decision, and nothing else.
type Payload interface {
	// Validate returns an *InvalidError that names the first invalid field.
	Validate() error
	// Type is the CloudEvent type.
	Type() string
	// Source is the CloudEvent source.
	Source() string
	// Subject is the trip's id, or "champion": also the partition key.
	Subject() string

	// id is the event's: the trip's, or a model and a time.
	id() string
	// wire is what is marshalled: times are UTC in it.
	wire() any
	// happened is when it happened, zero where the payload does not say.
	happened() time.Time
}

var (
	_ Payload = (*PickUp)(nil)
	_ Payload = (*DropOff)(nil)
	_ Payload = (*Features)(nil)
	_ Payload = (*Prediction)(nil)
	_ Payload = (*Label)(nil)
	_ Payload = (*Learned)(nil)
	_ Payload = (*Proposal)(nil)
	_ Payload = (*Decision)(nil)
)

// Encode validates a payload and wraps it in a CloudEvent: id, subject and
// partitionkey are the trip's, where it is about a trip, and time is the
// payload's own. The same payload
// always gives the same bytes, so a redelivery is recognised by its id and can
// be compared by its content.
func Encode(p Payload) (event.Event, error) {
	if err := p.Validate(); err != nil {
		return event.Event{}, err
	}
	data, err := json.Marshal(p.wire())
	if err != nil {
		return event.Event{}, fmt.Errorf("events: marshal %s %s: %w", p.Type(), p.id(), err)
	}
	subject := p.Subject()
	contentType := event.ApplicationJSON
	context := &event.EventContextV1{
		ID:              p.id(),
		Source:          *types.ParseURIRef(p.Source()),
		Type:            p.Type(),
		Subject:         &subject,
		DataContentType: &contentType,
		Extensions:      map[string]any{partitionKey: subject},
	}
	if t := p.happened(); !t.IsZero() {
		context.Time = &types.Timestamp{Time: t.UTC()}
	}
	return event.Event{Context: context, DataEncoded: data}, nil
}

// partitionKey is the CloudEvents partitioning extension.
const partitionKey = "partitionkey"

// Type returns TypePickedUp.
func (p *PickUp) Type() string { return TypePickedUp }

// Source returns SourcePickUps.
func (p *PickUp) Source() string { return SourcePickUps }

// Subject returns the trip's id.
func (p *PickUp) Subject() string { return p.TripID }

func (p *PickUp) id() string { return p.TripID }

func (p *PickUp) happened() time.Time { return p.PickedUpAt }

func (p *PickUp) wire() any {
	w := *p
	w.PickedUpAt = w.PickedUpAt.UTC()
	return &w
}

// Type returns TypeDroppedOff.
func (d *DropOff) Type() string { return TypeDroppedOff }

// Source returns SourceDropOffs.
func (d *DropOff) Source() string { return SourceDropOffs }

// Subject returns the trip's id.
func (d *DropOff) Subject() string { return d.TripID }

func (d *DropOff) id() string { return d.TripID }

func (d *DropOff) happened() time.Time { return d.DroppedOffAt }

func (d *DropOff) wire() any {
	w := *d
	w.DroppedOffAt = w.DroppedOffAt.UTC()
	return &w
}

// Type returns TypeFeatures.
func (f *Features) Type() string { return TypeFeatures }

// Source returns SourceFeatures.
func (f *Features) Source() string { return SourceFeatures }

// Subject returns the trip's id.
func (f *Features) Subject() string { return f.TripID }

func (f *Features) id() string { return f.TripID }

func (f *Features) happened() time.Time { return f.PickedUpAt }

func (f *Features) wire() any {
	w := *f
	w.PickedUpAt = w.PickedUpAt.UTC()
	return &w
}

// Type returns TypePrediction.
func (p *Prediction) Type() string { return TypePrediction }

// Source returns SourcePredictions.
func (p *Prediction) Source() string { return SourcePredictions }

// Subject returns the trip's id.
func (p *Prediction) Subject() string { return p.TripID }

func (p *Prediction) id() string { return p.TripID }

func (p *Prediction) happened() time.Time { return time.Time{} }

func (p *Prediction) wire() any { return p }

// Type returns TypeLabel.
func (l *Label) Type() string { return TypeLabel }

// Source returns SourceLabels.
func (l *Label) Source() string { return SourceLabels }

// Subject returns the trip's id.
func (l *Label) Subject() string { return l.TripID }

func (l *Label) id() string { return l.TripID }

func (l *Label) happened() time.Time { return time.Time{} }

func (l *Label) wire() any { return l }

// Type returns TypeLearned.
func (l *Learned) Type() string { return TypeLearned }

// Source returns SourceLearn.
func (l *Learned) Source() string { return SourceLearn }

// Subject returns the trip's id.
func (l *Learned) Subject() string { return l.TripID }

func (l *Learned) id() string { return l.TripID }

func (l *Learned) happened() time.Time { return time.Time{} }

func (l *Learned) wire() any { return l }
