package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
)

// TopicAnswers stands where a topic would, of what a function answers: over HTTP
// it writes to none.
const TopicAnswers = "answers"

// TypeRefusal is the type of the event that stands for an answer that is none:
// its data are what was answered, its attribute status the status.
const TypeRefusal = "dev.tripcast.replay.refusal.v1"

// answerWithin bounds the wait for an answer: as long as the KafkaSources wait.
const answerWithin = 30 * time.Second

// Function posts the records to one URL, each in binary mode as a KafkaSource
// does and after the answer to the one before. What is answered is the outcome.
// Records that are no CloudEvents are left out: what a KafkaSource makes of them
// depends on where they are.
func (p Play) Function(ctx context.Context, url string, records iter.Seq2[recordings.Record, error]) (*Outcome, *Played, error) {
	f := function{url: url, picky: p.OnlyTaken, untaken: map[string]bool{}, outcome: &Outcome{}}
	defer f.client.CloseIdleConnections()
	played := newPlayed()
	clock := pace{speed: p.Speed}
	for m, err := range p.moments(records, played) {
		if err != nil {
			return f.outcome, played, err
		}
		if m.err != nil || f.untaken[m.event.Type()] {
			played.LeftOut++
			continue
		}
		if err := clock.wait(ctx, m.at); err != nil {
			return f.outcome, played, fmt.Errorf("replay: stopped after %d records: %w", played.Total(), err)
		}
		taken, err := f.post(ctx, m.event)
		if err != nil {
			return f.outcome, played, fmt.Errorf("replay: %s, partition %d, offset %d of the recording: %w", m.Topic, m.Partition, m.Offset, err)
		}
		if !taken {
			f.untaken[m.event.Type()] = true
			played.LeftOut++
			continue
		}
		played.note(m)
	}
	return f.outcome, played, nil
}

// function is one at a URL.
type function struct {
	url     string
	client  http.Client
	picky   bool            // types that it does not take are not asked again
	untaken map[string]bool // those
	outcome *Outcome
}

// post sends an event and notes the answer. It reports false where the function
// does not take such events and need not.
func (f *function) post(ctx context.Context, e event.Event) (taken bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("%s has not answered within %s", f.url, answerWithin))
	defer cancel()
	request, err := cehttp.NewHTTPRequestFromEvent(ctx, f.url, e)
	if err != nil {
		return false, fmt.Errorf("writing the event %s as a request: %w", e.ID(), err)
	}
	response, err := f.client.Do(request)
	if err != nil {
		return false, fmt.Errorf("posting the event %s: %w", e.ID(), err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return f.refused(e, response)
	}
	if response.Header.Get("Ce-Specversion") == "" && !events.IsStructured(response.Header.Get("Content-Type")) {
		_, err := io.Copy(io.Discard, response.Body) // acknowledged without a word
		return true, err
	}
	answer, err := cehttp.NewEventFromHTTPResponse(response)
	if err != nil {
		return false, fmt.Errorf("reading the answer to the event %s: %w", e.ID(), err)
	}
	f.outcome.Events = append(f.outcome.Events, Event{Topic: TopicAnswers, Event: *answer})
	return true, nil
}

// refused notes an answer that is an error, as an event about the same.
func (f *function) refused(e event.Event, response *http.Response) (taken bool, err error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, events.MaxDataBytes))
	if err != nil {
		return false, fmt.Errorf("reading the answer to the event %s: %w", e.ID(), err)
	}
	var why struct {
		Field string `json:"field"`
	}
	if f.picky && response.StatusCode == http.StatusBadRequest && json.Unmarshal(body, &why) == nil && why.Field == "type" {
		return false, nil
	}
	refusal := event.New()
	refusal.SetID(e.ID())
	refusal.SetSource(e.Source())
	refusal.SetType(TypeRefusal)
	if e.Subject() != "" {
		refusal.SetSubject(e.Subject())
	}
	refusal.SetExtension("status", strconv.Itoa(response.StatusCode))
	refusal.SetDataContentType(response.Header.Get("Content-Type"))
	refusal.DataEncoded = body
	f.outcome.Events = append(f.outcome.Events, Event{Topic: TopicAnswers, Event: refusal})
	return true, nil
}
