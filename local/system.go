package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/predict"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
	"tripcast.dev/local/stream"
	"tripcast.dev/sql"
)

// system is the parts of a run and the order in which they start and stop.
type system struct {
	options
	log    *slog.Logger
	screen *screen

	brokers  []string
	client   redis.UniversalClient
	eventing *eventing.Eventing
	tally    *tally
	producer *simulate.Producer
	sim      *simulate.Simulation
	played   error            // why it ended early, once it has ended
	baseline map[string]int64 // labels learned before this run
	started  time.Time
	redisURL string
	sqlAddr  string            // of the stand-in, or the DSN of Materialize
	urls     map[string]string // of the functions

	failed  chan error
	closers []func() // stop the parts, last first
}

// run starts everything, plays the trips, and stops everything. The report is
// nil if the trips never started.
func (s *system) run(ctx context.Context) (*Report, error) {
	s.failed = make(chan error, 16)
	defer s.stop()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, err
	}
	return s.play(ctx)
}

func (s *system) stop() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

func (s *system) closing(close func()) { s.closers = append(s.closers, close) }

// background runs a part until it is its turn to stop. Parts outlive ctx: they
// stop in reverse order of their start, so that what was accepted is finished.
func (s *system) background(ctx context.Context, name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil && ctx.Err() == nil {
			s.failed <- fmt.Errorf("%s: %w", name, err)
		} else if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("a part did not end cleanly", "part", name, "err", err)
		}
	}()
	s.closing(func() {
		cancel()
		<-done
	})
}

