package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/monitor"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
)

// options are what the flags say.
type options struct {
	trips     string
	limit     int
	speed     float64
	synthetic simulate.SyntheticConfig

	kafka       kafka.Connection // without brokers: embedded
	redis       string           // empty: embedded
	materialize string           // empty: the stand-in
	// materializeKafka is where Materialize finds the broker, which need not be
	// where this process does.
	materializeKafka string
	predict, learn   string // URLs of functions that run elsewhere; empty: in this process
	promote          string
	sinks            string // URL at which they find the KafkaSinks; empty: where those listen
	models           string // catalogue; empty: infra/models.yaml
	sqlDir           string // where the program is from; empty: built in
	token            string // of those who may act on the dashboard; empty: nobody may

	listen    listen
	exit      bool
	patience  time.Duration
	report    string
	samples   string
	verbose   bool
	variables variables // of the SQL

	cpuProfile, memoryProfile string

	rig
}

// rig is what no flag says: how a system differs that recordings are played in.
type rig struct {
	sql       fs.FS                   // nil: sql/ as built in
	catalogue []byte                  // nil: as models says
	newest    bool                    // predict asks for the newest models every time
	tick      time.Duration           // of the stand-in; 0: its own
	delivered func(eventing.Delivery) // hears from the KafkaSources, too
	// turn holds an event of a topic back from its function.
	turn func(ctx context.Context, topic string, e event.Event) error
}

// listen are the addresses of the parts.
type listen struct {
	kafka, redis, sql, predict, learn, promote, ingress, monitor string
}

// givenFlags are the names of those that are not left at their defaults.
func givenFlags(flags *flag.FlagSet) map[string]bool {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given
}

// free takes any port for every part whose address is not given.
func (l *listen) free(given map[string]bool) {
	for part, address := range map[string]*string{
		"kafka": &l.kafka, "redis": &l.redis, "sql": &l.sql, "predict": &l.predict, "learn": &l.learn, "promote": &l.promote, "ingress": &l.ingress,
		"monitor": &l.monitor,
	} {
		if !given[part+"-listen"] {
			*address = "127.0.0.1:0"
		}
	}
}

const usage = `tripcast, the whole system in one process: trips are simulated, predicted when
they start, and learned when they end.

  go run ./local                              synthetic trips at 10 times real time, until ctrl-C
  go run ./local --trips train.zip --speed 600
  go run ./local --limit 5000 --speed 0 --exit-when-done --report -
  go run ./local --sql local/bikes/sql --models local/bikes/models.yaml   a stream of your own

Every part is embedded unless a flag says where the real one is. These run one
part alone, or look at a system that runs; -h after their name says more:

  local broker     Kafka
  local stream     Materialize's stand-in
  local eventing   Knative's stand-in
  local watch      waits until so many trips are predicted and learned
  local health     asks one server whether it serves

These make tests and experiments of events:

  local record     writes what topics hold to a file of CloudEvents
  local replay     plays such a file again, and compares what comes out
  local backtest   asks models about recorded trips as if they had served them

`

// Where the parts listen unless told otherwise, and flags that a part has alone
// and in the whole system.
const (
	defaultSQL    = "127.0.0.1:6875"
	retentionFlag = "how long a trip is kept in the views after its arrival, an `interval` as '27 hours' (the default of sql/)"
	sinksFlag     = "`URL` at which a predict that runs elsewhere finds the KafkaSinks (else where they listen)"
)

// tripsNone plays nothing: trips come from elsewhere.
const tripsNone = "none"

