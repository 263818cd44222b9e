package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// visitor reads messages and keeps what they say.
type visitor struct {
	w       *world
	v       *Visitor
	counts  map[string]int
	seen    map[string]bool // trips, and with " ended" those that are over
	resets  int
	leftOut int
	last    map[string]string
}

func (w *world) visitor() *visitor {
	return &visitor{w: w, v: w.feed.Subscribe(context.Background()), counts: map[string]int{}, last: map[string]string{}}
}

// wireTrips is how trips come.
type wireTrips struct {
	Reset          bool
	Started, Ended [][]any
	LeftOut        int `json:"left_out"`
}

func (v *visitor) next() []Message {
	v.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	messages, err := v.v.Next(ctx)
	if err != nil {
		v.w.t.Fatalf("no more messages: %v\n%s", err, v.w.log.all())
	}
	for _, m := range messages {
		v.counts[m.Event]++
		v.last[m.Event] = string(m.Data)
		if m.Event == EventTrips {
			v.trips(m.Data)
		}
	}
	return messages
}

func (v *visitor) trips(data []byte) {
	v.w.t.Helper()
	var trips wireTrips
	if err := json.Unmarshal(data, &trips); err != nil {
		v.w.t.Fatal(err)
	}
	if trips.Reset {
		v.seen = map[string]bool{}
		v.resets++
	}
	for _, s := range trips.Started {
		if v.seen[s[0].(string)] {
			v.w.t.Errorf("trip %v starts twice", s[0])
		}
		v.seen[s[0].(string)] = true
	}
	for _, e := range trips.Ended {
		id := e[0].(string) + " ended"
		if v.seen[id] {
			v.w.t.Errorf("trip %v ends twice", e[0])
		}
		v.seen[id] = true
	}
	v.leftOut += trips.LeftOut
}

func (v *visitor) awaitTrips(what string, met func(seen map[string]bool) bool) {
	v.w.t.Helper()
	for deadline := time.Now().Add(patience); v.seen == nil || !met(v.seen); v.next() {
		if time.Now().After(deadline) {
			v.w.t.Fatalf("waited in vain for %s: %v", what, v.seen)
		}
	}
}

// The first messages are everything as it is.
func TestFirstMessages(t *testing.T) {
	w := newWorld(t)
	messages := w.visitor().next() // before anything was read
	var events []string
	for _, m := range messages {
		events = append(events, m.Event)
	}
	if want := []string{EventSummary, EventModels, EventErrors, EventSegments, EventTrips}; !slices.Equal(events, want) {
		t.Errorf("events are %v, want %v", events, want)
	}
	some, err := w.feed.Subscribe(t.Context(), EventErrors, EventSummary).Next(t.Context())
	if err != nil || len(some) != 2 || some[0].Event != EventSummary || some[1].Event != EventErrors {
		t.Errorf("a visitor who wants two events gets %v, %v", some, err)
	}
	if text := string(messages[4].Data); text != `{"reset":true,"started":[],"ended":[]}` {
		t.Errorf("trips are %s", text)
	}
	for n := range 1600 {
		w.db.commit(w.db.add(viewStarts, started(n, 300)...))
	}
	w.db.commit(w.db.add(viewEnds, ended(50, 1.0)...), w.db.add(viewEnds, ended(1599, 251.26)...))
	w.live()
	v := w.visitor()
	v.next()
	var trips wireTrips
	if err := json.Unmarshal([]byte(v.last[EventTrips]), &trips); err != nil {
		t.Fatal(err)
	}
	if len(trips.Started) != 1500 || len(trips.Ended) != 1 || !trips.Reset {
		t.Fatalf("%d trips, %d ended, reset %t", len(trips.Started), len(trips.Ended), trips.Reset)
	}
	if got, want := fmt.Sprint(trips.Started[1499]), fmt.Sprintf("[t1599 -73.98123 40.75 -73.95 40.78123 %v 300]", float64(noon.Add(1599*time.Second).UnixMilli())); got != want {
		t.Errorf("the newest is %s, want %s", got, want)
	}
	if got := fmt.Sprint(trips.Ended[0]); got != "[t1599 -73.95 40.78123 300 251.3]" {
		t.Errorf("the end is %s", got)
	}
}