func (s *system) start(ctx context.Context) error {
	steps := []func(context.Context) error{
		s.startKafka, s.startRedis, s.applyCatalogue, s.openTrips, s.startFunctions, s.startSQL, s.startCounting,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	// Sources last: whatever they deliver has where to go.
	if err := s.eventing.StartSources(ctx); err != nil {
		return err
	}
	s.closing(func() { s.closeEventing(ctx) }) // before the functions that they deliver to
	if err := s.awaitSources(ctx); err != nil {
		return err
	}
	s.greet()
	return nil
}

// awaitSources waits until the KafkaSources have their partitions: a trip that
// starts before would wait for the consumer groups, not for the pipeline.
func (s *system) awaitSources(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the KafkaSources have got no partitions within 30 s: is another run using this Kafka?"))
	defer cancel()
	for {
		idle := slices.ContainsFunc(s.eventing.Status(), func(source eventing.SourceStatus) bool { return len(source.Partitions) == 0 })
		if !idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.failed:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// closeEventing may be called twice.
func (s *system) closeEventing(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.eventing.Close(closing); err != nil {
		s.log.Warn("eventing did not end cleanly", "err", err)
	}
}

// greet says where everything is.
func (s *system) greet() {
	kind := func(real string) string {
		if real != "" {
			return ""
		}
		return " (embedded)"
	}
	fmt.Fprintf(s.screen, "Kafka %s%s   Redis %s%s   SQL %s%s\n",
		strings.Join(s.brokers, ","), kind(strings.Join(s.kafka, "")), s.redisURL, kind(s.redis), s.sqlAddr, kind(s.materialize))
	fmt.Fprintf(s.screen, "predict %s   learn %s   trips: %s", s.urls["predict"], s.urls["learn"], s.trips)
	if s.speed > 0 {
		fmt.Fprintf(s.screen, " at %g times real time\n", s.speed)
	} else {
		fmt.Fprintf(s.screen, " as fast as the pipeline takes them\n")
	}
}

func (s *system) startKafka(context.Context) error {
	if len(s.kafka) > 0 {
		s.brokers = s.kafka
		return nil
	}
	b, err := broker.Start(broker.Options{Listen: s.listen.kafka})
	if err != nil {
		return err
	}
	s.closing(b.Close)
	s.brokers = []string{b.Addr()}
	return nil
}

func (s *system) startRedis(ctx context.Context) error {
	url := s.redis
	if url == "" {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr(s.listen.redis); err != nil {
			return portError("redis", s.listen.redis, err)
		}
		s.closing(m.Close)
		url = "redis://" + m.Addr()
	}
	s.redisURL = url
	client, err := registry.Open(url)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	s.client = client
	s.closing(func() { _ = client.Close() })
	if err := registry.Ping(ctx, client); err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	return nil
}

func (s *system) applyCatalogue(ctx context.Context) error {
	text, name := infra.Models(), "infra/models.yaml"
	if s.models != "" {
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
	if s.baseline, err = s.learned(ctx); err != nil {
		return err
	}
	return nil
}

// learned asks Redis how many labels each model has learned.
func (s *system) learned(ctx context.Context) (map[string]int64, error) {
	infos, err := registry.List(ctx, s.client, kinds.All())
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64, len(infos))
	for _, i := range infos {
		counts[i.Name] = int64(i.Count) - s.baseline[i.Name]
	}
	return counts, nil
}

// openTrips opens the file and creates the topics of the trips.
func (s *system) openTrips(ctx context.Context) error {
	source, err := simulate.OpenSource(s.trips, s.synthetic)
	if err != nil {
		return err
	}
	if s.producer, err = simulate.NewProducer(ctx, simulate.ProducerConfig{Brokers: s.brokers}); err != nil {
		return err
	}
	s.closing(s.producer.Close)
	config := simulate.Config{Source: source, Producer: s.producer, Speed: s.speed, Limit: s.limit, Log: s.log}
	if s.speed == 0 {
		config.Throttle = s
	}
	s.sim, err = simulate.New(config)
	return err
}

// inFlight is how many trips may wait for their prediction, and how many for
// being learned, when trips are played as fast as the pipeline takes them. More
// would only make the queues longer and the models later.
const inFlight = 1000

// Wait holds a pick-up back while the pipeline is full.
func (s *system) Wait(ctx context.Context, produced int) error {
	for {
		predicted, learned := s.tally.progress()
		if int64(produced)-predicted < inFlight && s.sim.Stats().DropOffs-learned < inFlight {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// startFunctions starts the KafkaSinks, which predict needs, and the functions.
func (s *system) startFunctions(ctx context.Context) error {
	manifests, err := eventing.Load(infra.Knative())
	if err != nil {
		return err
	}
	urls := map[string]string{"predict": s.predict, "learn": s.learn}
	s.urls = urls
	functions := map[string]*function{}
	for name, address := range map[string]string{"predict": s.listen.predict, "learn": s.listen.learn} {
		if urls[name] != "" {
			continue
		}
		f, err := bind(name, address)
		if err != nil {
			return err
		}
		s.closing(func() { _ = f.listener.Close() }) // if it never serves
		functions[name], urls[name] = f, f.url()
	}
	if s.tally, err = newTally(s.brokers, s.log); err != nil {
		return err
	}
	s.closing(s.tally.client.Close)
	s.eventing, err = eventing.Start(ctx, eventing.Config{
		Manifests: manifests, Brokers: s.brokers, IngressAddr: s.listen.ingress,
		Services: func(name string) (string, bool) { u, ok := urls[name]; return u, ok },
		Observer: eventing.Observer{Delivered: s.tally.delivered},
		Logger:   s.log,
	})
	if err != nil {
		return err
	}
	s.closing(func() { s.closeEventing(ctx) }) // if its sources never start
	if f := functions["predict"]; f != nil {
		if err := s.servePredict(ctx, f); err != nil {
			return err
		}
	}
	if f := functions["learn"]; f != nil {
		s.serveLearn(ctx, f)
	}
	return nil
}

func (s *system) servePredict(ctx context.Context, f *function) error {
	env, err := s.eventing.Env("predict")
	if err != nil {
		return err
	}
	reader := registry.NewReader(s.client, kinds.All(), registry.ReaderOptions{Logger: s.log})
	s.background(ctx, "predict", func(ctx context.Context) error {
		return f.serve(ctx, predict.New(reader, s.log), env, reader.Ready, s.log)
	})
	return nil
}

func (s *system) serveLearn(ctx context.Context, f *function) {
	committer := registry.NewCommitter(s.client, kinds.All(), registry.CommitterOptions{Logger: s.log})
	s.background(ctx, "learn", func(ctx context.Context) error {
		err := f.serve(ctx, learn.New(committer), nil, committer.Ready, s.log)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(err, committer.Close(closing))
	})
}

// startSQL applies sql/ to Materialize, or starts its stand-in.
func (s *system) startSQL(ctx context.Context) error {
	variables := sql.Defaults()
	variables["kafka_broker"] = s.brokers[0]
	if s.materializeKafka != "" {
		variables["kafka_broker"] = s.materializeKafka
	}
	if s.retention != "" {
		variables["trip_retention"] = s.retention
	}
	statements, err := sql.Load(sql.Files(), variables)
	if err != nil {
		return err
	}
	if s.materialize != "" {
		s.sqlAddr = s.materialize
		return s.applySQL(ctx, statements)
	}
	l, err := net.Listen("tcp", s.listen.sql)
	if err != nil {
		return portError("sql", s.listen.sql, err)
	}
	s.sqlAddr = l.Addr().String()
	st, err := stream.New(ctx, stream.Config{Brokers: s.brokers, Statements: statements, Log: s.log})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.closing(func() {
		if err := st.Close(); err != nil {
			s.log.Warn("the stream did not end cleanly", "err", err)
		}
	})
	if err := st.CreateTopics(ctx); err != nil {
		return errors.Join(err, l.Close())
	}
	s.background(ctx, "stream", st.Run)
	s.background(ctx, "sql", func(ctx context.Context) error { return st.Serve(ctx, l) })
	return nil
}

func (s *system) applySQL(ctx context.Context, statements []sql.Statement) error {
	conn, err := pgx.Connect(ctx, s.materialize)
	if err != nil {
		return fmt.Errorf("--materialize: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return sql.Apply(ctx, conn, statements)
}

func (s *system) startCounting(ctx context.Context) error {
	infos, err := registry.List(ctx, s.client, kinds.All())
	if err != nil {
		return err
	}
	for _, i := range infos {
		if i.Champion {
			s.tally.staleness.champion = i.Name
		}
	}
	if err := s.tally.start(ctx); err != nil {
		return err
	}
	s.background(ctx, "counting", func(ctx context.Context) error {
		s.tally.run(ctx)
		return nil
	})
	return nil
}

// play runs the simulation and waits for what was asked for.
func (s *system) play(ctx context.Context) (*Report, error) {
	s.started = time.Now()
	playing, stopPlaying := context.WithCancel(ctx)
	defer stopPlaying()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, s.played = s.sim.Run(playing)
	}()
	showing, stopShowing := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		s.show(showing)
	}()
	err := s.wait(ctx, ended)
	wall := time.Since(s.started)
	stopPlaying()
	<-ended // what was produced is flushed
	stopShowing()
	<-shown
	if s.screen.terminal {
		s.screen.draw(s.moment().block())
		s.screen.drawn = 0 // the last block stays
	}
	learned, lerr := s.learned(context.WithoutCancel(ctx))
	report := s.tally.report(learned, wall)
	stats := s.sim.Stats()
	report.Trips, report.Rejected = stats.Trips, stats.Rejected
	if err == nil && ctx.Err() == nil && s.samples != "" {
		err = s.saveSamples(ctx) // while the broker is still there
	}
	return &report, errors.Join(err, lerr)
}

// wait returns when the run is over: asked to stop, failed, or done. ended is
// closed when the simulation has ended.
func (s *system) wait(ctx context.Context, ended <-chan struct{}) error {
	check := time.NewTicker(100 * time.Millisecond)
	defer check.Stop()
	over := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-ended:
			if s.played != nil && ctx.Err() == nil {
				return s.played
			}
			over, ended = true, nil
			if !s.exit {
				fmt.Fprintln(s.screen, "every trip has ended; ctrl-C ends the rest")
			}
		case <-check.C:
			if !over || !s.exit {
				continue
			}
			done, err := s.done(ctx)
			if done || err != nil {
				return err
			}
		}
	}
}

// done says whether every trip is accounted for; the error, that it never will be.
func (s *system) done(ctx context.Context) (bool, error) {
	trips, quiet := s.sim.Stats().Trips, s.tally.quiet()
	if _, through := s.tally.progress(); through < trips && quiet <= s.patience {
		return false, nil // no need to look at every trip
	}
	learned, err := s.learned(ctx)
	if err != nil {
		s.log.Warn("asking Redis what was learned failed, trying again", "err", err)
		learned = nil
	}
	missing := s.tally.missing(trips, learned)
	if learned != nil && len(missing) == 0 {
		return true, nil
	}
	if quiet > s.patience {
		return false, fmt.Errorf("gave up after %s without news: %v", quiet.Round(time.Second), missing)
	}
	return false, nil
}

func (s *system) moment() moment {
	m := s.tally.moment()
	m.sim, m.elapsed = s.sim.Stats(), time.Since(s.started)
	return m
}
