// Package eventing is Knative Eventing for a laptop: it reads the very manifests
// a cluster is given and does in one process what Knative does with them.
//
//   - A KafkaSource is a consumer group that posts every record to its sink as
//     a binary-mode CloudEvent, retries, and hands what it cannot deliver to
//     its dead-letter sink.
//   - A KafkaSink is a URL: what is posted there is in its topic when the
//     answer, 202, arrives.
//   - A SinkBinding is the environment of a Service, see [Eventing.Env].
//
// It knows nothing of what the events mean. It follows eventing-kafka-broker
// 0.50 (Knative 1.23), with these differences:
//
//   - KafkaSource and KafkaSink have no Secrets: [Config.KafkaOptions] carries
//     the credentials.
//   - A KafkaSource needs a dead-letter sink. As in Knative, an event that
//     neither sink takes is lost: its offset is committed like any other's.
//   - The consumers of a KafkaSource are one member of its group; their number
//     bounds how many records it has in flight.
//   - Offsets of aborted transactions and of transactions' ends do not hold up
//     commits.
//   - When partitions are taken away or the process stops, deliveries under way
//     are waited for and committed, so that a restart redelivers nothing that
//     was acknowledged; those that wait for a retry are left for the next owner.
package eventing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// DefaultIngressAddr is where KafkaSinks listen.
const DefaultIngressAddr = "127.0.0.1:8083"

// Config says what to run, and with what in place of a cluster.
type Config struct {
	// Manifests, as Load returns them.
	Manifests *Manifests

	// Brokers (host:port) replace the bootstrapServers of every manifest.
	// Empty leaves those in place.
	Brokers []string

	// Services tells the URL of a Knative Service by its name, false if there
	// is none. It is asked when a sink is resolved: by Env for a SinkBinding
	// and by StartSources.
	Services func(name string) (url string, ok bool)

	// IngressAddr is the host:port of the KafkaSinks, DefaultIngressAddr if
	// empty. Port 0 picks a free one.
	IngressAddr string

	// Observer is told of every event. Its zero value is not.
	Observer Observer

	// Logger gets one line when something starts, stops, fails or recovers.
	// Nil means slog.Default().
	Logger *slog.Logger

	// KafkaOptions are added to every Kafka client: credentials and TLS.
	KafkaOptions []kgo.Opt

	// MaxPollRecords is Knative's max.poll.records, 50 if zero: how many
	// records each of a source's consumers may have in flight when unordered.
	MaxPollRecords int

	// CommitInterval is how often offsets are committed, 5 s if zero: what is
	// delivered again after a crash is what finished since.
	CommitInterval time.Duration

	// ProduceTimeout is how long a KafkaSink waits for the broker before it
	// answers 503, 30 s if zero.
	ProduceTimeout time.Duration
}

// brokers are the ones in effect.
func (c *Config) brokers(bootstrapServers []string) []string {
	if len(c.Brokers) > 0 {
		return c.Brokers
	}
	return bootstrapServers
}

// Eventing is Knative Eventing at work. It is safe for concurrent use.
type Eventing struct {
	cfg     Config
	ingress *ingress

	mu      sync.Mutex
	sources []*source
	started bool
	closed  bool
}

