package record

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
)

// partition is one that is read: what of it has been, and is not written yet.
type partition struct {
	recordings.Partition
	position int64 // next offset to read
	end      int64 // as it was when the ends were asked for last
	queue    []*queued
	bytes    int // in the queue
	paused   bool
	trouble  string // that has been told
}

// queued is a record that waits for those that arrived before it.
type queued struct {
	recordings.Record
	arrived int64 // ms
	size    int
	happens time.Time // the event's time, if it has one, once known
	known   bool
}

// happened is the time of the record's event, zero where it says none.
func (q *queued) happened() time.Time {
	if !q.known {
		if e, err := events.FromRecord(q.Record.Record); err == nil {
			q.happens = e.Time()
		}
		q.known = true
	}
	return q.happens
}

func (p *partition) add(q *queued) {
	p.queue = append(p.queue, q)
	p.bytes += q.size
}

func (p *partition) take() *queued {
	first := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.bytes -= first.size
	return first
}

// first is the partition whose record comes next. It is nil while that is not
// known: any partition that has not been read to its end may hold an earlier one.
func (r *recorder) first() *partition {
	var first *partition
	for _, p := range r.order {
		if len(p.queue) == 0 {
			if p.position < p.end {
				return nil
			}
			continue
		}
		if first == nil || before(p.queue[0], first.queue[0]) {
			first = p
		}
	}
	if first == nil || first.queue[0].arrived >= r.until {
		return nil
	}
	return first
}

// before reports whether a record comes before one of a partition that is earlier
// in the order.
func before(a, b *queued) bool {
	if a.arrived != b.arrived {
		return a.arrived < b.arrived
	}
	at, bt := a.happened(), b.happened()
	return !at.IsZero() && !bt.IsZero() && at.Before(bt)
}

// insert adds a partition, in the order of topics and partitions.
func (r *recorder) insert(p *partition) {
	r.partitions[p.Partition] = p
	at, _ := slices.BinarySearchFunc(r.order, p, func(a, b *partition) int {
		return cmp.Or(rank(a.Topic)-rank(b.Topic), strings.Compare(a.Topic, b.Topic), int(a.Number-b.Number))
	})
	r.order = slices.Insert(r.order, at, p)
}

func (r *recorder) queued() bool {
	return slices.ContainsFunc(r.order, func(p *partition) bool { return len(p.queue) > 0 })
}

// done reports whether all is written that was there.
func (r *recorder) done() bool {
	return !slices.ContainsFunc(r.order, func(p *partition) bool { return len(p.queue) > 0 || p.position < p.end })
}

// enqueue takes in what was read.
func (r *recorder) enqueue(record *kgo.Record, now int64) {
	p := r.partitions[recordings.Partition{Topic: record.Topic, Number: record.Partition}]
	if p == nil || record.Offset < p.position {
		return
	}
	p.position, p.trouble = record.Offset+1, ""
	if record.Attrs.IsControl() || !r.Follow && record.Offset >= p.end {
		return // it came since
	}
	q := &queued{Record: recordings.Record{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset, At: record.Timestamp.UTC()}}
	q.Key, q.Value, q.size = record.Key, record.Value, len(record.Key)+len(record.Value)
	for _, h := range record.Headers {
		q.Headers = append(q.Headers, events.Header{Key: h.Key, Value: h.Value})
		q.size += len(h.Key) + len(h.Value)
	}
	q.arrived = record.Timestamp.UnixMilli()
	if r.Follow {
		// A producer whose clock is ahead must not hold its partition up.
		q.arrived = min(q.arrived, now)
	}
	p.add(q)
}

// throttle lets the client read no partition that is far ahead of the others, or
// at its end.
func (r *recorder) throttle() {
	pauses, resumes := map[string][]int32{}, map[string][]int32{}
	for _, p := range r.order {
		full := p.bytes >= queueBytes || p.paused && p.bytes > queueBytes/2
		if full = full || !r.Follow && p.position >= p.end; full == p.paused {
			continue
		}
		p.paused = full
		if full {
			pauses[p.Topic] = append(pauses[p.Topic], p.Number)
		} else {
			resumes[p.Topic] = append(resumes[p.Topic], p.Number)
		}
	}
	if len(pauses) > 0 {
		r.client.PauseFetchPartitions(pauses)
	}
	if len(resumes) > 0 {
		r.client.ResumeFetchPartitions(resumes)
	}
}
