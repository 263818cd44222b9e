package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/promote"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
	"tripcast.dev/local/stream"
	"tripcast.dev/sql"
)

// system is the whole system: every part that the options do not replace, and
// what plays trips and counts them.
type system struct {
	options // with kafka's brokers, once they are known
	*parts
	screen *screen

	embedded bool // the broker is one of the parts
	client   redis.UniversalClient
	eventing *knative
	stream   *stream.Stream // nil where Materialize is elsewhere
	// statements are the program, once the broker is known.
	statements []sql.Statement
	tally      *tally
	producer   *simulate.Producer
	sim        *simulate.Simulation // nil if trips come from elsewhere
	played     error                // why it ended early, once it has ended
	baseline   map[string]int64     // labels learned before this run
	started    time.Time
	redisAt    string            // URL, without a password
	sqlAt      string            // of the stand-in, or of Materialize
	urls       map[string]string // of the functions
	monitor    string            // URL of the dashboard, empty where there is none
}

func newSystem(o options, stderr io.Writer) *system {
	screen := newScreen(stderr)
	return &system{options: o, parts: newParts(newLog(screen, o.verbose)), screen: screen}
}

// run starts everything, plays the trips, and stops everything. The report is
// nil if the trips never started.
func (s *system) run(ctx context.Context) (*Report, error) {
	defer s.stop()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, err
	}
	report, err := s.play(ctx)
	return report, errors.Join(err, profileMemory(s.memoryProfile))
}

func (s *system) start(ctx context.Context) error {
	for _, step := range []struct {
		part string
		run  func(context.Context) error
	}{
		{"kafka", s.startKafka},
		{"redis", s.startRedis},
		{"redis", s.applyCatalogue},
		{"sql", s.loadProgram},
		{"simulate", s.openTrips},
		{"eventing", s.startFunctions},
		{"sql", s.startSQL},
		{"monitor", s.startMonitor},
		{"counting", s.startCounting},
		// Last: whatever they deliver has where to go.
		{"eventing", s.startSources},
	} {
		if err := inPart(ctx, step.part, step.run); err != nil {
			return err
		}
	}
	return s.greet()
}

func (s *system) startSources(ctx context.Context) error {
	if err := s.eventing.startSources(ctx); err != nil {
		return err
	}
	return s.eventing.awaitPartitions(ctx, sql.SinkTopics(s.statements))
}

// greet says where everything is.
func (s *system) greet() error {
	kind := func(embedded bool) string {
		if embedded {
			return " (embedded)"
		}
		return ""
	}
	if s.monitor != "" {
		fmt.Fprintf(s.screen, "Dashboard %s\n", s.monitor)
	}
	fmt.Fprintf(s.screen, "Kafka %s%s   Redis %s%s   SQL %s%s\n",
		s.kafka, kind(s.embedded), s.redisAt, kind(s.redis == ""), s.sqlAt, kind(s.materialize == ""))
	if s.predict != "" {
		binding, err := s.eventing.binding(s.sinks)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.screen, "predict, where it runs, has to be given %s\n", binding)
	}
	speed := ""
	switch {
	case s.sim == nil:
	case s.speed > 0:
		speed = fmt.Sprintf(" at %g times real time", s.speed)
	default:
		speed = " as fast as the pipeline takes them"
	}
	input := "trips: " + s.trips + speed
	if !readsTrips(s.statements) {
		input = s.sqlDir + " reads " + strings.Join(inputsOf(s.statements), ", ")
	}
	fmt.Fprintf(s.screen, "predict %s   learn %s   promote %s   %s\n", s.urls["predict"], s.urls["learn"], s.urls["promote"], input)
	return nil
}

// moves says what gets a part of the whole system off a port that is in use.
func moves(part string) string { return "--" + part + "-listen, or take --free-ports" }

