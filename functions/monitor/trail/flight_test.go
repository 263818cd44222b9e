package trail

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestFlightsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flights[string, int]{slots: make(chan struct{}, 1)}
		release := make(chan struct{})
		var looks atomic.Int32
		find := func(ctx context.Context, _ string) (int, error) {
			looks.Add(1)
			select {
			case <-release:
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if v, err := f.share(t.Context(), "a", find); v != 7 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		// One of them does not wait, and the others get it all the same.
		impatient, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := f.share(impatient, "a", find); !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		all.Wait()
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks for one thing", n)
		}
		if v, err := f.share(t.Context(), "a", find); v != 7 || err != nil || looks.Load() != 2 {
			t.Errorf("later: %d, %v, after %d looks", v, err, looks.Load())
		}
		f.close()
	})
}

func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flights[int, int]{slots: make(chan struct{}, maxLooks)}
		var going, most atomic.Int32
		release := make(chan struct{})
		find := func(ctx context.Context, key int) (int, error) {
			most.Store(max(most.Load(), going.Add(1)))
			defer going.Add(-1)
			select {
			case <-release:
				return key, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if v, err := f.share(t.Context(), i, find); v != i || err != nil {
					t.Errorf("look %d: %d, %v", i, v, err)
				}
			})
		}
		synctest.Wait()
		if n := going.Load(); n != maxLooks {
			t.Errorf("%d looks go on, want %d", n, maxLooks)
		}
		// Who waits for a slot and gives up leaves nothing behind.
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := f.share(ctx, 100, find); !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		})
		synctest.Wait()
		cancel()
		close(release)
		all.Wait()
		synctest.Wait()
		if n := most.Load(); n != maxLooks || len(f.going) != 0 || len(f.slots) != 0 {
			t.Errorf("at most %d went on, %d are on the list, %d slots are taken", n, len(f.going), len(f.slots))
		}
	})
}

// A look that nobody waits for any more ends, and a closed trail looks no more.
func TestFlightsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flights[string, int]{slots: make(chan struct{}, 1)}
		ended := make(chan struct{}, 1)
		find := func(ctx context.Context, _ string) (int, error) {
			<-ctx.Done()
			ended <- struct{}{}
			return 0, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = f.share(ctx, "a", find) }()
		synctest.Wait()
		cancel()
		<-ended
		failed := make(chan error)
		go func() {
			_, err := f.share(t.Context(), "b", find)
			failed <- err
		}()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { f.close(); close(closed) }()
		if err := <-failed; !errors.Is(err, errClosed) {
			t.Errorf("the error of a look that close has ended is %v", err)
		}
		<-closed
		if _, err := f.share(t.Context(), "c", find); !errors.Is(err, errClosed) {
			t.Errorf("the error after close is %v", err)
		}
	})
}
