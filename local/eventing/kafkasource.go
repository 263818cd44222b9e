package eventing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/infra/knative/manifest"
)

const (
	// handOver is how long a partition that is taken away waits for the
	// deliveries it has under way. It is well within the time a member has to
	// rejoin its group.
	handOver = 10 * time.Second

	// sessionTimeout is how long a source that was killed keeps its partitions
	// from the next one.
	sessionTimeout = 10 * time.Second

	// lastCommit bounds the commit that ends a source whose time is up.
	lastCommit = 5 * time.Second

	// topicPoll is how often a source that waits for a topic looks for it.
	topicPoll = 200 * time.Millisecond

	// fetchMaxWait is how long the broker holds a fetch that finds nothing. A
	// partition that was paused waits for the fetch of the others to come back.
	fetchMaxWait = 100 * time.Millisecond
)

// source is one KafkaSource at work.
type source struct {
	manifest   *manifest.KafkaSource
	name       string // namespace/name
	cfg        *Config
	log        *slog.Logger
	transport  *transport // of both endpoints
	sink       *endpoint
	deadLetter *endpoint
	delivery   delivery
	overrides  []attribute
	slots      chan struct{} // one for each record in flight when unordered, nil when ordered

	client atomic.Pointer[kgo.Client] // nil until the topics exist

	polling     context.Context // ends when no more records are wanted
	stopPolling context.CancelFunc
	requests    context.Context // ends when requests under way are given up
	giveUp      context.CancelFunc
	loops       sync.WaitGroup
	committing  sync.Mutex // one commit at a time

	mu         sync.Mutex
	partitions map[topicPartition]*partition
	abandoned  bool // no more commits, as after a crash

	outcomes [Dropped + 1]atomic.Int64
	retries  atomic.Int64
	kafka    outage
}

type topicPartition struct {
	topic     string
	partition int32
}

func (e *Eventing) newSource(m *manifest.KafkaSource) (*source, error) {
	sink, err := e.resolve(m.Spec.Sink)
	if err != nil {
		return nil, fmt.Errorf("spec.sink: %w", err)
	}
	dead, err := e.resolve(*m.Spec.Delivery.DeadLetterSink)
	if err != nil {
		return nil, fmt.Errorf("spec.delivery.deadLetterSink: %w", err)
	}
	d, invalid := manifest.ReadDelivery(m.Spec.Delivery)
	if len(invalid) > 0 {
		return nil, fmt.Errorf("spec.delivery.%s: %s", invalid[0].Field, invalid[0].Reason)
	}
	inFlight := int(*m.Spec.Consumers) * e.cfg.MaxPollRecords
	s := &source{
		manifest:   m,
		transport:  newTransport(inFlight),
		name:       qualified(&m.ObjectMeta),
		cfg:        &e.cfg,
		log:        e.cfg.Logger.With("source", qualified(&m.ObjectMeta)),
		delivery:   delivery(d),
		partitions: map[topicPartition]*partition{},
	}
	if s.sink, err = newEndpoint(sink, s.transport); err != nil {
		return nil, fmt.Errorf("spec.sink: %w", err)
	}
	if s.deadLetter, err = newEndpoint(dead, s.transport); err != nil {
		return nil, fmt.Errorf("spec.delivery.deadLetterSink: %w", err)
	}
	if m.Spec.Ordering == manifest.OrderingUnordered {
		s.slots = make(chan struct{}, inFlight)
	}
	if o := m.Spec.CloudEventOverrides; o != nil {
		for _, name := range slices.Sorted(maps.Keys(o.Extensions)) {
			s.overrides = append(s.overrides, attribute{name, o.Extensions[name]})
		}
	}
	s.polling, s.stopPolling = context.WithCancel(context.Background())
	s.requests, s.giveUp = context.WithCancel(context.Background())
	return s, nil
}

// start consumes in the background until close.
func (s *source) start() {
	s.loops.Go(func() {
		client, err := s.join()
		if err != nil {
			if s.polling.Err() == nil {
				s.log.Error("source cannot start", "error", err)
			}
			return
		}
		s.client.Store(client)
		s.log.Debug("source started", "group", s.manifest.Spec.ConsumerGroup, "sink", s.sink.url)
		s.loops.Go(s.commitLoop)
		s.poll(client)
	})
}

