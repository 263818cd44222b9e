package backtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/local/stream"
	"tripcast.dev/sql"
)

// Trips are what models are asked about.
type Trips struct {
	Names   []string          // of the features, in the order of Sample.X
	Samples []evaluate.Sample // by At, then by ID
	Left    map[string]int    // trips that are no samples, by reason
}

// Reasons of Trips.Left. A refusal is followed by the field that is refused.
const (
	noFeatures      = "no features: its pick-up is none to the SQL"
	noDropOff       = "no label: it never ended"
	noLabel         = "no label: its drop-off is none to the SQL"
	refusedFeatures = "features that predict refuses: "
	refusedLabel    = "a label that learn refuses: "
)

// Read computes the features and labels of recorded trips with the statements,
// each view once, as if every trip had been predicted before it ended.
//
// What a recording holds besides pick-ups and drop-offs is not read: predictions
// and labels are made of its features. When its records arrived does not matter,
// but their order does: the first of a trip counts. If a recording ends with an
// error, the trips of what came before are returned beside it.
func Read(ctx context.Context, statements []sql.Statement, records iter.Seq2[recordings.Record, error]) (*Trips, error) {
	batch, err := stream.NewBatch(ctx, statements)
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	r := &reading{batch: batch, seen: map[string]map[string]bool{}, left: map[string]int{}}
	broken, err := r.feed(ctx, records)
	var trips *Trips
	if err == nil {
		trips, err = r.trips(ctx)
	}
	if err = errors.Join(err, batch.Close()); err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	return trips, broken
}

// reading is one call of Read.
type reading struct {
	batch *stream.Batch
	seen  map[string]map[string]bool // the keys of the records, by topic
	left  map[string]int
}

// feed hands the recorded trips over. broken is what is wrong with the recording.
func (r *reading) feed(ctx context.Context, records iter.Seq2[recordings.Record, error]) (broken, err error) {
	for _, topic := range r.batch.Topics() {
		if topic != events.TopicPredictions {
			r.seen[topic] = map[string]bool{}
		}
	}
	for record, err := range records {
		if err != nil {
			return err, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		keys, ok := r.seen[record.Topic]
		if !ok {
			continue
		}
		keys[string(record.Key)] = true
		err := r.batch.Feed(record.Topic, &kgo.Record{
			Topic: record.Topic, Partition: record.Partition, Offset: record.Offset, Timestamp: record.At, Key: record.Key, Value: record.Value,
		})
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// trips logs and waits: the features are answered as predict would have, and come
// back with the labels.
func (r *reading) trips(ctx context.Context) (*Trips, error) {
	records, err := r.batch.Sink(ctx, events.TopicFeatures)
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		delete(r.seen[events.TopicPickUps], string(record.Key))
	}
	if n := len(r.seen[events.TopicPickUps]); n > 0 {
		r.left[noFeatures] = n
	}
	questions, refused := each(records, answer)
	asked := make([]question, 0, len(questions))
	for i, q := range questions {
		if refused[i] != nil {
			r.left[refusedFeatures+field(refused[i])]++
			continue
		}
		prediction := &kgo.Record{
			Topic: events.TopicPredictions, Offset: int64(i), Timestamp: q.PickedUpAt, Key: records[i].Key, Value: q.logged,
		}
		if err := r.batch.Feed(events.TopicPredictions, prediction); err != nil {
			return nil, err
		}
		asked = append(asked, q)
	}
	labels, err := r.labels(ctx)
	if err != nil {
		return nil, err
	}
	r.unlabelled(asked, labels)
	return r.join(asked, labels), nil
}

// question is what predict was asked, and what it has logged.
type question struct {
	events.Features
	logged []byte
}

// answer is what predict does, without a model.
func answer(r *kgo.Record) (question, error) {
	features, err := decoded(r, events.DecodeFeatures)
	if err != nil {
		return question{}, err
	}
	logged, err := json.Marshal(events.Prediction{
		TripID: features.TripID, Features: features.Features, Predictions: map[string]events.ModelPrediction{},
	})
	return question{features, logged}, err
}

// labels are by trip; nil is one that learn refuses.
func (r *reading) labels(ctx context.Context) (map[string]*events.Label, error) {
	records, err := r.batch.Sink(ctx, events.TopicLabels)
	if err != nil {
		return nil, err
	}
	decode := func(r *kgo.Record) (events.Label, error) { return decoded(r, events.DecodeLabel) }
	all, refused := each(records, decode)
	labels := make(map[string]*events.Label, len(all))
	for i := range all {
		if refused[i] != nil {
			r.left[refusedLabel+field(refused[i])]++
			labels[string(records[i].Key)] = nil
			continue
		}
		labels[all[i].TripID] = &all[i]
	}
	return labels, nil
}

// unlabelled counts the questions to which there is no answer.
func (r *reading) unlabelled(asked []question, labels map[string]*events.Label) {
	for _, q := range asked {
		if _, ok := labels[q.TripID]; ok {
			continue
		}
		why := noDropOff
		if r.seen[events.TopicDropOffs][q.TripID] {
			why = noLabel
		}
		r.left[why]++
	}
}

func decoded[T any](r *kgo.Record, decode func(event.Event) (T, error)) (T, error) {
	record := events.Record{Key: r.Key, Value: r.Value, Headers: make([]events.Header, len(r.Headers))}
	for i, h := range r.Headers {
		record.Headers[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	e, err := events.FromRecord(record)
	if err != nil {
		var none T
		return none, err
	}
	return decode(e)
}

// field is what is refused, without the value: there are as many values as trips.
func field(err error) string {
	if invalid, ok := errors.AsType[*events.InvalidError](err); ok {
		return invalid.Field
	}
	return err.Error()
}

// each does the same to all of in, on as many processors as there are.
func each[I, O any](in []I, do func(I) (O, error)) ([]O, []error) {
	out, errs := make([]O, len(in)), make([]error, len(in))
	var all sync.WaitGroup
	size := max(1, (len(in)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for from := 0; from < len(in); from += size {
		all.Go(func() {
			for i := from; i < min(from+size, len(in)); i++ {
				out[i], errs[i] = do(in[i])
			}
		})
	}
	all.Wait()
	return out, errs
}

// join makes a sample of every question that has a label.
func (r *reading) join(asked []question, labels map[string]*events.Label) *Trips {
	t := &Trips{Names: names(labels), Left: r.left, Samples: make([]evaluate.Sample, 0, len(labels))}
	index := make(map[string]int, len(t.Names))
	for i, name := range t.Names {
		index[name] = i
	}
	x := make([]float64, len(labels)*len(t.Names))
	for i := range x {
		x[i] = math.NaN()
	}
	for _, q := range asked {
		l := labels[q.TripID]
		if l == nil {
			continue
		}
		s := evaluate.Sample{ID: q.TripID, At: q.PickedUpAt, LabelAt: q.PickedUpAt.Add(seconds(l.DurationS)), Y: l.DurationS}
		s.X, x = x[:len(t.Names):len(t.Names)], x[len(t.Names):]
		for name, value := range l.Features {
			s.X[index[name]] = value
		}
		t.Samples = append(t.Samples, s)
	}
	slices.SortFunc(t.Samples, func(a, b evaluate.Sample) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	return t
}

// seconds is a duration as the SQL has it: to the microsecond.
func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s*1e6)) * time.Microsecond
}

func names(labels map[string]*events.Label) []string {
	all := map[string]bool{}
	for _, l := range labels {
		if l == nil {
			continue
		}
		for name := range l.Features {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
