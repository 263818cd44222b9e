package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ahead is how many records of a partition are held at most, about, that come
// after those of others.
const ahead = 5000

// ErrOtherTopic is returned for a position that is none of a topic: the one in
// which it was one has been deleted, and another has its name.
var ErrOtherTopic = errors.New("it is another topic than it was")

// Merged reads the partitions of a topic as one: its committed records by their
// timestamps, as far as the order within a partition allows, and records of the
// same millisecond by the number of the partition. What follows a position, which
// is the offset of the next record of every partition, is always the same up to
// the same end. It is not safe for concurrent use. Close it.
type Merged struct {
	connection Connection
	topic      string
	admin      *kgo.Client // nil before the first End
	client     *kgo.Client // nil before the first Next, and after one that failed
	partitions []partition
}

// partition is one of a topic, as far as it was read.
type partition struct {
	next   int64         // the offset that was not given out yet
	read   []*kgo.Record // in their order, with the markers of transactions
	paused bool
}

// Merged returns a reader of a topic. It does not connect yet.
func (c Connection) Merged(topic string) *Merged { return &Merged{connection: c, topic: topic} }

// Close ends the reading.
func (m *Merged) Close() {
	m.drop()
	if m.admin != nil {
		m.admin.Close()
		m.admin = nil
	}
}

// drop forgets what was read and not given out.
func (m *Merged) drop() {
	if m.client != nil {
		m.client.Close()
		m.client = nil
	}
}

func (m *Merged) error(err error) error {
	return fmt.Errorf("kafka: reading %s of %s: %w", m.topic, m.connection, err)
}

// End returns where the partitions end now, after every record that was written,
// also of a transaction that may yet be aborted: whoever has seen a record has
// seen one before that.
func (m *Merged) End(ctx context.Context) ([]int64, error) {
	if m.admin == nil {
		var err error
		if m.admin, err = m.connection.Client(kgo.ClientID("tripcast-read")); err != nil {
			return nil, err
		}
	}
	listed, err := kadm.NewClient(m.admin).ListEndOffsets(ctx, m.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, m.error(fmt.Errorf("asking for its end: %w", err))
	}
	return offsets(listed[m.topic]), nil
}

// offsets returns those that were listed, by the partition.
func offsets(listed map[int32]kadm.ListedOffset) []int64 {
	all := make([]int64, len(listed))
	for number, offset := range listed {
		if int(number) < len(all) {
			all[number] = offset.Offset
		}
	}
	return all
}

// Next returns the records from a position on, at most so many and none from the
// end on, and the position after them, which is the end where there are no more.
// It waits until open transactions before the end have been committed or aborted.
// Partitions that a position does not have yet, and offsets that are not kept any
// more, are read from where the partition starts. A position after the end is an
// ErrOtherTopic.
func (m *Merged) Next(ctx context.Context, from, end []int64, most int) ([]*kgo.Record, []int64, error) {
	records, err := m.next(ctx, from, end, most)
	if err != nil {
		m.drop()
		return nil, nil, m.error(err)
	}
	return records, m.position(), nil
}

func (m *Merged) next(ctx context.Context, from, end []int64, most int) ([]*kgo.Record, error) {
	if m.client == nil || !slices.Equal(m.position(), from) || len(m.partitions) != len(end) {
		if err := m.open(ctx, from, end); err != nil {
			return nil, err
		}
	}
	var records []*kgo.Record
	for len(records) < most {
		least, complete := m.least(end)
		switch {
		case !complete:
			if err := m.poll(ctx); err != nil {
				return nil, err
			}
		case least == nil:
			return records, nil
		default:
			records = append(records, least.read[0])
			least.next, least.read = least.read[0].Offset+1, least.read[1:]
		}
	}
	return records, nil
}

// position is what has been given out.
func (m *Merged) position() []int64 {
	at := make([]int64, len(m.partitions))
	for i, p := range m.partitions {
		at[i] = p.next
	}
	return at
}

// least returns the partition whose next record is the next of all, nil if there
// is none before the end, or false if records have to be read to know.
func (m *Merged) least(end []int64) (least *partition, complete bool) {
	for i := range m.partitions {
		p := &m.partitions[i]
		p.skip(end[i])
		switch {
		case p.next >= end[i]:
		case len(p.read) == 0:
			return nil, false
		case least == nil || p.read[0].Timestamp.Before(least.read[0].Timestamp):
			least = p
		}
	}
	return least, true
}

// skip goes over offsets that have no record to give out, up to an end.
func (p *partition) skip(end int64) {
	for len(p.read) > 0 && p.next < end {
		switch r := p.read[0]; {
		case r.Offset >= end:
			p.next = end
		case r.Attrs.IsControl():
			p.next, p.read = r.Offset+1, p.read[1:]
		default:
			return
		}
	}
}

// open begins to read at a position.
func (m *Merged) open(ctx context.Context, from, end []int64) error {
	m.drop()
	client, err := m.connection.Client(
		kgo.ClientID("tripcast-read"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // as in ReadAll
	)
	if err != nil {
		return err
	}
	m.client = client
	listed, err := kadm.NewClient(client).ListStartOffsets(ctx, m.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for its start: %w", err)
	}
	starts := offsets(listed[m.topic])
	if len(from) > len(end) {
		return fmt.Errorf("it has %d partitions, and was read in %d: %w", len(end), len(from), ErrOtherTopic)
	}
	if len(starts) < len(end) {
		return fmt.Errorf("it has %d partitions, and had %d a moment ago", len(starts), len(end))
	}
	m.partitions = make([]partition, len(end))
	places := map[int32]kgo.Offset{}
	for i := range m.partitions {
		at := int64(0)
		if i < len(from) {
			at = from[i]
		}
		if at > end[i] {
			return fmt.Errorf("partition %d ends at offset %d, and was read up to %d: %w", i, end[i], at, ErrOtherTopic)
		}
		at = min(max(at, starts[i]), end[i])
		m.partitions[i].next = at
		places[int32(i)] = kgo.NewOffset().At(at)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{m.topic: places})
	return nil
}

// poll reads on, but for partitions of which there is enough.
func (m *Merged) poll(ctx context.Context) error {
	m.pause()
	polling, cancel := context.WithTimeoutCause(ctx, stall, fmt.Errorf("it has sent nothing for %s: a transaction may be open, or records are not kept", stall))
	defer cancel()
	fetches := m.client.PollRecords(polling, 10_000)
	if err := context.Cause(polling); err != nil {
		return err
	}
	if err := fetches.Err(); err != nil {
		return err
	}
	fetches.EachRecord(func(r *kgo.Record) {
		if int(r.Partition) >= len(m.partitions) {
			return
		}
		p := &m.partitions[r.Partition]
		after := p.next
		if n := len(p.read); n > 0 {
			after = p.read[n-1].Offset + 1
		}
		if r.Offset >= after { // a client that is reset may read some again
			p.read = append(p.read, r)
		}
	})
	return nil
}

// pause keeps partitions from being read whose records wait for those of others.
func (m *Merged) pause() {
	for i := range m.partitions {
		p, this := &m.partitions[i], map[string][]int32{m.topic: {int32(i)}}
		enough := len(p.read) >= ahead
		switch {
		case enough && !p.paused:
			m.client.PauseFetchPartitions(this)
		case !enough && p.paused:
			m.client.ResumeFetchPartitions(this)
		}
		p.paused = enough
	}
}
