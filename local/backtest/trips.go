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
	"slices"
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

// Reasons of Trips.Left. A refusal is followed by its error.
const (
	noFeatures      = "no features: the SQL takes none of its pick-ups"
	noDropOff       = "no label: it never ended"
	noLabel         = "no label: the SQL takes none of its drop-offs"
	refusedFeatures = "features that predict refuses: "
	refusedLabel    = "a label that learn refuses: "
)

// Read computes the features and labels of recorded trips with the statements,
// each view once, as if every prediction had been made before its trip ended.
//
// Of a recording, what its topics of trips hold is read, and its features,
// predictions and labels are not. Its times of arrival do not matter, but its
// order does: the first record of a trip counts. Where a recording ends with an
// error, the trips of what came before are returned beside it.
func Read(ctx context.Context, statements []sql.Statement, records iter.Seq2[recordings.Record, error]) (*Trips, error) {
	batch, err := stream.NewBatch(ctx, statements)
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	trips, err := read(ctx, batch, records)
	return trips, errors.Join(err, batch.Close())
}

func read(ctx context.Context, batch *stream.Batch, records iter.Seq2[recordings.Record, error]) (*Trips, error) {
	seen, broken, err := feed(batch, records)
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	left := map[string]int{}
	features, err := decodeFeatures(ctx, batch, left)
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	if err := logged(batch, features); err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	labels, err := decodeLabels(ctx, batch, left)
	if err != nil {
		return nil, fmt.Errorf("backtest: %w", err)
	}
	_ = seen
	return join(features, labels, left), broken
}

// feed hands the recorded pick-ups and drop-offs over. broken is what is wrong
// with the recording.
func feed(batch *stream.Batch, records iter.Seq2[recordings.Record, error]) (seen map[string]map[string]bool, broken, err error) {
	seen = map[string]map[string]bool{}
	for _, topic := range batch.Topics() {
		if topic != events.TopicPredictions {
			seen[topic] = map[string]bool{}
		}
	}
	for r, err := range records {
		if err != nil {
			return seen, err, nil
		}
		keys, ok := seen[r.Topic]
		if !ok {
			continue
		}
		keys[string(r.Key)] = true
		record := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.At, Key: r.Key, Value: r.Value}
		if err := batch.Feed(r.Topic, record); err != nil {
			return nil, nil, err
		}
	}
	return seen, nil, nil
}

func decodeFeatures(ctx context.Context, batch *stream.Batch, left map[string]int) ([]events.Features, error) {
	records, err := batch.Sink(ctx, events.TopicFeatures)
	if err != nil {
		return nil, err
	}
	features := make([]events.Features, 0, len(records))
	for _, r := range records {
		f, err := decoded(r, events.DecodeFeatures)
		if err != nil {
			left[refusedFeatures+err.Error()]++
			continue
		}
		features = append(features, f)
	}
	return features, nil
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

// logged feeds what predict would have logged.
func logged(batch *stream.Batch, features []events.Features) error {
	for i, f := range features {
		value, err := json.Marshal(events.Prediction{TripID: f.TripID, Features: f.Features, Predictions: map[string]events.ModelPrediction{}})
		if err != nil {
			return err
		}
		err = batch.Feed(events.TopicPredictions, &kgo.Record{
			Topic: events.TopicPredictions, Offset: int64(i), Timestamp: f.PickedUpAt, Key: []byte(f.TripID), Value: value,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeLabels(ctx context.Context, batch *stream.Batch, left map[string]int) (map[string]events.Label, error) {
	records, err := batch.Sink(ctx, events.TopicLabels)
	if err != nil {
		return nil, err
	}
	labels := make(map[string]events.Label, len(records))
	for _, r := range records {
		l, err := decoded(r, events.DecodeLabel)
		if err != nil {
			left[refusedLabel+err.Error()]++
			continue
		}
		labels[l.TripID] = l
	}
	return labels, nil
}

func join(features []events.Features, labels map[string]events.Label, left map[string]int) *Trips {
	names := map[string]bool{}
	for _, l := range labels {
		for name := range l.Features {
			names[name] = true
		}
	}
	t := &Trips{Names: slices.Sorted(maps.Keys(names)), Left: left}
	for _, f := range features {
		l, ok := labels[f.TripID]
		if !ok {
			left[noLabel]++
			continue
		}
		x := make([]float64, len(t.Names))
		for i, name := range t.Names {
			if v, ok := l.Features[name]; ok {
				x[i] = v
			} else {
				x[i] = math.NaN()
			}
		}
		t.Samples = append(t.Samples, evaluate.Sample{
			ID: f.TripID, At: f.PickedUpAt, LabelAt: f.PickedUpAt.Add(time.Duration(math.Round(l.DurationS*1e6)) * time.Microsecond), X: x, Y: l.DurationS,
		})
	}
	slices.SortFunc(t.Samples, func(a, b evaluate.Sample) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	return t
}
