package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/url"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
)

// flags of a command: its usage is what it says of itself, and the flags.
func (in invocation) flags(name, usage string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(in.stderr)
	flags.Usage = func() {
		fmt.Fprint(in.stderr, usage)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads the flags, and as many arguments after them as there are names.
func (in invocation) parse(flags *flag.FlagSet, names ...string) error {
	if err := flags.Parse(in.args); err != nil {
		return usageError{err}
	}
	if flags.NArg() > len(names) {
		return usageError{fmt.Errorf("unexpected argument %q: -h says what there is", flags.Arg(len(names)))}
	}
	if flags.NArg() < len(names) {
		return usageError{fmt.Errorf("%s is missing: local %s -h says more", names[flags.NArg()], flags.Name())}
	}
	return nil
}

// kafka is the Kafka at these brokers, or else those of KAFKA_BROKERS, with TLS
// and SASL as the environment says.
func (in invocation) kafka(brokers string) (kafka.Connection, error) {
	c, err := kafka.FromEnv(func(name string) string {
		if name == kafka.EnvBrokers && brokers != "" {
			return ""
		}
		return in.getenv(name)
	})
	if err == nil && brokers != "" {
		if c.Brokers, err = kafka.ParseBrokers(brokers); err != nil {
			err = fmt.Errorf("--kafka: %w", err)
		}
	}
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// alone runs what start starts until ctx ends or it fails. start returns the
// line that says where it is.
func (in invocation) alone(ctx context.Context, verbose bool, start func(context.Context, *parts) (string, error)) error {
	p := newParts(newLog(in.stderr, verbose))
	defer p.stop()
	where, err := start(ctx, p)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(in.stderr, where)
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

const kafkaFlag = "`host:port` of the Kafka brokers, comma-separated (else KAFKA_BROKERS; the other KAFKA_ variables say how to connect)"

const brokerUsage = `local broker is a Kafka of one node, until a signal.

  local broker --listen 0.0.0.0:9092 --advertise redpanda:9092

Its health: local health kafka://HOST:PORT

`

func brokerAlone(ctx context.Context, in invocation) error {
	var o broker.Options
	flags := in.flags("broker", brokerUsage)
	flags.StringVar(&o.Listen, "listen", broker.DefaultListen, "`address` to listen on")
	flags.StringVar(&o.Advertise, "advertise", "", "`host:port` that clients are sent to, if they cannot reach the address it listens on")
	flags.StringVar(&o.DataDir, "data", "", "`folder` that topics and offsets are kept in (else in memory)")
	verbose := flags.Bool("v", false, "log what the broker itself has to say")
	if err := in.parse(flags); err != nil {
		return err
	}
	return in.alone(ctx, *verbose, func(_ context.Context, p *parts) (string, error) {
		o.Logger = p.log
		addr, err := p.startBroker(o, "--listen")
		return "Kafka " + addr, err
	})
}

const streamUsage = `local stream is Materialize's stand-in on a Kafka, with the program of sql/, until
a signal.

  local stream --kafka redpanda:9092 --sql-listen 0.0.0.0:6875
  local stream --kafka redpanda:9092 --sql local/bikes/sql

Its health: local health postgres://materialize@HOST:PORT/materialize

`

func streamAlone(ctx context.Context, in invocation) error {
	flags := in.flags("stream", streamUsage)
	brokers := flags.String("kafka", "", kafkaFlag)
	listen := flags.String("sql-listen", defaultSQL, "`address` of the Postgres protocol")
	dir := flags.String("sql", "", sqlFlag)
	set := variables{}
	set.flags(flags)
	verbose := flags.Bool("v", false, "log every event")
	if err := in.parse(flags); err != nil {
		return err
	}
	k, err := in.kafka(*brokers)
	if err != nil {
		return err
	}
	var files fs.FS // as built in
	if *dir != "" {
		if files, _, err = openProgram(*dir, set); err != nil {
			return usageError{err}
		}
	}
	statements, err := programOf(files, k.Brokers[0], set)
	if err != nil {
		return err
	}
	return in.alone(ctx, *verbose, func(ctx context.Context, p *parts) (string, error) {
		if err := k.Check(ctx); err != nil {
			return "", err
		}
		l, err := bind("sql", *listen, "--sql-listen")
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("SQL %s   Kafka %s", l.Addr(), k), p.startStream(ctx, l, k, statements)
	})
}

const eventingUsage = `local eventing does with the KafkaSources, KafkaSinks and SinkBindings of
infra/knative what Knative does, for functions that run elsewhere, until a signal.

  local eventing --kafka redpanda:9092 --ingress-listen 0.0.0.0:8083 \
    --predict http://predict:8081 --learn http://learn:8082 --promote http://promote:8084 \
    --sinks-url http://emulator:8083

It says which K_SINK predict has to be given. Its health: local health tcp://HOST:PORT

`

func eventingAlone(ctx context.Context, in invocation) error {
	flags := in.flags("eventing", eventingUsage)
	brokers := flags.String("kafka", "", kafkaFlag)
	listen := flags.String("ingress-listen", eventing.DefaultIngressAddr, "`address` of the KafkaSinks")
	predict := flags.String("predict", "", "`URL` of the predict function")
	learn := flags.String("learn", "", "`URL` of the learn function")
	promote := flags.String("promote", "", "`URL` of the promote function")
	sinks := flags.String("sinks-url", "", sinksFlag)
	verbose := flags.Bool("v", false, "log every event")
	if err := in.parse(flags); err != nil {
		return err
	}
	urls := map[string]string{"predict": *predict, "learn": *learn, "promote": *promote}
	err := cmp.Or(checkURL("predict", *predict), checkURL("learn", *learn), checkURL("promote", *promote))
	if err == nil && *sinks != "" {
		err = checkURL("sinks-url", *sinks)
	}
	if err != nil {
		return err
	}
	k, err := in.kafka(*brokers)
	if err != nil {
		return err
	}
	return in.alone(ctx, *verbose, func(ctx context.Context, p *parts) (string, error) {
		if err := k.Check(ctx); err != nil {
			return "", err
		}
		e, err := p.startSinks(ctx, k, *listen, urls, eventing.Observer{})
		if err != nil {
			return "", err
		}
		// Their topics may come later, with the program of sql/ and the first
		// prediction: they wait for them.
		if err := e.startSources(ctx); err != nil {
			return "", err
		}
		binding, err := e.binding(*sinks)
		return fmt.Sprintf("predict %s   learn %s   promote %s   Kafka %s\npredict has to be given %s", *predict, *learn, *promote, k, binding), err
	})
}

// checkURL refuses what a flag gives as a URL and is none.
func checkURL(flag, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usageError{fmt.Errorf("--%s: %q is not a URL such as http://127.0.0.1:8081", flag, text)}
	}
	return nil
}
