package faults

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/registry"
)

func tripID(n int) string { return fmt.Sprintf("trip-%d", n) }

// labelN is a trip through Manhattan with the features that sql/ has, always the
// same one.
func labelN(n int) registry.Label {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	place := func() (longitude, latitude float64) {
		return -73.97 + 0.03*r.NormFloat64(), 40.75 + 0.03*r.NormFloat64()
	}
	fromLongitude, fromLatitude := place()
	toLongitude, toLatitude := place()
	east, north := 84.3*(toLongitude-fromLongitude), 111.2*(toLatitude-fromLatitude) // km
	hour := 2 * math.Pi * r.Float64()
	speed := 15 + 5*math.Cos(hour) // km/h, fast at night
	km := math.Hypot(east, north)
	return registry.Label{
		ID: tripID(n),
		Y:  min(60+3600*km/speed*math.Exp(0.3*r.NormFloat64()), 86_400),
		Features: map[string]float64{
			"distance_km": km, "l1_distance": math.Abs(toLongitude-fromLongitude) + math.Abs(toLatitude-fromLatitude),
			"bearing":          math.Mod(math.Atan2(east, north)*180/math.Pi+360, 360),
			"pickup_longitude": fromLongitude, "pickup_latitude": fromLatitude,
			"dropoff_longitude": toLongitude, "dropoff_latitude": toLatitude,
			"hour_cos": math.Cos(hour), "hour_sin": math.Sin(hour), "is_weekend": float64(r.IntN(7) / 5),
			"recent_speed": speed * (1 + 0.1*r.NormFloat64()), "avg_speed_by_hour": speed, "passenger_count": float64(1 + r.IntN(4)),
		},
	}
}

// copies is how often each label is in the topic.
const copies = 2

// records are labels as they are in their topic: each twice, the second time
// some time after the first, in whichever partition, so that another learner may
// have it at the same time.
func records(t *testing.T, labels int, partitions int32) []*kgo.Record {
	t.Helper()
	type place struct {
		record *kgo.Record
		at     int
	}
	r := rand.New(rand.NewPCG(2, uint64(labels)))
	places := make([]place, 0, copies*labels)
	for n := range labels {
		l := labelN(n)
		e, err := events.Encode(&events.Label{TripID: l.ID, Features: l.Features, DurationS: l.Y})
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := events.ToRecord(e)
		if err != nil {
			t.Fatal(err)
		}
		at := n
		for range copies {
			record := &kgo.Record{Topic: events.TopicLabels, Partition: r.Int32N(partitions), Key: encoded.Key, Value: encoded.Value}
			for _, h := range encoded.Headers {
				record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
			places = append(places, place{record, at})
			at += r.IntN(1_000)
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.at - b.at })
	all := make([]*kgo.Record, len(places))
	for i, p := range places {
		all[i] = p.record
	}
	return all
}
