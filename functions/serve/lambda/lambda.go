// Package lambda is how a function runs on AWS Lambda: a batch of Kafka records
// is one invocation, its events are handled together, what they give goes to
// Kafka at once, and the answer says where each partition has to go on.
//
// A serve.Handler does not notice. It is given the events that a KafkaSource
// would have made of the records, and what it says of them means the same: done,
// later, or never. What can never be handled becomes a dead letter.
package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/functions/serve"
)

// BatchHandler is a handler that does better with many events at once, as one
// that commits does. It returns an answer and an error in the place of each.
type BatchHandler interface {
	serve.Handler
	HandleAll(ctx context.Context, batch []event.Event) (answers []*event.Event, errs []error)
}

// Producer writes records to Kafka and returns what has become of each, as a
// kgo.Client does.
type Producer interface {
	ProduceSync(ctx context.Context, records ...*kgo.Record) kgo.ProduceResults
}

// DefaultConcurrency is how many events of a batch are handled at a time.
const DefaultConcurrency = 16

// Options say how a function is run.
type Options struct {
	// Name of the function, in its logs and errors.
	Name string

	// Producer writes what follows.
	Producer Producer

	// Topic takes the events that the handler returns. Empty for none: then
	// they are dropped, as nobody waits for an answer here.
	Topic string

	// DeadLetters is the topic of events that can never be handled.
	DeadLetters string

	// Concurrency bounds how many events a Handler that is no BatchHandler is
	// given at a time; DefaultConcurrency if zero.
	Concurrency int

	// Logger takes a line for every dead letter and panic, and for what a
	// partition has to go on with. Nil is slog.Default().
	Logger *slog.Logger
}

// Function is a handler as Lambda runs it.
type Function struct {
	handler serve.Handler
	options Options
	log     *slog.Logger
}

// New returns a function that is not running yet: Invoke is one invocation, and
// Run takes them from Lambda.
func New(h serve.Handler, o Options) (*Function, error) {
	if o.Producer == nil || o.DeadLetters == "" {
		return nil, errors.New("lambda: without a topic for dead letters, what cannot be handled would be lost")
	}
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Concurrency < 0 {
		return nil, errors.New("lambda: the concurrency is negative")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Function{handler: h, options: o, log: o.Logger.With("function", o.Name)}, nil
}

// response is the answer to a batch where the event source mapping has
// ReportBatchItemFailures.
// https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html
type response struct {
	BatchItemFailures []itemFailure `json:"batchItemFailures"`
}

type itemFailure struct {
	ItemIdentifier itemIdentifier `json:"itemIdentifier"`
}

type itemIdentifier struct {
	Partition string `json:"partition"` // the name that the batch has for it, topic-0
	Offset    int64  `json:"offset"`
}

// Invoke handles a batch, which is a Kafka event in JSON, and returns which
// records have to come again: the first of each partition that is not done, and
// with it all that follow there. Handlers must bear that: what has succeeded
// behind a failure is handled once more.
//
// Where nothing at all is done the invocation fails. The same records come again
// as would have with all of them in the answer; but a failed invocation is what
// Lambda counts, backs off for and lets people be alarmed by, and an answer is
// a success to it.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	batch, err := decodeBatch(payload)
	if err != nil {
		return nil, err
	}
	f.deliver(ctx, batch)
	failed := firstFailures(batch)
	if len(failed) > 0 && !anyDone(batch) {
		return nil, noneDone(f.options.Name, len(batch), failed)
	}
	answer := response{BatchItemFailures: make([]itemFailure, 0, len(failed))} // null is no list
	for _, d := range failed {
		f.log.WarnContext(ctx, "partition has to go on here", "partition", d.partition, "offset", d.offset,
			"type", d.event.Type(), "id", d.event.ID(), "error", d.err)
		answer.BatchItemFailures = append(answer.BatchItemFailures, itemFailure{itemIdentifier{d.partition, d.offset}})
	}
	return json.Marshal(answer)
}

// delivery is a record of a batch and what has become of it.
type delivery struct {
	partition string
	offset    int64
	event     event.Event
	answer    *event.Event
	err       error // nil when it is done
}

// errNoTime is the error of what was not done when an invocation had to end.
var errNoTime = errors.New("lambda: the time of this invocation is up")

// lastWords is how long it takes at most to answer, and to produce before that
// what was handled in time.
const lastWords = time.Second

// deliver handles a batch and produces what it gives. It returns in time for an
// answer, whatever handlers do: an invocation that Lambda has to end has done
// nothing at all, as far as Lambda knows.
func (f *Function) deliver(ctx context.Context, batch []delivery) {
	handling, producing := ctx, ctx
	if deadline, ok := ctx.Deadline(); ok {
		reserve := min(lastWords, time.Until(deadline)/10)
		var cancel context.CancelFunc
		producing, cancel = context.WithDeadlineCause(ctx, deadline.Add(-reserve), errNoTime)
		defer cancel()
		handling, cancel = context.WithDeadlineCause(ctx, deadline.Add(-2*reserve), errNoTime)
		defer cancel()
	}
	f.handle(handling, batch)
	f.produce(producing, batch)
}

// firstFailures are the deliveries that are not done and have the lowest offset
// of their partition, in the order of the batch.
func firstFailures(batch []delivery) []*delivery {
	place := map[string]int{}
	var first []*delivery
	for i := range batch {
		d := &batch[i]
		if d.err == nil {
			continue
		}
		at, ok := place[d.partition]
		if !ok {
			place[d.partition] = len(first)
			first = append(first, d)
		} else if d.offset < first[at].offset {
			first[at] = d
		}
	}
	return first
}

func anyDone(batch []delivery) bool {
	for i := range batch {
		if batch[i].err == nil {
			return true
		}
	}
	return false
}

func noneDone(name string, events int, failed []*delivery) error {
	reasons := make([]error, len(failed))
	for i, d := range failed {
		reasons[i] = fmt.Errorf("%s at offset %d: %w", d.partition, d.offset, d.err)
	}
	return fmt.Errorf("lambda: %s has done none of %d events: %w", name, events, errors.Join(reasons...))
}

// decodeBatch reads the payload of an invocation.
func decodeBatch(payload []byte) ([]delivery, error) {
	var batch awsevents.KafkaEvent
	if err := json.Unmarshal(payload, &batch); err != nil {
		return nil, fmt.Errorf("lambda: read the invocation as a Kafka event: %w", err)
	}
	if batch.EventSource != "SelfManagedKafka" && batch.EventSource != "aws:kafka" {
		return nil, fmt.Errorf("lambda: the invocation is no Kafka event: its eventSource is %q, not SelfManagedKafka or aws:kafka", batch.EventSource)
	}
	return deliveries(batch.Records), nil
}
