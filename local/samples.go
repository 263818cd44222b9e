package main

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
)

// sample is a labelled trip as the topics have it: what predict was told, and
// the truth. A model that is fed these again, each at its drop-off, sees what it
// would have seen in the run.
type sample struct {
	tripID                   string
	pickedUpAt, droppedOffAt time.Time
	features                 map[string]float64
	durationS                float64 // 0 until its label is read
}

// saveSamples writes every labelled trip to the file of --samples.
func (s *system) saveSamples(ctx context.Context) error {
	samples, err := readSamples(ctx, s.kafka, s.log)
	if err == nil {
		err = writeFile(s.samples, func(w io.Writer) error { return writeSamples(w, samples) })
	}
	if err != nil {
		return fmt.Errorf("--samples: %w", err)
	}
	return nil
}

// readSamples joins the topics, from their start to where they end now.
func readSamples(ctx context.Context, k kafka.Connection, log *slog.Logger) ([]*sample, error) {
	trips := map[string]*sample{}
	err := readTopics(ctx, k, func(r *kgo.Record) {
		if err := joinRecord(trips, r); err != nil {
			// Neither was it a trip to the SQL, or a label to learn.
			log.Warn("samples: a record is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", err)
		}
	}, events.TopicPickUps, events.TopicDropOffs, events.TopicLabels)
	if err != nil {
		return nil, err
	}
	return labelled(trips)
}

// labelled are the trips that have a label, in the order of their pick-ups.
func labelled(trips map[string]*sample) ([]*sample, error) {
	samples := make([]*sample, 0, len(trips))
	for _, one := range trips {
		switch {
		case one.durationS == 0: // no label: the trip never ended
			continue
		case one.pickedUpAt.IsZero() || one.droppedOffAt.IsZero():
			return nil, fmt.Errorf("trip %s has a label but no pick-up or no drop-off: does a topic no longer keep them?", one.tripID)
		}
		samples = append(samples, one)
	}
	slices.SortFunc(samples, func(a, b *sample) int {
		return cmp.Or(a.pickedUpAt.Compare(b.pickedUpAt), cmp.Compare(a.tripID, b.tripID))
	})
	return samples, nil
}

// joinRecord adds what a record says to its trip. The first record counts, as in
// the SQL.
func joinRecord(trips map[string]*sample, r *kgo.Record) error {
	record := events.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	e, err := events.FromRecord(record)
	if err != nil {
		return err
	}
	if events.IsRetraction(e) {
		return nil
	}
	payload, err := events.Decode(e)
	if err != nil {
		return err
	}
	one, ok := trips[payload.Subject()]
	if !ok {
		one = &sample{tripID: payload.Subject()}
		trips[one.tripID] = one
	}
	switch p := payload.(type) {
	case *events.PickUp:
		if one.pickedUpAt.IsZero() {
			one.pickedUpAt = p.PickedUpAt
		}
	case *events.DropOff:
		if one.droppedOffAt.IsZero() {
			one.droppedOffAt = p.DroppedOffAt
		}
	case *events.Label:
		if one.durationS == 0 {
			one.features, one.durationS = p.Features, p.DurationS
		}
	}
	return nil
}

// readTopics calls each with every committed record of the topics that is there
// now and is no retraction. Of one partition, they come in order.
func readTopics(ctx context.Context, k kafka.Connection, each func(*kgo.Record), topics ...string) error {
	return k.ReadAll(ctx, func(r *kgo.Record) bool {
		if len(r.Value) > 0 {
			each(r)
		}
		return true
	}, topics...)
}

// writeSamples writes CSV with one column a feature, by name. A feature that a
// trip did not have is empty.
func writeSamples(w io.Writer, samples []*sample) error {
	seen := map[string]bool{}
	for _, one := range samples {
		for name := range one.features {
			seen[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(seen))
	out := csv.NewWriter(w)
	row := append([]string{"trip_id", "picked_up_at", "dropped_off_at", "duration_s"}, names...)
	if err := out.Write(row); err != nil {
		return err
	}
	for _, one := range samples {
		row = append(row[:0], one.tripID, clock(one.pickedUpAt), clock(one.droppedOffAt), exact(one.durationS))
		for _, name := range names {
			cell := ""
			if value, ok := one.features[name]; ok {
				cell = exact(value)
			}
			row = append(row, cell)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// clock is a time as events have it.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// exact is the shortest text that gives the same number again.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// writeFile writes a file as a whole or not at all, compressed if its name ends
// in .gz. What is there and is no file, such as /dev/null or a pipe, is written to.
func writeFile(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return writeTo(name, write)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = errors.Join(compressed(f, strings.HasSuffix(name, ".gz"), write), f.Chmod(0o644), f.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func compressed(w io.Writer, gz bool, write func(io.Writer) error) error {
	if !gz {
		return write(w)
	}
	z := gzip.NewWriter(w)
	return errors.Join(write(z), z.Close())
}