// join waits for the topics and joins the group.
func (s *source) join() (*kgo.Client, error) {
	spec := s.manifest.Spec
	opts := slices.Clip(append([]kgo.Opt{ // clipped: it is appended to twice
		kgo.SeedBrokers(s.cfg.brokers(spec.BootstrapServers)...),
		kgo.ClientID("kafkasource/" + s.name),
	}, s.cfg.KafkaOptions...))
	if err := s.awaitTopics(opts); err != nil {
		return nil, err
	}
	offset := kgo.NewOffset().AtEnd()
	if spec.InitialOffset == manifest.OffsetEarliest {
		offset = kgo.NewOffset().AtStart()
	}
	return kgo.NewClient(append(opts,
		kgo.ConsumerGroup(spec.ConsumerGroup),
		kgo.ConsumeTopics(spec.Topics...),
		kgo.ConsumeResetOffset(offset),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that commits pass the end of a transaction
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.SessionTimeout(sessionTimeout),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // records are told to their partitions before it can go
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	)...)
}

// awaitTopics returns once every topic exists. A KafkaSource in a cluster is not
// ready until then, and becomes so by itself.
func (s *source) awaitTopics(opts []kgo.Opt) error {
	client, err := kgo.NewClient(append(opts, kgo.MetadataMinAge(topicPoll/2))...) // or it would answer from memory
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	for {
		topics, err := adm.ListTopics(s.polling, s.manifest.Spec.Topics...)
		missing := slices.DeleteFunc(slices.Clone(s.manifest.Spec.Topics), topics.Has)
		switch {
		case s.polling.Err() != nil:
			return s.polling.Err()
		case err != nil:
			s.kafka.failed(s.log, "Kafka is out of reach", "brokers", s.cfg.brokers(s.manifest.Spec.BootstrapServers), "error", err)
		case len(missing) > 0:
			s.kafka.failed(s.log, "waiting for topics", "missing", missing)
		default:
			s.kafka.over(s.log, "topics found")
			return nil
		}
		select {
		case <-s.polling.Done():
		case <-time.After(topicPoll):
		}
	}
}

// work is a record and the tenure of its partition that it was received in.
type work struct {
	partition *partition
	record    *kgo.Record
}

// poll hands records to deliveries, no faster than those finish.
func (s *source) poll(client *kgo.Client) {
	most := int(*s.manifest.Spec.Consumers) * s.cfg.MaxPollRecords
	for s.polling.Err() == nil {
		fetches := client.PollRecords(s.polling, most)
		batch := s.receive(fetches)
		client.AllowRebalance()
		if fetches.IsClientClosed() {
			return
		}
		for _, w := range batch {
			if s.slots == nil {
				w.partition.enqueue(w.record)
			} else if !s.dispatch(w) {
				return
			}
		}
	}
}