func parse(in invocation) (options, error) {
	var o options
	flags := in.flags("local", usage)
	flags.StringVar(&o.trips, "trips", simulate.TripsSynthetic, "`synthetic`, or a file in the columns of Kaggle's NYC Taxi Trip Duration (.csv, .gz, .zip), or none: then they come from elsewhere")
	flags.IntVar(&o.limit, "limit", 0, "start no more than so many trips; 0 is no limit")
	flags.Float64Var(&o.speed, "speed", 10, "times real time; 0 is as fast as the pipeline takes it")
	flags.Uint64Var(&o.synthetic.Seed, "seed", 1, "which synthetic trips")
	flags.Float64Var(&o.synthetic.TripsPerHour, "rate", simulate.DefaultTripsPerHour, "synthetic trips per hour of the city, on average")
	start := flags.String("start", "", "the city's clock at the first synthetic trip, as 2016-01-04T08:00 (the default)")
	snow := flags.String("snow", "", "`days` on which a blizzard begins, as 2016-01-23 or +2 after the start, comma-separated")
	brokers := flags.String("kafka", "", "`host:port` of real Kafka or Redpanda brokers, comma-separated (else embedded); the KAFKA_ variables say how to connect")
	flags.StringVar(&o.redis, "redis", "", "`URL` of a real Redis, as redis://localhost:6379 (else embedded)")
	flags.StringVar(&o.materialize, "materialize", "", "`DSN` of a real Materialize, as postgres://materialize@localhost:6875/materialize (else its stand-in)")
	flags.StringVar(&o.materializeKafka, "materialize-kafka", "", "`host:port` at which Materialize finds Kafka, if not as --kafka says")
	flags.StringVar(&o.predict, "predict", "", "`URL` of a predict function that runs elsewhere (else in this process)")
	flags.StringVar(&o.learn, "learn", "", "`URL` of a learn function that runs elsewhere (else in this process)")
	flags.StringVar(&o.promote, "promote", "", "`URL` of a promote function that runs elsewhere (else in this process)")
	flags.StringVar(&o.sinks, "sinks-url", "", sinksFlag)
	flags.StringVar(&o.models, "models", "", "catalogue `file` (else infra/models.yaml as built in)")
	dir := flags.String("sql", "", sqlFlag)
	o.variables = variables{}
	o.variables.flags(flags)
	flags.StringVar(&o.listen.kafka, "kafka-listen", broker.DefaultListen, "`address` of the embedded Kafka")
	flags.StringVar(&o.listen.redis, "redis-listen", "127.0.0.1:6379", "`address` of the embedded Redis")
	flags.StringVar(&o.listen.sql, "sql-listen", defaultSQL, "`address` of Materialize's stand-in")
	flags.StringVar(&o.listen.predict, "predict-listen", "127.0.0.1:8081", "`address` of predict")
	flags.StringVar(&o.listen.learn, "learn-listen", "127.0.0.1:8082", "`address` of learn")
	flags.StringVar(&o.listen.promote, "promote-listen", "127.0.0.1:8084", "`address` of promote")
	flags.StringVar(&o.listen.ingress, "ingress-listen", eventing.DefaultIngressAddr, "`address` of the KafkaSinks")
	flags.StringVar(&o.listen.monitor, "monitor-listen", defaultMonitor, "`address` of the dashboard, or off; MONITOR_TOKEN in the environment lets who knows it promote models there")
	free := flags.Bool("free-ports", false, "let every part listen on any free port of 127.0.0.1")
	flags.BoolVar(&o.exit, "exit-when-done", false, "end when every trip has been predicted and learned; the exit code is 0 only if nothing was lost")
	flags.DurationVar(&o.patience, "patience", time.Minute, "with --exit-when-done: give up when the simulation is over and nothing has moved for so long")
	flags.StringVar(&o.report, "report", "", "write a JSON report to this `file` at the end; - is standard output")
	flags.StringVar(&o.samples, "samples", "", "with --exit-when-done: write every labelled trip, with the features it was predicted with, to this CSV `file` (.gz is compressed)")
	flags.StringVar(&o.cpuProfile, "cpu-profile", "", "write a CPU profile to this `file`, for go tool pprof")
	flags.StringVar(&o.memoryProfile, "memory-profile", "", "write what is held in memory at the end to this `file`, for go tool pprof")
	flags.BoolVar(&o.verbose, "v", false, "log every event")
	if err := in.parse(flags); err != nil {
		return o, err
	}
	if *brokers != "" {
		var err error
		if o.kafka, err = in.kafka(*brokers); err != nil {
			return o, err
		}
	}
	o.token = in.getenv(envToken)
	if err := monitor.CheckToken(o.token); err != nil {
		return o, usageError{fmt.Errorf("%s: %w", envToken, err)}
	}
	given := givenFlags(flags)
	if *free {
		o.listen.free(given)
	}
	if err := o.choose(*dir, given["trips"]); err != nil {
		return o, usageError{err}
	}
	if err := o.check(*start, *snow); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func (o *options) check(start, snow string) error {
	if o.speed < 0 {
		return fmt.Errorf("--speed %g is negative", o.speed)
	}
	if o.limit < 0 {
		return fmt.Errorf("--limit %d is negative", o.limit)
	}
	if o.materialize != "" && len(o.kafka.Brokers) == 0 {
		return fmt.Errorf("--materialize needs --kafka: a Materialize elsewhere cannot read the embedded broker")
	}
	if o.exit && o.trips == tripsNone {
		return fmt.Errorf("--exit-when-done makes no sense with --trips none: local watch waits for the trips of others")
	}
	if o.exit && o.trips == simulate.TripsSynthetic && o.limit == 0 {
		return fmt.Errorf("--exit-when-done needs --limit: synthetic trips never end")
	}
	if o.samples != "" && !o.exit {
		return fmt.Errorf("--samples needs --exit-when-done: the file is written when every trip has ended")
	}
	for flag, url := range map[string]string{"predict": o.predict, "learn": o.learn, "promote": o.promote, "sinks-url": o.sinks} {
		if url == "" {
			continue
		}
		if err := checkURL(flag, url); err != nil {
			return err
		}
	}
	if o.trips != simulate.TripsSynthetic && o.trips != tripsNone {
		if _, err := os.Stat(o.trips); err != nil {
			return fmt.Errorf("--trips: %w", err)
		}
	}
	var err error
	if o.synthetic.Start, err = simulate.ParseStart(start); err != nil {
		return fmt.Errorf("--start: %w", err)
	}
	if o.synthetic.SnowDays, err = simulate.ParseSnowDays(snow, o.synthetic.Start); err != nil {
		return fmt.Errorf("--snow: %w", err)
	}
	return nil
}
