package backtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/sql"
)

func program(t testing.TB) []sql.Statement {
	t.Helper()
	statements, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

func source(t testing.TB, trips string) simulate.Source {
	t.Helper()
	s, err := simulate.OpenSource(trips, simulate.SyntheticConfig{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recorded are the events of made-up trips.
func recorded(t testing.TB, trips int) []recordings.Record {
	t.Helper()
	var all []recordings.Record
	for r, err := range Records(context.Background(), source(t, simulate.TripsSynthetic), trips) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func sequence(all []recordings.Record, err error) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(recordings.Record{}, err)
		}
	}
}

// Every made-up trip is a sample, which ends when its drop-off says.
func TestRead(t *testing.T) {
	const n = 1500
	made := map[string]simulate.Trip{}
	from := source(t, simulate.TripsSynthetic)
	for range n {
		trip, err := from.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		made[trip.ID] = trip
	}
	trips, err := Read(t.Context(), program(t), sequence(recorded(t, n), nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(trips.Samples) != n || len(trips.Left) > 0 || len(trips.Names) != 13 || !slices.IsSorted(trips.Names) {
		t.Fatalf("%d samples of %v, left %v", len(trips.Samples), trips.Names, trips.Left)
	}
	speed := slices.Index(trips.Names, "recent_speed")
	longitude := slices.Index(trips.Names, "pickup_longitude")
	speeds := map[float64]bool{}
	for i, s := range trips.Samples {
		trip := made[s.ID]
		delete(made, s.ID)
		if !s.At.Equal(trip.PickedUpAt) || !s.LabelAt.Equal(trip.DroppedOffAt) || s.Y != trip.Duration().Seconds() || s.X[longitude] != trip.PickupLongitude {
			t.Errorf("the sample is %+v, of %+v", s, trip)
		}
		if i > 0 && (s.At.Before(trips.Samples[i-1].At) || s.At.Equal(trips.Samples[i-1].At) && s.ID <= trips.Samples[i-1].ID) {
			t.Errorf("%s comes after %s", s.ID, trips.Samples[i-1].ID)
		}
		speeds[s.X[speed]] = true
	}
	if len(speeds) < 5 {
		t.Errorf("there are %d recent speeds only: the trips do not test much", len(speeds))
	}
}

// The order of the topics, and what else a recording holds, do not matter; the
// number of processors does not either.
func TestReadIsDeterministic(t *testing.T) {
	all := recorded(t, 150)
	want, err := Read(t.Context(), program(t), sequence(all, nil))
	if err != nil {
		t.Fatal(err)
	}
	shuffled := slices.Clone(all)
	slices.SortStableFunc(shuffled, func(a, b recordings.Record) int { return strings.Compare(a.Topic, b.Topic) })
	for _, topic := range []string{events.TopicPredictions, events.TopicFeatures, events.TopicLabels, "other"} {
		shuffled = append(shuffled, recordings.Record{Topic: topic, Record: events.Record{Key: all[0].Key, Value: []byte(
			`{"trip_id":"` + string(all[0].Key) + `","features":{"x":1},"predictions":{},"duration_s":1}`,
		)}})
	}
	got, err := Read(t.Context(), program(t), sequence(shuffled, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("in another order, %d samples of %v, left %v; want %d", len(got.Samples), got.Names, got.Left, len(want.Samples))
	}
}

// Trips that are no samples are counted by what they lack.
func TestReadLeft(t *testing.T) {
	pickUp := func(id, change, to string) recordings.Record {
		value := `{"trip_id":"` + id + `","picked_up_at":"2016-01-04T08:00:00.25Z","passenger_count":1,"pickup_longitude":-73.98,"pickup_latitude":40.76,"dropoff_longitude":-73.96,"dropoff_latitude":40.75}`
		return recordings.Record{Topic: events.TopicPickUps, Record: events.Record{Key: []byte(id), Value: []byte(strings.Replace(value, change, to, 1))}}
	}
	dropOff := func(id, at string) recordings.Record {
		return recordings.Record{Topic: events.TopicDropOffs, Record: events.Record{Key: []byte(id), Value: []byte(`{"trip_id":"` + id + `","dropped_off_at":"` + at + `"}`)}}
	}
	again := dropOff("good", "2016-01-04T08:30:00Z")
	again.Offset = 1
	all := []recordings.Record{
		pickUp("good", "", ""), dropOff("good", "2016-01-04T08:10:00.5Z"), again, dropOff("unknown", "2016-01-04T08:10:00Z"),
		pickUp("open", "", ""),
		pickUp("backwards", "", ""), dropOff("backwards", "2016-01-04T07:00:00Z"),
		pickUp("endless", "", ""), dropOff("endless", "2016-01-05T08:00:01Z"),
		pickUp("nowhere", "-73.98", "-200"), dropOff("nowhere", "2016-01-04T08:10:00Z"),
		pickUp("no json", "{", "{{"),
		pickUp(strings.Repeat("x", 2*events.MaxNameLength), "", ""),
		pickUp(strings.Repeat("y", 2*events.MaxNameLength), "", ""),
	}
	trips, err := Read(t.Context(), program(t), sequence(all, nil))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2016, 1, 4, 8, 0, 0, 250e6, time.UTC)
	if len(trips.Samples) != 1 || trips.Samples[0].ID != "good" || !trips.Samples[0].At.Equal(at) || !trips.Samples[0].LabelAt.Equal(at.Add(600250*time.Millisecond)) || trips.Samples[0].Y != 600.25 {
		t.Errorf("the samples are %+v", trips.Samples)
	}
	want := map[string]int{noDropOff: 1, noLabel: 2, noFeatures: 2, refusedFeatures + "trip_id": 2}
	if !maps.Equal(trips.Left, want) {
		t.Errorf("left %v, want %v", trips.Left, want)
	}
}

// A feature that a trip does not have is NaN.
func TestReadMissingFeature(t *testing.T) {
	statements := program(t)
	for i, s := range statements {
		text := strings.Replace(s.Text, "'distance_km', s.distance_km,", "'distance_km', CASE WHEN s.passenger_count = 1 THEN s.distance_km END,", 1)
		if text == s.Text {
			continue
		}
		changed, err := sql.Split(s.File, text)
		if err != nil {
			t.Fatal(err)
		}
		statements[i] = changed[0]
	}
	trips, err := Read(t.Context(), statements, sequence(recorded(t, 100), nil))
	if err != nil {
		t.Fatal(err)
	}
	distance, passengers := slices.Index(trips.Names, "distance_km"), slices.Index(trips.Names, "passenger_count")
	missing := 0
	for _, s := range trips.Samples {
		if math.IsNaN(s.X[distance]) != (s.X[passengers] != 1) {
			t.Errorf("%s has %v passengers and the distance %v", s.ID, s.X[passengers], s.X[distance])
		}
		if math.IsNaN(s.X[distance]) {
			missing++
		}
	}
	if missing == 0 || missing == len(trips.Samples) {
		t.Errorf("the distance is missing in %d of %d samples: nothing is tested", missing, len(trips.Samples))
	}
}

// What came before the damage is there, beside what is wrong.
func TestReadBroken(t *testing.T) {
	damage := &recordings.Error{Name: "trips.jsonl.gz", Line: 301, Err: errors.New("it is cut short")}
	trips, err := Read(t.Context(), program(t), sequence(recorded(t, 200)[:300], damage))
	if !errors.Is(err, damage) || trips == nil || len(trips.Samples) == 0 || trips.Left[noDropOff] == 0 {
		t.Fatalf("%+v, %v", trips, err)
	}
	trips, err = Read(t.Context(), program(t)[:1], sequence(nil, nil))
	if trips != nil || err == nil || !strings.Contains(err.Error(), "no sink of the program writes topic features") {
		t.Errorf("a program without sinks: %+v, %v", trips, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if trips, err := Read(ctx, program(t), sequence(recorded(t, 1), nil)); trips != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %+v, %v", trips, err)
	}
}

// realTrips is the recorded month, which is not part of the repository.
func realTrips(t testing.TB) string {
	t.Helper()
	path := os.Getenv("TRIPCAST_TRIPS")
	if path == "" {
		path = "../../../shared/data/yellow_2016-01.csv.gz"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED: no recorded trips (%v); set TRIPCAST_TRIPS to a file of them", err)
	}
	return path
}

// The samples of the recorded month are, to the last bit, those that the running
// system has written of it.
func TestReadEqualsTheSystem(t *testing.T) {
	trips := realTrips(t)
	saved := os.Getenv("TRIPCAST_SAMPLES")
	if saved == "" {
		saved = "../../.task/samples.csv.gz"
	}
	csv, err := evaluate.Open(saved)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIPPED: no samples of the system (%v): go run ./local --trips %s --speed 0 --exit-when-done --samples samples.csv.gz, and set TRIPCAST_SAMPLES to the file", err, trips)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer csv.Close()
	limit := 0
	if testing.Short() || raceEnabled {
		limit = 5000 // what later trips do is nothing to these
	}
	got, err := Read(t.Context(), program(t), Records(t.Context(), source(t, trips), limit))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Names, csv.Features()) || len(got.Left) > 0 {
		t.Errorf("features %v, want %v; left %v", got.Names, csv.Features(), got.Left)
	}
	n := 0
	for want, err := range csv.Samples(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n == len(got.Samples) {
			if limit == 0 {
				t.Errorf("%s is missing", want.ID)
			}
			break
		}
		if !sameBits(got.Samples[n], want) {
			t.Fatalf("sample %d is %+v, want %+v", n, got.Samples[n], want)
		}
		n++
	}
	if n != len(got.Samples) || n < 5000 {
		t.Errorf("%d samples are the same, of %d", n, len(got.Samples))
	}
}

func sameBits(a, b evaluate.Sample) bool {
	return a.ID == b.ID && a.At.Equal(b.At) && a.LabelAt.Equal(b.LabelAt) && math.Float64bits(a.Y) == math.Float64bits(b.Y) &&
		slices.EqualFunc(a.X, b.X, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
}

// Records are those of a simulation: every trip's, in order, numbered by topic.
func TestRecords(t *testing.T) {
	all := recorded(t, 50)
	offsets, started := map[string]int64{}, map[string]bool{}
	for i, r := range all {
		if i > 0 && r.At.Before(all[i-1].At) {
			t.Errorf("record %d is of %s, after one of %s", i, r.At, all[i-1].At)
		}
		if r.Partition != 0 || r.Offset != offsets[r.Topic] || r.At != r.At.Truncate(time.Millisecond) {
			t.Errorf("record %d is %s/%d/%d at %s", i, r.Topic, r.Partition, r.Offset, r.At)
		}
		offsets[r.Topic]++
		e, err := events.FromRecord(r.Record)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Time().Truncate(time.Millisecond).Equal(r.At) || e.Subject() != string(r.Key) {
			t.Errorf("the record of %s at %s holds %s", r.Key, r.At, e)
		}
		if r.Topic == events.TopicPickUps {
			started[e.Subject()] = true
		} else if !started[e.Subject()] {
			t.Errorf("trip %s ends before it starts", e.Subject())
		}
	}
	if want := map[string]int64{events.TopicPickUps: 50, events.TopicDropOffs: 50}; !maps.Equal(offsets, want) {
		t.Errorf("%v records, want %v", offsets, want)
	}
	n := 0
	for range Records(t.Context(), source(t, simulate.TripsSynthetic), 0) { // endless
		if n++; n == 10 {
			break
		}
	}
}

// failing is a source that has one trip.
type failing struct {
	simulate.Source
	left int
}

var errFailing = errors.New("the disk is gone")

func (f *failing) Next(ctx context.Context) (simulate.Trip, error) {
	if f.left == 0 {
		return simulate.Trip{}, errFailing
	}
	f.left--
	return f.Source.Next(ctx)
}

func TestRecordsEndWithTheError(t *testing.T) {
	n, last := 0, error(nil)
	for r, err := range Records(t.Context(), &failing{source(t, simulate.TripsSynthetic), 3}, 0) {
		if err == nil {
			n++
		} else if last = err; r.Topic != "" {
			t.Errorf("a record beside the error: %+v", r)
		}
	}
	if n < 2 || !errors.Is(last, errFailing) {
		t.Errorf("%d records, then %v", n, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Records(ctx, source(t, simulate.TripsSynthetic), 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
	}
}

// The recorded month, or made-up trips where it is not there, to samples.
func BenchmarkRead(b *testing.B) {
	trips, limit := os.Getenv("TRIPCAST_TRIPS"), 0
	if trips == "" {
		trips = "../../../shared/data/yellow_2016-01.csv.gz"
	}
	if _, err := os.Stat(trips); err != nil {
		trips, limit = simulate.TripsSynthetic, 58_894
	}
	b.Run(fmt.Sprintf("trips=%s", trips[strings.LastIndex(trips, "/")+1:]), func(b *testing.B) {
		var all []recordings.Record
		for r, err := range Records(b.Context(), source(b, trips), limit) {
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, r)
		}
		samples := 0
		for b.Loop() {
			t, err := Read(b.Context(), program(b), sequence(all, nil))
			if err != nil {
				b.Fatal(err)
			}
			samples += len(t.Samples)
		}
		b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "trips/s")
	})
}