func (s *system) startKafka(ctx context.Context) error {
	if len(s.kafka.Brokers) > 0 {
		return s.kafka.Check(ctx)
	}
	at := s.listen.kafka
	addr, err := s.startBroker(broker.Options{Listen: at}, moves("kafka")+", or use what listens there with --kafka "+at)
	if err != nil {
		return err
	}
	s.kafka, s.embedded = kafka.Connection{Brokers: []string{addr}}, true
	return nil
}

func (s *system) startRedis(ctx context.Context) error {
	at := s.redis
	if at == "" {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr(s.listen.redis); err != nil {
			return portError("redis", s.listen.redis, moves("redis"), err)
		}
		s.closing(m.Close)
		at = "redis://" + m.Addr()
	}
	var err error
	if s.client, err = s.openRedis(ctx, at); err != nil {
		return err
	}
	parsed, err := url.Parse(at)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	s.redisAt = parsed.Redacted()
	return nil
}

func (s *system) applyCatalogue(ctx context.Context) error {
	text, name := infra.Models(), "infra/models.yaml"
	if s.catalogue != nil {
		text, name = s.catalogue, "the catalogue"
	} else if s.models != "" {
		var err error
		if text, err = os.ReadFile(s.models); err != nil {
			return fmt.Errorf("--models: %w", err)
		}
		name = s.models
	}
	catalogue, err := online.ParseCatalogue(text, kinds.All())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := registry.Apply(ctx, s.client, catalogue); err != nil {
		return err
	}
	s.baseline, err = learned(ctx, s.client)
	return err
}

// openTrips opens the file and creates the topics of the trips, whoever plays
// them, if the program is about trips.
func (s *system) openTrips(ctx context.Context) (err error) {
	var source simulate.Source
	if s.trips != tripsNone {
		if source, err = simulate.OpenSource(s.trips, s.synthetic); err != nil {
			return err
		}
	}
	if !readsTrips(s.statements) {
		return nil
	}
	s.producer, err = simulate.NewProducer(ctx, simulate.ProducerConfig{Brokers: s.kafka.Brokers, Options: s.kafka.Options()})
	if err != nil {
		return err
	}
	s.closing(s.producer.Close)
	if source == nil {
		return nil
	}
	config := simulate.Config{Source: source, Producer: s.producer, Speed: s.speed, Limit: s.limit, Log: s.log}
	if s.speed == 0 {
		config.Throttle = s
	}
	s.sim, err = simulate.New(config)
	return err
}

// startFunctions starts the KafkaSinks, which predict needs, and the functions.
func (s *system) startFunctions(ctx context.Context) (err error) {
	s.urls = map[string]string{"predict": s.options.predict, "learn": s.options.learn, "promote": s.options.promote}
	functions := map[string]*function{}
	for name, address := range map[string]string{"predict": s.listen.predict, "learn": s.listen.learn, "promote": s.listen.promote} {
		if s.urls[name] != "" {
			continue
		}
		f, err := bindFunction(name, address)
		if err != nil {
			return err
		}
		s.closing(func() { _ = f.listener.Close() }) // if it never serves
		functions[name], s.urls[name] = f, f.url()
	}
	if s.tally, err = newTally(s.kafka, s.log); err != nil {
		return err
	}
	s.closing(s.tally.client.Close)
	s.eventing, err = s.startSinks(ctx, s.kafka, s.listen.ingress, s.urls, eventing.Observer{Delivered: s.heard})
	if err != nil {
		return err
	}
	if f := functions["predict"]; f != nil {
		if err := s.servePredict(ctx, f); err != nil {
			return err
		}
	}
	if f := functions["learn"]; f != nil {
		s.serveLearn(ctx, f)
	}
	if f := functions["promote"]; f != nil {
		s.servePromote(ctx, f)
	}
	return nil
}

// heard is told of every delivery.
func (s *system) heard(d eventing.Delivery) {
	s.tally.delivered(d)
	if s.delivered != nil {
		s.delivered(d)
	}
}

