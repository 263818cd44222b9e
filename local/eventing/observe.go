package eventing

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Outcome is how a delivery ended. Whichever it is, the record's offset may now
// be committed.
type Outcome int

const (
	// Delivered: the sink acknowledged the event.
	Delivered Outcome = iota
	// DeadLettered: the sink did not, and the dead-letter sink has the event.
	DeadLettered
	// Dropped: neither took it. The event is lost, as it is with Knative, which
	// commits the offset all the same.
	Dropped
)

func (o Outcome) String() string {
	switch o {
	case Delivered:
		return "delivered"
	case DeadLettered:
		return "dead-lettered"
	case Dropped:
		return "dropped"
	}
	return "unknown"
}

// Delivery is a finished delivery of a KafkaSource.
type Delivery struct {
	Source string      // the KafkaSource's namespace/name
	Record *kgo.Record // not to be changed

	Outcome  Outcome
	Attempts int // to the sink; 1 is a success at once

	Started  time.Time // when the first attempt began
	Finished time.Time

	// Status, Header and Body are the sink's last response; Status 0 means
	// there was none. Of the body at most 64 KiB are kept. Knative throws the
	// response's event away: nothing may depend on it but what is shown.
	Status int
	Header http.Header
	Body   []byte

	// Err is why the event was not delivered, nil if it was.
	Err error
}

// Production is an event that a KafkaSink answered for.
type Production struct {
	Sink     string      // the KafkaSink's namespace/name
	Record   *kgo.Record // with partition, offset and timestamp if Err is nil; not to be changed
	Started  time.Time   // when the request had been read
	Finished time.Time
	Err      error // why the broker does not have the record, nil if it has
}

// Observer is told what happens to events. Each function may be nil, is called
// by many goroutines at once, and holds up the event it is told of.
type Observer struct {
	Delivered func(Delivery)   // before the record's offset may be committed
	Produced  func(Production) // before the request is answered
}

// outage turns one failure per event into one line when it starts and one when
// it ends.
type outage struct{ failures atomic.Int64 }

// failed logs the first failure of a row.
func (o *outage) failed(log *slog.Logger, msg string, args ...any) {
	if o.failures.Add(1) == 1 {
		log.Warn(msg, args...)
	}
}

// over logs the end of the row, if there was one.
func (o *outage) over(log *slog.Logger, msg string) {
	if o.failures.Load() == 0 { // nearly always, and then nothing is written
		return
	}
	if failures := o.failures.Swap(0); failures > 0 {
		log.Info(msg, "failures", failures)
	}
}
