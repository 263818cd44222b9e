package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/local/replay"
)

// TestEventReplay plays the recordings of the scenarios through the whole system,
// one record at a time, and compares what comes out with what came out before:
// features, predictions of every model, labels and dead letters. What each
// scenario is about is also said in words, that -update blesses no nonsense.
func TestEventReplay(t *testing.T) {
	for name, judge := range map[string]func(*testing.T, *played){
		"normal-day":       judgeNormalDay,
		"duplicates":       judgeDuplicates,
		"reordering":       judgeReordering,
		"late-and-missing": judgeLateAndMissing,
		"malformed":        judgeMalformed,
		"schema-change":    judgeSchemaChange,
		"snow-day":         judgeSnowDay,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := playScenario(t, name)
			compareGolden(t, name, p.outcome)
			judge(t, p)
		})
	}
}

// TestEventReplayTwice plays a recording into a system that has seen it all: the
// same events have the same ids, so that nothing more comes out of them and
// nothing more is learned.
func TestEventReplayTwice(t *testing.T) {
	t.Parallel()
	records := recorded(t, "duplicates")
	records = slices.DeleteFunc(records, func(r recordings.Record) bool {
		return r.Topic != events.TopicPickUps && r.Topic != events.TopicDropOffs
	})[:120]
	own := ownForTest(t)
	first := own.played(t, records)
	second := own.played(t, records)
	if n, want := len(first.outcome.Events), 3*len(first.trips()); n < want/2 {
		t.Errorf("only %d events came out of %d records", n, len(records))
	}
	for i, d := range replay.Compare(first.outcome, second.outcome, replay.Rules{}) {
		if i < 10 {
			t.Errorf("the second time: %v", d)
		}
	}
	for model, n := range second.learned {
		if n != first.learned[model] || n == 0 {
			t.Errorf("%s has learned %d labels the first time and %d after the second", model, first.learned[model], n)
		}
	}
}

// everything is what recordings of scenarios hold.
var everything = []string{events.TopicPickUps, events.TopicDropOffs, events.TopicFeatures, events.TopicLabels}

