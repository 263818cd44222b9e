// Command simulate plays taxi trips into Kafka: recorded ones of a file or made
// up ones, at so many times real time.
//
//	simulate --kafka localhost:9092 --speed 10
//	simulate --trips train.zip --limit 10000 --speed 0
//
// What Kafka wants besides, TLS or a user, is in the environment: see package
// functions/kafka.
//
// It ends when every trip has ended, or on SIGINT or SIGTERM, after what was
// produced has been acknowledged; a second signal ends it at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/simulate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends it at once, but not the first one sent twice, as
	// wrappers such as timeout(1) do.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0 // every trip has ended, or a signal asked to stop and nothing was lost
	exitFail  = 1
	exitUsage = 2
)

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	opts, err := parse(args, getenv, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "simulate:", err)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	err = play(ctx, opts, log)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && onlyStopped(err):
		return exitOK
	}
	log.Error("simulation failed", "error", err)
	return exitFail
}

// onlyStopped tells a simulation that was asked to stop from one that could not
// even flush what it had produced.
func onlyStopped(err error) bool {
	return errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// options are what the flags and the environment say.
type options struct {
	trips     string
	synthetic simulate.SyntheticConfig
	kafka     kafka.Connection
	maxSkew   time.Duration
	speed     float64
	limit     int
	every     time.Duration
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.trips, "trips", simulate.TripsSynthetic, "synthetic, or a `FILE` in the columns of Kaggle's NYC Taxi Trip Duration (.csv, .gz, .zip)")
	flags.IntVar(&o.limit, "limit", 0, "start no more than so many trips; 0 is no limit")
	flags.Float64Var(&o.speed, "speed", 10, "times real time; 0 is as fast as Kafka takes it")
	flags.Uint64Var(&o.synthetic.Seed, "seed", 1, "which synthetic trips")
	flags.Float64Var(&o.synthetic.TripsPerHour, "rate", simulate.DefaultTripsPerHour, "synthetic trips per hour of the city, on average; the real one has about 14,700")
	start := flags.String("start", "", "the city's clock at the first synthetic trip, as 2016-01-04T08:00 (the default)")
	snow := flags.String("snow", "", "`days` on which a blizzard begins, as 2016-01-23 or +2 after the start, comma-separated")
	brokers := flags.String("kafka", "", "brokers as `host:port`, comma-separated; default from KAFKA_BROKERS, localhost:9092 if that is not set.\n"+
		"KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_MECHANISM, KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_CA_CERT,\n"+
		"KAFKA_CLIENT_CERT and KAFKA_CLIENT_KEY are what Kafka may want besides")
	flags.DurationVar(&o.maxSkew, "max-skew", simulate.DefaultMaxSkew, "how far, in the city's time, an event may overtake another on its way to Kafka")
	flags.DurationVar(&o.every, "progress", 5*time.Second, "log the counters so often; 0 is never")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var err error
	if o.synthetic.Start, err = simulate.ParseStart(*start); err != nil {
		return o, fmt.Errorf("--start: %w", err)
	}
	if o.synthetic.SnowDays, err = simulate.ParseSnowDays(*snow, o.synthetic.Start); err != nil {
		return o, err
	}
	if o.kafka, err = kafka.FromEnv(getenv); err != nil {
		return o, err
	}
	if *brokers != "" {
		if o.kafka.Brokers, err = kafka.ParseBrokers(*brokers); err != nil {
			return o, fmt.Errorf("--kafka: %w", err)
		}
	}
	return o, nil
}

func play(ctx context.Context, o options, log *slog.Logger) error {
	source, err := simulate.OpenSource(o.trips, o.synthetic)
	if err != nil {
		return err
	}
	if err := o.kafka.Check(ctx); err != nil {
		return err
	}
	producer, err := simulate.NewProducer(ctx, simulate.ProducerConfig{Brokers: o.kafka.Brokers, MaxSkew: o.maxSkew, Options: o.kafka.Options()})
	if err != nil {
		return err
	}
	defer producer.Close()
	sim, err := simulate.New(simulate.Config{Source: source, Producer: producer, Speed: o.speed, Limit: o.limit, Log: log})
	if err != nil {
		return err
	}
	log.Info("simulation starts", "trips", o.trips, "speed", o.speed, "limit", o.limit, "kafka", o.kafka)

	telling, done := context.WithCancel(ctx)
	defer done()
	if o.every > 0 {
		go tell(telling, sim, o.every, log)
	}
	_, err = sim.Run(ctx)
	return err
}

// tell logs the counters until ctx is done.
func tell(ctx context.Context, sim *simulate.Simulation, every time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s := sim.Stats()
			log.Info("simulating", "trips", s.Trips, "total", s.Total, "open", s.Open,
				"pick_ups", s.PickUps, "drop_offs", s.DropOffs, "event_time", s.EventTime.Format(time.DateTime))
		}
	}
}
