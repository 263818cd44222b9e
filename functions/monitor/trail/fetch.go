package trail

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch requests name topics up to version 12, and have their ids later, which
// not every broker has.
const (
	fetchKey     = 1
	fetchVersion = 12
)

// How much a broker may answer at once, and of one partition: enough to be quick
// and little enough that every partition gets on.
const (
	maxAnswer    = 4 << 20
	maxPartition = 512 << 10
	minPartition = 16 << 10
	usualRecord  = 1 << 10
)

// request asks a broker for more of partitions that it leads.
type request struct {
	leader   int32
	spans    []*span
	response *kmsg.FetchResponse
	err      error
}

// send asks and waits for the answer.
func (q *request) send(ctx context.Context, client *kgo.Client, left int64) {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis = 0 // what is asked for is there
	fetch.MaxBytes = int32(min(maxAnswer, left))
	fetch.IsolationLevel = readCommitted
	fetch.SessionEpoch = -1 // no session
	for _, name := range topicsOf(q.spans) {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = name
		for _, s := range q.spans {
			if s.topic == name {
				partition := kmsg.NewFetchRequestTopicPartition()
				partition.Partition = s.partition
				partition.FetchOffset = s.next
				partition.PartitionMaxBytes = s.want()
				topic.Partitions = append(topic.Partitions, partition)
			}
		}
		fetch.Topics = append(fetch.Topics, topic)
	}
	response, err := client.Broker(int(q.leader)).Request(ctx, fetch)
	if err != nil {
		q.err = err
		return
	}
	q.response = response.(*kmsg.FetchResponse)
	q.err = kerr.ErrorForCode(q.response.ErrorCode)
}

// take reads an answer, and reports whether the broker gave it, for partitions
// that it leads.
func (r *reading) take(ctx context.Context, q *request) bool {
	if q.err != nil {
		if ctx.Err() == nil {
			r.failure = q.err
		}
		return false
	}
	r.failure = nil
	first, began := q.spans[0], q.spans[0].next
	led := true
	for i := range q.response.Topics {
		topic := &q.response.Topics[i]
		for j := range topic.Partitions {
			answer := &topic.Partitions[j]
			for _, s := range q.spans {
				// What was packed well may have used up the budget by now.
				if s.topic == topic.Topic && s.partition == answer.Partition && *r.left > 0 {
					led = r.advance(s, answer) && led
				}
			}
		}
	}
	// Asked first, it would have got its next record, were there one to be had.
	if led && first.next == began && *r.left > 0 {
		r.giveUp(first)
	}
	return led
}

// advance visits what a broker has given of a partition, and reports whether it
// leads it.
func (r *reading) advance(s *span, answer *kmsg.FetchResponseTopicPartition) bool {
	size := int64(len(answer.RecordBatches))
	s.read += size
	unpacked := int64(0)
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: s.next, IsolationLevel: kgo.ReadCommitted(), Topic: s.topic, Partition: s.partition,
	}, answer, r.trail.unpack, func(m kgo.FetchBatchMetrics) { unpacked += int64(m.UncompressedBytes) })
	*r.left -= max(size, unpacked)
	for _, record := range fetched.Records {
		if record.Offset >= s.end || r.stopped {
			break
		}
		r.stopped = !r.visit(record)
	}
	s.next = max(s.next, next)
	switch err := fetched.Err; {
	case err == nil:
	case errors.Is(err, kerr.OffsetOutOfRange) && fetched.LogStartOffset > s.next:
		s.next = fetched.LogStartOffset // deleted meanwhile: too old to be kept
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		s.next = s.end
	case kerr.IsRetriable(err):
		return false
	default:
		r.giveUp(s)
	}
	return true
}

// giveUp leaves the rest of a span unread.
func (r *reading) giveUp(s *span) {
	s.next, r.partial = s.end, true
}
