package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
)

// Outputs are the topics that come out of the system.
func Outputs() []string {
	return []string{events.TopicFeatures, events.TopicPredictions, events.TopicLabels, events.TopicDeadLetters}
}

// Collector reads what comes out of a system, from the moment on that it is made.
// Its methods may be called from any goroutine, but only one of them reads at a
// time.
type Collector struct {
	client *kgo.Client
	admin  *kadm.Client
	topics []string

	reading sync.Mutex // held by who polls

	mu          sync.Mutex
	position    map[partition]int64 // the next offset to read
	events      []Event
	retractions map[string]int
	counts      map[string]int // events, by topic
	fresh       []*kgo.Record  // not returned by ReadAll yet
	moved       time.Time      // when anything came, or the collector was made
	news        chan struct{}  // closed when anything comes, if somebody waits
	writtenOff  int            // predictions, or labels, that will not come any more
}

type partition struct {
	topic  string
	number int32
}

// NewCollector reads these topics from where they end now. They have to exist.
func NewCollector(ctx context.Context, k kafka.Connection, topics ...string) (*Collector, error) {
	client, err := k.Client(
		kgo.ClientID("tripcast-replay"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A partition may end with the marker of a transaction, which is the only
		// sign that its end is reached.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	c := &Collector{
		client: client, admin: kadm.NewClient(client), topics: topics,
		retractions: map[string]int{}, counts: map[string]int{}, moved: time.Now(),
	}
	ends, err := c.ends(ctx)
	if err != nil {
		client.Close()
		return nil, err
	}
	offsets := map[string]map[int32]kgo.Offset{}
	for p, end := range ends {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.Offset{}
		}
		offsets[p.topic][p.number] = kgo.NewOffset().At(end)
	}
	c.position = ends
	client.AddConsumePartitions(offsets)
	return c, nil
}

// Close lets go of Kafka. What was collected stays.
func (c *Collector) Close() { c.client.Close() }

func (c *Collector) ends(ctx context.Context) (map[partition]int64, error) {
	listed, err := c.admin.ListCommittedOffsets(ctx, c.topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("replay: asking for the ends of %s: %w", strings.Join(c.topics, ", "), err)
	}
	ends := map[partition]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[partition{o.Topic, o.Partition}] = o.Offset })
	return ends, nil
}

// stall is how long a broker may keep silent about records that it has.
const stall = 30 * time.Second

