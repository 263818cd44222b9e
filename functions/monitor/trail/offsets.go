package trail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// retryAfter is the pause before Kafka is asked again, and tries is how often
// it is asked for offsets.
const (
	retryAfter = 100 * time.Millisecond
	tries      = 3
)

// readCommitted is the isolation level: what a transaction has not written for
// good is not there.
const readCommitted = 1

// Timestamps that stand for the ends of a partition.
const (
	atStart = -2
	atEnd   = -1
)

// span is a stretch of a partition that is to be read.
type span struct {
	topic     string
	partition int32
	leader    int32
	next, end int64 // offsets

	read     int64 // bytes
	readFrom int64 // the offset of their first
}

// want is how many bytes to ask for: about what the rest has, if its records are
// as large as those that have been read.
func (s *span) want() int32 {
	size := int64(usualRecord)
	if n := s.next - s.readFrom; n > 0 && s.read > 0 {
		size = s.read/n + 1
	}
	return int32(min(max(size*(s.end-s.next)*5/4, minPartition), maxPartition))
}

// cutEnd takes the last n offsets off a span.
func (s *span) cutEnd(n int64) *span {
	cut := *s
	cut.next = max(s.next, s.end-n)
	cut.readFrom = cut.next
	s.end = cut.next
	return &cut
}

func byLeader(spans []*span) map[int32][]*span {
	led := make(map[int32][]*span)
	for _, s := range spans {
		led[s.leader] = append(led[s.leader], s)
	}
	return led
}

func topicsOf(spans []*span) []string {
	var names []string
	for _, s := range spans {
		if !slices.Contains(names, s.topic) {
			names = append(names, s.topic)
		}
	}
	return names
}

// spans finds what the partitions of topics have between two times, the zero
// time being open, and false if it could not for some of them. A topic that does
// not exist has nothing.
func (t *Trail) spans(ctx context.Context, from, to time.Time, topics ...string) ([]*span, bool, error) {
	for try := 1; ; try++ {
		partitions, err := t.leaders(ctx, topics)
		if err != nil {
			return nil, false, err
		}
		known, err := t.between(ctx, partitions, from, to)
		if len(known) == len(partitions) || try == tries && len(known) > 0 {
			return known, len(known) == len(partitions), nil
		}
		if try == tries {
			return nil, false, err
		}
		select {
		case <-time.After(retryAfter): // somebody else will lead soon
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// leaders are the partitions of the topics that exist, and who leads them.
func (t *Trail) leaders(ctx context.Context, topics []string) ([]*span, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = false
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := t.metadata(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("finding topics: %w", err)
	}
	var partitions []*span
	for _, topic := range response.Topics {
		err := kerr.ErrorForCode(topic.ErrorCode)
		if errors.Is(err, kerr.UnknownTopicOrPartition) || topic.Topic == nil {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("finding topic %s: %w", *topic.Topic, err)
		}
		for _, p := range topic.Partitions {
			partitions = append(partitions, &span{topic: *topic.Topic, partition: p.Partition, leader: p.Leader})
		}
	}
	return partitions, nil
}

// metadata asks any broker. The client heeds the context but for the first words
// with a broker, and one that says nothing is to be given up in time.
func (t *Trail) metadata(ctx context.Context, request *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	type answer struct {
		response *kmsg.MetadataResponse
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		response, err := request.RequestWith(ctx, t.client)
		answered <- answer{response, err}
	}()
	select {
	case a := <-answered:
		return a.response, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// between sets the offsets of partitions and returns those whose offsets are
// known. An error is why there are none.
func (t *Trail) between(ctx context.Context, partitions []*span, from, to time.Time) ([]*span, error) {
	ask := []int64{atStart, atEnd}
	if !from.IsZero() {
		ask[0] = from.UnixMilli()
	}
	if !to.IsZero() {
		ask = append(ask, to.UnixMilli())
	}
	offsets := make([]map[*span]int64, len(ask))
	var group errgroup.Group
	for i, timestamp := range ask {
		group.Go(func() (err error) {
			offsets[i], err = t.offsets(ctx, partitions, timestamp)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var known []*span
	for _, p := range partitions {
		start, startKnown := offsets[0][p]
		end, endKnown := offsets[1][p]
		if !startKnown || !endKnown {
			continue
		}
		if start < 0 {
			start = end // nothing is as late
		}
		if len(ask) > 2 {
			if until, ok := offsets[2][p]; ok && until >= 0 {
				end = min(end, until)
			}
		}
		p.next, p.end, p.readFrom = start, max(start, end), start
		known = append(known, p)
	}
	return known, nil
}

// offsets are the first ones at or after a timestamp, -1 where there is none. An
// error is why there are none at all.
func (t *Trail) offsets(ctx context.Context, partitions []*span, timestamp int64) (map[*span]int64, error) {
	led := byLeader(partitions)
	type answer struct {
		leader   int32
		response *kmsg.ListOffsetsResponse
		err      error
	}
	answers := make(chan answer, len(led))
	for leader, spans := range led {
		go func() {
			response, err := t.client.Broker(int(leader)).Request(ctx, offsetsRequest(spans, timestamp))
			if err != nil {
				answers <- answer{leader, nil, fmt.Errorf("finding offsets: %w", err)}
				return
			}
			answers <- answer{leader, response.(*kmsg.ListOffsetsResponse), nil}
		}()
	}
	known := make(map[*span]int64)
	var failure error
	for range led {
		a := <-answers
		if a.err != nil {
			failure = a.err
			continue
		}
		if err := noteOffsets(known, led[a.leader], a.response); err != nil {
			failure = err
		}
	}
	if len(known) > 0 {
		failure = nil
	}
	return known, failure
}

func offsetsRequest(spans []*span, timestamp int64) *kmsg.ListOffsetsRequest {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1 // a client
	request.IsolationLevel = readCommitted
	for _, name := range topicsOf(spans) {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = name
		for _, s := range spans {
			if s.topic == name {
				partition := kmsg.NewListOffsetsRequestTopicPartition()
				partition.Partition = s.partition
				partition.Timestamp = timestamp
				topic.Partitions = append(topic.Partitions, partition)
			}
		}
		request.Topics = append(request.Topics, topic)
	}
	return request
}

func noteOffsets(known map[*span]int64, spans []*span, response *kmsg.ListOffsetsResponse) (failure error) {
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				failure = fmt.Errorf("finding offsets of topic %s: %w", topic.Topic, err)
				continue
			}
			for _, s := range spans {
				if s.topic == topic.Topic && s.partition == p.Partition {
					known[s] = p.Offset
				}
			}
		}
	}
	return failure
}
