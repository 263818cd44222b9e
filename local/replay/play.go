package replay

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
)

// Clock says which time of a record is meant.
type Clock int

const (
	// Arrival is when the record came into its topic.
	Arrival Clock = iota
	// EventTime is when its event happened. A record whose event does not say
	// has the time of the one before it.
	EventTime
)

// Play says what of a recording is played, and how fast.
type Play struct {
	// Topics are played and others are not; nil plays all but Except.
	Topics, Except []string
	// From is the time of the first record that is played, To that of the first
	// that no longer is; zero is no bound.
	From, To time.Time
	Clock    Clock
	// Speed is how many times faster than recorded; 0 is as fast as it goes.
	Speed float64
	// Settle, if it is not nil, waits for all that a record has caused before the
	// next one is played. Then Speed does not matter.
	Settle func(ctx context.Context) error
	// SettleEvery is after how many records Settle is called; 0 means after each.
	SettleEvery int
	// Hold, if it is not nil, holds a record back at Speed 0 while what takes the
	// records is too far behind those that were played.
	Hold func(ctx context.Context, played *Played) error
	// OnlyTaken leaves out the types of events that a function says it does not
	// take.
	OnlyTaken bool
}

// Played is what was.
type Played struct {
	Records map[string]int  // by topic
	Trips   map[string]bool // those with a pick-up
	LeftOut int             // records of the recording that were not to be played
	Others  map[string]int  // those of them whose topics are not played, by topic
}

func newPlayed() *Played {
	return &Played{Records: map[string]int{}, Trips: map[string]bool{}, Others: map[string]int{}}
}

// Total is how many records were played.
func (p *Played) Total() int {
	n := 0
	for _, of := range p.Records {
		n += of
	}
	return n
}

func (p *Played) note(m moment) {
	p.Records[m.Topic]++
	if m.Topic == events.TopicPickUps && m.err == nil && !events.IsRetraction(m.event) {
		p.Trips[m.event.Subject()] = true
	}
}

// moment is a record whose turn it is.
type moment struct {
	recordings.Record
	event    event.Event
	err      error     // why it is none
	happened time.Time // when its event did, zero where it does not say
	at       time.Time // by the clock
}

