package simulate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
)

// Defaults of ProducerConfig.
const (
	DefaultPartitions      = 3
	DefaultMaxSkew         = 4 * time.Minute
	DefaultConnectTimeout  = 15 * time.Second
	DefaultDeliveryTimeout = time.Minute
)

// maxInFlight is below what the client buffers (10,000) before its Produce
// blocks, which would not end with the context.
const maxInFlight = 8192

// ProducerConfig says where events go.
type ProducerConfig struct {
	// Brokers to start from, as host:port.
	Brokers []string

	// Partitions of a topic that has to be created; default DefaultPartitions. A
	// topic that exists is taken as it is.
	Partitions int32

	// MaxSkew is how far, in the city's time, an event may overtake another one
	// on its way to the broker; default DefaultMaxSkew. It has to be less than the
	// grace after which the SQL counts a bucket as closed, five minutes.
	MaxSkew time.Duration

	// ConnectTimeout bounds the wait for a broker at the start; default
	// DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// DeliveryTimeout bounds the retries of one record; default
	// DefaultDeliveryTimeout.
	DeliveryTimeout time.Duration

	// Options go to the Kafka client after the producer's own: TLS, SASL, a logger.
	Options []kgo.Opt
}

// Producer writes pick-ups and drop-offs to Kafka: binary-mode CloudEvents keyed
// by trip, idempotent and acknowledged by all replicas. A record's timestamp is
// when it was written, whatever hour the event is from.
//
// Topics are read independently, so a reader may see a drop-off before an older
// pick-up. The producer bounds by how much: no event of time t is handed to the
// client before every event of t - MaxSkew or older has been acknowledged.
// Within that window records are in flight together. Events have to be produced
// in the order of their times.
//
// Produce and Flush are for one goroutine; Acked is for any.
type Producer struct {
	client  *kgo.Client
	maxSkew time.Duration

	mu       sync.Mutex
	acked    *sync.Cond // window has moved or failed is set
	window   []flight   // not acknowledged or behind one that is not, by time
	failed   error      // the first record that could not be written
	counts   map[string]int64
	produced uint64 // the number of the last flight
}

// flight is a record on its way.
type flight struct {
	at   time.Time
	done bool
}

// NewProducer connects and creates the topics pick_ups and drop_offs where they
// are missing.
func NewProducer(ctx context.Context, cfg ProducerConfig) (*Producer, error) {
	if cfg.Partitions == 0 {
		cfg.Partitions = DefaultPartitions
	}
	if cfg.MaxSkew == 0 {
		cfg.MaxSkew = DefaultMaxSkew
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cfg.DeliveryTimeout == 0 {
		cfg.DeliveryTimeout = DefaultDeliveryTimeout
	}
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("simulate: no Kafka brokers given")
	}
	client, err := kgo.NewClient(clientOptions(cfg)...)
	if err != nil {
		return nil, fmt.Errorf("simulate: configure the Kafka client: %w", err)
	}
	if err := createTopics(ctx, client, cfg); err != nil {
		client.Close()
		return nil, err
	}
	p := &Producer{client: client, maxSkew: cfg.MaxSkew, counts: make(map[string]int64)}
	p.acked = sync.NewCond(&p.mu)
	return p, nil
}

// clientOptions is all that the Kafka client is told.
func clientOptions(cfg ProducerConfig) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("tripcast-simulate"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Records follow each other within the window: lingering for more of them
		// would hold up those that wait for the acknowledgement.
		kgo.ProducerLinger(0),
		kgo.RecordDeliveryTimeout(cfg.DeliveryTimeout),
		// A record that fails ends the simulation and is never produced again, so
		// giving up on one in flight cannot make a duplicate; without this a broker
		// that hangs would hang the simulation.
		kgo.AllowIdempotentProduceCancellation(),
	}
	return append(opts, cfg.Options...)
}

