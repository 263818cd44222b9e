package live

import "time"

// changed says which messages have to be made again.
type changed uint8

const (
	changedSummary changed = 1 << iota
	changedModels
	changedErrors
	changedSegments

	changedAll = changedSummary | changedModels | changedErrors | changedSegments
)

// state is all that has been read. The Feed's mutex guards it.
type state struct {
	changed changed

	database *source
	redis    *source
	kafka    *source // nil: nobody counts dead letters

	// the views of sql/, by their keys
	counts    map[struct{}]Counts
	lags      map[struct{}]Quantile
	errors    map[string]modelError
	buckets   map[bucketKey]sums
	hours     map[hourKey]sums
	distances map[distanceKey]sums
	best      map[int64]bestModel // by the end of its window, ms

	trips       trips
	models      models
	deadLetters int64

	// what is computed from the past
	lively   bool      // the database was live when the last message was made
	slow     time.Time // when errors or segments were last made
	noted    time.Time
	counters history[counters]
	maes     history[map[string]float64]
	rates    Rates
	changes  map[string]float64 // of the MAEs
	leader   Leader             // the best
	window   int64              // the end of the hour that it is the best of, ms
}

func newState(config Config, d database) state {
	parts := []string{tripsPart}
	parts = append(parts, tables[:]...)
	s := state{
		changed:  changedAll,
		database: newSource("the database", d.address(), config.Log, parts...),
		redis:    newSource("Redis", "", config.Log, "models"),
		trips:    newTrips(),
	}
	if config.DeadLetters != nil {
		s.kafka = newSource("Kafka", "", config.Log, "dead letters")
	}
	return s
}

// history is what has been measured in the last seconds, about once in each.
type history[T any] struct {
	entries []measured[T]
}

type measured[T any] struct {
	at    time.Time
	value T
}

// span is how far rates and changes look back.
const span = 10 * time.Second

// note adds a measurement and forgets what is older than the span, but for one.
func (h *history[T]) note(at time.Time, value T) {
	h.entries = append(h.entries, measured[T]{at, value})
	for len(h.entries) > 1 && at.Sub(h.entries[1].at) >= span {
		h.entries = h.entries[1:]
	}
}

// oldest is the measurement that the newest is compared with.
func (h *history[T]) oldest() (measured[T], bool) {
	if len(h.entries) == 0 {
		return measured[T]{}, false
	}
	return h.entries[0], true
}
