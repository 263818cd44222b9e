package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sync/errgroup"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/process"
	"tripcast.dev/functions/registry"
)

// function is how one of them is asked, and for which models it answers.
type function struct {
	name     string
	reads    bool // what others have learned
	ask      func(registry.Label) events.Payload
	answered func(event.Event) (models int, err error)
}

var (
	predicting = function{
		name:  "predict",
		reads: true,
		ask: func(l registry.Label) events.Payload {
			return &events.Features{TripID: l.ID, PickedUpAt: time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC), Features: l.Features}
		},
		answered: func(e event.Event) (int, error) {
			p, err := events.DecodePrediction(e)
			return len(p.Predictions), err
		},
	}
	learning = function{
		name: "learn",
		ask: func(l registry.Label) events.Payload {
			return &events.Label{TripID: l.ID, Features: l.Features, DurationS: l.Y}
		},
		answered: func(e event.Event) (int, error) {
			l, err := events.DecodeLearned(e)
			return len(l.Versions), err
		},
	}
)

// measurement is one function with what it stands on.
type measurement struct {
	function
	binary, redis string
	school        school
	committer     *registry.Committer
	models        int
	options       options
	asked         atomic.Int64 // requests so far: each is about another trip
}

// result is what was measured.
type result struct {
	name        string
	binaryBytes int64
	starts      []time.Duration // sorted
	first       memory          // after the first answer
	rested      memory          // and some time without a request
	loaded      memory          // right after many requests
	restedAgain memory
	perSecond   float64 // requests answered under that load
}

func (m *measurement) run(ctx context.Context) (result, error) {
	r := result{name: m.name}
	info, err := os.Stat(m.binary)
	if err != nil {
		return r, err
	}
	r.binaryBytes = info.Size()
	for range m.options.runs {
		took, p, err := m.start(ctx)
		if err != nil {
			return r, err
		}
		r.starts = append(r.starts, took)
		if err := p.Stop(); err != nil {
			return r, err
		}
	}
	slices.Sort(r.starts)
	return r, m.watch(ctx, &r)
}

// start starts the process and returns how long it took to its first answer.
func (m *measurement) start(ctx context.Context) (time.Duration, *process.Process, error) {
	client, closeClient := newClient(1)
	defer closeClient()
	request, err := m.next()
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	p, err := process.Start(ctx, m.binary, "REDIS_URL="+m.redis, "LOG_LEVEL=info")
	if err != nil {
		return 0, nil, err
	}
	if err := m.send(ctx, client, p.URL, request); err != nil {
		return 0, nil, errors.Join(err, p.Stop())
	}
	return time.Since(began), p, nil
}

// watch looks at the memory of one process: at rest, under load and at rest again.
func (m *measurement) watch(ctx context.Context, r *result) error {
	_, p, err := m.start(ctx)
	if err != nil {
		return err
	}
	look := func(to *memory) func() (err error) {
		return func() (err error) {
			*to, err = memoryOf(p.PID)
			return err
		}
	}
	rest := func() error {
		select {
		case <-time.After(m.options.idle):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	load := func() (err error) {
		r.perSecond, err = m.load(ctx, p.URL)
		return err
	}
	for _, step := range []func() error{look(&r.first), rest, look(&r.rested), load, look(&r.loaded), rest, look(&r.restedAgain), p.Stop} {
		if err := step(); err != nil {
			return errors.Join(err, p.Stop())
		}
	}
	return nil
}

// atOnce is how many requests are in flight: the concurrency of the Services.
const atOnce = 50

// load sends the requests as fast as they are answered, while the models that a
// function reads go on learning, and returns how many a second.
func (m *measurement) load(ctx context.Context, url string) (float64, error) {
	if m.reads {
		stop := m.goOnLearning(ctx)
		defer stop()
	}
	client, closeClient := newClient(atOnce)
	defer closeClient()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	began := time.Now()
	for range m.options.requests {
		request, err := m.next()
		if err != nil {
			return 0, errors.Join(err, group.Wait())
		}
		group.Go(func() error { return m.send(ctx, client, url, request) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return float64(m.options.requests) / time.Since(began).Seconds(), nil
}

// goOnLearning teaches a label now and then, so that there are new models to
// read as often as a function looks for them.
func (m *measurement) goOnLearning(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			n := m.options.labels + int(m.asked.Add(1))
			m.committer.Learn(ctx, m.school(n)) //nolint:errcheck // the next one is as good
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// next is a request about a trip that no request was about.
func (m *measurement) next() (request, error) {
	n := m.options.labels + int(m.asked.Add(1))
	e, err := events.Encode(m.ask(m.school(n)))
	if err != nil {
		return request{}, err
	}
	attributes, err := events.Attributes(e)
	if err != nil {
		return request{}, err
	}
	r := request{header: http.Header{}, data: e.Data()}
	for _, a := range attributes {
		r.header.Set("ce-"+a.Name, a.Value)
	}
	r.header.Set("Content-Type", "application/json")
	return r, nil
}

type request struct {
	header http.Header
	data   []byte
}

// send sends a request as a KafkaSource does, and returns an error unless every
// model is in the answer.
func (m *measurement) send(ctx context.Context, client *http.Client, url string, q request) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(q.data))
	if err != nil {
		return err
	}
	r.Header = q.header
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: %s", response.Status, body)
	}
	n, err := m.answered(event.Event{Context: &event.EventContextV1{Type: response.Header.Get("Ce-Type")}, DataEncoded: body})
	if err == nil && n != m.models {
		err = fmt.Errorf("%d models of %d answered: %s", n, m.models, body)
	}
	return err
}

// newClient keeps as many connections open as requests are in flight.
func newClient(atOnce int) (client *http.Client, closeClient func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: atOnce}
	return &http.Client{Transport: transport, Timeout: time.Minute}, transport.CloseIdleConnections
}