func recorded(t *testing.T, name string) []recordings.Record {
	t.Helper()
	reader, err := recordings.Open(recordingOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var all []recordings.Record
	for r, err := range reader.Records() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func ownForTest(t *testing.T) *ownSystem {
	t.Helper()
	own, err := startOwn(t.Context(), rig{newest: true}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.stop)
	return own
}

// played is a recording and what came of it.
type played struct {
	records []recordings.Record
	outcome *replay.Outcome
	learned map[string]int64 // labels, by model
	// retracted are events without data, by topic, which are not in the outcome.
	retracted map[string]int
}

func playScenario(t *testing.T, name string) *played {
	t.Helper()
	return ownForTest(t).played(t, recorded(t, name))
}

func (o *ownSystem) played(t *testing.T, records []recordings.Record) *played {
	t.Helper()
	all := func(yield func(recordings.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
	started := time.Now()
	if _, err := o.play(t.Context(), replay.Play{Topics: everything}, true, all); err != nil {
		t.Fatal(err)
	}
	took := time.Since(started)
	counts, err := learned(t.Context(), o.client)
	if err != nil {
		t.Fatal(err)
	}
	p := &played{records: records, outcome: o.collector.Outcome(), learned: counts, retracted: o.collector.Retractions()}
	t.Logf("%d records and %d events that came of them in %s", len(records), len(p.outcome.Events), took.Round(time.Millisecond))
	return p
}

// compareGolden compares an outcome with the one that is kept, or keeps it.
func compareGolden(t *testing.T, name string, got *replay.Outcome) {
	t.Helper()
	file := filepath.Join("testdata", "replay", name+".golden.jsonl.gz")
	if *update {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if err := got.Write(z); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := replay.ReadOutcome(file)
	if err != nil {
		t.Fatal(err)
	}
	differences := replay.Compare(want, got, replay.Rules{})
	for i, d := range differences {
		if i == 10 {
			t.Errorf("and %d more differences from %s (-update takes it for right)", len(differences)-i, file)
			break
		}
		t.Error(d)
	}
}

// of is what came out into a topic, by key.
func (p *played) of(topic string) map[string][]replay.Event {
	came := map[string][]replay.Event{}
	for _, e := range p.outcome.Events {
		if e.Topic == topic {
			came[e.Key()] = append(came[e.Key()], e)
		}
	}
	return came
}

// scenarioTrip is what the first sound records of a trip say.
type scenarioTrip struct {
	events.PickUp
	end time.Time // zero if it has none
}

// trips are those that start, by id.
func (p *played) trips() map[string]scenarioTrip {
	ends := map[string]time.Time{}
	trips := map[string]scenarioTrip{}
	for _, r := range p.records {
		e, err := events.FromRecord(r.Record)
		if err != nil {
			continue
		}
		switch r.Topic {
		case events.TopicPickUps:
			if start, err := events.DecodePickUp(e); err == nil {
				if _, ok := trips[start.TripID]; !ok {
					trips[start.TripID] = scenarioTrip{PickUp: start}
				}
			}
		case events.TopicDropOffs:
			if end, err := events.DecodeDropOff(e); err == nil {
				if _, ok := ends[end.TripID]; !ok {
					ends[end.TripID] = end.DroppedOffAt
				}
			}
		}
	}
	for id, start := range trips {
		start.end = ends[id]
		trips[id] = start
	}
	return trips
}

func (t scenarioTrip) duration() float64 { return t.end.Sub(t.PickedUpAt).Seconds() }

// decodeAll reads payloads, in the order in which they came.
func decodeAll[T any](t *testing.T, came []replay.Event, decode func(event.Event) (T, error)) []T {
	t.Helper()
	var all []T
	for _, e := range came {
		payload, err := decode(e.Event)
		if err != nil {
			t.Fatalf("%s of %s: %v", e.ID(), e.Topic, err)
		}
		all = append(all, payload)
	}
	return all
}

// life is what came of a trip.
type life struct {
	scenarioTrip
	features    []events.Features
	predictions []events.Prediction
	labels      []events.Label
}

// lives are those of all trips that start, in the order of their ids.
func (p *played) lives(t *testing.T) []life {
	t.Helper()
	features, predictions, labels := p.of(events.TopicFeatures), p.of(events.TopicPredictions), p.of(events.TopicLabels)
	var all []life
	for id, start := range p.trips() {
		all = append(all, life{
			start,
			decodeAll(t, features[id], events.DecodeFeatures),
			decodeAll(t, predictions[id], events.DecodePrediction),
			decodeAll(t, labels[id], events.DecodeLabel),
		})
	}
	slices.SortFunc(all, func(a, b life) int { return strings.Compare(a.TripID, b.TripID) })
	return all
}

// judge holds a trip that ends soundly to what every such trip is promised: its
// features are those of its first pick-up, the first prediction logs the first
// features, and the label carries what that logged and the time until its first
// drop-off.
func (l life) judge(t *testing.T) {
	t.Helper()
	if len(l.features) == 0 || len(l.predictions) != len(l.features) || len(l.labels) == 0 {
		t.Errorf("%s has %d features, %d predictions and %d labels", l.TripID, len(l.features), len(l.predictions), len(l.labels))
		return
	}
	first := l.features[0].Features
	for name, want := range map[string]float64{
		"passenger_count": float64(l.PassengerCount), "pickup_longitude": l.PickupLongitude, "pickup_latitude": l.PickupLatitude,
		"dropoff_longitude": l.DropoffLongitude, "dropoff_latitude": l.DropoffLatitude,
	} {
		if first[name] != want {
			t.Errorf("%s has the feature %s of %v, not %v", l.TripID, name, first[name], want)
		}
	}
	if !equalFeatures(first, l.predictions[0].Features) || !equalFeatures(first, l.labels[0].Features) {
		t.Errorf("%s: features, prediction and label carry not the same: %v, %v, %v", l.TripID, first, l.predictions[0].Features, l.labels[0].Features)
	}
	if l.labels[0].DurationS != l.duration() {
		t.Errorf("%s is said to have taken %v s, not %v", l.TripID, l.labels[0].DurationS, l.duration())
	}
}

func equalFeatures(a, b map[string]float64) bool {
	return fmt.Sprint(a) == fmt.Sprint(b) // it sorts the names
}

// wantLearned says how many labels every model has learned.
func (p *played) wantLearned(t *testing.T, want int) {
	t.Helper()
	if len(p.learned) == 0 {
		t.Error("no model has learned anything")
	}
	for model, n := range p.learned {
		if n != int64(want) {
			t.Errorf("%s has learned %d labels, want %d", model, n, want)
		}
	}
}

// wantDead says which dead letters there are, and a part of each one's reason.
func (p *played) wantDead(t *testing.T, want map[string]string) {
	t.Helper()
	if n := p.retracted[events.TopicDeadLetters]; n != 0 {
		t.Errorf("%d dead letters are of events without data: a function takes them and does nothing", n)
	}
	came := p.of(events.TopicDeadLetters)
	for key, reason := range want {
		letters := came[key]
		if len(letters) != 1 {
			t.Errorf("%d dead letters of %s, want one that says %q", len(letters), key, reason)
			continue
		}
		if got := reasonOf(letters[0]); !strings.Contains(got, reason) {
			t.Errorf("the dead letter of %s says %q, want %q", key, got, reason)
		}
	}
	for key, letters := range came {
		if _, ok := want[key]; !ok {
			t.Errorf("a dead letter of %s says %q: there should be none", key, reasonOf(letters[0]))
		}
	}
}
