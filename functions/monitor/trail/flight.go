package trail

import (
	"context"
	"errors"
	"sync"
)

// errClosed is what is left of a look at a trail that has been closed.
var errClosed = errors.New("trail: closed")

// flights are looks under way. Who asks for what another one is looking for gets
// the same, and a look that nobody waits for any longer ends.
type flights[K comparable, V any] struct {
	slots chan struct{} // as many go on at a time as it holds

	mu     sync.Mutex
	going  map[K]*flight[V]
	closed bool
	ended  sync.WaitGroup
}

type flight[V any] struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	value   V
	err     error
}

// share waits for the value of a key.
func (f *flights[K, V]) share(ctx context.Context, key K, find func(context.Context, K) (V, error)) (V, error) {
	var none V
	flight, err := f.board(key, find)
	if err != nil {
		return none, err
	}
	defer f.leave(key, flight)
	select {
	case <-flight.done:
		return flight.value, flight.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// board joins a flight, or starts one.
func (f *flights[K, V]) board(key K, find func(context.Context, K) (V, error)) (*flight[V], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errClosed
	}
	if going, ok := f.going[key]; ok {
		going.waiting++
		return going, nil
	}
	// Not the context of who came first: others may wait longer.
	ctx, cancel := context.WithCancel(context.Background())
	started := &flight[V]{waiting: 1, cancel: cancel, done: make(chan struct{})}
	if f.going == nil {
		f.going = make(map[K]*flight[V])
	}
	f.going[key] = started
	f.ended.Go(func() {
		defer close(started.done)
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
			started.value, started.err = find(ctx, key)
		case <-ctx.Done():
			started.err = ctx.Err()
		}
		f.land(key, started)
	})
	return started, nil
}

// land takes a flight off the list: who comes from now on looks anew.
func (f *flights[K, V]) land(key K, flight *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.going[key] == flight {
		delete(f.going, key)
	}
	if f.closed && flight.err != nil {
		flight.err = errClosed // and not that it was cancelled, which is the caller's to do
	}
}

// leave gives up waiting for a flight, and ends it if nobody else waits.
func (f *flights[K, V]) leave(key K, flight *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flight.waiting--
	if flight.waiting > 0 {
		return
	}
	flight.cancel()
	if f.going[key] == flight {
		delete(f.going, key)
	}
}

// close ends all flights and lets no more start.
func (f *flights[K, V]) close() {
	f.mu.Lock()
	f.closed = true
	for _, flight := range f.going {
		flight.cancel()
	}
	f.mu.Unlock()
	f.ended.Wait()
}
