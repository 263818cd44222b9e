package lambda

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
)

// handle gives a batch to the handler and returns when all of it is handled or
// ctx is done. Handlers that go on then are left alone: what they return is
// not looked at, and their events come again.
func (f *Function) handle(ctx context.Context, batch []delivery) {
	for i := range batch {
		batch[i].err = errNoTime
	}
	if together, ok := f.handler.(BatchHandler); ok && f.handleTogether(ctx, together, batch) {
		return
	}
	f.handleEach(ctx, batch)
}

// handleTogether reports false where the handler panicked: that is the fault of
// one event, and each by itself will show of which.
func (f *Function) handleTogether(ctx context.Context, h BatchHandler, batch []delivery) bool {
	type outcome struct {
		answers  []*event.Event
		errs     []error
		panicked error
	}
	all := make([]event.Event, len(batch))
	for i := range batch {
		all[i] = batch[i].event
	}
	done := make(chan outcome, 1) // never blocks the handler
	go func() {
		var o outcome
		o.panicked = f.guard(ctx, func() { o.answers, o.errs = h.HandleAll(ctx, all) })
		done <- o
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			return false
		}
		for i := range batch {
			batch[i].answer, batch[i].err = o.answers[i], o.errs[i]
		}
	case <-ctx.Done():
	}
	return true
}

// handleEach gives the handler one event at a time, a bounded number of times.
func (f *Function) handleEach(ctx context.Context, batch []delivery) {
	type outcome struct {
		place  int
		answer *event.Event
		err    error
	}
	all := make([]event.Event, len(batch)) // the batch is the caller's again once ctx is done
	for i := range batch {
		all[i] = batch[i].event
	}
	outcomes := make(chan outcome, len(all)) // never blocks a handler
	var next atomic.Int64
	for range min(f.options.Concurrency, len(all)) {
		go func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				o := outcome{place: i}
				if err := f.guard(ctx, func() { o.answer, o.err = f.handler.Handle(ctx, all[i]) }); err != nil {
					o.err = err
				}
				outcomes <- o
			}
		}()
	}
	for range all {
		select {
		case o := <-outcomes:
			batch[o.place].answer, batch[o.place].err = o.answer, o.err
		case <-ctx.Done():
			return
		}
	}
}

// guard calls a handler and returns its panic as an error.
func (f *Function) guard(ctx context.Context, call func()) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("lambda: the handler panicked: %v", cause)
			f.log.ErrorContext(ctx, "the handler panicked", "error", err, "stack", string(debug.Stack()))
		}
	}()
	call()
	return nil
}