// ReadAll reads what is in the topics at the call, and returns what has come
// since it was called before.
func (c *Collector) ReadAll(ctx context.Context) ([]*kgo.Record, error) {
	ends, err := c.ends(ctx)
	if err != nil {
		return nil, err
	}
	for !c.reached(ends) {
		polling, cancel := context.WithTimeoutCause(ctx, stall, fmt.Errorf("replay: %s have sent nothing for %s", strings.Join(c.topics, ", "), stall))
		err := c.poll(polling)
		cause := context.Cause(polling)
		cancel()
		if cause != nil {
			return nil, cause
		}
		if err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return fresh, nil
}

func (c *Collector) reached(ends map[partition]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, end := range ends {
		if c.position[p] < end {
			return false
		}
	}
	return true
}

// Run reads until ctx ends, which is no error.
func (c *Collector) Run(ctx context.Context) error {
	for {
		err := c.poll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Quiet waits, while Run reads, until nothing has come for so long, from now on.
func (c *Collector) Quiet(ctx context.Context, long time.Duration) error {
	last := time.Now()
	for {
		c.mu.Lock()
		if c.moved.After(last) {
			last = c.moved
		}
		c.mu.Unlock()
		left := time.Until(last.Add(long))
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// inFlight is how many trips may wait for their prediction, and how many for
// their label, when records are played as fast as it goes: models would learn too
// late of what they could have learned of. writeOff is how long nothing has to
// come until what is waited for is thought never to.
const (
	inFlight = 1000
	writeOff = time.Second
)

// Hold waits, while Run reads, until no more than so many of the pick-ups that
// were played have no prediction yet, and of the drop-offs no label. Some never
// will: those of malformed events, and of trips that never started.
func (c *Collector) Hold(ctx context.Context, played *Played) error {
	for {
		news, left := c.behind(played)
		if news == nil {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
}

// behind returns nil if a record may be played, and else what is closed when
// anything has come, and how long to wait for it.
func (c *Collector) behind(played *Played) (<-chan struct{}, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	owed := c.owed(played)
	if owed-c.writtenOff < inFlight {
		return nil, 0
	}
	left := time.Until(c.moved.Add(writeOff))
	if left <= 0 {
		c.writtenOff = owed
		return nil, 0
	}
	return c.changes(), left
}

// owed is how many answers the records that were played have not had yet. Of a
// stream of somebody's own, each is thought to have one. c.mu is held.
func (c *Collector) owed(played *Played) int {
	dead := c.counts[events.TopicDeadLetters]
	predictions, labels := c.counts[events.TopicPredictions], c.counts[events.TopicLabels]
	starts, ends := played.Records[events.TopicPickUps], played.Records[events.TopicDropOffs]
	if starts+ends == 0 {
		return played.Total() - predictions - labels - dead
	}
	return max(starts-predictions-dead, ends-labels-dead)
}

// changes is closed when anything has come. c.mu is held.
func (c *Collector) changes() <-chan struct{} {
	if c.news == nil {
		c.news = make(chan struct{})
	}
	return c.news
}

// poll reads once.
func (c *Collector) poll(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	fetches := c.client.PollRecords(ctx, 10_000)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("replay: reading %s: %w", strings.Join(c.topics, ", "), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachRecord(c.take)
	return nil
}

// take notes a record. c.mu is held.
func (c *Collector) take(r *kgo.Record) {
	c.position[partition{r.Topic, r.Partition}] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	c.fresh = append(c.fresh, r)
	c.moved = time.Now()
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
	if len(r.Value) == 0 {
		c.retractions[r.Topic]++
		return
	}
	c.counts[r.Topic]++
	c.events = append(c.events, Event{Topic: r.Topic, Event: repeatable(r)})
}

// Outcome is what has come so far.
func (c *Collector) Outcome() *Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Outcome{Events: slices.Clone(c.events)}
}

// Retractions are how many came so far, by topic.
func (c *Collector) Retractions() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.retractions)
}

// What a KafkaSource adds to an event, and to a dead letter.
const (
	kafkaPartition   = "knativekafkapartition"
	kafkaOffset      = "knativekafkaoffset"
	errorDestination = "knativeerrordest"
	errorCode        = "knativeerrorcode"
	errorData        = "knativeerrordata"
)

// volatile attributes are others in every run: places in a topic, and a
// destination that has a port.
var volatile = []string{errorDestination, kafkaPartition, kafkaOffset}

// TypeRecord is the type of what came out and is no CloudEvent: its data are the
// record's value.
const TypeRecord = "dev.tripcast.replay.record.v1"

// repeatable is the event of a record as far as another replay can repeat it.
func repeatable(r *kgo.Record) event.Event {
	e, err := events.FromRecord(recordOf(r))
	if err != nil {
		return plainEvent(r)
	}
	for _, name := range volatile {
		if _, ok := e.Extensions()[name]; ok {
			e.SetExtension(name, nil)
		}
	}
	if e.Type() == events.TypeKafka {
		// Made by a KafkaSource of a record that is no event: its id, subject and
		// time are the record's place in its topic, and when it got there.
		placeless := event.New()
		placeless.SetID(nameOf(r.Key))
		placeless.SetType(e.Type())
		placeless.SetSource(e.Source())
		for name, value := range e.Extensions() {
			placeless.SetExtension(name, value)
		}
		if contentType := e.DataContentType(); contentType != "" {
			placeless.SetDataContentType(contentType)
		}
		placeless.DataEncoded = e.Data()
		return placeless
	}
	return e
}

func plainEvent(r *kgo.Record) event.Event {
	e := event.New()
	e.SetID(nameOf(r.Key))
	e.SetType(TypeRecord)
	e.SetSource("/tripcast/replay")
	e.SetDataContentType("application/octet-stream")
	e.DataEncoded = r.Value
	return e
}

// nameOf is a key as an attribute, which an id has to be.
func nameOf(key []byte) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(key), "\uFFFD"))
	if name == "" {
		return "-"
	}
	return name
}

func recordOf(r *kgo.Record) events.Record {
	record := events.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	return record
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
