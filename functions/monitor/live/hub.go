package live

import (
	"context"
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

// Message is one view as it is now, or trips that are new. All visitors share
// Data: it is not to be changed.
type Message struct {
	Event string
	Data  []byte // JSON
}

// hub gives every visitor the newest edition.
type hub struct {
	current atomic.Pointer[edition]
}

// edition is everything as of one moment. It does not change.
type edition struct {
	now  Now
	next chan struct{} // closed when there is a newer one
}

func newHub() *hub {
	h := &hub{}
	h.current.Store(&edition{next: make(chan struct{})})
	return h
}

func (h *hub) edition() *edition { return h.current.Load() }

// Visitor is one who is told what is new. It is for one goroutine, holds nothing
// that has to be closed, and may be as slow as it likes: it then gets the newest.
type Visitor struct {
	hub   *hub
	visit context.Context
}

// Subscribe returns a visitor that has seen nothing yet. When ctx ends, so does
// every Next.
func (f *Feed) Subscribe(ctx context.Context) *Visitor { return &Visitor{hub: f.hub, visit: ctx} }

// Next returns what is new since the last call, and waits until something is. The
// first time that is everything, as it is now. The error is that of a context.
func (v *Visitor) Next(ctx context.Context) ([]Message, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-v.visit.Done():
		return nil, v.visit.Err()
	}
}