func (s *system) servePredict(ctx context.Context, f *function) error {
	env, err := s.eventing.Env("predict")
	if err != nil {
		return err
	}
	reader := registry.NewReader(s.client, kinds.All(), s.reading())
	s.background(ctx, "predict", func(ctx context.Context) error {
		return f.serve(ctx, s.inTurn(events.TopicFeatures, predict.New(reader, s.log)), env, reader.Ready, s.log)
	})
	return nil
}

// inTurn is a function that waits until it is an event's turn, if there are turns.
func (s *system) inTurn(topic string, h serve.Handler) serve.Handler {
	if s.turn == nil {
		return h
	}
	return serve.HandlerFunc(func(ctx context.Context, e event.Event) (*event.Event, error) {
		if err := s.turn(ctx, topic, e); err != nil {
			return nil, err
		}
		return h.Handle(ctx, e)
	})
}

// reading says how old the models may be that predict answers with.
func (s *system) reading() registry.ReaderOptions {
	o := registry.ReaderOptions{Logger: s.log}
	if s.newest {
		// Rather late than by models that have not learned all: not even on a
		// machine that is busy.
		o.MaxAge, o.MaxStale, o.MaxWait = time.Nanosecond, time.Nanosecond, 20*time.Second
	}
	return o
}

func (s *system) serveLearn(ctx context.Context, f *function) {
	committer := registry.NewCommitter(s.client, kinds.All(), registry.CommitterOptions{Logger: s.log})
	s.background(ctx, "learn", func(ctx context.Context) error {
		err := f.serve(ctx, s.inTurn(events.TopicLabels, learn.New(committer)), nil, committer.Ready, s.log)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, committer.Close(closing))
	})
}

func (s *system) servePromote(ctx context.Context, f *function) {
	models := promote.NewRedis(s.client, kinds.All())
	handler := promote.New(models, promote.Options{Logger: s.log})
	s.background(ctx, "promote", func(ctx context.Context) error { return f.serve(ctx, handler, nil, models.Ready, s.log) })
}

// startSQL applies sql/ to Materialize, or starts its stand-in.
func (s *system) startSQL(ctx context.Context) error {
	if s.materialize != "" {
		return s.applySQL(ctx)
	}
	l, err := bind("sql", s.listen.sql, moves("sql"))
	if err != nil {
		return err
	}
	s.sqlAt = l.Addr().String()
	s.stream, err = s.runStream(ctx, l, stream.Config{
		Brokers: s.kafka.Brokers, Options: s.kafka.Options(), Statements: s.statements, Log: s.log, Tick: s.tick,
	})
	return err
}

// applySQL applies the program to Materialize, and logs how what is there differs.
// Of a Kafka with TLS or users it makes the connection, too.
func (s *system) applySQL(ctx context.Context) error {
	conn, err := connectSQL(ctx, s.materialize)
	if err != nil {
		return fmt.Errorf("--materialize: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s.sqlAt = fmt.Sprintf("%s:%d", conn.Config().Host, conn.Config().Port)
	deployment := sql.Deployment{Statements: s.statements}
	if k := s.kafka; k.Protocol != kafka.Plaintext {
		connection := sql.Connection(k)
		if s.materializeKafka != "" {
			connection.Brokers = strings.Split(s.materializeKafka, ",")
		}
		deployment.Connection = &connection
	}
	result, err := deployment.Apply(ctx, conn)
	if err != nil {
		return fmt.Errorf("--materialize: %w", err)
	}
	for _, warning := range result.Warnings() {
		s.log.Warn("Materialize is not as sql/ has it", "what", warning)
	}
	return nil
}

func (s *system) startCounting(ctx context.Context) error {
	if err := s.tally.know(ctx, s.client); err != nil {
		return err
	}
	if err := s.tally.fromNow(ctx); err != nil {
		return err
	}
	s.background(ctx, "counting", func(ctx context.Context) error {
		s.tally.run(ctx)
		return nil
	})
	return nil
}