// Start makes the KafkaSinks ready, topics included, and serves them. Sources
// wait for StartSources: what they deliver to needs Env first. ctx bounds the
// start alone.
//
// A port in use, a broker out of reach and a topic that cannot be created are
// errors that name the KafkaSink or the flag.
func Start(ctx context.Context, cfg Config) (*Eventing, error) {
	if cfg.Manifests == nil {
		return nil, errors.New("starting eventing: no manifests")
	}
	cfg.IngressAddr = cmp.Or(cfg.IngressAddr, DefaultIngressAddr)
	cfg.MaxPollRecords = cmp.Or(cfg.MaxPollRecords, 50)
	cfg.CommitInterval = cmp.Or(cfg.CommitInterval, 5*time.Second)
	cfg.ProduceTimeout = cmp.Or(cfg.ProduceTimeout, 30*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())

	in, err := startIngress(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	return &Eventing{cfg: cfg, ingress: in}, nil
}

// SinkURL is where the KafkaSink namespace/name takes events.
func (e *Eventing) SinkURL(namespace, name string) (string, error) {
	path := "/" + namespace + "/" + name
	if _, ok := e.ingress.sinks[path]; !ok {
		return "", fmt.Errorf("no KafkaSink %s/%s", namespace, name)
	}
	return e.ingress.url + path, nil
}

// Env is what SinkBindings add to the environment of the Service of that name:
// K_SINK and K_CE_OVERRIDES, the latter empty if the binding overrides nothing.
// It is empty for a Service that no SinkBinding names.
func (e *Eventing) Env(service string) (map[string]string, error) {
	env := map[string]string{}
	for _, b := range e.cfg.Manifests.Bindings {
		if b.Spec.Subject.Name != service {
			continue
		}
		url, err := e.resolve(b.Spec.Sink)
		if err != nil {
			return nil, fmt.Errorf("SinkBinding %s: spec.sink: %w", qualified(&b.ObjectMeta), err)
		}
		overrides := ""
		if b.Spec.CloudEventOverrides != nil {
			text, err := json.Marshal(b.Spec.CloudEventOverrides)
			if err != nil {
				return nil, fmt.Errorf("SinkBinding %s: spec.ceOverrides: %w", qualified(&b.ObjectMeta), err)
			}
			overrides = string(text)
		}
		env["K_SINK"], env["K_CE_OVERRIDES"] = url, overrides
	}
	return env, nil
}

// resolve is the URL of a sink that Load has checked.
func (e *Eventing) resolve(d duckv1.Destination) (string, error) {
	if d.Ref == nil {
		return d.URI.String(), nil
	}
	var url string
	var err error
	switch d.Ref.Kind {
	case "KafkaSink":
		url, err = e.SinkURL(d.Ref.Namespace, d.Ref.Name)
	default:
		url, err = e.serviceURL(d.Ref.Name)
	}
	if err != nil || d.URI == nil {
		return url, err
	}
	return joinURL(url, d.URI.URL())
}

func (e *Eventing) serviceURL(name string) (string, error) {
	if e.cfg.Services != nil {
		if url, ok := e.cfg.Services(name); ok {
			return url, nil
		}
	}
	return "", fmt.Errorf("no Service %s runs here", name)
}

// StartSources starts every KafkaSource that is not paused, once. A source whose
// topic does not exist yet waits for it. ctx bounds the start alone.
func (e *Eventing) StartSources(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started || e.closed {
		return errors.New("starting sources: already started or closed")
	}
	var sources []*source
	for _, m := range e.cfg.Manifests.Sources {
		if *m.Spec.Consumers == 0 {
			e.cfg.Logger.Info("source paused: it has no consumers", "source", qualified(&m.ObjectMeta))
			continue
		}
		s, err := e.newSource(m)
		if err != nil {
			return fmt.Errorf("KafkaSource %s: %w", qualified(&m.ObjectMeta), err)
		}
		sources = append(sources, s)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting sources: %w", err)
	}
	for _, s := range sources {
		s.start()
	}
	e.sources, e.started = sources, true
	return nil
}

// Close stops the sources, waits for the deliveries under way, commits what was
// finished, and then closes the KafkaSinks, which those deliveries may have
// needed. When ctx ends first, what is still under way is given up: it is not
// committed, and delivered again the next time.
func (e *Eventing) Close(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	errs := make([]error, len(e.sources)+1)
	var closing sync.WaitGroup
	for i, s := range e.sources {
		closing.Go(func() { errs[i] = s.close(ctx) })
	}
	closing.Wait()
	errs[len(e.sources)] = e.ingress.close(ctx)
	return errors.Join(errs...)
}

// running is a copy of the sources that are.
func (e *Eventing) running() []*source {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sources
}
