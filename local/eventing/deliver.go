package eventing

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxErrorData is how much of a response a dead letter carries.
	maxErrorData = 1024
	// maxResponse is how much of a response is read. A longer one costs its
	// connection.
	maxResponse = 64 << 10
)

// endpoint is a URL that events are posted to.
type endpoint struct {
	url    string
	parsed *url.URL
	to     http.RoundTripper
	outage outage
}

func newEndpoint(address string, to http.RoundTripper) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an http URL", address)
	}
	return &endpoint{url: address, parsed: u, to: to}, nil
}

// response is what an attempt came to: a status and what came with it, or an
// error in its place.
type response struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// why is the reason that an event was not taken.
func (r *response) why() error {
	if r.err != nil {
		return r.err
	}
	return fmt.Errorf("status %d", r.status)
}

// post sends one event once. The transport is used directly: a redirect is an
// answer, not a place to go.
func (e *endpoint) post(ctx context.Context, timeout time.Duration, header http.Header, data []byte) response {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req := (&http.Request{
		Method: http.MethodPost, URL: e.parsed, Host: e.parsed.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody,
	}).WithContext(ctx)
	if len(data) > 0 {
		req.ContentLength = int64(len(data))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := e.to.RoundTrip(req)
	if err != nil {
		return response{err: err}
	}
	defer resp.Body.Close()
	r := response{status: resp.StatusCode, header: resp.Header}
	if resp.ContentLength != 0 {
		// The status is the answer: a body that breaks off does not change it.
		r.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	}
	return r
}

// errAbandoned ends a delivery that is left to whoever has the partition next.
var errAbandoned = errors.New("abandoned")

// send posts an event until it is taken, refused or the retries are used up. It
// returns the last response and the number of attempts, or errAbandoned.
func (s *source) send(p *partition, to *endpoint, m *message) (response, int, error) {
	header := m.header()
	// An event may be posted twice, its id tells. Saying so, which no byte on
	// the wire does, lets the transport replace a connection that the server
	// closed between two events instead of failing the attempt.
	header["Idempotency-Key"] = nil
	for attempt := 1; ; attempt++ {
		resp := to.post(s.requests, s.delivery.Timeout, header, m.data)
		switch {
		case resp.err == nil && delivered(resp.status):
			to.outage.over(s.log, "sink takes events again")
			return resp, attempt, nil
		case s.requests.Err() != nil:
			return resp, attempt, errAbandoned
		case resp.err == nil && !retryable(resp.status), attempt > s.delivery.Retries:
			return resp, attempt, resp.why()
		}
		s.retries.Add(1)
		to.outage.failed(s.log, "sink does not take events, retrying", "sink", to.url, "error", resp.why())
		timer := time.NewTimer(s.delivery.wait(attempt))
		select {
		case <-timer.C:
		case <-p.tenure.Done():
			timer.Stop()
			return resp, attempt, errAbandoned
		}
	}
}

// deliver takes a record to its end: to the sink, to the dead-letter sink or,
// if neither takes it, nowhere. An abandoned delivery has no end and is not
// committed.
func (s *source) deliver(p *partition, r *kgo.Record) {
	d := Delivery{Source: s.name, Record: r, Started: time.Now()}
	m := fromRecord(r, s.manifest.Namespace, s.manifest.Name)
	for _, o := range s.overrides {
		m.set(o.name, o.value)
	}
	resp, attempts, err := s.send(p, s.sink, &m)
	if errors.Is(err, errAbandoned) {
		return
	}
	d.Attempts, d.Status, d.Header, d.Body, d.Err = attempts, resp.status, resp.header, resp.body, err
	if err != nil {
		d.Outcome = DeadLettered
		dead := m.with(s.errorExtensions(&resp)...)
		if _, _, err := s.send(p, s.deadLetter, &dead); errors.Is(err, errAbandoned) {
			return
		} else if err != nil {
			d.Outcome = Dropped
			d.Err = fmt.Errorf("%w; dead-letter sink: %w", d.Err, err)
		}
	}
	d.Finished = time.Now()
	s.ended(d, &m)
	p.finish(r)
}

// errorExtensions tell a dead letter's reader what happened. Without a response
// there is a destination alone.
func (s *source) errorExtensions(resp *response) []attribute {
	ext := []attribute{{"knativeerrordest", s.sink.url}}
	if resp.status == 0 {
		return ext
	}
	ext = append(ext, attribute{"knativeerrorcode", strconv.Itoa(resp.status)})
	if n := min(len(resp.body), maxErrorData); n > 0 {
		ext = append(ext, attribute{"knativeerrordata", base64.StdEncoding.EncodeToString(resp.body[:n])})
	}
	return ext
}

// ended counts and tells how a delivery ended.
func (s *source) ended(d Delivery, m *message) {
	s.outcomes[d.Outcome].Add(1)
	switch d.Outcome {
	case Delivered:
	case DeadLettered:
		s.log.Debug("event dead-lettered", "id", m.get("id"), "type", m.get("type"), "error", d.Err)
	case Dropped:
		s.log.Error("event lost: neither sink took it", "id", m.get("id"), "type", m.get("type"),
			"topic", d.Record.Topic, "partition", d.Record.Partition, "offset", d.Record.Offset, "error", d.Err)
	}
	if s.cfg.Observer.Delivered != nil {
		s.cfg.Observer.Delivered(d)
	}
}
