package simulate

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// moment is one event of the replay: a trip's start or its end.
type moment struct {
	trip    Trip
	dropOff bool
}

func (m *moment) at() time.Time {
	if m.dropOff {
		return m.trip.DroppedOffAt
	}
	return m.trip.PickedUpAt
}

// replay merges the starts of a source's trips with the ends of those on their
// way, in the order in which they happen; where times are equal, ends come first
// and then the order of the source decides. It holds the open trips and one more.
type replay struct {
	source Source
	limit  int // 0 is none

	open     dropOffs
	ahead    *Trip // the next trip, taken from the source and not yet started
	ended    bool  // no trip will come any more
	accepted int
	last     time.Time
}

// next returns io.EOF when every accepted trip has ended.
func (r *replay) next(ctx context.Context) (moment, error) {
	if err := r.look(ctx); err != nil {
		return moment{}, err
	}
	if len(r.open) > 0 && (r.ahead == nil || !r.open[0].trip.DroppedOffAt.After(r.ahead.PickedUpAt)) {
		ended := heap.Pop(&r.open).(dropOff)
		return moment{trip: ended.trip, dropOff: true}, nil
	}
	if r.ahead == nil {
		return moment{}, io.EOF
	}
	trip := *r.ahead
	r.ahead = nil
	r.accepted++
	heap.Push(&r.open, dropOff{trip: trip, number: r.accepted})
	return moment{trip: trip}, nil
}

// look takes the next trip from the source, if there may be one.
func (r *replay) look(ctx context.Context) error {
	if r.ahead != nil || r.ended {
		return nil
	}
	if r.limit > 0 && r.accepted == r.limit {
		r.ended = true
		return nil
	}
	trip, err := r.source.Next(ctx)
	if errors.Is(err, io.EOF) {
		r.ended = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("simulate: next trip: %w", err)
	}
	if trip.PickedUpAt.Before(r.last) {
		return fmt.Errorf("simulate: next trip: %s starts at %s, before an earlier one at %s: the source is not in order",
			trip.ID, trip.PickedUpAt.Format(time.DateTime), r.last.Format(time.DateTime))
	}
	if !trip.DroppedOffAt.After(trip.PickedUpAt) {
		return fmt.Errorf("simulate: next trip: %s ends at %s, not after it starts", trip.ID, trip.DroppedOffAt.Format(time.DateTime))
	}
	r.last = trip.PickedUpAt
	r.ahead = &trip
	return nil
}

// dropOffs is a heap of the trips on their way, the first to end on top.
type dropOffs []dropOff

type dropOff struct {
	trip   Trip
	number int
}

func (d dropOffs) Len() int { return len(d) }

func (d dropOffs) Less(i, j int) bool {
	if c := d[i].trip.DroppedOffAt.Compare(d[j].trip.DroppedOffAt); c != 0 {
		return c < 0
	}
	return d[i].number < d[j].number
}

func (d dropOffs) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *dropOffs) Push(x any)   { *d = append(*d, x.(dropOff)) }

func (d *dropOffs) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = dropOff{}
	*d = (*d)[:last]
	return x
}

// clock tells when a moment of the city is due, at speed times real time from
// the first moment on. Who falls behind is not slowed down until caught up.
type clock struct {
	speed      float64 // 0 is no waiting at all
	wall, city time.Time
}

// wait blocks until t is due.
func (c *clock) wait(ctx context.Context, t time.Time) error {
	if c.speed == 0 {
		return ctx.Err()
	}
	if c.city.IsZero() {
		c.wall, c.city = time.Now(), t
	}
	due := c.wall.Add(time.Duration(float64(t.Sub(c.city)) / c.speed))
	left := time.Until(due)
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
