package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/registry"
)

// search looks for labels among the records of their topic. It holds all it has
// found: they were learned in another order than they are in there.
type search struct {
	missing  map[string]bool
	found    map[string]registry.Label
	progress *progress
}

// labels finds those of a journey where the command line says, as far as they
// are there, and says where that is.
func (r rebuilding) labels(ctx context.Context, journey *registry.Journey, getenv func(string) string, progress *progress) (map[string]registry.Label, string, error) {
	s := &search{missing: map[string]bool{}, found: map[string]registry.Label{}, progress: progress}
	for _, id := range journey.Labels() {
		s.missing[id] = true
	}
	if r.file != "" {
		return s.found, r.file, s.recording(ctx, r.file)
	}
	k, err := kafka.FromEnv(getenv)
	if err != nil {
		return nil, "", usageError{err}
	}
	return s.found, "Kafka at " + k.String(), s.topic(ctx, k)
}

// take learns from a record which label it is. The first one of an id counts,
// as it is the one that was learned: what learn would not have taken is none.
func (s *search) take(r events.Record) {
	label, err := labelOf(r)
	if err != nil || label == nil || !s.missing[label.ID] {
		return
	}
	delete(s.missing, label.ID)
	s.found[label.ID] = *label
	s.progress.now("%d of %d labels found", len(s.found), len(s.found)+len(s.missing))
}

// labelOf returns the label of a record as learn would have it, or nil if it is a
// retraction.
func labelOf(r events.Record) (*registry.Label, error) {
	e, err := events.FromRecord(r)
	if errors.Is(err, events.ErrNotCloudEvent) { // learn has it from a KafkaSource
		e = event.New()
		e.SetType(events.TypeKafka)
		e.DataEncoded = r.Value
	} else if err != nil {
		return nil, err
	}
	if events.IsRetraction(e) {
		return nil, nil
	}
	label, err := events.DecodeLabel(e)
	if err != nil {
		return nil, err
	}
	return &registry.Label{ID: label.TripID, Features: label.Features, Y: label.DurationS}, nil
}

// recording looks into a file. It need not be whole if all is found.
func (s *search) recording(ctx context.Context, name string) error {
	if len(s.missing) == 0 {
		return nil
	}
	reader, err := recordings.Open(name)
	if err != nil {
		return err
	}
	defer reader.Close()
	for record, err := range reader.Records() {
		switch {
		case err != nil:
			return fmt.Errorf("%d of %d found: %w", len(s.found), len(s.found)+len(s.missing), err)
		case ctx.Err() != nil:
			return ctx.Err()
		case record.Topic == events.TopicLabels:
			s.take(record.Record)
		}
		if len(s.missing) == 0 {
			return nil
		}
	}
	return nil
}

// topic looks into the topic, from its start to where it ends now.
func (s *search) topic(ctx context.Context, k kafka.Connection) error {
	if len(s.missing) == 0 {
		return nil
	}
	if err := k.Check(ctx, events.TopicLabels); err != nil {
		return err
	}
	return k.ReadAll(ctx, func(r *kgo.Record) bool {
		s.take(record(r))
		return len(s.missing) > 0
	}, events.TopicLabels)
}

// record is one of the client's as events know it.
func record(r *kgo.Record) events.Record {
	record := events.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	return record
}
