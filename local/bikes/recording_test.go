// Package bikes is an application of its own on tripcast, without a line of Go:
// how long will this bike-share station stay empty? Its SQL, its catalogue and a
// recording to try them on are what somebody writes who brings a stream of their
// own; README.md says how to run it. The tests are the house's.
package bikes

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
)

var update = flag.Bool("update", false, "make the recording anew")

// recordingFile is what the stations sent in four days.
const recordingFile = "events.jsonl.gz"

// TestRecording holds the recording to the code that makes it; -update makes it.
func TestRecording(t *testing.T) {
	made := filepath.Join(t.TempDir(), recordingFile)
	w, err := recordings.Create(made, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorded(t, spells()) {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	compressed, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if old, err := os.ReadFile(recordingFile); err == nil && bytes.Equal(unzipped(t, old), unzipped(t, compressed)) {
			return // another compressor is no other recording
		}
		if err := os.WriteFile(recordingFile, compressed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(recordingFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unzipped(t, kept), unzipped(t, compressed)) {
		t.Errorf("%s is not what the code makes (-update makes it anew)", recordingFile)
	}
	if most := 60_000; len(kept) > most {
		t.Errorf("%s has %d bytes, more than %d", recordingFile, len(kept), most)
	}
}

func unzipped(t *testing.T, compressed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// spell is one time that one station was empty. Stations report on the minute.
type spell struct {
	station  string
	capacity int
	from, to time.Time
	raining  bool
}

// The recording is of a Thursday to a Sunday.
var (
	first = time.Date(2026, 5, 7, 0, 0, 0, 0, time.UTC)
	last  = first.AddDate(0, 0, 4)
)

const (
	stations   = 36
	partitions = 3
)

// spells are made up from a seed, in integers, so that they are the same on every
// machine. What a duration depends on is what a city would have it depend on: the
// station, its size, the hour, the weekend and the rain, each by a factor, and
// chance.
func spells() []spell {
	random := rand.New(rand.NewPCG(42, 2026))
	capacities := []int{12, 16, 20, 24, 32, 40}
	var all []spell
	for n := range stations {
		s := spell{station: fmt.Sprintf("s%03d", n+1), capacity: capacities[random.IntN(len(capacities))]}
		remote := 500 + random.IntN(1200) // per mille: how seldom anybody comes by
		at := first.Add(time.Duration(random.IntN(300)) * time.Minute)
		for at.Before(last) {
			s.from, s.raining = at, raining(at)
			s.to = at.Add(s.lasts(remote, random))
			all = append(all, s)
			busy := 100
			if h := at.Hour(); h >= 22 || h < 6 {
				busy = 300 // at night nobody takes the last bike
			}
			at = s.to.Add(time.Duration(20+random.IntN(2*busy)) * time.Minute)
		}
	}
	slices.SortFunc(all, func(a, b spell) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.station, b.station)) })
	return all
}

// perHour is by how many tenths an hour of the day lets a station stay empty longer:
// at night nobody rides, and at the rush hours many come by.
var perHour = [24]int{20, 21, 22, 22, 20, 17, 12, 8, 6, 7, 9, 10, 10, 10, 9, 8, 7, 6, 7, 9, 11, 13, 16, 18}

func (s spell) lasts(remote int, random *rand.Rand) time.Duration {
	seconds := 1800 * remote / 1000 * 20 / (8 + s.capacity/2) * perHour[s.from.Hour()] / 10
	if day := s.from.Weekday(); day == time.Saturday || day == time.Sunday {
		seconds = seconds * 14 / 10
	}
	if s.raining {
		seconds = seconds * 2
	}
	chance := 500 + random.IntN(500) + random.IntN(500) // per mille, around 1000
	return time.Duration(max(1, seconds*chance/1000/60)) * time.Minute
}

// raining is a shower a day, of some hours.
func raining(at time.Time) bool {
	showers := [][2]int{{14, 20}, {30, 35}, {54, 66}, {79, 84}} // hours from the first
	h := int(at.Sub(first) / time.Hour)
	return slices.ContainsFunc(showers, func(s [2]int) bool { return h >= s[0] && h < s[1] })
}

// recorded are the events of the spells, in the order of their arrival. What
// happened after the last day has not been recorded.
func recorded(t *testing.T, all []spell) []recordings.Record {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 2026))
	next := map[recordings.Partition]int64{}
	var records []recordings.Record
	for _, s := range all {
		records = append(records, s.emptied(t))
		if s.to.Before(last) {
			records = append(records, s.refilled(t))
		}
	}
	for i := range records {
		records[i].At = records[i].At.Add(time.Duration(random.IntN(900)) * time.Millisecond)
	}
	slices.SortStableFunc(records, func(a, b recordings.Record) int { return a.At.Compare(b.At) })
	for i := range records {
		r := &records[i]
		p := recordings.Partition{Topic: r.Topic, Number: int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: r.Key}, partitions))}
		r.Partition, r.Offset = p.Number, next[p]
		next[p]++
	}
	return records
}

func clock(at time.Time) string { return at.Format(time.RFC3339) }

func (s spell) emptied(t *testing.T) recordings.Record {
	return made(t, "emptied", s.station, s.from, map[string]any{
		"station_id": s.station, "emptied_at": clock(s.from), "capacity": s.capacity, "raining": s.raining,
	})
}

func (s spell) refilled(t *testing.T) recordings.Record {
	return made(t, "refilled", s.station, s.to, map[string]any{
		"station_id": s.station, "empty_since": clock(s.from), "refilled_at": clock(s.to),
	})
}

// made is the record of an event as a station sends it. Its topic is the last word
// of its type.
func made(t *testing.T, topic, station string, at time.Time, data map[string]any) recordings.Record {
	t.Helper()
	e := event.New()
	e.SetID(clock(at))
	e.SetType("org.example.station." + topic)
	e.SetSource("/stations/" + station)
	e.SetTime(at)
	e.SetExtension("partitionkey", station)
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
	r, err := events.ToRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	return recordings.Record{Topic: topic, At: at, Record: r}
}