// Every trip is told once, though it is in what is read at first and in what is
// subscribed to.
func TestNoTripIsLostOrToldTwice(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	added := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				added <- n
				return
			case <-time.After(200 * time.Microsecond):
				w.db.commit(w.db.add(viewStarts, started(n, 300)...))
				if n > 5 {
					w.db.commit(w.db.add(viewEnds, ended(n-5, 250)...))
				}
				n++
			}
		}
	}()
	w.live()
	v := w.visitor()
	for range 20 {
		v.next()
	}
	close(stop)
	n := <-added
	v.awaitTrips("the last trip", func(seen map[string]bool) bool {
		return seen[fmt.Sprintf("t%d", n-1)] && seen[fmt.Sprintf("t%d ended", n-6)]
	})
	for i := range n {
		if !v.seen[fmt.Sprintf("t%d", i)] || i > 0 && i <= n-6 && !v.seen[fmt.Sprintf("t%d ended", i)] {
			t.Errorf("trip %d of %d is missing, or its end is", i, n)
		}
	}
	if v.resets != 1 {
		t.Errorf("%d resets", v.resets)
	}
}

// The end of a trip comes on its own connection, and at times before its start.
func TestEndBeforeStart(t *testing.T) {
	w := newWorld(t)
	w.live()
	v := w.visitor()
	w.db.commit(w.db.add(viewEnds, ended(1, 250)...))
	w.until("the end", func() bool {
		w.feed.mu.Lock()
		defer w.feed.mu.Unlock()
		return w.feed.state.trips.total.ended == 1
	})
	w.db.commit(w.db.add(viewStarts, started(1, 300)...))
	v.awaitTrips("both", func(seen map[string]bool) bool { return seen["t1"] && seen["t1 ended"] })
}

// A trip that leaves the views has grown old. It is no news, and what is known of
// it stays.
func TestTripsThatGrowOld(t *testing.T) {
	w := newWorld(t)
	one := started(1, 300)
	w.db.commit(w.db.add(viewStarts, one...))
	w.live()
	w.db.commit(
		w.db.remove(viewStarts, one...), w.db.remove(viewStarts, started(7, 300)...), w.db.remove(viewEnds, ended(7, 300)...),
		w.db.add(viewStarts, started(2, 300)...), w.db.add(viewEnds, ended(2, 300)...),
	)
	v := w.visitor()
	v.awaitTrips("both", func(seen map[string]bool) bool { return seen["t1"] && seen["t2"] && seen["t2 ended"] })
	if v.seen["t7"] || v.seen["t7 ended"] {
		t.Errorf("seen are %v", v.seen)
	}
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	if got := w.feed.state.trips.total; got != (totals{1, 1}) {
		t.Errorf("counted are %+v", got)
	}
}

// What starts and ends while the newest trips are being read is not in them.
func TestTripsWhileTheNewestAreRead(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.db.with(func() { w.db.hold = hold })
	w.db.commit(w.db.add(viewStarts, started(1, 300)...))
	w.run()
	w.until("the query", func() bool { return w.db.asked(loadNewest) == 1 })
	w.db.commit(w.db.add(viewStarts, started(2, 300)...), w.db.add(viewEnds, ended(1, 300)...))
	fetched := w.db.asked("FETCH")
	w.until("the subscriptions to have got it", func() bool { return w.db.asked("FETCH") > fetched+10*len(viewColumns) })
	close(hold)
	v := w.visitor()
	v.awaitTrips("all of it", func(seen map[string]bool) bool { return seen["t1"] && seen["t2"] && seen["t1 ended"] })
}

// Where there are more than a page can use, it gets a sample, is told how many
// are left out, and the ends that it gets are mostly of trips that it knows.
func TestTripsAreSampled(t *testing.T) {
	w := newWorld(t)
	w.live()
	v := w.visitor()
	v.next()
	const all = 5000
	var changes []func(int64)
	for n := range all {
		changes = append(changes, w.db.add(viewStarts, started(n, 300)...))
	}
	w.db.commit(changes...)
	v.awaitTrips("a sample", func(seen map[string]bool) bool { return len(seen) > 0 })
	if len(v.seen) != mostTrips || v.leftOut != all-mostTrips {
		t.Errorf("%d trips, %d left out", len(v.seen), v.leftOut)
	}
	changes = nil
	for n := range all {
		changes = append(changes, w.db.add(viewEnds, ended(n, 250)...))
	}
	w.db.commit(changes...)
	v.awaitTrips("ends", func(seen map[string]bool) bool { return len(seen) == 2*mostTrips })
	both := 0
	for id := range v.seen {
		if v.seen[id+" ended"] {
			both++
		}
	}
	if both != mostTrips {
		t.Errorf("%d of %d ends are of trips that were told", both, mostTrips)
	}
}

