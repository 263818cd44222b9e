package trail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// retryAfter is the pause before Kafka is asked again.
const retryAfter = 100 * time.Millisecond

// span is a stretch of a partition that is to be read.
type span struct {
	topic     string
	partition int32
	leader    int32
	next, end int64 // offsets
	read      int64 // bytes
}

// cutEnd takes the last n offsets off a span.
func (s *span) cutEnd(n int64) *span {
	cut := *s
	cut.next = max(s.next, s.end-n)
	s.end = cut.next
	return &cut
}

// spans finds what the partitions of topics have between two times, the zero
// time being open, and false if it could not for some of them. A topic that does
// not exist has nothing.
func (t *Trail) spans(ctx context.Context, from, to time.Time, topics ...string) ([]*span, bool, error) {
	details, err := t.topics(ctx, topics)
	if err != nil || len(details) == 0 {
		return nil, true, err
	}
	topics = details.Names()
	list := []func() (kadm.ListedOffsets, error){
		func() (kadm.ListedOffsets, error) { return t.admin.ListStartOffsets(ctx, topics...) },
		func() (kadm.ListedOffsets, error) { return t.admin.ListCommittedOffsets(ctx, topics...) },
	}
	if !from.IsZero() {
		list[0] = func() (kadm.ListedOffsets, error) {
			return t.admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), topics...)
		}
	}
	if !to.IsZero() {
		list = append(list, func() (kadm.ListedOffsets, error) {
			return t.admin.ListOffsetsAfterMilli(ctx, to.UnixMilli(), topics...)
		})
	}
	listed := make([]kadm.ListedOffsets, len(list))
	var group errgroup.Group
	for i, ask := range list {
		group.Go(func() error {
			offsets, err := ask()
			var some *kadm.ShardErrors
			if errors.As(err, &some) && !some.AllFailed {
				err = nil // other brokers answered
			}
			listed[i] = offsets
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, fmt.Errorf("finding offsets: %w", err)
	}
	spans, all := between(details, listed)
	return spans, all, nil
}

// topics are those of the topics that exist, and who leads their partitions.
func (t *Trail) topics(ctx context.Context, topics []string) (kadm.TopicDetails, error) {
	metadata, err := t.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("finding topics: %w", err)
	}
	for name, topic := range metadata.Topics {
		if errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			delete(metadata.Topics, name)
		} else if topic.Err != nil {
			return nil, fmt.Errorf("finding topic %s: %w", name, topic.Err)
		}
	}
	return metadata.Topics, nil
}

// between makes spans of offsets: the first of them are where to start, the
// others where to end, the least counts.
func between(details kadm.TopicDetails, listed []kadm.ListedOffsets) (spans []*span, all bool) {
	all = true
	for _, topic := range details.Sorted() {
		for _, partition := range topic.Partitions.Sorted() {
			s := &span{topic: topic.Topic, partition: partition.Partition, leader: partition.Leader, end: -1}
			known := true
			for i, offsets := range listed {
				o, ok := offsets.Lookup(s.topic, s.partition)
				switch {
				case !ok || o.Err != nil:
					known = false
				case i == 0:
					s.next = o.Offset
				case s.end < 0 || o.Offset < s.end:
					s.end = o.Offset
				}
			}
			all = all && known
			if known {
				s.end = max(s.next, s.end)
				spans = append(spans, s)
			}
		}
	}
	return spans, all
}

// reading is a walk through spans.
type reading struct {
	trail   *Trail
	left    *int64 // bytes of the budget
	visit   func(*kgo.Record) bool
	stopped bool  // visit has seen enough
	partial bool  // something could not be read
	failure error // why the last try of a broker failed, nil if it did not
}

// read visits the committed records of spans, until visit has seen enough, the
// context ends or the bytes that are left are read. It reports whether it has
// read everything, and an error if Kafka was why it has not.
func (t *Trail) read(ctx context.Context, spans []*span, left *int64, visit func(*kgo.Record) bool) (bool, error) {
	r := &reading{trail: t, left: left, visit: visit}
	for {
		spans = slices.DeleteFunc(spans, func(s *span) bool { return s.next >= s.end })
		switch {
		case r.stopped:
			return false, nil
		case len(spans) == 0:
			return !r.partial, nil
		case *left <= 0 || ctx.Err() != nil:
			return false, r.failure
		}
		if r.round(ctx, spans) {
			continue
		}
		if err := r.findLeaders(ctx, spans); err != nil {
			return false, err
		}
	}
}

// round asks every leader for more once, and reports whether all led what they
// were asked for.
func (r *reading) round(ctx context.Context, spans []*span) bool {
	var asked []*request
	for _, s := range spans {
		i := slices.IndexFunc(asked, func(q *request) bool { return q.leader == s.leader })
		if i < 0 {
			i = len(asked)
			asked = append(asked, &request{leader: s.leader})
		}
		asked[i].spans = append(asked[i].spans, s)
	}
	var group errgroup.Group
	for _, q := range asked {
		// Who has been read least comes first: the first gets an answer, whatever
		// the size of its records.
		slices.SortStableFunc(q.spans, func(a, b *span) int { return cmp.Compare(a.read, b.read) })
		group.Go(func() error {
			q.send(ctx, r.trail.client, *r.left)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	led := true
	for _, q := range asked {
		led = r.take(ctx, q) && led
	}
	return led
}

// findLeaders asks who leads the partitions now.
func (r *reading) findLeaders(ctx context.Context, spans []*span) error {
	select {
	case <-time.After(retryAfter):
	case <-ctx.Done():
		return r.failure
	}
	names := make([]string, 0, len(spans))
	for _, s := range spans {
		names = append(names, s.topic)
	}
	slices.Sort(names)
	details, err := r.trail.topics(ctx, slices.Compact(names))
	if err != nil {
		return cmp.Or(r.failure, err)
	}
	for _, s := range spans {
		if partition, ok := details[s.topic].Partitions[s.partition]; ok {
			s.leader = partition.Leader
		} else {
			s.next = s.end // the topic is gone
		}
	}
	return nil
}
