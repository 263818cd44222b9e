package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/local/eventing"
)

// tally counts what flows, from the topics themselves: it believes nothing that
// a part says of itself, except learn's answers, which tell the version that has
// learned a label.
type tally struct {
	client *kgo.Client
	log    *slog.Logger
	absent []string // of ofTrips, those that are not there yet

	mu         sync.Mutex
	trips      map[string]*trip
	records    map[string]int64 // by topic, tombstones not counted
	distinct   map[string]int64 // by topic, each trip once
	redelivers int64            // labels that a model had already learned
	taught     int64            // trips whose label has been delivered, or given up
	dropped    int64            // events that neither their function nor dead_letters took
	models     map[string]*errorSums
	lags       []int32 // ms, one a trip
	recent     ring
	staleness  staleness
	clock      time.Time                // the city's, as the last pick-up tells it
	span       [2]int64                 // record times of the first pick-up and the last label, ms
	read       map[topicPartition]int64 // of the topics of trips: the first offset that has not been counted
	moved      time.Time                // when anything was last counted
}

type topicPartition struct {
	topic     string
	partition int32
}

// trip is what the topics have said of one trip.
type trip struct {
	picked    int64 // record time of its pick-up, ms
	predicted int64 // record time of its first prediction, ms
	seen      uint8 // topics, as bits
	dead      uint8 // topics whose event about it is a dead letter
	guesses   map[string]float64
	actual    float64
}

const (
	seenPickUp = 1 << iota
	seenDropOff
	seenFeatures
	seenPrediction
	seenLabel
	scored
	taught // the delivery of its label to learn has ended, one way or another
)

// topicBits are the topics that are counted trip by trip.
var topicBits = map[string]uint8{
	events.TopicPickUps: seenPickUp, events.TopicDropOffs: seenDropOff, events.TopicFeatures: seenFeatures,
	events.TopicPredictions: seenPrediction, events.TopicLabels: seenLabel,
}

type errorSums struct {
	n             int64
	abs, squared  float64
	recentAbs     float64 // exponentially weighted, over about the last 1,000 trips
	recentWeights float64
}

func (e *errorSums) add(err float64) {
	e.n++
	e.abs += math.Abs(err)
	e.squared += err * err
	const keep = 0.999
	e.recentAbs = e.recentAbs*keep + math.Abs(err)
	e.recentWeights = e.recentWeights*keep + 1
}

// ring holds the last lags, for the live view.
type ring struct {
	values [2048]int32
	n      int
}

func (r *ring) add(v int32) {
	r.values[r.n%len(r.values)] = v
	r.n++
}

func (r *ring) all() []int32 { return slices.Clone(r.values[:min(r.n, len(r.values))]) }

// counted are the topics that are. Those of trips may be missing: a stream of
// somebody's own has others, of which nothing is known.
var (
	counted = []string{events.TopicFeatures, events.TopicPredictions, events.TopicLabels, events.TopicDeadLetters}
	ofTrips = []string{events.TopicPickUps, events.TopicDropOffs}
)