// A visitor who does not come for long gets the newest views once, and the trips
// from the beginning.
func TestSlowVisitor(t *testing.T) {
	w := newWorld(t)
	w.live()
	slow, quick := w.visitor(), w.visitor()
	slow.next()
	quick.next()
	const last = keptMessages + 10
	for n := range last {
		w.db.commit(
			w.db.add(viewStarts, started(n, 300)...),
			w.db.add(viewCounts, int64(n), int64(0), int64(0), int64(0), int64(0), int64(0)),
		)
		quick.awaitTrips("a trip", func(seen map[string]bool) bool { return seen[fmt.Sprintf("t%d", n)] })
	}
	w.await("the last", func(n Now) bool { return n.Summary.Trips.PickUps == last-1 })
	slow.counts = map[string]int{}
	slow.next()
	if slow.counts[EventSummary] > 1 || slow.counts[EventTrips] != 1 || slow.resets != 2 {
		t.Errorf("the slow one got %v, %d resets", slow.counts, slow.resets)
	}
	if quick.resets != 1 {
		t.Errorf("the quick one got %d resets", quick.resets)
	}
	if len(slow.seen) != last {
		t.Errorf("the slow one has seen %d trips, want %d", len(slow.seen), last)
	}
}

// Nothing is sent when nothing has changed.
func TestQuiet(t *testing.T) {
	w := newWorld(t)
	w.db.commit(w.db.add(viewErrors, "good", int64(4), 100.0, 150.0, 0.0), w.db.add(viewStarts, started(1, 300)...))
	w.live()
	w.await("the errors", func(n Now) bool { return n.Models.Models[0].Trips == 4 && n.Models.Models[0].ServedVersion == 7 })
	v := w.visitor()
	v.next()
	before := w.db.asked("FETCH")
	w.until("many answers without a change", func() bool { return w.db.asked("FETCH") > before+500 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Whatever there is would be returned before the context counts.
	if messages := v.v.unseen(w.feed.hub.current.Load()); len(messages) != 0 {
		// The newest predictions come to be known as fresh once Redis has been asked.
		for _, m := range messages {
			if m.Event != EventSummary {
				t.Errorf("%s: %s", m.Event, m.Data)
			}
		}
	}
	if _, err := v.v.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
}

func TestVisitEnds(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	v := w.feed.Subscribe(ctx)
	if _, err := v.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := v.Next(context.WithoutCancel(t.Context()))
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
}

// 200 visitors cost the database what one does, get the very same bytes, and
// leave nothing behind.
func TestVisitorsShare(t *testing.T) {
	w := newWorld(t)
	w.live()
	goroutines := runtime.NumGoroutine()
	const visitors = 200
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan []Message, visitors)
	first := make(chan struct{}, visitors)
	for range visitors {
		go func() {
			v := w.feed.Subscribe(ctx)
			_, _ = v.Next(ctx)
			first <- struct{}{}
			for {
				messages, err := v.Next(ctx)
				if err != nil {
					got <- nil
					return
				}
				for _, m := range messages {
					if m.Event == EventTrips {
						got <- []Message{m}
					}
				}
			}
		}()
	}
	for range visitors {
		<-first
	}
	w.db.commit(w.db.add(viewStarts, started(1, 300)...))
	var data *byte
	for range visitors {
		m := <-got
		if data == nil {
			data = &m[0].Data[0]
		}
		if &m[0].Data[0] != data {
			t.Fatal("a visitor got bytes of their own")
		}
	}
	if n := w.db.asked("DECLARE"); n != len(viewColumns) {
		t.Errorf("%d SUBSCRIBEs for %d visitors, want one of each of %d views", n, visitors, len(viewColumns))
	}
	if n := w.db.asked(loadNewest); n != 1 {
		t.Errorf("the newest trips were read %d times", n)
	}
	cancel()
	for range visitors {
		<-got
	}
	w.until("the visitors' goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// When the feed ends, nothing of it stays.
func TestFeedEnds(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	w := newWorld(t)
	w.live()
	w.db.with(func() { w.db.trips["t1"] = tripRow() })
	if _, err := w.feed.Trip(t.Context(), "t1"); err != nil {
		t.Fatal(err)
	}
	w.end()
	w.until("no connection", func() bool { return w.db.connections() == 0 })
	if _, err := w.feed.Trip(t.Context(), "t2"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a trip after the end: %v", err)
	}
	w.db.stop()
	w.redis.Close()
	w.until("the feed's goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
}
