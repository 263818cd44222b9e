package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/registry/labeltest"
)

func tripID(n int) string { return fmt.Sprintf("trip-%d", n) }

func labelN(n int) registry.Label { return labeltest.Trip(tripID(n), n) }

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
