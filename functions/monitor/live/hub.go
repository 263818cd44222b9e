package live

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Events of messages.
const (
	EventSummary  = "summary"
	EventModels   = "models"
	EventErrors   = "errors"
	EventSegments = "segments"
	EventTrips    = "trips"
)

// Events lists all events of messages.
func Events() []string {
	return []string{EventSummary, EventModels, EventErrors, EventSegments, EventTrips}
}

// Message is one view as it is now, or trips that are new. All visitors share
// Data: it is not to be changed.
type Message struct {
	Event string
	Data  []byte // JSON
}

// keptMessages of trips are there for visitors who are late; who is later gets
// everything.
const keptMessages = 20

// hub holds the newest edition. Only one goroutine makes them, and nobody has to
// be told of the visitors: they come for it.
type hub struct {
	current atomic.Pointer[edition]
}

// edition is everything as of one moment. It does not change.
type edition struct {
	now   Now
	views [4]numbered // summary, models, errors, segments
	trips told
	next  chan struct{} // closed when there is a newer one
}

// numbered is a message and how often it has changed.
type numbered struct {
	Message
	number uint64
}

// told is what visitors have been told of trips.
type told struct {
	number   uint64    // of the last message
	messages []Message // the last ones, the newest last
	// reset is all of it in one message, made when somebody needs it.
	reset func() Message

	started []Started // the newest, the newest last
	ended   []Ended
}

func newHub() *hub {
	h := &hub{}
	first := &edition{next: make(chan struct{})}
	first.trips.reset = resetOf(nil, nil)
	h.current.Store(first)
	return h
}

// publish makes an edition of the views, of which some may have changed, and of
// what is new of trips. If nothing is, there is none.
func (h *hub) publish(now Now, may changed, news Trips, renewed bool) {
	before := h.current.Load()
	next := &edition{now: now, views: before.views, trips: before.trips, next: make(chan struct{})}
	same := now.Summary
	same.At = before.now.Summary.At
	if same == before.now.Summary {
		may &^= changedSummary // the time alone is no news
		next.now.Summary = before.now.Summary
	}
	different := next.trips.tell(news, renewed)
	for i, view := range []struct {
		bit   changed
		event string
		view  any
	}{
		{changedSummary, EventSummary, now.Summary},
		{changedModels, EventModels, now.Models},
		{changedErrors, EventErrors, now.Errors},
		{changedSegments, EventSegments, now.Segments},
	} {
		if may&view.bit != 0 && next.views[i].replace(view.event, encode(view.view)) {
			different = true
		}
	}
	if different {
		h.current.Store(next)
		close(before.next)
	}
}

// replace takes a new encoding, if it is another.
func (n *numbered) replace(event string, data []byte) bool {
	if n.number > 0 && bytes.Equal(n.Data, data) {
		return false
	}
	*n = numbered{Message{event, data}, n.number + 1}
	return true
}

const (
	// mostTrips start, and as many end, in a message.
	mostTrips = 300
	// shownTrips are what a new visitor is told of.
	shownTrips = loadedTrips
)

// tell adds a message of what is new. It leaves alone what earlier editions hold.
func (t *told) tell(news Trips, renewed bool) bool {
	if renewed {
		started, ended := news.Started, news.Ended
		t.started, t.ended = newest(nil, started), newest(nil, ended)
		t.number, t.messages = t.number+1, nil // everybody is too late for it
		t.reset = resetOf(t.started, t.ended)
		return true
	}
	if len(news.Started) == 0 && len(news.Ended) == 0 && news.LeftOut == 0 {
		return false
	}
	var more int
	news.Started, more = choose(news.Started, mostTrips, func(s Started) string { return s.ID })
	news.LeftOut += more
	news.Ended, more = choose(news.Ended, mostTrips, func(e Ended) string { return e.ID })
	news.LeftOut += more
	t.started, t.ended = newest(t.started, news.Started), newest(t.ended, news.Ended)
	t.number++
	t.messages = append(slices.Clip(t.messages[max(0, len(t.messages)-keptMessages+1):]), Message{EventTrips, encode(news.filled())})
	t.reset = resetOf(t.started, t.ended)
	return true
}

// filled is trips without null.
func (t Trips) filled() Trips {
	if t.Started == nil {
		t.Started = []Started{}
	}
	if t.Ended == nil {
		t.Ended = []Ended{}
	}
	return t
}

// newest returns the newest of all and more. What is in all does not change, and
// is copied only now and then.
func newest[T any](all, more []T) []T {
	all = append(all, more...)
	if len(all) > shownTrips {
		all = all[len(all)-shownTrips:]
	}
	return all
}

// resetOf is the message for who knows nothing: the newest trips, and which of
// them are over.
func resetOf(started []Started, ended []Ended) func() Message {
	return sync.OnceValue(func() Message {
		known := make(map[string]bool, len(started))
		for _, s := range started {
			known[s.ID] = true
		}
		over := make([]Ended, 0, len(ended))
		for _, e := range ended {
			if known[e.ID] {
				over = append(over, e)
			}
		}
		return Message{EventTrips, encode(Trips{Reset: true, Started: started, Ended: over}.filled())}
	})
}

// Visitor is one who is told what is new. It is for one goroutine, holds nothing
// that has to be closed, and may be as slow as it likes: it then gets the newest.
type Visitor struct {
	hub   *hub
	visit context.Context
	wants []string  // events; nil: all
	views [4]uint64 // the numbers of what it has seen
	trips uint64
	began bool
}

// Subscribe returns a visitor that has seen nothing yet, and is told of some
// events, or of all if none are named. When ctx ends, so does every Next.
func (f *Feed) Subscribe(ctx context.Context, events ...string) *Visitor {
	return &Visitor{hub: f.hub, visit: ctx, wants: events}
}

// Next returns what is new since the last call, and waits until something is. The
// first time that is everything, as it is now. The error is that of a context.
func (v *Visitor) Next(ctx context.Context) ([]Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := v.visit.Err(); err != nil {
			return nil, err
		}
		e := v.hub.current.Load()
		if messages := v.unseen(e); len(messages) > 0 {
			return messages, nil
		}
		select {
		case <-ctx.Done():
		case <-v.visit.Done():
		case <-e.next:
		}
	}
}

// unseen returns what the visitor has not seen of an edition.
func (v *Visitor) unseen(e *edition) []Message {
	var messages []Message
	for i, view := range e.views {
		if view.number != v.views[i] && v.wanted(view.Event) {
			v.views[i] = view.number
			messages = append(messages, view.Message)
		}
	}
	if !v.wanted(EventTrips) {
		return messages
	}
	missed := e.trips.number - v.trips
	switch {
	case !v.began || missed > uint64(len(e.trips.messages)):
		messages = append(messages, e.trips.reset())
	case missed > 0:
		messages = append(messages, e.trips.messages[uint64(len(e.trips.messages))-missed:]...)
	}
	v.began, v.trips = true, e.trips.number
	return messages
}

func (v *Visitor) wanted(event string) bool {
	return len(v.wants) == 0 || slices.Contains(v.wants, event)
}