// receive tells each record to its partition, while that cannot be taken away.
func (s *source) receive(fetches kgo.Fetches) []work {
	fetches.EachError(func(topic string, partition int32, err error) {
		if s.polling.Err() == nil && !errors.Is(err, kgo.ErrClientClosed) {
			s.kafka.failed(s.log, "reading failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	batch := make([]work, 0, fetches.NumRecords())
	s.mu.Lock()
	defer s.mu.Unlock()
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		p := s.partitions[topicPartition{fp.Topic, fp.Partition}]
		if p == nil || len(fp.Records) == 0 {
			return
		}
		s.kafka.over(s.log, "reading again")
		for _, r := range p.receive(fp.Records) {
			batch = append(batch, work{p, r})
		}
	})
	return batch
}

// dispatch delivers one record in the background as soon as there is a slot, and
// reports whether to go on.
func (s *source) dispatch(w work) bool {
	select {
	case s.slots <- struct{}{}:
	case <-s.polling.Done():
		return false
	}
	if !w.partition.begin() {
		<-s.slots
		return true
	}
	go func() {
		s.deliver(w.partition, w.record)
		w.partition.end()
		<-s.slots
	}()
	return true
}

func (s *source) assigned(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, ids := range partitions {
		for _, id := range ids {
			s.partitions[topicPartition{topic, id}] = s.newPartition(client, topic, id)
		}
		s.log.Debug("partitions assigned", "topic", topic, "partitions", ids)
	}
}

// revoked hands partitions over: what is under way is waited for and committed.
func (s *source) revoked(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	leaving := s.drop(partitions)
	ctx, cancel := context.WithTimeout(ctx, handOver)
	defer cancel()
	for _, p := range leaving {
		if err := p.drain(ctx); err != nil {
			s.log.Warn("handing over a partition with deliveries under way: they will be delivered twice", "topic", p.topic, "partition", p.id)
		}
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommit)
	defer cancel()
	if err := s.commit(commitCtx, client, leaving); err != nil {
		s.log.Warn("handing over partitions without their last commit: some events will be delivered twice", "error", err)
	}
}

// lost forgets partitions that another member may already have.
func (s *source) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	if len(partitions) == 0 { // told again at every attempt to get back into the group
		return
	}
	s.drop(partitions)
	s.log.Warn("partitions lost: what is under way will be delivered twice", "partitions", partitions)
}

// drop takes partitions out and stops them.
func (s *source) drop(partitions map[string][]int32) []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dropped []*partition
	for topic, ids := range partitions {
		for _, id := range ids {
			if p := s.partitions[topicPartition{topic, id}]; p != nil {
				p.stop()
				dropped = append(dropped, p)
				delete(s.partitions, topicPartition{topic, id})
			}
		}
	}
	return dropped
}

// owned is a copy of the partitions.
func (s *source) owned() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	owned := make([]*partition, 0, len(s.partitions))
	for _, p := range s.partitions {
		owned = append(owned, p)
	}
	return owned
}

func (s *source) commitLoop() {
	ticker := time.NewTicker(s.cfg.CommitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.polling.Done():
			return
		case <-ticker.C:
			if err := s.commit(s.polling, s.client.Load(), s.owned()); err != nil {
				// The next commit says all that this one would have.
				s.log.Debug("committing failed", "error", err)
			}
		}
	}
}

// close stops polling, waits for deliveries until ctx ends, commits and leaves
// the group.
func (s *source) close(ctx context.Context) error {
	s.stopPolling()
	s.loops.Wait()
	client := s.client.Load()
	if client == nil {
		return nil
	}
	defer client.CloseAllowingRebalance()
	defer s.transport.CloseIdleConnections() // or who is to stop next waits for them
	defer s.giveUp()
	partitions := s.owned()
	for _, p := range partitions {
		p.stop()
	}
	var err error
	for _, p := range partitions {
		if err = p.drain(ctx); err != nil {
			err = fmt.Errorf("closing KafkaSource %s: giving up on deliveries under way: %w", s.name, err)
			break
		}
	}
	if err != nil {
		s.giveUp()
		for _, p := range partitions {
			_ = p.drain(context.Background()) // their requests have just been cancelled
		}
	}
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommit)
	defer cancel()
	return errors.Join(err, s.commit(commitCtx, client, partitions))
}

// commit commits what is finished of the partitions, if it is more than before.
func (s *source) commit(ctx context.Context, client *kgo.Client, partitions []*partition) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.mu.Lock()
	abandoned := s.abandoned
	s.mu.Unlock()
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for _, p := range partitions {
		if next, ok := p.committable(); ok && !abandoned {
			if offsets[p.topic] == nil {
				offsets[p.topic] = map[int32]kgo.EpochOffset{}
			}
			offsets[p.topic][p.id] = next
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	if err := commitOffsets(ctx, client, offsets); err != nil {
		return fmt.Errorf("KafkaSource %s: committing offsets: %w", s.name, err)
	}
	for _, p := range partitions {
		if next, ok := offsets[p.topic][p.id]; ok {
			p.setCommitted(next.Offset)
		}
	}
	return nil
}

// joinURL resolves a relative URI against the URL of what it is relative to.
func joinURL(base string, relative *url.URL) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("resolving %s against %q: %w", relative, base, err)
	}
	return u.ResolveReference(relative).String(), nil
}
