package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"tripcast.dev/local/eventing"
)

// tally counts what the KafkaSources say of their deliveries.
type tally struct {
	mu         sync.Mutex
	records    int // that are to be delivered
	through    map[position]bool
	outcomes   [eventing.Dropped + 1]int // of deliveries, more than records where a source had not committed its offsets
	attempts   int
	learned    map[string]int // by label, how many of its records were acknowledged
	duplicates map[string]int // by model, acknowledgements that found it learned
	why        map[string]int // by what came of it in place of an acknowledgement in the end
	last       time.Time
}

// position is a record's place in its topic.
type position struct {
	partition int32
	offset    int64
}

func newTally(labels int) *tally {
	return &tally{
		records: copies * labels, through: make(map[position]bool, copies*labels), last: time.Now(),
		learned: make(map[string]int, labels), duplicates: map[string]int{}, why: map[string]int{},
	}
}

func (c *tally) hear(d eventing.Delivery) {
	var answer struct {
		TripID    string          `json:"trip_id"`
		Duplicate map[string]bool `json:"duplicate"`
	}
	err := json.Unmarshal(d.Body, &answer)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	c.outcomes[d.Outcome]++
	c.attempts += d.Attempts
	at := position{d.Record.Partition, d.Record.Offset}
	again := c.through[at]
	c.through[at] = true
	if d.Outcome != eventing.Delivered {
		c.why[fmt.Sprintf("%v %.200s", d.Err, d.Body)]++
		return
	}
	if err != nil {
		c.why[fmt.Sprintf("an answer %.200q", d.Body)]++
	}
	if !again {
		c.learned[answer.TripID]++
	}
	for model := range answer.Duplicate {
		c.duplicates[model]++
	}
}

// acknowledged is how many labels learn has taken at least once.
func (c *tally) acknowledged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.learned)
}

// delivered reports whether the KafkaSources are through.
func (c *tally) delivered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.through) == c.records
}

func (c *tally) quiet() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.last)
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d labels acknowledged, of %d records %d delivered, %d dead-lettered, %d dropped, with %d attempts; found learned before %v; failures %v",
		len(c.learned), c.records, c.outcomes[eventing.Delivered], c.outcomes[eventing.DeadLettered], c.outcomes[eventing.Dropped],
		c.attempts, maps.Clone(c.duplicates), c.why)
}
