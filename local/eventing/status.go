package eventing

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"tripcast.dev/infra/knative/manifest"
)

// SourceStatus is what a KafkaSource has done since StartSources, and what it
// has to do.
type SourceStatus struct {
	Name   string // namespace/name
	Topics []string

	Delivered    int64 // records, each counted when it is finished
	DeadLettered int64
	Dropped      int64
	Retries      int64 // attempts after a record's first

	InFlight   int               // records read and not finished
	Partitions []PartitionStatus // those it has, by topic and number
}

// PartitionStatus is where a source is in a partition. Offsets are -1 until
// something has been read or committed.
type PartitionStatus struct {
	Topic     string
	Partition int32
	Finished  int64 // the offset before which every record is finished
	Committed int64 // what this process has committed
}

// Status is a snapshot of every source, from memory.
func (e *Eventing) Status() []SourceStatus {
	var all []SourceStatus
	for _, s := range e.running() {
		status := SourceStatus{
			Name:         s.name,
			Topics:       s.manifest.Spec.Topics,
			Delivered:    s.outcomes[Delivered].Load(),
			DeadLettered: s.outcomes[DeadLettered].Load(),
			Dropped:      s.outcomes[Dropped].Load(),
			Retries:      s.retries.Load(),
		}
		for _, p := range s.owned() {
			ps, unfinished := p.status()
			status.InFlight += unfinished
			status.Partitions = append(status.Partitions, ps)
		}
		slices.SortFunc(status.Partitions, func(a, b PartitionStatus) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		all = append(all, status)
	}
	return all
}

func (p *partition) status() (PartitionStatus, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	finished := int64(-1)
	if p.offsets.known {
		finished = p.offsets.next.Offset
	}
	return PartitionStatus{p.topic, p.id, finished, p.committed}, p.offsets.unfinished()
}

// Lag asks Kafka how many offsets each source, by namespace/name, is behind: the
// distance from what it has finished to the end of what a read_committed
// consumer may read, over all partitions of its topics. 0 means that every
// record written so far is finished. Offsets that hold no event (ends of
// transactions, aborted records) count until they have been read past.
//
// It is an error for a source that is still waiting for its topics.
func (e *Eventing) Lag(ctx context.Context) (map[string]int64, error) {
	lags := map[string]int64{}
	for _, s := range e.running() {
		lag, err := s.lag(ctx)
		if err != nil {
			return nil, fmt.Errorf("lag of KafkaSource %s: %w", s.name, err)
		}
		lags[s.name] = lag
	}
	return lags, nil
}

func (s *source) lag(ctx context.Context) (int64, error) {
	client := s.client.Load()
	spec := s.manifest.Spec
	if client == nil {
		return 0, fmt.Errorf("waiting for topics %v", spec.Topics)
	}
	adm := kadm.NewClient(client)
	// In this order, what is finished meanwhile makes the lag larger than it
	// is, never smaller.
	finished := map[topicPartition]int64{}
	for _, p := range s.owned() {
		if status, _ := p.status(); status.Finished >= 0 {
			finished[topicPartition{p.topic, p.id}] = status.Finished
		}
	}
	committed, err := adm.FetchOffsets(ctx, spec.ConsumerGroup)
	if err != nil {
		return 0, err
	}
	starts, err := adm.ListStartOffsets(ctx, spec.Topics...)
	if err != nil {
		return 0, err
	}
	ends, err := adm.ListCommittedOffsets(ctx, spec.Topics...)
	if err != nil {
		return 0, err
	}
	if err := cmp.Or(committed.Error(), starts.Error(), ends.Error()); err != nil {
		return 0, err
	}
	var lag int64
	ends.Each(func(end kadm.ListedOffset) {
		at, ok := finished[topicPartition{end.Topic, end.Partition}]
		if !ok {
			at = end.Offset // a partition never read, from latest on
			if start, known := starts.Lookup(end.Topic, end.Partition); known && spec.InitialOffset == manifest.OffsetEarliest {
				at = start.Offset
			}
			if c, known := committed.Lookup(end.Topic, end.Partition); known && c.At >= 0 {
				at = c.At
			}
		}
		lag += max(0, end.Offset-at)
	})
	return lag, nil
}
