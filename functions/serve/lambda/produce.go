package lambda

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/serve"
)

// maxErrorData is how much of an error a dead letter carries, as in Knative.
const maxErrorData = 1024

// produce writes what a batch has given: the events that the handler returned,
// and those that it will never handle, which are done once they are dead
// letters. All go out at once. What is not written in time is not done.
func (f *Function) produce(ctx context.Context, batch []delivery) {
	var records []*kgo.Record
	var of []*delivery // the records
	for i := range batch {
		d := &batch[i]
		record, err := f.recordOf(ctx, d)
		if err != nil {
			d.err = err
		}
		if record != nil {
			records, of = append(records, record), append(of, d)
		}
	}
	if len(records) == 0 {
		return
	}
	for i, err := range f.write(ctx, records) {
		d := of[i]
		switch {
		case err != nil:
			d.err = fmt.Errorf("lambda: produce to %s: %w", records[i].Topic, err)
		case d.err != nil:
			f.log.WarnContext(ctx, "event dead-lettered", "partition", d.partition, "offset", d.offset,
				"type", d.event.Type(), "id", d.event.ID(), "error", d.err)
			d.err = nil
		}
	}
}

// write produces records and returns the error of each, in their order.
func (f *Function) write(ctx context.Context, records []*kgo.Record) []error {
	ctx, cancel := context.WithTimeoutCause(ctx, serve.DefaultSinkTimeout, fmt.Errorf("not acknowledged within %v", serve.DefaultSinkTimeout))
	defer cancel()
	written := make(chan kgo.ProduceResults, 1)
	go func() { written <- f.options.Producer.ProduceSync(ctx, records...) }()
	errs := make([]error, len(records))
	select {
	case results := <-written: // in the order in which they ended
		place := make(map[*kgo.Record]int, len(records))
		for i, r := range records {
			place[r] = i
		}
		for _, result := range results {
			errs[place[result.Record]] = result.Err
		}
	case <-ctx.Done(): // a client may wait longer, for what is under way
		for i := range errs {
			errs[i] = context.Cause(ctx)
		}
	}
	return errs
}

// recordOf is what is to be written for a delivery, if anything.
func (f *Function) recordOf(ctx context.Context, d *delivery) (*kgo.Record, error) {
	var invalid *events.InvalidError
	switch {
	case errors.As(d.err, &invalid):
		return record(f.options.DeadLetters, f.deadLetter(ctx, d))
	case d.err == nil && d.answer != nil && f.options.Topic != "":
		return record(f.options.Topic, *d.answer)
	}
	return nil, nil
}

// record is an event as a KafkaSink writes it in binary mode.
func record(topic string, e event.Event) (*kgo.Record, error) {
	r, err := events.ToRecord(e)
	if err != nil {
		// The handler's fault and not the input's: %v, so that it is no InvalidError.
		return nil, fmt.Errorf("lambda: an event for %s cannot be written: %v", topic, err)
	}
	out := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
	for i, h := range r.Headers {
		out.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return out, nil
}

// deadLetter is the event with what a KafkaSource adds before it gives it up.
func (f *Function) deadLetter(ctx context.Context, d *delivery) event.Event {
	status, body := serve.Failure(d.err)
	e := d.event.Clone()
	e.SetExtension("knativeerrordest", f.destination(ctx))
	e.SetExtension("knativeerrorcode", strconv.Itoa(status))
	e.SetExtension("knativeerrordata", base64.StdEncoding.EncodeToString(body[:min(len(body), maxErrorData)]))
	return e
}

// destination is where an event was to go: in Knative a URL, here the function's ARN.
func (f *Function) destination(ctx context.Context) string {
	if c, ok := lambdacontext.FromContext(ctx); ok && c.InvokedFunctionArn != "" {
		return c.InvokedFunctionArn
	}
	return f.options.Name
}
