package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
)

// TestSamples runs some hundred trips: every one of them is a row, with the very
// features that the topic has for it.
func TestSamples(t *testing.T) {
	const trips = 300
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	file := filepath.Join(t.TempDir(), "samples.csv.gz")
	code, _, log := start(t.Context(), t, "--kafka", b.Addr(), "--limit", strconv.Itoa(trips), "--speed", "0", "--exit-when-done", "--samples", file)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	rows := readCSV(t, file)
	want := topicFeatures(t, b.Addr())
	header := append([]string{"trip_id", "picked_up_at", "dropped_off_at", "duration_s"}, slices.Sorted(maps.Keys(want[rows[1][0]].Features))...)
	if !slices.Equal(rows[0], header) {
		t.Errorf("the header is %q, want %q", rows[0], header)
	}
	if len(rows)-1 != trips || len(want) != trips {
		t.Fatalf("%d rows and %d trips in the topic, want %d", len(rows)-1, len(want), trips)
	}
	before := ""
	for _, row := range rows[1:] {
		if order := row[1] + " " + row[0]; order <= before {
			t.Errorf("%s comes after %s", order, before)
		} else {
			before = order
		}
		checkSample(t, row, rows[0][4:], want[row[0]])
		delete(want, row[0]) // once is enough
	}
}

// checkSample compares a row with the features that its trip was given.
func checkSample(t *testing.T, row, names []string, want events.Features) {
	t.Helper()
	picked, err := time.Parse(time.RFC3339Nano, row[1])
	if err != nil || !picked.Equal(want.PickedUpAt) {
		t.Errorf("trip %s is picked up at %s, want %s", row[0], row[1], want.PickedUpAt)
	}
	dropped, err := time.Parse(time.RFC3339Nano, row[2])
	if err != nil || row[3] != exact(dropped.Sub(picked).Seconds()) {
		t.Errorf("trip %s from %s to %s takes %s s", row[0], row[1], row[2], row[3])
	}
	features := map[string]float64{}
	for i, name := range names {
		if features[name], err = strconv.ParseFloat(row[4+i], 64); err != nil {
			t.Errorf("trip %s: %s: %v", row[0], name, err)
		}
	}
	if !maps.Equal(features, want.Features) {
		t.Errorf("trip %s has the features %v, want %v", row[0], features, want.Features)
	}
}

func readCSV(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// topicFeatures are the features in their topic, by trip.
func topicFeatures(t *testing.T, address string) map[string]events.Features {
	t.Helper()
	found := map[string]events.Features{}
	err := readTopics(t.Context(), kafka.Connection{Brokers: []string{address}}, func(r *kgo.Record) {
		record := events.Record{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
		}
		e, err := events.FromRecord(record)
		if err != nil {
			t.Fatal(err)
		}
		f, err := events.DecodeFeatures(e)
		if err != nil {
			t.Fatal(err)
		}
		found[f.TripID] = f
	}, events.TopicFeatures)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSamplesRows holds what no run shows: equal times, a feature that is
// missing, numbers that need all their digits, and trips without a label.
func TestSamplesRows(t *testing.T) {
	at := time.Date(2016, 1, 4, 8, 0, 0, 500e6, time.UTC)
	trips := map[string]*sample{
		"b": {tripID: "b", pickedUpAt: at, droppedOffAt: at.Add(time.Minute), durationS: 60, features: map[string]float64{"x": 0.30000000000000004, "y": 1e-300}},
		"a": {tripID: "a", pickedUpAt: at, droppedOffAt: at.Add(time.Second), durationS: 1, features: map[string]float64{"y": -2}},
		"c": {tripID: "c", pickedUpAt: at},
	}
	samples, err := labelled(trips)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := writeSamples(&out, samples); err != nil {
		t.Fatal(err)
	}
	want := `trip_id,picked_up_at,dropped_off_at,duration_s,x,y
a,2016-01-04T08:00:00.5Z,2016-01-04T08:00:01.5Z,1,,-2
b,2016-01-04T08:00:00.5Z,2016-01-04T08:01:00.5Z,60,0.30000000000000004,1e-300
`
	if out.String() != want {
		t.Errorf("the file is\n%swant\n%s", out.String(), want)
	}
	trips["d"] = &sample{tripID: "d", pickedUpAt: at, durationS: 1}
	if _, err := labelled(trips); err == nil || !strings.Contains(err.Error(), "trip d ") {
		t.Errorf("a label without a drop-off gives the error %v", err)
	}
}

// TestSamplesFailed leaves neither half a file nor the old one broken.
func TestSamplesFailed(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "samples.csv")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	err := writeFile(file, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return errors.Join(err, full)
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), file) {
		t.Errorf("the error is %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "old" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	s := newSystem(options{samples: file, kafka: kafka.Connection{Brokers: []string{freeAddress(t)}}}, io.Discard)
	err = s.saveSamples(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--samples") {
		t.Errorf("without a broker the error is %v", err)
	}
}
