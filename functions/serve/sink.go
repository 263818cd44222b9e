package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tripcast.dev/events"
)

// sink posts events to one URL, in binary mode. It speaks to the transport and
// not through an http.Client: no redirects are followed, no cookies kept.
type sink struct {
	url       *url.URL
	timeout   time.Duration
	overrides []events.Attribute
	transport *http.Transport
}

// sinkError is an event that the sink did not take.
type sinkError struct {
	url string
	err error
}

func (s *sinkError) Error() string { return fmt.Sprintf("serve: sink %s: %v", s.url, s.err) }
func (s *sinkError) Unwrap() error { return s.err }

// newSink returns nil where there is none.
func newSink(o Options) (*sink, error) {
	u, err := parseSink(o.Sink)
	if err != nil {
		return nil, fmt.Errorf("serve: sink: %w", err)
	}
	if u == nil {
		return nil, nil
	}
	s := &sink{
		url:     u,
		timeout: o.SinkTimeout,
		transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			// As many connections as a KafkaSource has requests in flight stay
			// open; the default of 2 would dial for nearly every event.
			MaxIdleConns:        512,
			MaxIdleConnsPerHost: 512,
			IdleConnTimeout:     time.Minute,
			TLSHandshakeTimeout: 5 * time.Second,
			DisableCompression:  true,
		},
	}
	for name, value := range o.Overrides {
		s.overrides = append(s.overrides, events.Attribute{Name: strings.ToLower(name), Value: value})
	}
	if o.SinkCACerts != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // an image without certificates
		}
		if !pool.AppendCertsFromPEM([]byte(o.SinkCACerts)) {
			return nil, errors.New("serve: the CA certificates for the sink hold no certificate")
		}
		s.transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return s, nil
}

// post returns a *sinkError unless the sink answers 2xx within the timeout.
func (s *sink) post(ctx context.Context, attributes []events.Attribute, data []byte) error {
	if err := s.roundTrip(ctx, attributes, data); err != nil {
		return &sinkError{s.url.Redacted(), err}
	}
	return nil
}

func (s *sink) roundTrip(ctx context.Context, attributes []events.Attribute, data []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no answer within %v", s.timeout))
	defer cancel()
	header := make(http.Header, len(attributes)+len(s.overrides)+2)
	setAttributes(header, attributes)
	setAttributes(header, s.overrides)
	// Known to the transport and never sent: an event has the same id however
	// often it is posted, so that it may be posted again when the sink has
	// closed an idle connection.
	header["Idempotency-Key"] = nil
	r := (&http.Request{
		Method:        http.MethodPost,
		URL:           s.url,
		Header:        header,
		ContentLength: int64(len(data)),
		Body:          http.NoBody,
	}).WithContext(ctx)
	if len(data) > 0 {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		r.Body, _ = r.GetBody()
	}
	response, err := s.transport.RoundTrip(r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	defer response.Body.Close()
	// Only a body read to its end leaves the connection to the next event.
	said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	io.Copy(io.Discard, io.LimitReader(response.Body, 1<<18)) //nolint:errcheck // then the connection is not kept
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("answered %s: %s", response.Status, bytes.TrimSpace(said))
	}
	return nil
}
