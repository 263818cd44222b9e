package events

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// subjectChampion is what proposals and decisions are about: their subject,
// their key and their partition key.
const subjectChampion = "champion"

// Proposal is the model that an hour of trips proposes as the champion. Its
// event's id is the model and the time.
type Proposal struct {
	Model   string             `json:"model"`
	At      time.Time          `json:"judged_at"` // the end of the hour
	Trips   uint64             `json:"trips"`     // that it was judged by
	ErrorsS map[string]float64 `json:"errors_s"`  // mean absolute error of every model that was judged, in seconds
}

// Decision is what promote answers to a proposal. It travels as an HTTP response
// and is on no topic. Its event's id is the model and the time, as the proposal's.
type Decision struct {
	Model    string    `json:"model"` // that was judged: the proposed one, or the next that can be the champion
	At       time.Time `json:"judged_at"`
	Champion string    `json:"champion"` // afterwards
	Promoted bool      `json:"promoted"` // the champion is another one than before
	Reason   string    `json:"reason"`
}

// DecodeProposal reads and validates a proposal, of TypeProposal or TypeKafka.
// Every error is an *InvalidError.
func DecodeProposal(e event.Event) (Proposal, error) {
	var w struct {
		Model   string              `json:"model"`
		At      string              `json:"judged_at"`
		Trips   *uint64             `json:"trips"`
		ErrorsS map[string]*float64 `json:"errors_s"`
	}
	if err := read(e, &w, e.Type() == TypeProposal || e.Type() == TypeKafka); err != nil {
		return Proposal{}, err
	}
	at, err := parseTime("judged_at", w.At)
	if err != nil {
		return Proposal{}, err
	}
	if w.Trips == nil {
		return Proposal{}, missing("trips")
	}
	p := Proposal{Model: w.Model, At: at, Trips: *w.Trips}
	if w.ErrorsS != nil {
		p.ErrorsS = make(map[string]float64, len(w.ErrorsS))
	}
	for model, seconds := range w.ErrorsS {
		if seconds == nil {
			return Proposal{}, missing("errors_s." + model)
		}
		p.ErrorsS[model] = *seconds
	}
	if err := p.Validate(); err != nil {
		return Proposal{}, err
	}
	return p, nil
}

// DecodeDecision reads and validates what promote answers. Every error is an
// *InvalidError.
func DecodeDecision(e event.Event) (Decision, error) {
	var w struct {
		Model    string `json:"model"`
		At       string `json:"judged_at"`
		Champion string `json:"champion"`
		Promoted *bool  `json:"promoted"`
		Reason   string `json:"reason"`
	}
	if err := read(e, &w, e.Type() == TypeDecision); err != nil {
		return Decision{}, err
	}
	at, err := parseTime("judged_at", w.At)
	if err != nil {
		return Decision{}, err
	}
	if w.Promoted == nil {
		return Decision{}, missing("promoted")
	}
	d := Decision{Model: w.Model, At: at, Champion: w.Champion, Promoted: *w.Promoted, Reason: w.Reason}
	if err := d.Validate(); err != nil {
		return Decision{}, err
	}
	return d, nil
}

// Validate reports the first field that no proposal can have, as an
// *InvalidError: the model is among those that were judged.
func (p *Proposal) Validate() error {
	if err := validToken("model", p.Model); err != nil {
		return err
	}
	if err := validTime("judged_at", p.At); err != nil {
		return err
	}
	if p.Trips == 0 {
		return invalid("trips", "are none")
	}
	if p.ErrorsS == nil {
		return missing("errors_s")
	}
	if len(p.ErrorsS) > MaxModels {
		return invalid("errors_s", "%d are more than %d", len(p.ErrorsS), MaxModels)
	}
	for _, model := range slices.Sorted(maps.Keys(p.ErrorsS)) {
		if err := validName("errors_s", model); err != nil {
			return err
		}
		if s := p.ErrorsS[model]; !(s >= 0) || math.IsInf(s, 0) {
			return invalid("errors_s."+model, "%v is not an error in seconds", s)
		}
	}
	if _, ok := p.ErrorsS[p.Model]; !ok {
		return invalid("model", "%q is not among the errors", p.Model)
	}
	return nil
}

// Validate reports the first field that no decision can have, as an *InvalidError.
func (d *Decision) Validate() error {
	if err := validToken("model", d.Model); err != nil {
		return err
	}
	if err := validTime("judged_at", d.At); err != nil {
		return err
	}
	if err := validName("champion", d.Champion); err != nil {
		return err
	}
	if d.Promoted && d.Champion != d.Model {
		return invalid("champion", "%q was promoted, and it is %q", d.Model, d.Champion)
	}
	if d.Reason == "" {
		return missing("reason")
	}
	return nil
}

// Type returns TypeProposal.
func (p *Proposal) Type() string { return TypeProposal }

// Source returns SourceChampions.
func (p *Proposal) Source() string { return SourceChampions }

// Subject returns "champion".
func (p *Proposal) Subject() string { return subjectChampion }

func (p *Proposal) id() string { return championID(p.Model, p.At) }

func (p *Proposal) happened() time.Time { return time.Time{} }

// wire has the key of the record in it, as what a sink of Materialize writes.
func (p *Proposal) wire() any {
	w := *p
	w.At = w.At.UTC()
	return struct {
		Role string `json:"role"`
		Proposal
	}{subjectChampion, w}
}

// Type returns TypeDecision.
func (d *Decision) Type() string { return TypeDecision }

// Source returns SourcePromote.
func (d *Decision) Source() string { return SourcePromote }

// Subject returns "champion".
func (d *Decision) Subject() string { return subjectChampion }

func (d *Decision) id() string { return championID(d.Model, d.At) }

func (d *Decision) happened() time.Time { return time.Time{} }

func (d *Decision) wire() any {
	w := *d
	w.At = w.At.UTC()
	return &w
}

func championID(model string, at time.Time) string {
	return model + "@" + at.UTC().Format(time.RFC3339Nano)
}
