package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads the topics of the sources, and cuts them into ticks.
//
// A tick must be consistent: if a record is in it, so is every record that was
// acknowledged before that one was produced, in whatever partition. Then a
// producer that keeps its topics together (simulate does) finds its drop-offs
// in the buckets where its pick-ups look for them, at any speed. The cut is a
// point in record time: taken before the ends of all partitions are asked for,
// and moved back to the last record of every partition that is not read to its
// end.
type reader struct {
	client  *kgo.Client
	admin   *kadm.Client
	log     *slog.Logger
	sources map[string]*source // by topic
	missing map[string]*source // topics that do not exist yet
	queues  map[topicPartition]*queue
	bad     int64 // records that did not decode
}

type topicPartition struct {
	topic     string
	partition int32
}

// queue is what has been read of a partition and is in no tick yet.
type queue struct {
	source   *source
	position int64 // next offset to read
	last     int64 // record time of the last record read, ms
	records  []queued
}

type queued struct {
	at int64 // record time, ms
	row
}

func newReader(brokers []string, options []kgo.Opt, sources map[string]*source, log *slog.Logger) (*reader, error) {
	r := &reader{log: log, sources: map[string]*source{}, missing: map[string]*source{}, queues: map[topicPartition]*queue{}}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("tripcast-stream"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that the position reaches the end of a partition
		kgo.FetchMaxWait(time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: connecting to Kafka at %s: %w", strings.Join(brokers, ","), err)
	}
	r.client, r.admin = client, kadm.NewClient(client)
	for _, s := range sources {
		if other, ok := r.sources[s.topic]; ok {
			client.Close()
			return nil, fmt.Errorf("stream: %s: topic %s is already read by source %s: one source for each topic", s.at, s.topic, other.name)
		}
		r.sources[s.topic], r.missing[s.topic] = s, s
	}
	return r, nil
}

// assign starts to read the topics that exist by now, and returns those that
// do not.
func (r *reader) assign(ctx context.Context) ([]*source, error) {
	if len(r.missing) == 0 {
		return nil, nil
	}
	topics, err := r.admin.ListTopics(ctx, sortedKeys(r.missing)...)
	if err != nil {
		return nil, fmt.Errorf("stream: listing topics: %w", err)
	}
	offsets := map[string]map[int32]kgo.Offset{}
	var absent []*source
	for topic, s := range r.missing {
		details, ok := topics[topic]
		if !ok || details.Err != nil || len(details.Partitions) == 0 {
			absent = append(absent, s)
			continue
		}
		offsets[topic] = map[int32]kgo.Offset{}
		for _, p := range details.Partitions.Sorted() {
			offsets[topic][p.Partition] = kgo.NewOffset().AtStart()
			r.queues[topicPartition{topic, p.Partition}] = &queue{source: s}
		}
		delete(r.missing, topic)
	}
	if len(offsets) > 0 {
		r.client.AddConsumePartitions(offsets)
	}
	return absent, nil
}

// next waits up to patience for records and returns those of the next tick, by
// source. None means that time has passed.
func (r *reader) next(ctx context.Context, patience time.Duration) (map[string][]row, error) {
	if r.queued() {
		patience = time.Millisecond // the cut moves on with the clock
	}
	if err := r.poll(ctx, patience); err != nil {
		return nil, err
	}
	if !r.queued() {
		return nil, nil
	}
	cut := time.Now().UnixMilli()
	ends, err := r.admin.ListCommittedOffsets(ctx, sortedKeys(r.sources)...)
	if err != nil {
		return nil, fmt.Errorf("stream: asking for the ends of the topics: %w", err)
	}
	for tp, q := range r.queues {
		end, ok := ends.Lookup(tp.topic, tp.partition)
		if !ok || end.Err != nil {
			return nil, fmt.Errorf("stream: asking for the end of %s/%d: %w", tp.topic, tp.partition, end.Err)
		}
		if q.position < end.Offset {
			cut = min(cut, q.last)
		}
	}
	return r.take(cut), nil
}

func (r *reader) queued() bool {
	for _, q := range r.queues {
		if len(q.records) > 0 {
			return true
		}
	}
	return false
}

// poll reads what is there into the queues.
func (r *reader) poll(ctx context.Context, patience time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fetches := r.client.PollRecords(wait, 20000)
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) && ctx.Err() == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(e.Err, kgo.ErrClientClosed) {
			return fmt.Errorf("stream: reading %s: %w", e.Topic, e.Err)
		}
		// franz-go goes on by itself; what it could not read is still there.
		r.log.Warn("reading a topic failed, trying again", "topic", e.Topic, "partition", e.Partition, "err", e.Err)
	}
	now := time.Now().UnixMilli()
	fetches.EachRecord(func(record *kgo.Record) { r.enqueue(record, now) })
	return nil
}

func (r *reader) enqueue(record *kgo.Record, now int64) {
	q := r.queues[topicPartition{record.Topic, record.Partition}]
	q.position = record.Offset + 1
	if record.Attrs.IsControl() {
		return
	}
	// A producer whose clock is ahead must not hold everybody up.
	q.last = min(record.Timestamp.UnixMilli(), now)
	decoded, err := rowOf(q.source, record)
	if err != nil {
		r.bad++
		r.log.Error("a record does not decode and is left out", "err", err)
		return
	}
	q.records = append(q.records, queued{q.last, decoded})
}

// take returns all records from before the cut, in the order of their time.
func (r *reader) take(cut int64) map[string][]row {
	taken := map[string][]queued{}
	for _, tp := range sortedPartitions(r.queues) {
		q := r.queues[tp]
		n := 0
		for n < len(q.records) && q.records[n].at < cut {
			n++
		}
		if n == 0 {
			continue
		}
		taken[q.source.name] = append(taken[q.source.name], q.records[:n]...)
		q.records = q.records[n:]
	}
	rows := make(map[string][]row, len(taken))
	for name, records := range taken {
		slices.SortStableFunc(records, func(a, b queued) int { return int(a.at - b.at) })
		for _, record := range records {
			rows[name] = append(rows[name], record.row)
		}
	}
	return rows
}

func sortedPartitions(queues map[topicPartition]*queue) []topicPartition {
	all := make([]topicPartition, 0, len(queues))
	for tp := range queues {
		all = append(all, tp)
	}
	slices.SortFunc(all, func(a, b topicPartition) int {
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.partition - b.partition)
	})
	return all
}