func newTally(k kafka.Connection, log *slog.Logger) (*tally, error) {
	client, err := k.Client(
		kgo.ClientID("tripcast-tally"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.KeepControlRecords(), // they have offsets, and may be the last
		// That a topic is not there is believed for so long: by default for 5 s, in which
		// ends would take one that has just been made for none.
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	return &tally{
		client: client, log: log,
		trips: map[string]*trip{}, records: map[string]int64{}, distinct: map[string]int64{},
		models: map[string]*errorSums{}, read: map[topicPartition]int64{}, moved: time.Now(),
	}, nil
}

// know asks Redis which model is the champion.
func (t *tally) know(ctx context.Context, client redis.UniversalClient) error {
	infos, err := registry.List(ctx, client, kinds.All())
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range infos {
		if i.Champion {
			t.staleness.champion = i.Name
		}
	}
	return nil
}

// fromNow counts what comes into the topics from now on. Those that are counted
// have to exist.
func (t *tally) fromNow(ctx context.Context) error {
	return t.from(ctx, "ends", kadm.NewClient(t.client).ListEndOffsets)
}

// fromStart counts all that is in the topics. Those that are counted have to exist.
func (t *tally) fromStart(ctx context.Context) error {
	return t.from(ctx, "starts", kadm.NewClient(t.client).ListStartOffsets)
}

// newTopic is how long a topic may take, from being created, to be known to the
// brokers: a cluster agrees on it first.
const newTopic = 15 * time.Second

func (t *tally) from(ctx context.Context, what string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) error {
	for began := time.Now(); ; {
		offsets, err := list(ctx, slices.Concat(counted, ofTrips)...)
		if err == nil {
			t.absent = withoutUnknown(offsets)
			err = offsets.Error()
		}
		if err == nil {
			t.consume(offsets)
			return nil
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) || time.Since(began) > newTopic {
			return fmt.Errorf("asking for the %s of the topics: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// withoutUnknown takes the topics of trips that do not exist out of the offsets,
// and returns them.
func withoutUnknown(offsets kadm.ListedOffsets) []string {
	var unknown []string
	for _, topic := range ofTrips {
		for _, o := range offsets[topic] {
			if errors.Is(o.Err, kerr.UnknownTopicOrPartition) {
				unknown = append(unknown, topic)
				delete(offsets, topic)
				break
			}
		}
	}
	return unknown
}

// look counts all of the topics that were missing, once they are there.
func (t *tally) look(ctx context.Context) {
	offsets, err := kadm.NewClient(t.client).ListStartOffsets(ctx, t.absent...)
	if err != nil {
		return // it is tried again
	}
	absent := withoutUnknown(offsets)
	if offsets.Error() == nil {
		t.absent = absent
		t.consume(offsets)
	}
}

// consume counts what is in these partitions from these offsets on.
func (t *tally) consume(offsets kadm.ListedOffsets) {
	t.mu.Lock()
	offsets.Each(func(o kadm.ListedOffset) {
		if slices.Contains(ofTrips, o.Topic) {
			t.read[topicPartition{o.Topic, o.Partition}] = o.Offset
		}
	})
	t.mu.Unlock()
	t.client.AddConsumePartitions(offsets.KOffsets())
}

// ends are where the topics of trips end now, as far as they exist. Whoever plays
// trips may have created them when the counting had long begun, and a short run
// could be over before they are looked for again.
func (t *tally) ends(ctx context.Context) (kadm.ListedOffsets, error) {
	ends, err := kadm.NewClient(t.client).ListCommittedOffsets(ctx, ofTrips...)
	if err == nil {
		withoutUnknown(ends)
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of the topics of trips: %w", err)
	}
	return ends, nil
}

// through reports whether all before these ends has been counted.
func (t *tally) through(ends kadm.ListedOffsets) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := true
	ends.Each(func(end kadm.ListedOffset) {
		read, known := t.read[topicPartition{end.Topic, end.Partition}]
		all = all && known && read >= end.Offset
	})
	return all
}

// lookAgain is how long topics that are missing are not looked for.
const lookAgain = time.Second

// run counts until ctx ends.
func (t *tally) run(ctx context.Context) {
	looked := time.Now()
	for ctx.Err() == nil {
		polling, cancel := context.WithTimeout(ctx, lookAgain)
		fetches := t.client.PollRecords(polling, 10000)
		cancel()
		if len(t.absent) > 0 && time.Since(looked) >= lookAgain {
			t.look(ctx)
			looked = time.Now()
		}
		for _, e := range fetches.Errors() {
			if ctx.Err() == nil && !errors.Is(e.Err, context.DeadlineExceeded) {
				t.log.Warn("counting: reading a topic failed, trying again", "topic", e.Topic, "err", e.Err)
			}
		}
		t.mu.Lock()
		fetches.EachRecord(t.record)
		t.mu.Unlock()
	}
}

func (t *tally) record(r *kgo.Record) {
	if slices.Contains(ofTrips, r.Topic) {
		t.read[topicPartition{r.Topic, r.Partition}] = r.Offset + 1
	}
	if r.Attrs.IsControl() {
		return
	}
	t.moved = time.Now()
	if r.Topic == events.TopicDeadLetters {
		t.deadLetter(r)
		return
	}
	if r.Value == nil {
		return
	}
	t.records[r.Topic]++
	one, bit := t.trip(string(r.Key)), topicBits[r.Topic]
	if one.seen&bit != 0 {
		return
	}
	one.seen |= bit
	t.distinct[r.Topic]++
	switch r.Topic {
	case events.TopicPickUps:
		one.picked = r.Timestamp.UnixMilli()
		if t.span[0] == 0 || one.picked < t.span[0] {
			t.span[0] = one.picked
		}
		t.tick(r)
		t.lag(one)
	case events.TopicFeatures:
		if t.starts() == events.TopicFeatures {
			t.featured(one, r)
		}
	case events.TopicPredictions:
		one.predicted = r.Timestamp.UnixMilli()
		t.lag(one)
		t.prediction(one, r)
	case events.TopicLabels:
		t.span[1] = max(t.span[1], r.Timestamp.UnixMilli())
		var label struct {
			DurationS float64 `json:"duration_s"`
		}
		if err := json.Unmarshal(r.Value, &label); err != nil {
			t.log.Error("counting: a label does not decode", "key", string(r.Key), "err", err)
			return
		}
		one.actual = label.DurationS
		t.score(one)
	}
}

func (t *tally) trip(id string) *trip {
	one, ok := t.trips[id]
	if !ok {
		one = &trip{}
		t.trips[id] = one
	}
	return one
}

// tick moves the city's clock to when a trip started. A record that is no event
// moves nothing.
func (t *tally) tick(r *kgo.Record) {
	for _, h := range r.Headers {
		if h.Key != "ce_time" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, string(h.Value)); err == nil && at.After(t.clock) {
			t.clock = at.UTC()
		}
	}
}

// starts is the topic whose records are the beginning of a trip: what comes out of
// the SQL, where nothing is known of what goes in.
func (t *tally) starts() string {
	if t.distinct[events.TopicPickUps] == 0 && t.distinct[events.TopicFeatures] > 0 {
		return events.TopicFeatures
	}
	return events.TopicPickUps
}

// featured begins a trip of somebody's own stream.
func (t *tally) featured(one *trip, r *kgo.Record) {
	one.picked = r.Timestamp.UnixMilli()
	if t.span[0] == 0 || one.picked < t.span[0] {
		t.span[0] = one.picked
	}
	var f struct {
		PickedUpAt time.Time `json:"picked_up_at"`
	}
	// Materialize may write a time as a number: then there is no clock.
	if json.Unmarshal(r.Value, &f) == nil && f.PickedUpAt.After(t.clock) {
		t.clock = f.PickedUpAt.UTC()
	}
	t.lag(one)
}

func (t *tally) lag(one *trip) {
	if one.picked != 0 && one.seen&seenPrediction != 0 {
		lag := int32(max(0, one.predicted-one.picked))
		t.lags = append(t.lags, lag)
		t.recent.add(lag)
	}
}

func (t *tally) prediction(one *trip, r *kgo.Record) {
	var p struct {
		Predictions map[string]events.ModelPrediction `json:"predictions"`
	}
	if err := json.Unmarshal(r.Value, &p); err != nil {
		t.log.Error("counting: a prediction does not decode", "key", string(r.Key), "err", err)
		return
	}
	one.guesses = make(map[string]float64, len(p.Predictions))
	for model, guess := range p.Predictions {
		one.guesses[model] = guess.DurationS
	}
	t.staleness.predicted(p.Predictions, r.Timestamp)
	t.score(one)
}

// score adds a trip to its models' errors, once its prediction and its label are there.
func (t *tally) score(one *trip) {
	if one.seen&(seenPrediction|seenLabel|scored) != seenPrediction|seenLabel {
		return
	}
	one.seen |= scored
	for model, guess := range one.guesses {
		sums, ok := t.models[model]
		if !ok {
			sums = &errorSums{}
			t.models[model] = sums
		}
		sums.add(guess - one.actual)
	}
	one.guesses = nil
}

func (t *tally) deadLetter(r *kgo.Record) {
	t.records[r.Topic]++
	one := t.trip(string(r.Key))
	for _, h := range r.Headers {
		if h.Key != "ce_type" {
			continue
		}
		switch string(h.Value) {
		case events.TypeFeatures:
			one.dead |= seenFeatures
		case events.TypeLabel:
			one.dead |= seenLabel
		}
	}
}

// delivered hears from the KafkaSources.
func (t *tally) delivered(d eventing.Delivery) {
	if d.Outcome == eventing.Dropped {
		t.mu.Lock()
		t.dropped++
		t.mu.Unlock()
	}
	if d.Record.Topic != events.TopicLabels || d.Record.Value == nil {
		return
	}
	t.learn(string(d.Record.Key))
	if d.Outcome != eventing.Delivered || len(d.Body) == 0 {
		return
	}
	var learned events.Learned
	if err := json.Unmarshal(d.Body, &learned); err != nil {
		return // an answer is a courtesy: the registry is what counts
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(learned.Duplicate) > 0 {
		t.redelivers++
		return
	}
	t.staleness.learned(learned.Versions, d.Started)
}

// learn notes that the delivery of a trip's label has ended.
func (t *tally) learn(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved = time.Now()
	if one := t.trip(id); one.seen&taught == 0 {
		one.seen |= taught
		t.taught++
	}
}

// full reports whether so many trips are on their way that no more should be
// started: to their prediction, to their label, or with their label to learn.
func (t *tally) full(pickUps, dropOffs int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	dead, labels := t.records[events.TopicDeadLetters], t.distinct[events.TopicLabels]
	return pickUps-t.distinct[events.TopicPredictions]-dead >= inFlight || dropOffs-labels-dead >= inFlight || labels-t.taught >= inFlight
}

// progress is how many trips have a prediction and how many a label, or are dead
// letters.
func (t *tally) progress() (predicted, labelled int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dead := t.records[events.TopicDeadLetters]
	return t.distinct[events.TopicPredictions] + dead, t.distinct[events.TopicLabels] + dead
}

// quiet is how long nothing has been counted.
func (t *tally) quiet() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.moved)
}

// took is how long it took from the first pick-up to the last label, by the
// times of their records.
func (t *tally) took() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(max(0, t.span[1]-t.span[0])) * time.Millisecond
}

// started is how many trips have begun.
func (t *tally) started() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.distinct[t.starts()]
}
