// Package serve is how a function runs: it takes CloudEvents off a transport,
// hands each to a Handler, passes on the event that the handler returns, and
// tells the source whether to forget the event, to retry it or to give it up.
//
// A Handler knows no transport. Server is the one of Knative: CloudEvents over
// HTTP, as a KafkaSource posts them and K_SINK takes them. Package lambda, below
// this one, has the one of AWS Lambda.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Handler is a function. It returns an event to pass on, or none, and is called
// concurrently. Whatever it returns without an error is done for good: the
// event is acknowledged. An *events.InvalidError says that the event can never
// be handled, any other error that it may be later.
type Handler interface {
	Handle(ctx context.Context, e event.Event) (*event.Event, error)
}

// HandlerFunc is a Handler of a single function.
type HandlerFunc func(ctx context.Context, e event.Event) (*event.Event, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, e event.Event) (*event.Event, error) {
	return f(ctx, e)
}

// What Options stand for where they are zero.
const (
	DefaultAddr            = ":8080"
	DefaultSinkTimeout     = 10 * time.Second
	DefaultShutdownTimeout = 25 * time.Second // Kubernetes kills after 30
)

// Options say how a function is served.
type Options struct {
	// Name of the function, in its logs.
	Name string

	// Addr is the TCP address that Run listens on; DefaultAddr if empty.
	Addr string

	// Sink is the URL that returned events are posted to, in binary mode,
	// before the event that caused them is acknowledged. Empty for none: then
	// they are only the response.
	Sink string

	// Overrides are extensions set on every event that goes to the sink.
	Overrides map[string]string

	// SinkCACerts are PEM certificates to trust for the sink beside the
	// system's.
	SinkCACerts string

	// SinkTimeout bounds one post to the sink; DefaultSinkTimeout if zero.
	SinkTimeout time.Duration

	// Ready returns why the function cannot take events now, and nil when it
	// can. Readiness asks it each time. Nil is always ready.
	Ready func(ctx context.Context) error

	// ShutdownTimeout bounds how long requests in flight may take to finish
	// once Run is told to stop; DefaultShutdownTimeout if zero.
	ShutdownTimeout time.Duration

	// Logger takes a line per start, stop and failure, and at debug level one
	// per event. Nil is slog.Default().
	Logger *slog.Logger
}

// FromEnv reads the options that Knative and func give a function through its
// environment: LISTEN_ADDRESS, or else PORT, and K_SINK, K_CE_OVERRIDES and
// K_CA_CERTS of a SinkBinding. getenv is os.Getenv or the like. An error names
// the variable.
func FromEnv(getenv func(string) string) (Options, error) {
	o := Options{Addr: getenv("LISTEN_ADDRESS"), SinkCACerts: getenv("K_CA_CERTS")}
	if port := getenv("PORT"); o.Addr == "" && port != "" {
		o.Addr = net.JoinHostPort("", port)
	}
	if o.Addr != "" {
		if _, _, err := net.SplitHostPort(o.Addr); err != nil {
			return Options{}, fmt.Errorf("serve: LISTEN_ADDRESS or PORT: %w", err)
		}
	}
	o.Sink = getenv("K_SINK")
	if _, err := parseSink(o.Sink); err != nil {
		return Options{}, fmt.Errorf("serve: K_SINK: %w", err)
	}
	if text := getenv("K_CE_OVERRIDES"); text != "" {
		var overrides struct {
			Extensions map[string]string `json:"extensions"`
		}
		if err := json.Unmarshal([]byte(text), &overrides); err != nil {
			return Options{}, fmt.Errorf("serve: K_CE_OVERRIDES: %w", err)
		}
		if err := checkOverrides(overrides.Extensions); err != nil {
			return Options{}, fmt.Errorf("serve: K_CE_OVERRIDES: %w", err)
		}
		o.Overrides = overrides.Extensions
	}
	return o, nil
}

// parseSink returns nil for no sink.
func parseSink(sink string) (*url.URL, error) {
	if sink == "" {
		return nil, nil
	}
	u, err := url.Parse(sink)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an http or https URL", sink)
	}
	return u, nil
}

// checkOverrides refuses what is no extension: an override must not change what
// an event is.
func checkOverrides(overrides map[string]string) error {
	for name, value := range overrides {
		c := event.EventContextV1{}
		if err := c.SetExtension(name, value); err != nil {
			return fmt.Errorf("extension %q: %w", name, err)
		}
		for i := range len(value) {
			if value[i] < ' ' || value[i] == 0x7f {
				return fmt.Errorf("extension %q: %q has a control character", name, value)
			}
		}
	}
	return nil
}

// Run listens on o.Addr and serves h until ctx is done, then shuts down as
// Server.Serve says.
func Run(ctx context.Context, h Handler, o Options) error {
	s, err := New(h, o)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.options.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("serve: %w", err) // it says "listen tcp" and the address
	}
	return s.Serve(ctx, l)
}

// withDefaults fills in what is zero and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.SinkTimeout == 0 {
		o.SinkTimeout = DefaultSinkTimeout
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = DefaultShutdownTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Name != "" {
		o.Logger = o.Logger.With("function", o.Name)
	}
	if o.SinkTimeout < 0 || o.ShutdownTimeout < 0 {
		return o, errors.New("serve: a timeout is negative")
	}
	if err := checkOverrides(o.Overrides); err != nil {
		return o, fmt.Errorf("serve: overrides: %w", err)
	}
	return o, nil
}
