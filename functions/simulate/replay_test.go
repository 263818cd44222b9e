package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tripcast.dev/events"
)

type throttleFunc func(ctx context.Context, produced int) error

func (f throttleFunc) Wait(ctx context.Context, produced int) error { return f(ctx, produced) }

// list is a source of given trips.
type list []Trip

func (l *list) Next(context.Context) (Trip, error) {
	if len(*l) == 0 {
		return Trip{}, io.EOF
	}
	t := (*l)[0]
	*l = (*l)[1:]
	return t, nil
}

// tape is a producer that notes what it is given and when.
type tape struct {
	events []string
	at     []time.Time // wall
	city   []time.Time
	counts map[string]int64
}

func (p *tape) note(topic, kind string, t Trip, at time.Time) error {
	if p.counts == nil {
		p.counts = make(map[string]int64)
	}
	p.counts[topic]++
	p.events = append(p.events, kind+t.ID)
	p.at = append(p.at, time.Now())
	p.city = append(p.city, at)
	return nil
}

func (p *tape) PickUp(_ context.Context, t Trip) error {
	return p.note(events.TopicPickUps, "+", t, t.PickedUpAt)
}

func (p *tape) DropOff(_ context.Context, t Trip) error {
	return p.note(events.TopicDropOffs, "-", t, t.DroppedOffAt)
}
func (p *tape) Flush(context.Context) error { return nil }
func (p *tape) Acked(topic string) int64    { return p.counts[topic] }

func tripFrom(id string, start, end int) Trip {
	day := time.Date(2016, 1, 4, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return day.Add(time.Duration(s) * time.Second) }
	return Trip{ID: id, PickedUpAt: at(start), DroppedOffAt: at(end)}
}

func TestReplayOrder(t *testing.T) {
	trips := list{
		tripFrom("a", 0, 100),
		tripFrom("b", 0, 50),
		tripFrom("c", 50, 60),
		tripFrom("d", 70, 100),
		tripFrom("e", 200, 201),
	}
	for _, c := range []struct {
		limit int
		want  string
	}{
		{0, "+a +b -b +c -c +d -a -d +e -e"},
		{3, "+a +b -b +c -c -a"},
		{1, "+a -a"},
		{9, "+a +b -b +c -c +d -a -d +e -e"},
	} {
		t.Run(fmt.Sprintf("limit %d", c.limit), func(t *testing.T) {
			source, p := slices.Clone(trips), new(tape)
			report, err := run(t.Context(), t, Config{Source: &source, Producer: p, Limit: c.limit})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.events, " "); got != c.want {
				t.Errorf("played %s, want %s", got, c.want)
			}
			if n := int64(strings.Count(c.want, "+")); report.Trips != n || report.PickUps != n || report.DropOffs != n || !report.Done {
				t.Errorf("the report is %+v, want %d trips", report, n)
			}
		})
	}
}

func TestReplayOrderOfManyTrips(t *testing.T) {
	p := new(tape)
	if _, err := run(t.Context(), t, Config{Source: synthetic(t, 3), Producer: p, Limit: 5000}); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(p.city, time.Time.Compare) {
		t.Error("events are not in the order in which they happened")
	}
	seen := make(map[string]int)
	for _, e := range p.events {
		seen[e]++
	}
	for e, n := range seen {
		if n != 1 {
			t.Errorf("%s was played %d times", e, n)
		}
	}
	if len(seen) != 10_000 {
		t.Errorf("%d events were played, want 10,000", len(seen))
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		trips list
		want  string
	}{
		"going back": {list{tripFrom("a", 10, 20), tripFrom("b", 9, 20)}, "b starts at"},
		"no end":     {list{tripFrom("a", 10, 10)}, "a ends at"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t.Context(), t, Config{Source: &c.trips, Producer: new(tape)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		speed float64
		want  []time.Duration // wall, from the first event
	}{
		{1, []time.Duration{0, 10 * time.Second, 60 * time.Second, 100 * time.Second}},
		{10, []time.Duration{0, time.Second, 6 * time.Second, 10 * time.Second}},
		{0.5, []time.Duration{0, 20 * time.Second, 120 * time.Second, 200 * time.Second}},
		{0, []time.Duration{0, 0, 0, 0}},
	} {
		t.Run(fmt.Sprintf("speed %v", c.speed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trips, p := list{tripFrom("a", 0, 100), tripFrom("b", 10, 60)}, new(tape)
				if _, err := run(t.Context(), t, Config{Source: &trips, Producer: p, Speed: c.speed}); err != nil {
					t.Fatal(err)
				}
				for i, want := range c.want {
					if got := p.at[i].Sub(p.at[0]); got != want {
						t.Errorf("%s was played after %s, want %s", p.events[i], got, want)
					}
				}
			})
		})
	}
}

// TestClockCatchesUp holds one trip back: those due meanwhile follow at once,
// those due later are on time.
func TestClockCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trips := list{tripFrom("a", 0, 1000), tripFrom("b", 10, 1000), tripFrom("c", 20, 1000), tripFrom("d", 90, 1000)}
		p := new(tape)
		slow := throttleFunc(func(ctx context.Context, produced int) error {
			if produced == 1 {
				time.Sleep(40 * time.Second)
			}
			return nil
		})
		if _, err := run(t.Context(), t, Config{Source: &trips, Producer: p, Speed: 1, Throttle: slow}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, 50 * time.Second, 50 * time.Second, 90 * time.Second} {
			if got := p.at[i].Sub(p.at[0]); got != want {
				t.Errorf("%s was played after %s, want %s", p.events[i], got, want)
			}
		}
	})
}

func TestClockEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		trips, p := list{tripFrom("a", 0, 100)}, new(tape)
		start := time.Now()
		report, err := run(ctx, t, Config{Source: &trips, Producer: p, Speed: 1})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v, want the context's", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %s, want 5s", took)
		}
		if report.Trips != 1 || report.Open != 1 || report.DropOffs != 0 || report.Done {
			t.Errorf("the report is %+v, want one open trip", report)
		}
	})
}

func TestThrottle(t *testing.T) {
	var waits []int
	throttle := throttleFunc(func(_ context.Context, produced int) error {
		waits = append(waits, produced)
		if produced == 2 {
			return errors.New("enough")
		}
		return nil
	})
	trips, p := list{tripFrom("a", 0, 100), tripFrom("b", 10, 60), tripFrom("c", 70, 80)}, new(tape)
	_, err := run(t.Context(), t, Config{Source: &trips, Producer: p, Throttle: throttle})
	if err == nil || !strings.Contains(err.Error(), "before trip c: enough") {
		t.Errorf("the error is %v", err)
	}
	if want := []int{0, 1, 2}; !slices.Equal(waits, want) {
		t.Errorf("waited at %v, want %v", waits, want)
	}
	if got, want := strings.Join(p.events, " "), "+a +b -b"; got != want {
		t.Errorf("played %s, want %s", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := Config{Source: new(list), Producer: new(tape)}
	if _, err := New(ok); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no source":      func(c *Config) { c.Source = nil },
		"no producer":    func(c *Config) { c.Producer = nil },
		"negative speed": func(c *Config) { c.Speed = -1 },
		"negative limit": func(c *Config) { c.Limit = -1 },
	} {
		cfg := ok
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
