package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events/recordings"
)

// foreignError is a partition that is not the one that was recorded.
type foreignError struct {
	recordings.Partition
	next, end int64
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("record: %s/%d ends at offset %d, and the recording goes on at %d: it is of another Kafka, or the topic was made anew: take another file",
		e.Topic, e.Number, e.end, e.next)
}

// refresh asks for the ends of the topics, and begins to read the partitions
// that are new.
func (r *recorder) refresh(ctx context.Context) error {
	ends, err := r.admin.ListCommittedOffsets(ctx, r.Topics...)
	if err != nil {
		return fmt.Errorf("record: asking for the ends of the topics: %w", err)
	}
	absent := map[string]bool{}
	var unknown []kadm.ListedOffset
	for _, end := range listed(ends) {
		p := r.partitions[recordings.Partition{Topic: end.Topic, Number: end.Partition}]
		switch {
		case r.Follow && errors.Is(end.Err, kerr.UnknownTopicOrPartition):
			absent[end.Topic] = true
		case end.Err != nil: // a leader that moves, for one
			return fmt.Errorf("record: asking where %s/%d ends: %w", end.Topic, end.Partition, end.Err)
		case p == nil:
			unknown = append(unknown, end)
		default:
			p.end = end.Offset
		}
	}
	for topic := range absent {
		if !r.absent[topic] {
			r.Log.Warn("a topic does not exist yet, it is waited for", "topic", topic)
		}
	}
	r.absent = absent
	if len(unknown) == 0 {
		return nil
	}
	return r.begin(ctx, unknown)
}

// listed are the offsets in order.
func listed(offsets kadm.ListedOffsets) []kadm.ListedOffset {
	var all []kadm.ListedOffset
	offsets.Each(func(o kadm.ListedOffset) { all = append(all, o) })
	slices.SortFunc(all, func(a, b kadm.ListedOffset) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return all
}

// begin reads partitions that were not known, which end as given.
func (r *recorder) begin(ctx context.Context, ends []kadm.ListedOffset) error {
	var topics []string
	for _, end := range ends {
		topics = append(topics, end.Topic)
	}
	topics = slices.Compact(topics)
	starts, err := r.admin.ListStartOffsets(ctx, topics...)
	since := starts
	// Partitions that come later have nothing that is older.
	if err == nil && !r.Since.IsZero() && len(r.partitions) == 0 {
		since, err = r.admin.ListOffsetsAfterMilli(ctx, r.Since.UnixMilli(), topics...)
	}
	if err == nil {
		err = errors.Join(starts.Error(), since.Error())
	}
	if err != nil {
		return fmt.Errorf("record: asking where topics %s begin: %w", strings.Join(topics, ", "), err)
	}
	var begun []*partition
	for _, end := range ends {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		from, _ := since.Lookup(end.Topic, end.Partition)
		p := &partition{Partition: recordings.Partition{Topic: end.Topic, Number: end.Partition}, position: max(start.Offset, from.Offset), end: end.Offset}
		if next, ok := r.next[p.Partition]; ok {
			if next > end.Offset {
				return &foreignError{p.Partition, next, end.Offset}
			}
			p.position = next
			r.skip(p, start.Offset)
		}
		begun = append(begun, p)
	}
	for _, p := range begun {
		r.insert(p)
	}
	r.consume(begun)
	return nil
}

// skip goes on with what is there, and says what is not.
func (r *recorder) skip(p *partition, start int64) {
	if start <= p.position {
		return
	}
	gap := Gap{p.Partition, p.position, start}
	r.summary.Lost = append(r.summary.Lost, gap)
	r.Log.Error("Kafka has dropped records before they were recorded: is its retention shorter than the time between two recordings?",
		"topic", gap.Topic, "partition", gap.Number, "from", gap.From, "to", gap.To-1)
	p.position = start
}

// consume lets the client read partitions from where they are.
func (r *recorder) consume(partitions []*partition) {
	offsets := map[string]map[int32]kgo.Offset{}
	for _, p := range partitions {
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.Offset{}
		}
		offsets[p.Topic][p.Number] = kgo.NewOffset().At(p.position)
	}
	r.client.AddConsumePartitions(offsets)
}

// read waits for records and takes them in.
func (r *recorder) read(ctx context.Context) error {
	r.throttle()
	patience, cause := r.silence, error(nil)
	switch {
	case !r.Follow:
		cause = fmt.Errorf("record: Kafka has sent nothing of %s for %s", r.unread(), r.silence)
	case r.queued():
		patience = 10 * time.Millisecond // it is time that has to pass
	default:
		patience = pause
	}
	polling, cancel := context.WithTimeoutCause(ctx, patience, cause)
	defer cancel()
	fetches := r.client.PollRecords(polling, 10000)
	now := time.Now().UnixMilli()
	fetches.EachRecord(func(record *kgo.Record) { r.enqueue(record, now) })
	for _, e := range fetches.Errors() {
		if err := r.failed(ctx, e); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !r.Follow && polling.Err() != nil && fetches.NumRecords() == 0:
		return context.Cause(polling)
	}
	return nil
}

// unread names the partitions that have more.
func (r *recorder) unread() string {
	var names []string
	for _, p := range r.order {
		if p.position < p.end {
			names = append(names, fmt.Sprintf("%s/%d from offset %d", p.Topic, p.Number, p.position))
		}
	}
	return strings.Join(names, ", ")
}

// failed returns an error that does not pass. franz-go goes on by itself after
// the others.
func (r *recorder) failed(ctx context.Context, e kgo.FetchError) error {
	p := r.partitions[recordings.Partition{Topic: e.Topic, Number: e.Partition}]
	var refused *kerr.Error
	switch {
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
		return nil // read tells whose
	case p != nil && errors.Is(e.Err, kerr.OffsetOutOfRange):
		return r.reposition(ctx, p)
	case errors.Is(e.Err, kgo.ErrClientClosed), errors.As(e.Err, &refused) && !refused.Retriable, errors.As(e.Err, new(*kgo.ErrDataLoss)):
		return fmt.Errorf("record: reading %s/%d: %w", e.Topic, e.Partition, e.Err)
	case p != nil && p.trouble != e.Err.Error():
		p.trouble = e.Err.Error()
		r.Log.Warn("reading a topic failed, trying again", "topic", e.Topic, "partition", e.Partition, "err", e.Err)
	}
	return nil
}

// reposition goes on with a partition of which Kafka has dropped what comes next
// while it was read.
func (r *recorder) reposition(ctx context.Context, p *partition) error {
	starts, err := r.admin.ListStartOffsets(ctx, p.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("record: asking where %s begins: %w", p.Topic, err)
	}
	start, _ := starts.Lookup(p.Topic, p.Number)
	if start.Offset <= p.position {
		return &foreignError{p.Partition, p.position, p.end}
	}
	r.skip(p, start.Offset)
	r.client.RemoveConsumePartitions(map[string][]int32{p.Topic: {p.Number}})
	r.consume([]*partition{p})
	return nil
}
