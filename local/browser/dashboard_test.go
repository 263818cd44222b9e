// Package browser holds no code but a test: the dashboard as people have it, in a
// real Chromium, beside a main job that runs.
package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/simulate"
)

var update = flag.Bool("update", false, "draw the README's pictures anew")

// maxBytes is what a first visit may transfer, everything included but the stream.
const maxBytes = 300_000

// dashboard is what the cases share: they follow each other on one system.
type dashboard struct {
	*chromium
	*system
	publisher
	published int
	ended     string // a trip that has
}

// run is a subtest, at whose end no page may have complained.
func (d *dashboard) run(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		defer func() {
			var problems []string
			if err := d.try(t.Context(), "problems", nil, &problems); err != nil {
				t.Error(err)
			}
			for _, p := range problems {
				t.Error(p)
			}
		}()
		test(t)
	})
}

func TestDashboard(t *testing.T) {
	skipWithoutChromium(t)
	d := &dashboard{chromium: startChromium(t, outputFolder(t))}
	d.system = startSystem(t, "--speed", "240", "--rate", "1500", "--limit", "6000")
	d.publisher = d.system.publisher(t)

	d.run(t, "loads", d.loads)
	d.run(t, "numbers move", d.numbersMove)
	d.run(t, "event to screen", d.eventToScreen)
	d.run(t, "trip", d.trip)
	d.run(t, "dead letter", d.deadLetter)
	d.run(t, "act with a token", d.act)
	d.run(t, "read-only", d.readsOnly)
	d.run(t, "error falls", d.errorFalls)
	d.run(t, "for everyone", d.forEveryone)
	d.run(t, "without JavaScript", d.withoutScript)
	d.run(t, "many trips", d.manyTrips)
	d.run(t, "database away", d.databaseAway)
	d.run(t, "Redis away", d.redisAway)
	d.run(t, "dashboard away", d.dashboardAway)
}

// outputFolder is where screenshots and the console's log are kept.
func outputFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../.task/browser-output")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Logf("screenshots and the console's log are in %s", folder)
	return folder
}

// loads opens the live page as a first visitor does, and measures it.
func (d *dashboard) loads(t *testing.T) {
	var got struct {
		FirstPaintMS, LargestPaintMS float64
		NumberAtPaint                string // trips completed, as the first paint had them
		Bytes, StreamBytes           int
		Requests                     map[string]int // bytes by path
	}
	d.step(t, "loads", map[string]any{"page": "live", "url": d.page}, &got)
	t.Logf("first paint after %.0f ms, with %q trips completed; largest after %.0f ms", got.FirstPaintMS, got.NumberAtPaint, got.LargestPaintMS)
	t.Logf("%d bytes transferred, and %d of the stream until then: %v", got.Bytes, got.StreamBytes, got.Requests)
	if got.NumberAtPaint == "" {
		t.Error("the first paint shows no number of completed trips")
	}
	if got.Bytes > maxBytes || got.Bytes == 0 {
		t.Errorf("%d bytes transferred, want at most %d", got.Bytes, maxBytes)
	}
}

// numbersMove sees numbers grow on the page that is open.
func (d *dashboard) numbersMove(t *testing.T) {
	var completed []int
	d.step(t, "numbersMove", map[string]any{"page": "live", "times": 3}, &completed)
	t.Logf("trips completed: %v", completed)
	if !slices.IsSorted(completed) || completed[0] == completed[len(completed)-1] {
		t.Errorf("trips completed are %v: they do not grow", completed)
	}
}

// errorFalls waits for a model that is better than it was.
func (d *dashboard) errorFalls(t *testing.T) {
	var got struct {
		Model          string
		Trips, Later   int
		From, To       float64 // seconds
		ChartedBuckets int
	}
	// Trips that are short end first, and the shortest are the easiest: the error
	// rises until the long ones are in, whatever is learned. From then on it is
	// learning that makes it fall.
	d.step(t, "errorFalls", map[string]any{"page": "live", "model": "city-grid", "trips": 2000, "by": 0.1}, &got)
	t.Logf("%s: a mean absolute error of %.1f s after %d trips, %.1f s after %d; %d buckets in the chart", got.Model, got.From, got.Trips, got.To, got.Later, got.ChartedBuckets)
}

// clock is the city's.
func (d *dashboard) clock(t *testing.T) time.Time {
	t.Helper()
	var now live.Now
	d.get(t, d.readOnly+"/api/state", &now)
	return time.UnixMilli(now.Summary.Clock).UTC().Truncate(time.Second)
}

// lonely is a trip where no others are: in the water of the Upper Bay.
func (d *dashboard) lonely(at time.Time) simulate.Trip {
	d.published++
	return simulate.Trip{
		ID: fmt.Sprintf("browser-%d", d.published), VendorID: 1, PassengerCount: 2,
		PickedUpAt: at, DroppedOffAt: at.Add(10 * time.Minute),
		PickupLongitude: -74.05, PickupLatitude: 40.66, DropoffLongitude: -74.04, DropoffLatitude: 40.65,
	}
}

// traffic goes on until the test ends: the trips of the main job are over.
func (d *dashboard) traffic(t *testing.T) {
	t.Helper()
	clock := d.clock(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			clock = clock.Add(time.Second)
			trip := d.lonely(clock)
			err := errors.Join(d.PickUp(ctx, trip), d.Flush(ctx), d.DropOff(ctx, trip), d.Flush(ctx))
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// eventToScreen publishes trips, and sees each arrive on the page: one starts
// while the one before it ends.
func (d *dashboard) eventToScreen(t *testing.T) {
	const n = 20
	took := map[string][]time.Duration{}
	var before simulate.Trip
	for i := range n + 1 {
		trip := d.lonely(d.clock(t))
		began := time.Now()
		if i < n {
			d.start(t, trip)
		}
		if i > 0 {
			d.end(t, before)
			took["drop-off"] = append(took["drop-off"], d.seen(t, "ended", before.ID).Sub(began))
		}
		if i < n {
			took["pick-up"] = append(took["pick-up"], d.seen(t, "started", trip.ID).Sub(began))
		}
		before = trip
	}
	for what, all := range took {
		slices.Sort(all)
		t.Logf("%d trips, %s to screen: p50 %v, max %v", n, what, all[n/2].Round(time.Millisecond), all[n-1].Round(time.Millisecond))
	}
}

// seen waits until a trip has come to the open page and was painted, and returns when.
func (d *dashboard) seen(t *testing.T, what, trip string) time.Time {
	t.Helper()
	var at float64
	d.step(t, "seen", map[string]any{"page": "live", "what": what, "trip": trip}, &at)
	return time.UnixMicro(int64(at * 1000))
}
