package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/serve"
)

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// producer takes records, except those whose topic or key it is told to fail.
type producer struct {
	mu    sync.Mutex
	got   []*kgo.Record
	calls int
	fail  map[string]error
	hang  <-chan struct{}
}

func (p *producer) ProduceSync(_ context.Context, records ...*kgo.Record) kgo.ProduceResults {
	if p.hang != nil {
		<-p.hang
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	var results kgo.ProduceResults
	for _, r := range slices.Backward(records) { // they end in any order
		err := errors.Join(p.fail[r.Topic], p.fail[string(r.Key)])
		if err == nil {
			p.got = append(p.got, r)
		}
		results = append(results, kgo.ProduceResult{Record: r, Err: err})
	}
	return results
}

// texts are the records as topic/key=value, sorted.
func (p *producer) texts() string {
	var all []string
	for _, r := range p.got {
		all = append(all, fmt.Sprintf("%s/%s=%s", r.Topic, r.Key, r.Value))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// batchOf is a payload with an event for each id, spread over two partitions:
// even places in trips-0 and odd ones in trips-1, at offsets from 10.
func batchOf(t testing.TB, ids ...string) []byte {
	t.Helper()
	records := map[string][]awsevents.KafkaRecord{}
	for i, id := range ids {
		partition := fmt.Sprintf("trips-%d", i%2)
		r := kafkaRecord(int64(10+i/2), id, `"`+id+`"`, "ce_specversion", "1.0", "ce_id", id, "ce_source", "/x",
			"ce_type", "a.b", "ce_partitionkey", id, "content-type", "application/json")
		r.Topic, r.Partition = "trips", int64(i%2)
		records[partition] = append(records[partition], r)
	}
	payload, err := json.Marshal(awsevents.KafkaEvent{EventSource: "SelfManagedKafka", Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// answering passes events on, each with its id as key, and fails as told.
func answering(errs map[string]error) serve.HandlerFunc {
	return func(_ context.Context, e event.Event) (*event.Event, error) {
		if err := errs[e.ID()]; err != nil {
			return nil, err
		}
		answer := e.Clone()
		answer.SetType("c.d")
		return &answer, nil
	}
}

// batched is a handler of whole batches.
type batched struct {
	serve.HandlerFunc
	all func(ctx context.Context, batch []event.Event) ([]*event.Event, []error)
}

func (b batched) HandleAll(ctx context.Context, batch []event.Event) ([]*event.Event, []error) {
	return b.all(ctx, batch)
}

// together handles every event of a batch with h.
func together(h serve.HandlerFunc) batched {
	return batched{h, func(ctx context.Context, batch []event.Event) (answers []*event.Event, errs []error) {
		for _, e := range batch {
			answer, err := h(ctx, e)
			answers, errs = append(answers, answer), append(errs, err)
		}
		return answers, errs
	}}
}

func function(t testing.TB, h serve.Handler, p *producer, log *bytes.Buffer) *Function {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	f, err := New(h, Options{Name: "test", Producer: p, Topic: "answers", DeadLetters: "dead_letters", Concurrency: 4, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInvoke(t *testing.T) {
	panicking := func(id string, h serve.HandlerFunc) serve.HandlerFunc {
		return func(ctx context.Context, e event.Event) (*event.Event, error) {
			if e.ID() == id {
				panic("at " + id)
			}
			return h(ctx, e)
		}
	}
	away := func(ids ...string) map[string]error {
		errs := map[string]error{}
		for _, id := range ids {
			errs[id] = errAway
		}
		return errs
	}
	poison := event.New()
	for _, tt := range []struct {
		name     string
		ids      string
		handler  serve.HandlerFunc
		fail     map[string]error // what cannot be produced
		answer   string
		err      string // of the invocation
		produced string
	}{
		{
			name: "all done", ids: "a b c", handler: answering(nil),
			answer:   `{"batchItemFailures":[]}`,
			produced: `answers/a="a" answers/b="b" answers/c="c"`,
		},
		{
			name: "an empty batch", handler: answering(nil),
			answer: `{"batchItemFailures":[]}`,
		},
		{
			name: "the first failure of each partition", ids: "a b c d e f", handler: answering(away("c", "e", "f")),
			answer:   `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-0","offset":11}},{"itemIdentifier":{"partition":"trips-1","offset":12}}]}`,
			produced: `answers/a="a" answers/b="b" answers/d="d"`,
		},
		{
			name: "nothing is done", ids: "a b c", handler: answering(away("a", "b", "c")),
			err: "lambda: test has done none of 3 events: trips-0 at offset 10: nobody answers\ntrips-1 at offset 10: nobody answers",
		},
		{
			name: "no answer", ids: "a", handler: func(context.Context, event.Event) (*event.Event, error) { return nil, nil },
			answer: `{"batchItemFailures":[]}`,
		},
		{
			name: "a poisoned event is a dead letter and done", ids: "a b", handler: answering(map[string]error{"b": invalid(poison)}),
			answer:   `{"batchItemFailures":[]}`,
			produced: `answers/a="a" dead_letters/b="b"`,
		},
		{
			name: "a poisoned event with no place to go", ids: "a b", handler: answering(map[string]error{"b": invalid(poison)}),
			fail:     map[string]error{"dead_letters": errors.New("no such topic")},
			answer:   `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-1","offset":10}}]}`,
			produced: `answers/a="a"`,
		},
		{
			name: "an answer that is not written", ids: "a b c", handler: answering(nil),
			fail:     map[string]error{"c": errors.New("too large")},
			answer:   `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-0","offset":11}}]}`,
			produced: `answers/a="a" answers/b="b"`,
		},
		{
			name: "no answer is written", ids: "a b", handler: answering(nil),
			fail: map[string]error{"answers": errors.New("no leader")},
			err:  "lambda: test has done none of 2 events: trips-0 at offset 10: lambda: produce to answers: no leader",
		},
		{
			name: "an answer that cannot be written", ids: "a b",
			handler: func(_ context.Context, e event.Event) (*event.Event, error) {
				if e.ID() == "a" {
					return &event.Event{}, nil
				}
				return nil, nil
			},
			answer: `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-0","offset":10}}]}`,
		},
		{
			name: "a panic", ids: "a b c", handler: panicking("b", answering(nil)),
			answer:   `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-1","offset":10}}]}`,
			produced: `answers/a="a" answers/c="c"`,
		},
	} {
		for kind, handler := range map[string]serve.Handler{"each": tt.handler, "together": together(tt.handler)} {
			t.Run(tt.name+"/"+kind, func(t *testing.T) {
				p := &producer{fail: tt.fail}
				answer, err := function(t, handler, p, nil).Invoke(t.Context(), batchOf(t, strings.Fields(tt.ids)...))
				if tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) || tt.err == "" && err != nil {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				if string(answer) != tt.answer {
					t.Errorf("answer %s, want %s", answer, tt.answer)
				}
				if got := p.texts(); got != tt.produced {
					t.Errorf("produced %s, want %s", got, tt.produced)
				}
				if p.calls > 1 {
					t.Errorf("%d times was something produced, want all at once", p.calls)
				}
			})
		}
	}
}

// A dead letter is the event as it was, and what a KafkaSource adds to it.
func TestDeadLetter(t *testing.T) {
	p := &producer{}
	var log bytes.Buffer
	long := strings.Repeat("x", 2*maxErrorData)
	f := function(t, answering(map[string]error{
		"a": invalid(event.New()), "b": &events.InvalidError{Field: "data", Reason: long},
	}), p, &log)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{InvokedFunctionArn: "arn:aws:lambda:eu-west-1:1:function:learn"})
	if _, err := f.Invoke(ctx, batchOf(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.got {
		var record events.Record
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, events.Header{Key: h.Key, Value: h.Value})
		}
		record.Value = r.Value
		e, err := events.FromRecord(record)
		if err != nil {
			t.Fatal(err)
		}
		x := e.Extensions()
		body, err := base64.StdEncoding.DecodeString(fmt.Sprint(x["knativeerrordata"]))
		if err != nil || len(body) > maxErrorData {
			t.Errorf("knativeerrordata of %d bytes, %v", len(body), err)
		}
		if e.ID() != string(r.Key) || e.Type() != "a.b" || e.Source() != "/x" || string(e.Data()) != `"`+e.ID()+`"` ||
			x["knativeerrordest"] != "arn:aws:lambda:eu-west-1:1:function:learn" || x["knativeerrorcode"] != "400" ||
			x["knativekafkaoffset"] != "10" {
			t.Errorf("the dead letter is %s", e)
		}
		if want := `{"error":"handle : events: type: \"\" is not wanted","field":"type"}` + "\n"; e.ID() == "a" && string(body) != want {
			t.Errorf("knativeerrordata is of %s, want %s", body, want)
		}
	}
	if strings.Count(log.String(), "event dead-lettered") != 2 {
		t.Errorf("the log says\n%s", &log)
	}
}

// The stack is what finds the fault, and one event's panic is that of no other.
func TestPanicIsLogged(t *testing.T) {
	var log bytes.Buffer
	var alone atomic.Int32
	h := batched{
		func(context.Context, event.Event) (*event.Event, error) { alone.Add(1); return nil, nil },
		func(context.Context, []event.Event) ([]*event.Event, []error) { panic("all of them") },
	}
	answer, err := function(t, h, &producer{}, &log).Invoke(t.Context(), batchOf(t, "a", "b"))
	if err != nil || string(answer) != `{"batchItemFailures":[]}` || alone.Load() != 2 {
		t.Errorf("answer %s, %v, after %d events alone", answer, err, alone.Load())
	}
	if text := log.String(); !strings.Contains(text, "all of them") || !strings.Contains(text, "lambda_test.go") {
		t.Errorf("the log has no stack:\n%s", text)
	}
}

// inTime runs an invocation of a handler or a producer that hangs, and has the
// answer before Lambda would have ended it.
func inTime(t *testing.T, h serve.Handler, p *producer) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	answer, err := function(t, h, p, nil).Invoke(ctx, batchOf(t, "a", "b", "c"))
	if ctx.Err() != nil {
		t.Error("the answer came when the time was up")
	}
	return string(answer), err
}

func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hanging := func(_ context.Context, e event.Event) (*event.Event, error) {
		if e.ID() == "b" {
			<-release // whatever its context says
		}
		return &e, nil
	}
	t.Run("each", func(t *testing.T) {
		p := &producer{}
		answer, err := inTime(t, serve.HandlerFunc(hanging), p)
		if want := `{"batchItemFailures":[{"itemIdentifier":{"partition":"trips-1","offset":10}}]}`; err != nil || answer != want {
			t.Errorf("answer %s, %v, want %s", answer, err, want)
		}
		if got, want := p.texts(), `answers/a="a" answers/c="c"`; got != want {
			t.Errorf("produced %s, want %s: what was done in time", got, want)
		}
	})
	t.Run("together", func(t *testing.T) {
		if answer, err := inTime(t, together(hanging), &producer{}); !errors.Is(err, errNoTime) {
			t.Errorf("answer %s, error %v, want %v", answer, err, errNoTime)
		}
	})
	t.Run("producer", func(t *testing.T) {
		if answer, err := inTime(t, answering(nil), &producer{hang: release}); !errors.Is(err, errNoTime) {
			t.Errorf("answer %s, error %v, want %v", answer, err, errNoTime)
		}
	})
}

// As many events as allowed are handled at a time, and no more.
func TestConcurrency(t *testing.T) {
	const limit = 4 // of function
	ids := make([]string, 4*limit)
	for i := range ids {
		ids[i] = fmt.Sprint("t", i)
	}
	payload := batchOf(t, ids...)
	synctest.Test(t, func(t *testing.T) {
		var now, all atomic.Int32
		gate := make(chan struct{})
		f := function(t, serve.HandlerFunc(func(context.Context, event.Event) (*event.Event, error) {
			now.Add(1)
			<-gate
			now.Add(-1)
			all.Add(1)
			return nil, nil
		}), &producer{}, nil)
		done := make(chan error, 1)
		go func() {
			_, err := f.Invoke(t.Context(), payload)
			done <- err
		}()
		synctest.Wait() // until every handler that is called waits at the gate
		if n := now.Load(); n != limit {
			t.Errorf("%d events are handled at once, want %d", n, limit)
		}
		close(gate)
		if err := <-done; err != nil || all.Load() != 4*limit {
			t.Errorf("%d events were handled, %v", all.Load(), err)
		}
	})
}

// Lambda writes the records of a partition in their order; the lowest offset is
// the one to go on with all the same.
func TestFirstFailureIsTheLowestOffset(t *testing.T) {
	batch := []delivery{{partition: "a-0", offset: 9, err: errAway}, {partition: "a-0", offset: 7, err: errAway}, {partition: "a-0", offset: 5}}
	if first := firstFailures(batch); len(first) != 1 || first[0].offset != 7 {
		t.Errorf("%v is the first failure", first)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no producer":     {DeadLetters: "d"},
		"no dead letters": {Producer: &producer{}},
		"concurrency":     {Producer: &producer{}, DeadLetters: "d", Concurrency: -1},
	} {
		if _, err := New(answering(nil), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