// createTopics creates what is missing only: a user that may write to topics
// need not be one that may create them.
func createTopics(ctx context.Context, client *kgo.Client, cfg ProducerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	known, err := admin.ListTopics(ctx, events.TopicPickUps, events.TopicDropOffs)
	if err != nil {
		return fmt.Errorf("simulate: look for topics on Kafka at %v: %w", cfg.Brokers, err)
	}
	var missing []string
	for _, topic := range known.Sorted() {
		switch {
		case errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, topic.Topic)
		case topic.Err != nil && !kerr.IsRetriable(topic.Err): // it may be between two leaders
			return fmt.Errorf("simulate: look for topic %s on Kafka at %v: %w", topic.Topic, cfg.Brokers, topic.Err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	const brokerDefault = -1 // replication
	topics, err := admin.CreateTopics(ctx, cfg.Partitions, brokerDefault, nil, missing...)
	if err != nil {
		return fmt.Errorf("simulate: create topics on Kafka at %v: %w", cfg.Brokers, err)
	}
	for _, topic := range topics.Sorted() {
		if topic.Err != nil && !errors.Is(topic.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("simulate: create topic %s on Kafka at %v: %w", topic.Topic, cfg.Brokers, topic.Err)
		}
	}
	return nil
}

// PickUp produces the start of a trip.
func (p *Producer) PickUp(ctx context.Context, t Trip) error {
	return p.produce(ctx, events.TopicPickUps, t.PickedUpAt, t.PickUp())
}

// DropOff produces the end of a trip.
func (p *Producer) DropOff(ctx context.Context, t Trip) error {
	return p.produce(ctx, events.TopicDropOffs, t.DroppedOffAt, t.DropOff())
}

// produce blocks until the window has room for an event of time at. It returns
// before the event is acknowledged; an event that could not be written, be it
// an earlier one, is an error from then on.
func (p *Producer) produce(ctx context.Context, topic string, at time.Time, payload events.Payload) error {
	record, err := encode(topic, payload)
	if err != nil {
		return fmt.Errorf("simulate: encode %s event of trip %s: %w", topic, payload.Subject(), err)
	}
	number, err := p.reserve(ctx, at)
	if err != nil {
		return err
	}
	// Who stops the simulation wants what was handed over to arrive: the record
	// outlives ctx, and Flush bounds the wait.
	p.client.Produce(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) {
		p.landed(number, topic, payload.Subject(), at, err)
	})
	return nil
}

func encode(topic string, payload events.Payload) (*kgo.Record, error) {
	event, err := events.Encode(payload)
	if err != nil {
		return nil, err
	}
	r, err := events.ToRecord(event)
	if err != nil {
		return nil, err
	}
	record := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
	for i, h := range r.Headers {
		record.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return record, nil
}

// reserve waits until everything of at - MaxSkew or older is acknowledged and
// puts the event in the window.
func (p *Producer) reserve(ctx context.Context, at time.Time) (number uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.waitLocked(ctx, func() bool {
		return len(p.window) == 0 ||
			len(p.window) < maxInFlight && p.window[0].at.After(at.Add(-p.maxSkew))
	})
	if err != nil {
		return 0, err
	}
	p.window = append(p.window, flight{at: at})
	p.produced++
	return p.produced, nil
}

// waitLocked waits for ready, a failed record or ctx, whichever is first.
func (p *Producer) waitLocked(ctx context.Context, ready func() bool) error {
	if p.failed != nil {
		return p.failed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if ready() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.acked.Broadcast()
	})
	defer stop()
	for !ready() {
		p.acked.Wait()
		if p.failed != nil {
			return p.failed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// landed takes a record's outcome.
func (p *Producer) landed(number uint64, topic, trip string, at time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.acked.Broadcast()
	if err != nil {
		// The event stays in the window: nothing may follow it.
		if p.failed == nil {
			p.failed = fmt.Errorf("simulate: produce to %s the event of trip %s at %s: %w", topic, trip, at.Format(time.DateTime), err)
		}
		return
	}
	p.counts[topic]++
	first := p.produced - uint64(len(p.window)) + 1
	p.window[number-first].done = true
	var done int
	for done < len(p.window) && p.window[done].done {
		done++
	}
	p.window = p.window[done:]
}

// Acked is how many events of a topic the broker has acknowledged.
func (p *Producer) Acked(topic string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[topic]
}

// Flush waits until every event is acknowledged.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.waitLocked(ctx, func() bool { return len(p.window) == 0 }); err != nil {
		return fmt.Errorf("simulate: flush %d events: %w", len(p.window), err)
	}
	return nil
}

// Close closes the client. What is not flushed is lost.
func (p *Producer) Close() { p.client.Close() }
