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
	"github.com/twmb/franz-go/pkg/kerr"
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
	away    bool // Kafka is out of reach, and that has been told
}

type topicPartition struct {
	topic     string
	partition int32
}

// queue is what has been read of a partition and is in no tick yet.
type queue struct {
	source   *source
	position int64 // next offset to read
	history  int64 // the partition's end when it was assigned
	last     int64 // record time of the last record read, ms
	records  []queued
}

type queued struct {
	at     int64 // record time, ms
	offset int64
	row
}

func newReader(brokers []string, options []kgo.Opt, sources map[string]*source, log *slog.Logger) (*reader, error) {
	r := &reader{log: log, sources: map[string]*source{}, missing: map[string]*source{}, queues: map[topicPartition]*queue{}}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("tripcast-stream"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that the position reaches the end of a partition
		// A partition that joins waits for the fetch under way to end.
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: connecting to Kafka at %s: %w", strings.Join(brokers, ","), err)
	}
	r.client, r.admin = client, kadm.NewClient(client)
	for _, s := range sources {
		if other, ok := r.sources[s.topic]; ok {
			client.Close()
			return nil, readTwice(s, other)
		}
		r.sources[s.topic], r.missing[s.topic] = s, s
	}
	return r, nil
}

func readTwice(s, other *source) error {
	return fmt.Errorf("stream: %s: topic %s is already read by source %s: one source for each topic", s.at, s.topic, other.name)
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
	var absent []*source
	var found []string
	for _, topic := range sortedKeys(r.missing) {
		details, ok := topics[topic]
		if !ok || details.Err != nil || len(details.Partitions) == 0 {
			absent = append(absent, r.missing[topic])
			continue
		}
		found = append(found, topic)
	}
	if len(found) == 0 {
		return absent, nil
	}
	err = r.start(ctx, found)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		// Listed, but so new that not every broker knows of it.
		return absent, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream: asking where topics %s begin and end: %w", strings.Join(found, ", "), err)
	}
	for _, topic := range found {
		delete(r.missing, topic)
	}
	return absent, nil
}

// start reads topics from their beginning. All at once: a topic that is added
// while the client asks for the metadata of another waits a second for its own.
func (r *reader) start(ctx context.Context, topics []string) error {
	starts, err := r.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := r.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return err
	}
	offsets := map[string]map[int32]kgo.Offset{}
	starts.Each(func(start kadm.ListedOffset) {
		end, _ := ends.Lookup(start.Topic, start.Partition)
		if offsets[start.Topic] == nil {
			offsets[start.Topic] = map[int32]kgo.Offset{}
		}
		offsets[start.Topic][start.Partition] = kgo.NewOffset().At(start.Offset)
		r.queues[topicPartition{start.Topic, start.Partition}] = &queue{source: r.sources[start.Topic], position: start.Offset, history: end.Offset}
	})
	r.client.AddConsumePartitions(offsets)
	return nil
}

// caughtUp reports whether everything that was there when the topics were
// assigned has been in a tick.
func (r *reader) caughtUp() bool {
	for _, q := range r.queues {
		if q.position < q.history || len(q.records) > 0 && q.records[0].offset < q.history {
			return false
		}
	}
	return len(r.missing) == 0
}

// next waits up to patience for records and returns those of the next tick, by
// source. None means that time has passed.
func (r *reader) next(ctx context.Context, patience time.Duration) (map[string][]row, error) {
	wait := patience
	if r.queued() {
		wait = time.Millisecond // the cut moves on with the clock
	}
	if err := r.poll(ctx, wait); err != nil {
		return nil, err
	}
	if !r.queued() {
		return nil, nil
	}
	cut, err := r.cut(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, kgo.ErrClientClosed) {
		// Brokers come back, and what is queued waits for them.
		if !r.away {
			r.log.Warn("Kafka is out of reach, trying again", "err", err)
		}
		r.away = true
		return nil, sleep(ctx, patience)
	}
	if err != nil {
		return nil, err
	}
	r.away = false
	return r.take(cut), nil
}

// cut is the record time up to which a tick is consistent now.
func (r *reader) cut(ctx context.Context) (int64, error) {
	cut := time.Now().UnixMilli()
	ends, err := r.admin.ListCommittedOffsets(ctx, sortedKeys(r.sources)...)
	if err != nil {
		return 0, fmt.Errorf("stream: asking for the ends of the topics: %w", err)
	}
	for tp, q := range r.queues {
		end, ok := ends.Lookup(tp.topic, tp.partition)
		if end.Err != nil {
			// A leader that moves, for one. Until it is back, the end is unknown.
			r.log.Warn("the end of a partition is unknown, its topic waits", "topic", tp.topic, "partition", tp.partition, "err", end.Err)
		}
		if !ok || end.Err != nil || q.position < end.Offset {
			cut = min(cut, q.last)
		}
	}
	return cut, nil
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
		r.log.Error("a record does not decode and is left out", "err", err)
		return
	}
	q.records = append(q.records, queued{q.last, record.Offset, decoded})
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
