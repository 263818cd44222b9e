package eventing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/infra/knative/manifest"
)

const (
	// startTimeout bounds what has to work for a KafkaSink to be ready.
	startTimeout = 15 * time.Second

	// linger is how long a record waits for others to share its batch. Most of
	// an event's way is waiting; this is a small part of it, and saves one
	// request to the broker per event.
	linger = time.Millisecond

	// maxEvent bounds a request's body. Brokers take 1 MiB by default and
	// answer for that themselves; this is where reading stops.
	maxEvent = 8 << 20
)

// ingress is the HTTP server of all KafkaSinks: POST /{namespace}/{name}, as
// kafka-sink-ingress in a cluster.
type ingress struct {
	url    string // http://host:port
	server *http.Server
	sinks  map[string]*kafkaSink // by path

	mu     sync.Mutex
	unused map[net.Conn]bool // on which no request has come yet
}

// kafkaSink is one KafkaSink at work.
type kafkaSink struct {
	name     string // namespace/name
	spec     manifest.KafkaSinkSpec
	client   *kgo.Client
	timeout  time.Duration
	produced func(Production)
	log      *slog.Logger
	outage   outage
}

// startIngress makes every KafkaSink ready, its topic included, and serves.
func startIngress(ctx context.Context, cfg *Config) (_ *ingress, err error) {
	in := &ingress{sinks: map[string]*kafkaSink{}, unused: map[net.Conn]bool{}}
	defer func() {
		if err != nil {
			in.closeClients()
		}
	}()
	ln, err := net.Listen("tcp", cfg.IngressAddr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("starting the KafkaSink ingress: %s is in use: listen elsewhere with --ingress-listen HOST:PORT: %w", cfg.IngressAddr, err)
	case err != nil:
		return nil, fmt.Errorf("starting the KafkaSink ingress (--ingress-listen): %w", err)
	}
	defer func() {
		if err != nil {
			ln.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, m := range cfg.Manifests.Sinks {
		s, err := newKafkaSink(ctx, cfg, m)
		if err != nil {
			return nil, err
		}
		in.sinks["/"+s.name] = s
	}
	in.url = "http://" + ln.Addr().String()
	in.server = &http.Server{
		Handler:           in,
		ConnState:         in.connState,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := in.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("the KafkaSink ingress stopped", "error", err)
		}
	}()
	return in, nil
}

func newKafkaSink(ctx context.Context, cfg *Config, m *manifest.KafkaSink) (*kafkaSink, error) {
	name := qualified(&m.ObjectMeta)
	brokers := cfg.brokers(m.Spec.BootstrapServers)
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("kafkasink/" + name),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchCompression(kgo.NoCompression()),               // the Java producer's default, and what it saves is not CPU
		kgo.RecordDeliveryTimeout(max(cfg.ProduceTimeout, time.Second)), // the least it takes
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),            // Kafka's own hash of the key
	}, cfg.KafkaOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("KafkaSink %s: %w", name, err)
	}
	s := &kafkaSink{
		name: name, spec: m.Spec, client: client, timeout: cfg.ProduceTimeout,
		produced: cfg.Observer.Produced, log: cfg.Logger.With("sink", name),
	}
	if err := s.ensureTopic(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("KafkaSink %s: topic %s on %v: %w", name, m.Spec.Topic, brokers, err)
	}
	return s, nil
}

