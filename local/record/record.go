// Package record reads topics of a Kafka into a recording: what they hold, and
// what arrives. The records of all partitions become one stream, in the order in
// which they arrived.
package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
)

// Options say what is recorded.
type Options struct {
	Topics []string
	// Since is when what is recorded has arrived, at the earliest; zero is the
	// beginning. Partitions that the recording has already go on where it ends.
	Since time.Time
	// Follow records what arrives until the context ends, which is no error then,
	// and waits for topics and brokers. A record that is in Kafka much later than
	// its timestamp says is in the recording after others. Without Follow, Record
	// ends where the topics ended at the call.
	Follow bool
	// Progress is told, if it is not nil, how far the recording is.
	Progress func(Summary)
	Log      *slog.Logger // nil is silent
}

// Summary is what was recorded.
type Summary struct {
	Records     map[string]int64 // by topic
	First, Last time.Time        // arrivals, the earliest and the latest
	Full        bool             // there was more, but no room for it
	Lost        []Gap
}

// Gap are offsets of a partition that Kafka no longer had when they were to be
// recorded: From is the first, To the first after them.
type Gap struct {
	recordings.Partition
	From, To int64
}

func (g Gap) String() string {
	return fmt.Sprintf("%s/%d: the offsets from %d to %d are gone", g.Topic, g.Number, g.From, g.To-1)
}

// What a recorder holds in memory, and what it waits for.
const (
	queueBytes = 4 << 20 // of a partition, before it has to wait for the others
	fetchBytes = 4 << 20 // as compressed
	flushBytes = 4 << 20

	flushEvery   = time.Second
	lookEvery    = time.Second            // for partitions that are new
	pause        = 200 * time.Millisecond // before Kafka is asked again
	answerWithin = 5 * time.Second        // before Kafka is out of reach
	stall        = 30 * time.Second       // of a broker that has more, without Follow

	// metadataAge is how late the client may know of topics and partitions that are
	// new. What arrives is written so much later, in its order with theirs, and
	// with what takes so long from its producer to Kafka.
	metadataAge = 100 * time.Millisecond
)

// Record writes to w what the topics hold, merged by arrival: by the timestamps
// of the records, those of the same millisecond by the times of their events
// where both have one, else topic by topic in the order in which a trip meets
// them. The records of a partition stay in their order. Only what transactions
// have committed counts.
//
// A recording that is full ends without an error. What Kafka has dropped before
// it was recorded is in the summary's Lost, and is logged. The summary is of this
// call, and says what there is also when there is an error.
func Record(ctx context.Context, k kafka.Connection, o Options, w *recordings.Writer) (Summary, error) {
	r := newRecorder(o, w)
	if err := r.connect(ctx, k); err != nil {
		return r.summary, err
	}
	defer r.client.Close()
	err := r.run(ctx)
	switch {
	case errors.Is(err, recordings.ErrFull):
		r.summary.Full, err = true, nil
	case ctx.Err() != nil && o.Follow:
		err = nil
	}
	return r.summary, errors.Join(err, w.Flush())
}

// recorder is a recording under way.
type recorder struct {
	Options
	client  *kgo.Client
	admin   *kadm.Client
	writer  *recordings.Writer
	next    map[recordings.Partition]int64 // of those that the recording had before
	silence time.Duration                  // of a broker that has more
	summary Summary

	partitions map[recordings.Partition]*partition
	order      []*partition
	absent     map[string]bool // topics that do not exist yet
	until      int64           // ms; of what arrived earlier, all is there that partitions do not hold back
	looked     time.Time
	away       bool // Kafka is out of reach, and that has been told

	unflushed int64
	flushed   time.Time
}

func newRecorder(o Options, w *recordings.Writer) *recorder {
	r := &recorder{Options: o, writer: w, next: w.Next(), partitions: map[recordings.Partition]*partition{}, silence: stall}
	r.Topics = slices.Compact(slices.Sorted(slices.Values(o.Topics)))
	r.summary.Records = map[string]int64{}
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	return r
}

// connect checks what can be known before, with errors for people.
func (r *recorder) connect(ctx context.Context, k kafka.Connection) (err error) {
	if len(r.Topics) == 0 {
		return errors.New("record: no topic is given")
	}
	required := r.Topics
	if r.Follow {
		required = nil
	}
	if err := k.Check(ctx, required...); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	r.client, err = k.Client(
		kgo.ClientID("tripcast-record"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that the position reaches the end of a partition
		// What Kafka no longer has is not skipped in silence.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes),
		// A partition that joins waits for the fetch under way to end.
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(metadataAge),
	)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	r.admin = kadm.NewClient(r.client)
	return nil
}

func (r *recorder) run(ctx context.Context) error {
	r.flushed = time.Now()
	if err := r.start(ctx); err != nil {
		return err
	}
	for {
		if err := r.write(); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(r.snapshot())
		}
		if !r.Follow && r.done() {
			return nil
		}
		if err := r.read(ctx); err != nil {
			return err
		}
		if r.Follow {
			if err := r.look(ctx); err != nil {
				return err
			}
		}
	}
}

// start finds the ends of the topics. Without Follow they are the end.
func (r *recorder) start(ctx context.Context) error {
	if r.Follow {
		return r.look(ctx)
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	r.until = math.MaxInt64
	return nil
}

// look asks Kafka how far all is there, while it matters. Brokers come back.
func (r *recorder) look(ctx context.Context) error {
	if !r.queued() && time.Since(r.looked) < lookEvery {
		return nil
	}
	now := time.Now()
	asking, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := r.refresh(asking)
	switch {
	case err == nil:
		r.until, r.looked = now.Add(-metadataAge).UnixMilli(), now
		if r.away {
			r.Log.Warn("Kafka is back")
		}
		r.away = false
		return nil
	case ctx.Err() != nil || errors.As(err, new(*foreignError)):
		return err
	}
	if !r.away {
		r.Log.Warn("Kafka is out of reach, trying again", "err", err)
	}
	r.away = true
	return sleep(ctx, pause)
}

// write writes what is merged, and flushes it now and then.
func (r *recorder) write() error {
	for p := r.first(); p != nil; p = r.first() {
		record := p.take()
		if err := r.writer.Write(record.Record); err != nil {
			return err
		}
		r.count(record)
		if r.unflushed >= flushBytes {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	// Without Follow time does not matter: the same records give the same bytes.
	if r.Follow && r.unflushed > 0 && time.Since(r.flushed) >= flushEvery {
		return r.flush()
	}
	return nil
}

func (r *recorder) flush() error {
	r.unflushed, r.flushed = 0, time.Now()
	return r.writer.Flush()
}

func (r *recorder) count(record *queued) {
	s := &r.summary
	s.Records[record.Topic]++
	if s.First.IsZero() || record.At.Before(s.First) {
		s.First = record.At
	}
	if record.At.After(s.Last) {
		s.Last = record.At
	}
	r.unflushed += int64(record.size)
}

func (r *recorder) snapshot() Summary {
	s := r.summary
	s.Records, s.Lost = maps.Clone(s.Records), slices.Clone(s.Lost)
	return s
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// rank orders topics as a trip meets them, and those that it does not last.
func rank(topic string) int {
	if i := slices.Index(events.Topics(), topic); i >= 0 {
		return i
	}
	return len(events.Topics())
}