// moments are the records that are to be played. An error is the recording's.
func (p Play) moments(records iter.Seq2[recordings.Record, error], played *Played) iter.Seq2[moment, error] {
	return func(yield func(moment, error) bool) {
		var last time.Time
		for r, err := range records {
			if err != nil {
				yield(moment{}, err)
				return
			}
			if p.Topics != nil && !slices.Contains(p.Topics, r.Topic) || slices.Contains(p.Except, r.Topic) {
				played.LeftOut++
				played.Others[r.Topic]++
				continue
			}
			m := momentOf(r)
			if p.Clock == Arrival {
				m.at = r.At
			} else if m.at = m.happened; m.at.IsZero() {
				m.at = last
			}
			last = m.at
			if !p.From.IsZero() && m.at.Before(p.From) || !p.To.IsZero() && !m.at.Before(p.To) {
				played.LeftOut++
				continue
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

func momentOf(r recordings.Record) moment {
	m := moment{Record: r}
	if m.event, m.err = events.FromRecord(r.Record); m.err == nil {
		m.happened = m.event.Time()
	}
	return m
}

// pace tells when a moment is due. Who falls behind is not slowed down until
// caught up.
type pace struct {
	speed       float64
	wall, first time.Time
}

func (c *pace) wait(ctx context.Context, at time.Time) error {
	if c.speed == 0 {
		return ctx.Err()
	}
	if c.first.IsZero() {
		c.wall, c.first = time.Now(), at
	}
	due := c.wall.Add(time.Duration(float64(at.Sub(c.first)) / c.speed))
	if left := time.Until(due); left > 0 {
		return sleep(ctx, left)
	}
	return ctx.Err()
}

// Into plays the records into a Kafka: each as it was, with a timestamp of now, in
// the partition that its key says. Whatever ends it, what was played is
// acknowledged, and said.
func (p Play) Into(ctx context.Context, k kafka.Connection, records iter.Seq2[recordings.Record, error]) (*Played, error) {
	producer, err := newProducer(k)
	if err != nil {
		return newPlayed(), err
	}
	defer producer.client.Close()
	played, err := p.into(ctx, producer, records)
	// Who stops a replay wants what was handed over to arrive.
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	if ferr := producer.flush(flushing); ferr != nil && err == nil {
		err = ferr
	}
	return played, err
}

func (p Play) into(ctx context.Context, producer *producer, records iter.Seq2[recordings.Record, error]) (*Played, error) {
	played := newPlayed()
	clock := pace{speed: p.Speed}
	if p.Settle != nil {
		clock.speed = 0
	}
	for m, err := range p.moments(records, played) {
		if err != nil {
			return played, err
		}
		err := clock.wait(ctx, m.at)
		if err == nil && p.Hold != nil && p.Speed == 0 && p.Settle == nil {
			err = p.Hold(ctx, played)
		}
		if err != nil {
			return played, fmt.Errorf("replay: stopped after %d records: %w", played.Total(), err)
		}
		if err := producer.produce(ctx, m); err != nil {
			return played, err
		}
		played.note(m)
		if p.Settle == nil || played.Total()%max(1, p.SettleEvery) != 0 {
			continue
		}
		if err := producer.flush(ctx); err != nil {
			return played, err
		}
		if err := p.Settle(ctx); err != nil {
			return played, fmt.Errorf("replay: after %s, partition %d, offset %d of the recording: %w", m.Topic, m.Partition, m.Offset, err)
		}
	}
	return played, nil
}

// Bounds of what is on its way to the broker at a time. Topics are read
// independently: a drop-off may be seen before a pick-up that was produced
// earlier, and with maxSkew that is less than the grace after which the SQL
// counts a bucket as closed, five minutes, as in simulate's producer.
const (
	maxSkew     = 4 * time.Minute
	maxInFlight = 8192 // below what the client buffers before it blocks
	flushWithin = 10 * time.Second
)

// producer writes records and bounds how far one may overtake another, by waiting
// for all that are on their way.
type producer struct {
	client      *kgo.Client
	failed      *kgo.FirstErrPromise
	inFlight    int
	first, last time.Time // of what happened in the events on their way
}

func newProducer(k kafka.Connection) (*producer, error) {
	client, err := k.Client(
		kgo.ClientID("tripcast-replay"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(time.Minute),
		// A record that fails ends the replay: giving up on one in flight makes no
		// duplicate, and a broker that hangs does not hang the replay.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
	)
	if err != nil {
		return nil, err
	}
	return &producer{client: client, failed: &kgo.FirstErrPromise{}}, nil
}

func (p *producer) produce(ctx context.Context, m moment) error {
	if p.inFlight >= maxInFlight || p.spread(m.happened) >= maxSkew {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	p.inFlight++
	if t := m.happened; !t.IsZero() {
		if p.first.IsZero() || t.Before(p.first) {
			p.first = t
		}
		if t.After(p.last) {
			p.last = t
		}
	}
	record := &kgo.Record{Topic: m.Topic, Partition: m.Partition, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	promise := p.failed.Promise()
	p.client.Produce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("replay: producing to %s the record of offset %d, partition %d: %w", m.Topic, m.Offset, m.Partition, err)
		}
		promise(r, err)
	})
	return nil
}

// spread is how much of the city's time would be on its way with an event of t.
func (p *producer) spread(t time.Time) time.Duration {
	if t.IsZero() || p.first.IsZero() {
		return 0
	}
	return max(p.last.Sub(t), t.Sub(p.first))
}

// flush waits until all is acknowledged.
func (p *producer) flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("replay: waiting for the acknowledgement of %d records: %w", p.inFlight, err)
	}
	p.inFlight, p.first, p.last = 0, time.Time{}, time.Time{}
	return p.failed.Err()
}

// partitioner is Kafka's own for records with a key. Those without stay in the
// partition where they were recorded: wherever a client would put them next, a
// replay has to put them there again.
type partitioner struct{ kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.Partitioner.ForTopic(topic)}
}

type topicPartitioner struct{ keyed kgo.TopicPartitioner }

func (p topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Key == nil {
		return int(uint32(r.Partition) % uint32(n))
	}
	return p.keyed.Partition(r, n)
}
