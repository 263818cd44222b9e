package stream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// writer writes what a tick sinks, all of it in one Kafka transaction.
type writer struct {
	client *kgo.Client
	admin  *kadm.Client
	log    *slog.Logger
	sinks  map[string][]*sink // by view
	// written are the rows that an earlier run of the stream has sunk and this
	// one has not come by yet: by topic and key, a hash of the value. The topic
	// is the memory of its sink: nothing else has to survive.
	written map[string]map[string]uint64
	seed    maphash.Seed
}

func newWriter(brokers []string, options []kgo.Opt, sinks map[string][]*sink, log *slog.Logger) (*writer, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("tripcast-stream"),
		kgo.TransactionalID("tripcast-stream"),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1 << 20),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("stream: connecting to Kafka at %s: %w", strings.Join(brokers, ","), err)
	}
	return &writer{
		client: client, admin: kadm.NewClient(client), log: log, sinks: sinks,
		written: map[string]map[string]uint64{}, seed: maphash.MakeSeed(),
	}, nil
}

// createTopics makes the topics of the sinks, as Materialize does. Topics that
// exist stay as they are.
func (w *writer) createTopics(ctx context.Context) error {
	for _, view := range sortedKeys(w.sinks) {
		for _, s := range w.sinks[view] {
			config := map[string]*string{}
			for k, v := range s.config {
				config[k] = &v
			}
			_, err := w.admin.CreateTopic(ctx, int32(s.partitions), -1, config, s.topic)
			if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				return fmt.Errorf("stream: %s: sink %s: creating topic %s: %w", s.at, s.name, s.topic, err)
			}
		}
	}
	return nil
}

// recall reads what earlier runs have sunk. It takes over the transactional id
// first: an earlier run that is still there can sink nothing more.
func (w *writer) recall(ctx context.Context, brokers []string, options []kgo.Opt) error {
	if _, _, err := w.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("stream: taking over the sinks: %w", err)
	}
	for _, sinks := range w.sinks {
		for _, s := range sinks {
			written, err := w.recallTopic(ctx, s.topic, brokers, options)
			if err != nil {
				return fmt.Errorf("stream: reading what was sunk to %s: %w", s.topic, err)
			}
			if len(written) > 0 {
				w.written[s.topic] = written
			}
		}
	}
	return nil
}

func (w *writer) recallTopic(ctx context.Context, topic string, brokers []string, options []kgo.Opt) (map[string]uint64, error) {
	ends, err := w.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	starts, err := w.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, o.Partition); ok && start.Offset < o.Offset {
			left[o.Partition] = o.Offset
		}
	})
	written := map[string]uint64{}
	if len(left) == 0 {
		return written, nil
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(written, string(r.Key))
			default:
				written[string(r.Key)] = maphash.Bytes(w.seed, r.Value)
			}
		})
	}
	return written, nil
}

// caughtUp forgets what earlier runs have sunk: whatever changes now is news.
func (w *writer) caughtUp() { clear(w.written) }

// write sinks the deltas. It tries until it succeeds, ctx ends, or the
// transactional id is taken by another stream.
func (w *writer) write(ctx context.Context, at time.Time, sunk map[string]delta) error {
	var records []*kgo.Record
	for _, view := range sortedKeys(sunk) {
		for _, s := range w.sinks[view] {
			of, err := s.records(sunk[view], at)
			if err != nil {
				return err
			}
			records = append(records, w.news(of)...)
		}
	}
	if len(records) == 0 {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := w.transact(ctx, records)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
			return fmt.Errorf("stream: another stream writes to these sinks: %w", err)
		}
		w.log.Warn("sinking failed, trying again", "records", len(records), "attempt", attempt+1, "err", err)
		if err := sleep(ctx, min(time.Duration(attempt+1)*100*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
	}
}

// news leaves out what an earlier run has sunk already.
func (w *writer) news(records []*kgo.Record) []*kgo.Record {
	if len(w.written) == 0 {
		return records
	}
	return slices.DeleteFunc(records, func(r *kgo.Record) bool {
		written := w.written[r.Topic]
		hash, ok := written[string(r.Key)]
		if !ok {
			return false
		}
		delete(written, string(r.Key))
		return r.Value != nil && hash == maphash.Bytes(w.seed, r.Value)
	})
}

func (w *writer) transact(ctx context.Context, records []*kgo.Record) error {
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("stream: beginning a transaction: %w", err)
	}
	var failed kgo.FirstErrPromise
	fresh := make([]*kgo.Record, len(records))
	for i, r := range records {
		// A record that is tried again must not keep what the first try set.
		fresh[i] = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
		w.client.Produce(ctx, fresh[i], failed.Promise())
	}
	if err := w.client.Flush(ctx); err != nil {
		return errors.Join(fmt.Errorf("stream: producing: %w", err), w.abort(ctx))
	}
	if err := failed.Err(); err != nil {
		return errors.Join(fmt.Errorf("stream: producing: %w", err), w.abort(ctx))
	}
	if err := w.known(ctx, fresh); err != nil {
		return errors.Join(err, w.abort(ctx))
	}
	if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return errors.Join(fmt.Errorf("stream: committing %d records: %w", len(records), err), w.abort(ctx))
	}
	return nil
}

// known waits until the client itself knows the partitions that it has written to.
// Of a topic that it hears of for the first time, kgo (1.22.2) notes the partitions
// only after it has sent the records that waited for them: a transaction that ends
// in between has written to none that it knows, and what was to be committed is
// aborted, which is no error. The first label would be lost.
func (w *writer) known(ctx context.Context, written []*kgo.Record) error {
	for _, r := range written {
		for {
			if leader, _, _ := w.client.PartitionLeader(r.Topic, r.Partition); leader >= 0 {
				break
			}
			if err := sleep(ctx, time.Millisecond); err != nil {
				return fmt.Errorf("stream: producing to %s: %w", r.Topic, err)
			}
		}
	}
	return nil
}

// abort ends a transaction that failed, even if the stream is being stopped.
func (w *writer) abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := w.client.AbortBufferedRecords(ctx); err != nil {
		return fmt.Errorf("stream: giving up buffered records: %w", err)
	}
	if err := w.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("stream: aborting a transaction: %w", err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
