package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/local/eventing"
)

// tally counts what flows, from the topics themselves: it believes nothing that
// a part says of itself, except learn's answers, which tell the version that has
// learned a label.
type tally struct {
	client *kgo.Client
	log    *slog.Logger

	mu         sync.Mutex
	trips      map[string]*trip
	records    map[string]int64 // by topic, tombstones not counted
	distinct   map[string]int64 // by topic, each trip once
	redelivers int64            // labels that a model had already learned
	dropped    int64            // events that neither their function nor dead_letters took
	models     map[string]*errorSums
	lags       []int32 // ms, one a trip
	recent     ring
	staleness  staleness
	moved      time.Time // when anything was last counted
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

func newTally(brokers []string, log *slog.Logger) (*tally, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ClientID("tripcast-tally"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka at %v: %w", brokers, err)
	}
	return &tally{
		client: client, log: log,
		trips: map[string]*trip{}, records: map[string]int64{}, distinct: map[string]int64{},
		models: map[string]*errorSums{}, moved: time.Now(),
	}, nil
}

// start counts from what is in the topics now on. All topics have to exist.
func (t *tally) start(ctx context.Context) error {
	ends, err := kadm.NewClient(t.client).ListEndOffsets(ctx,
		events.TopicPickUps, events.TopicDropOffs, events.TopicFeatures, events.TopicPredictions, events.TopicLabels, events.TopicDeadLetters)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the ends of the topics: %w", err)
	}
	t.client.AddConsumePartitions(ends.KOffsets())
	return nil
}

// run counts until ctx ends.
func (t *tally) run(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := t.client.PollRecords(ctx, 10000)
		for _, e := range fetches.Errors() {
			if ctx.Err() == nil {
				t.log.Warn("counting: reading a topic failed, trying again", "topic", e.Topic, "err", e.Err)
			}
		}
		t.mu.Lock()
		fetches.EachRecord(t.record)
		t.mu.Unlock()
	}
}

func (t *tally) record(r *kgo.Record) {
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
		t.lag(one)
	case events.TopicPredictions:
		one.predicted = r.Timestamp.UnixMilli()
		t.lag(one)
		t.prediction(one, r)
	case events.TopicLabels:
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

func (t *tally) lag(one *trip) {
	if one.seen&(seenPickUp|seenPrediction) == seenPickUp|seenPrediction {
		lag := int32(max(0, one.predicted-one.picked))
		t.lags = append(t.lags, lag)
		t.recent.add(lag)
	}
}

func (t *tally) prediction(one *trip, r *kgo.Record) {
	var p struct {
		Predictions map[string]events.ModelPrediction `json:"predictions"`
		Champion    string                            `json:"champion"`
	}
	if err := json.Unmarshal(r.Value, &p); err != nil {
		t.log.Error("counting: a prediction does not decode", "key", string(r.Key), "err", err)
		return
	}
	one.guesses = make(map[string]float64, len(p.Predictions))
	for model, guess := range p.Predictions {
		one.guesses[model] = guess.DurationS
	}
	t.staleness.served(p.Predictions[p.Champion].Version, r.Timestamp)
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
	if d.Outcome != eventing.Delivered || d.Record.Topic != events.TopicLabels || len(d.Body) == 0 {
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

// staleness is how long after its delivery a label first shows in a prediction
// of the champion.
type staleness struct {
	champion string
	serving  []serving // by version: the first prediction served with it
	waiting  []waiting // labels that no served version has learned yet
	ms       []int32
}

type serving struct {
	version uint64
	at      time.Time
}

type waiting struct {
	version   uint64
	delivered time.Time
}

func (s *staleness) served(version uint64, at time.Time) {
	if n := len(s.serving); n > 0 && s.serving[n-1].version >= version {
		return
	}
	s.serving = append(s.serving, serving{version, at})
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool {
		if w.version > version {
			return false
		}
		s.note(at.Sub(w.delivered))
		return true
	})
}

func (s *staleness) learned(versions map[string]uint64, delivered time.Time) {
	version, ok := versions[s.champion]
	if !ok {
		return
	}
	i := sort.Search(len(s.serving), func(i int) bool { return s.serving[i].version >= version })
	if i < len(s.serving) {
		s.note(s.serving[i].at.Sub(delivered))
		return
	}
	s.waiting = append(s.waiting, waiting{version, delivered})
}

func (s *staleness) note(d time.Duration) { s.ms = append(s.ms, int32(max(0, d.Milliseconds()))) }

// quantiles are the median and the 99th percentile, nearest rank.
func quantiles(values []int32) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := func(q float64) float64 {
		return float64(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
	}
	return Quantiles{P50: rank(0.50), P99: rank(0.99)}
}

// progress is how many trips are through predict and through learn, or are dead
// letters.
func (t *tally) progress() (predicted, learned int64) {
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
