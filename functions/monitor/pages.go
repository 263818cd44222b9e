package monitor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry"
)

// How much of a history a page shows.
const (
	shownCommits = 100
	shownLetters = 100
	shownActions = 200
)

// patience is how long a page waits for a server before it says that it is away.
const patience = 4 * time.Second

// tripRetention is how long sql/ keeps a trip unless it is told otherwise.
const tripRetention = "27 hours"

// maxTripID is in bytes: events takes no longer one.
const maxTripID = 128

func (m *Monitor) showLive(w http.ResponseWriter, r *http.Request) {
	m.render(w, r, http.StatusOK, "live", m.base("live", "Live"))
}

func (m *Monitor) serveState(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, m.feed.Now())
}

func (m *Monitor) serveTrip(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	trip, err := m.trip(ctx, r.PathValue("id"))
	if err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	writeJSON(w, http.StatusOK, trip)
}

func (m *Monitor) trip(ctx context.Context, id string) (live.Trip, error) {
	if len(id) > maxTripID {
		return live.Trip{}, live.ErrNotFound
	}
	return m.feed.Trip(ctx, id)
}

type tripPage struct {
	base
	Trip       live.Trip
	Events     []trail.Event
	EventsNote string // why there are none, or not all
	InProgress bool
}

func (m *Monitor) showTrip(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	id := r.PathValue("id")
	trip, err := m.trip(ctx, id)
	if err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	page := tripPage{base: m.base("trip", "Trip "+id), Trip: trip, InProgress: !trip.Ended}
	page.Events, page.EventsNote = m.eventsOf(r.Context(), trip)
	m.render(w, r, http.StatusOK, "trip", page)
}

// How long what SQL has seen of a trip may lie before the events around it, by
// clocks that differ, and after: at many trips a second a minute is a lot to read.
const (
	before     = time.Second
	afterStart = 10 * time.Second
	afterEnd   = 30 * time.Second
)

// eventsOf returns the events that a trip has caused, and what is to be said of them.
func (m *Monitor) eventsOf(ctx context.Context, t live.Trip) ([]trail.Event, string) {
	if m.trails == nil {
		return nil, "The events are not shown: this monitor was started without Kafka."
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := m.trails.Of(ctx, t.ID, stretches(t)...)
	switch {
	case err != nil:
		m.log.DebugContext(ctx, "the events of a trip cannot be read", "trip", t.ID, "error", err)
		return nil, "The events cannot be read now: Kafka is away. Open this page again in a moment."
	case !found.Complete:
		return found.Events, "These are not all: there were too many to look through."
	case len(found.Events) == 0:
		return nil, "The topics hold no events of this trip any more."
	}
	return found.Events, ""
}

// stretches are where, by Kafka's clock, the events of a trip lie: around its
// start, around its end, and of those that failed at any time since.
func stretches(t live.Trip) []trail.Stretch {
	from := t.ArrivedAt.Add(-before)
	started := trail.Stretch{From: from, Topics: []string{events.TopicPickUps, events.TopicFeatures, events.TopicPredictions}}
	if t.Predicted {
		started.To = t.PredictedAt.Add(afterStart)
	}
	all := []trail.Stretch{started, {From: from, Topics: []string{events.TopicDeadLetters}}}
	if t.Ended {
		all = append(all, trail.Stretch{
			From: t.EndedAt.Add(-before), To: t.EndedAt.Add(afterEnd), Topics: []string{events.TopicDropOffs, events.TopicLabels},
		})
	}
	return all
}

type modelsPage struct {
	base
	Models         []listedModel
	Champion, Best live.Leader
}

type listedModel struct {
	live.Model
	Kind string // of which it is, "" where the catalogue cannot be read
}

func (m *Monitor) showModels(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page := modelsPage{base: m.base("models", "Models")}
	page.Champion, page.Best = page.Now.Models.Champion, page.Now.Models.Best
	catalogue, err := m.models.Catalogue(ctx)
	if err != nil { // the page has what was read before, and says that Redis is away
		m.log.DebugContext(ctx, "the catalogue cannot be read", "error", err)
		catalogue = &online.Catalogue{}
	}
	for _, model := range page.Now.Models.Models {
		spec, _ := catalogue.Find(model.Name)
		page.Models = append(page.Models, listedModel{model, describe(spec).kind})
	}
	m.render(w, r, http.StatusOK, "models", page)
}

type modelPage struct {
	base
	Model      live.Model
	Kind       string
	Parameters string // YAML, as in the catalogue
	Features   []string
	Snapshots  []registry.Snapshot
	Lineage    []registry.Commit
}

func (m *Monitor) showModel(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	name := r.PathValue("name")
	page := modelPage{base: m.base("model", "Model "+name), Model: live.Model{Name: name}}
	err := m.fillModel(ctx, &page, name)
	if err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	for _, model := range page.Now.Models.Models {
		if model.Name == name {
			page.Model = model
		}
	}
	m.render(w, r, http.StatusOK, "model", page)
}

func (m *Monitor) fillModel(ctx context.Context, page *modelPage, name string) error {
	catalogue, err := m.models.Catalogue(ctx)
	if err != nil {
		return err
	}
	spec, found := catalogue.Find(name)
	if !found {
		return fmt.Errorf("%w: the catalogue has no model %q", registry.ErrNotFound, clip(name))
	}
	d := describe(spec)
	page.Kind, page.Parameters, page.Features = d.kind, d.parameters, spec.Features
	if page.Snapshots, err = m.models.Snapshots(ctx, name); err != nil {
		return err
	}
	page.Lineage, err = m.models.Lineage(ctx, name, shownCommits)
	return err
}

type deadLettersPage struct {
	base
	Letters []trail.Letter
	Count   int64
	Note    string // why there are none
}

func (m *Monitor) showDeadLetters(w http.ResponseWriter, r *http.Request) {
	page := deadLettersPage{base: m.base("dead-letters", "Dead letters")}
	if m.trails == nil {
		page.Note = "They are not shown: this monitor was started without Kafka."
		m.render(w, r, http.StatusOK, "dead-letters", page)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var err error
	if page.Letters, page.Count, err = m.trails.DeadLetters(ctx, shownLetters); err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	m.render(w, r, http.StatusOK, "dead-letters", page)
}

type auditPage struct {
	base
	Actions []registry.Action
}

func (m *Monitor) showAudit(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page := auditPage{base: m.base("audit", "Audit trail")}
	var err error
	if page.Actions, err = m.models.Audit(ctx, shownActions); err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	m.render(w, r, http.StatusOK, "audit", page)
}
