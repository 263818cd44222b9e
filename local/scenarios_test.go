package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/simulate"
)

var update = flag.Bool("update", false, "make the recordings of the scenarios, and what their replays are compared with, anew")

// scenario is a recording that code makes: synthetic trips, and what goes wrong
// with their events.
type scenario struct {
	name string
	tell func(t *testing.T, s *tape)
}

func scenarios() []scenario {
	return []scenario{
		{"normal-day", normalDay},
		{"duplicates", duplicates},
		{"reordering", reordering},
		{"late-and-missing", lateAndMissing},
		{"malformed", malformed},
		{"schema-change", schemaChange},
		{"snow-day", snowDay},
	}
}

// recordingOf is the file of a scenario.
func recordingOf(name string) string {
	return filepath.Join("..", "events", "recordings", name+".jsonl.gz")
}

// TestScenarios holds the recordings to the code that makes them; -update makes
// them.
func TestScenarios(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			tape := &tape{}
			s.tell(t, tape)
			made := filepath.Join(t.TempDir(), s.name+".jsonl.gz")
			tape.write(t, made)
			file := recordingOf(s.name)
			if *update {
				compressed, err := os.ReadFile(made)
				if err != nil {
					t.Fatal(err)
				}
				if old, err := os.ReadFile(file); err == nil && bytes.Equal(gunzip(t, made), gunzip(t, file)) {
					compressed = old // another compressor is no other recording
				}
				if err := os.WriteFile(file, compressed, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, got := gunzip(t, made), gunzip(t, file)
			if !bytes.Equal(want, got) {
				t.Errorf("%s is not what the code makes: %d bytes, not %d (-update makes it anew)", file, len(got), len(want))
			}
		})
	}
}

func gunzip(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return text
}

// tape is what the topics take in, on the clock of the city.
type tape struct{ taken []taken }

// taken is a record on its way into a topic.
type taken struct {
	at    time.Time // when it arrives
	topic string
	events.Record
}

func (s *tape) put(at time.Time, topic string, r events.Record) {
	s.taken = append(s.taken, taken{at, topic, r})
}

func (s *tape) pickUp(t *testing.T, at time.Time, trip simulate.Trip) {
	t.Helper()
	s.put(at, events.TopicPickUps, encoded(t, trip.PickUp()))
}

func (s *tape) dropOff(t *testing.T, at time.Time, trip simulate.Trip) {
	t.Helper()
	s.put(at, events.TopicDropOffs, encoded(t, trip.DropOff()))
}

// trip starts and ends when it should.
func (s *tape) trip(t *testing.T, trip simulate.Trip) {
	t.Helper()
	s.pickUp(t, trip.PickedUpAt, trip)
	s.dropOff(t, trip.DroppedOffAt, trip)
}

func encoded(t *testing.T, p events.Payload) events.Record {
	t.Helper()
	e, err := events.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	scenarioSpeed      = 60 // of the city's clock, against that of the arrivals
	scenarioPartitions = 3
)

// scenarioStart is when the first record of a recording arrived.
var scenarioStart = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// records are in the order of their arrival; at the same second ends come first,
// as the simulation has it.
func (s *tape) records() []recordings.Record {
	isEnd := func(t taken) int {
		if t.topic == events.TopicDropOffs {
			return 0
		}
		return 1
	}
	ordered := slices.Clone(s.taken)
	slices.SortStableFunc(ordered, func(a, b taken) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(isEnd(a), isEnd(b)))
	})
	next := map[recordings.Partition]int64{}
	records := make([]recordings.Record, len(ordered))
	for i, r := range ordered {
		at := recordings.Partition{Topic: r.topic, Number: partitionOf(r.Key)}
		arrived := scenarioStart.Add(r.at.Sub(ordered[0].at) / scenarioSpeed).Truncate(time.Millisecond)
		records[i] = recordings.Record{Topic: r.topic, Partition: at.Number, Offset: next[at], At: arrived, Record: r.Record}
		next[at]++
	}
	return records
}

// partitionOf is where a producer puts a key.
func partitionOf(key []byte) int32 {
	if key == nil {
		return 0
	}
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, scenarioPartitions))
}

func (s *tape) write(t *testing.T, file string) {
	t.Helper()
	w, err := recordings.Create(file, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.records() {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// span is a time of which a scenario has trips.
type span struct {
	from    string
	minutes int
	trips   int
	snow    string // the day on which it begins to snow, if it does
}

// rides makes up the trips of some spans, most of them from the two busiest
// zones of the city: the few that are left would not give any a speed of its own.
// They are called NAME-001 and so on, in the order of their starts.
func rides(t *testing.T, name string, seed uint64, spans ...span) []simulate.Trip {
	t.Helper()
	var trips []simulate.Trip
	for i, s := range spans {
		trips = append(trips, s.rides(t, seed+uint64(i))...)
	}
	for i := range trips {
		trips[i].ID = name + "-" + number(i+1)
	}
	return trips
}

func number(n int) string {
	return string([]byte{byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
}

func (s span) rides(t *testing.T, seed uint64) []simulate.Trip {
	t.Helper()
	all := s.city(t, seed)
	counts := map[[2]int]int{}
	for _, trip := range all {
		counts[zoneOf(trip)]++
	}
	var busiest [2][2]int
	for i := range busiest {
		for zone, n := range counts {
			if best := counts[busiest[i]]; n > best || n == best && (zone[0] < busiest[i][0] || zone[0] == busiest[i][0] && zone[1] < busiest[i][1]) {
				busiest[i] = zone
			}
		}
		delete(counts, busiest[i])
	}
	var kept []simulate.Trip
	for i, trip := range all {
		if i%8 == 0 || slices.Contains(busiest[:], zoneOf(trip)) {
			kept = append(kept, trip)
		}
	}
	if len(kept) < s.trips {
		t.Fatalf("only %d trips of %s are there", len(kept), s.from)
	}
	trips := make([]simulate.Trip, s.trips)
	for i := range trips {
		trips[i] = kept[i*len(kept)/s.trips]
	}
	return trips
}

// city is all of its trips that start in the span, without those of hours, which
// are meters left running.
func (s span) city(t *testing.T, seed uint64) []simulate.Trip {
	t.Helper()
	start := cityTime(t, s.from)
	end := start.Add(time.Duration(s.minutes) * time.Minute)
	config := simulate.SyntheticConfig{Seed: seed, Start: start, TripsPerHour: 6000}
	if s.snow != "" {
		config.SnowDays = []time.Time{cityTime(t, s.snow+" 00:00")}
	}
	source, err := simulate.NewSynthetic(config)
	if err != nil {
		t.Fatal(err)
	}
	var trips []simulate.Trip
	for {
		trip, err := source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !trip.PickedUpAt.Before(end) {
			return trips
		}
		if trip.Duration() < 2*time.Hour {
			trips = append(trips, trip)
		}
	}
}

func cityTime(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// zoneOf is the SQL's.
func zoneOf(trip simulate.Trip) [2]int {
	return [2]int{int(math.Floor((trip.PickupLongitude + 180) * 50)), int(math.Floor((trip.PickupLatitude + 90) * 50))}
}