// ensureTopic creates the topic if the manifest says how, and else insists that
// it exists. A cluster smaller than the replication factor, which on a laptop
// it is, gets as many replicas as it has brokers.
func (s *kafkaSink) ensureTopic(ctx context.Context) error {
	adm := kadm.NewClient(s.client)
	existing, err := adm.ListTopics(ctx, s.spec.Topic)
	if err != nil {
		return fmt.Errorf("looking for it: %w", err)
	}
	if existing.Has(s.spec.Topic) {
		return nil
	}
	if s.spec.NumPartitions == nil {
		return errors.New("it does not exist, and numPartitions and replicationFactor do not say how to create it")
	}
	nodes, err := adm.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("counting brokers: %w", err)
	}
	replicas := *s.spec.ReplicationFactor
	if int(replicas) > len(nodes) {
		s.log.Info("fewer brokers than replicas", "topic", s.spec.Topic, "replicationFactor", replicas, "brokers", len(nodes))
		replicas = int16(len(nodes))
	}
	_, err = adm.CreateTopic(ctx, *s.spec.NumPartitions, replicas, nil, s.spec.Topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating it: %w", err)
	}
	return nil
}

// ServeHTTP answers 202 once the broker has the event, 400 if it is no
// CloudEvent, 404 if there is no such KafkaSink, 405 if it is not a POST, 413 if
// it is too large to read, and 503 if the broker did not take it.
func (in *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sink, ok := in.sinks[r.URL.Path]
	if !ok {
		http.Error(w, "no KafkaSink at "+r.URL.Path, http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events are posted", http.StatusMethodNotAllowed)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "reading the event: "+err.Error(), status)
		return
	}
	m, err := fromRequest(r.Header, body)
	if err == nil {
		var record *kgo.Record
		if record, err = m.record(sink.spec.Topic, sink.spec.ContentMode); err == nil {
			sink.produce(w, record)
			return
		}
	}
	http.Error(w, "not a CloudEvent: "+err.Error(), http.StatusBadRequest)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(w, r.Body, maxEvent)
	if n := r.ContentLength; n >= 0 && n <= maxEvent {
		body := make([]byte, n)
		_, err := io.ReadFull(limited, body)
		return body, err
	}
	return io.ReadAll(limited)
}

// produce answers for one record. It does not wait longer than the timeout: a
// record that is then still on its way may arrive after all, and the client's
// retry be its duplicate, with the same id.
func (s *kafkaSink) produce(w http.ResponseWriter, record *kgo.Record) {
	started := time.Now()
	acknowledged := make(chan error, 1)
	// Not the request's context: a client that hangs up does not take back
	// what it has sent.
	s.client.Produce(context.Background(), record, func(_ *kgo.Record, err error) { acknowledged <- err })
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	var err error
	select {
	case err = <-acknowledged:
	case <-timer.C:
		err = fmt.Errorf("no acknowledgement within %v", s.timeout)
		record = &kgo.Record{Topic: record.Topic, Key: record.Key, Value: record.Value, Headers: record.Headers} // the first is the client's still
	}
	if s.produced != nil {
		s.produced(Production{Sink: s.name, Record: record, Started: started, Finished: time.Now(), Err: err})
	}
	if err != nil {
		s.outage.failed(s.log, "Kafka does not take events", "topic", record.Topic, "error", err)
		http.Error(w, fmt.Sprintf("producing to %s: %v", record.Topic, err), http.StatusServiceUnavailable)
		return
	}
	s.outage.over(s.log, "Kafka takes events again")
	w.WriteHeader(http.StatusAccepted)
}

func (in *ingress) connState(c net.Conn, state http.ConnState) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if state == http.StateNew {
		in.unused[c] = true
	} else {
		delete(in.unused, c)
	}
}

// closeUnused closes connections that a client has dialed to have them ready:
// Shutdown would wait 5 s for their first request. Who has sent one in this
// moment sends it again, as if the connection had not come about.
func (in *ingress) closeUnused() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for c := range in.unused {
		c.Close()
	}
}

// close finishes the requests under way and stops.
func (in *ingress) close(ctx context.Context) error {
	in.closeUnused()
	err := in.server.Shutdown(ctx)
	if err != nil {
		in.server.Close()
		err = fmt.Errorf("closing the KafkaSink ingress: %w", err)
	}
	in.closeClients()
	return err
}

func (in *ingress) closeClients() {
	for _, s := range in.sinks {
		s.client.Close()
	}
}
