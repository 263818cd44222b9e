// Package together shares work out among processors where that pays.
package together

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// enough is how long work takes that is worth sharing out. To hand a part of it
	// on, and to wait for it, took 7 µs of processor time.
	enough = 30 * time.Microsecond
	// trial is how often work is timed, which is done one by one then.
	trial = 64
)

// Crew does work that comes again and again in the same parts. It times it now
// and then, and does the parts at once if they take long. It is not safe for
// concurrent use.
type Crew struct {
	// Always is set where parts are to be done at once whatever they take, so that
	// a test sees that they may be.
	Always bool

	turn   int
	last   time.Duration
	atOnce bool
}

// Each calls part(0) to part(n-1), perhaps at once, as the function Each does.
func (c *Crew) Each(n int, part func(int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	timed := c.turn%trial == 0 && !c.Always
	c.turn++
	switch {
	case workers > 1 && timed:
		c.time(n, part)
	case workers > 1 && (c.atOnce || c.Always):
		Each(workers, n, part)
	default:
		Each(1, n, part)
	}
}

// time does the parts one by one and decides how they are done the next times.
func (c *Crew) time(n int, part func(int)) {
	start := time.Now()
	Each(1, n, part)
	c.decide(time.Since(start))
}

// decide goes by the shorter of two timings, as one may have been disturbed.
func (c *Crew) decide(took time.Duration) {
	c.atOnce = min(took, c.last) >= enough
	c.last = took
}

// Each calls part(0) to part(n-1), by so many workers, each of whom takes one
// part after the other, and returns when all have returned. Parts touch nothing
// that another changes, so that it does not show in what order they were done. If
// one panics, Each panics in the caller, as a loop would: whoever recovers a
// model's panics recovers those of its members.
func Each(workers, n int, part func(int)) {
	if workers <= 1 {
		for i := range n {
			part(i)
		}
		return
	}
	var (
		next     atomic.Int64
		wg       sync.WaitGroup
		once     sync.Once
		panicked any
	)
	work := func() {
		defer func() {
			if v := recover(); v != nil {
				once.Do(func() { panicked = v })
			}
		}()
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			part(i)
		}
	}
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}
