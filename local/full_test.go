package main

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/local/eventing"
)

// At full speed trips wait for whatever is behind: predict, SQL or learn. A label
// that learn refuses holds nobody up, nor one that is delivered twice.
func TestTripsWaitForWhatIsBehind(t *testing.T) {
	counting := func(predicted, labels int64) *tally {
		return &tally{
			trips: map[string]*trip{}, records: map[string]int64{},
			distinct: map[string]int64{events.TopicPredictions: predicted, events.TopicLabels: labels},
		}
	}
	deliver := func(c *tally, id int, outcome eventing.Outcome, value []byte) {
		c.delivered(eventing.Delivery{Outcome: outcome, Record: &kgo.Record{Topic: events.TopicLabels, Key: fmt.Append(nil, id), Value: value}})
	}
	for _, c := range []struct {
		name              string
		pickUps, dropOffs int64
		predicted, labels int64
		taught            int
		full              bool
	}{
		{"nothing yet", 0, 0, 0, 0, 0, false},
		{"predict is behind", inFlight, 0, 0, 0, 0, true},
		{"not by as many", inFlight, 0, 1, 0, 0, false},
		{"SQL is behind", inFlight, inFlight, inFlight, 0, 0, true},
		{"learn is behind", inFlight, inFlight, inFlight, inFlight, 0, true},
		{"learn is not by as many", inFlight, inFlight, inFlight, inFlight, 1, false},
	} {
		for _, outcome := range []eventing.Outcome{eventing.Delivered, eventing.DeadLettered, eventing.Dropped} {
			counted := counting(c.predicted, c.labels)
			for id := range c.taught {
				deliver(counted, id, outcome, []byte("{}"))
			}
			if got := counted.full(c.pickUps, c.dropOffs); got != c.full {
				t.Errorf("%s (%v): full is %t", c.name, outcome, got)
			}
		}
	}
	once := counting(inFlight, inFlight+1)
	deliver(once, 1, eventing.Delivered, []byte("{}"))
	deliver(once, 1, eventing.Delivered, []byte("{}"))
	deliver(once, 2, eventing.Delivered, nil) // a tombstone
	if !once.full(0, 0) {
		t.Error("a label that is delivered twice, or a tombstone, counts for two")
	}
}
