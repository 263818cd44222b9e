package stream

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/simulate"
)

// recordedTrips is the recorded month, which is not part of the repository.
func recordedTrips(t testing.TB) string {
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

// month is the first trips of a file as they happened: a limit of 0 is all.
func month(t testing.TB, path string, limit int) *recording {
	t.Helper()
	source, err := simulate.OpenSource(path, simulate.SyntheticConfig{})
	if err != nil {
		t.Fatal(err)
	}
	type arrival struct {
		at    time.Time
		topic string
		event events.Payload
	}
	var all []arrival
	for limit == 0 || len(all) < 2*limit {
		trip, err := source.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, arrival{trip.PickedUpAt, events.TopicPickUps, trip.PickUp()}, arrival{trip.DroppedOffAt, events.TopicDropOffs, trip.DropOff()})
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return a.at.Compare(b.at) })
	a := newArrivals()
	records := make([]*kgo.Record, 0, len(all))
	for _, one := range all {
		records = append(records, a.record(one.topic, one.event.Subject(), encoded(one.event)))
	}
	return &recording{records: records, arrivals: a, answered: true}
}

// The recorded month, cut into ticks by chance, and once as a whole.
func TestBatchEqualsStreamOnTheRecordedMonth(t *testing.T) {
	path := recordedTrips(t)
	limit, most := 0, 4000
	if testing.Short() || raceEnabled {
		limit, most = 2000, 300
	}
	rec := month(t, path, limit)
	stream := rec.ticked(t, tripcast(t), rand.New(rand.NewPCG(1, 5)), most)
	if stream.again > 0 {
		t.Errorf("the stream has written %d rows again", stream.again)
	}
	rec.wantSame(t, stream, len(rec.records)/2)
}

// One evaluation of features and labels, of the recorded month or of as many
// made-up trips.
func BenchmarkBatch(b *testing.B) {
	path, limit := os.Getenv("TRIPCAST_TRIPS"), 0
	if path == "" {
		path = "../../../shared/data/yellow_2016-01.csv.gz"
	}
	if _, err := os.Stat(path); err != nil {
		path, limit = simulate.TripsSynthetic, 58_894
	}
	rec := month(b, path, limit)
	trips := 0
	for b.Loop() {
		batch, err := NewBatch(b.Context(), tripcast(b))
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range rec.records {
			if err := batch.Feed(r.Topic, r); err != nil {
				b.Fatal(err)
			}
		}
		features := sinkOf(b.Context(), b, batch, events.TopicFeatures)
		a := newArrivals()
		for _, r := range features {
			if err := batch.Feed(events.TopicPredictions, a.predicted(r)); err != nil {
				b.Fatal(err)
			}
		}
		trips += len(sinkOf(b.Context(), b, batch, events.TopicLabels))
		if err := batch.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(trips)/b.Elapsed().Seconds(), "trips/s")
}
