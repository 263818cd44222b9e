package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
	"tripcast.dev/local/stream"
	"tripcast.dev/sql"
)

// parts are what runs in this process, be it the whole system or one part of it:
// how each is started, and that they stop in reverse order of their start, so
// that what was accepted is finished.
type parts struct {
	log     *slog.Logger
	failed  chan error // a part that has ended by itself
	closers []func()
}

func newParts(log *slog.Logger) *parts { return &parts{log: log, failed: make(chan error, 16)} }

func (p *parts) stop() {
	for _, stop := range slices.Backward(p.closers) {
		stop()
	}
}

func (p *parts) closing(close func()) { p.closers = append(p.closers, close) }

// background runs a part until it is its turn to stop, which is not when ctx
// ends.
func (p *parts) background(ctx context.Context, name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := inPart(ctx, name, part); err != nil && ctx.Err() == nil {
			p.failed <- fmt.Errorf("%s: %w", name, err)
		} else if err != nil && !errors.Is(err, context.Canceled) {
			p.log.Warn("a part did not end cleanly", "part", name, "err", err)
		}
	}()
	p.closing(func() {
		cancel()
		<-done
	})
}

// inPart runs a part of the system, or what starts it, under its name: goroutines
// that it starts have it, too, and go tool pprof -tags says what each part took.
func inPart(ctx context.Context, name string, part func(context.Context) error) (err error) {
	pprof.Do(ctx, pprof.Labels("part", name), func(ctx context.Context) { err = part(ctx) })
	return err
}

// bind listens for a part at once, so that others can be told where. moves says
// what gets it off a port that is in use.
func bind(part, address, moves string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, portError(part, address, moves, err)
	}
	return l, nil
}

func portError(part, address, moves string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is in use: give it another address with %s", part, address, moves)
	}
	return fmt.Errorf("%s: listening on %s: %w", part, address, err)
}

func (p *parts) startBroker(o broker.Options, moves string) (addr string, err error) {
	b, err := broker.Start(o)
	if err != nil {
		return "", portError("kafka", o.Listen, moves, err)
	}
	p.closing(b.Close)
	return b.Addr(), nil
}

// openRedis makes a client of a Redis that answers.
func (p *parts) openRedis(ctx context.Context, url string) (redis.UniversalClient, error) {
	client, err := registry.Open(url)
	if err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	p.closing(func() { _ = client.Close() })
	if err := registry.Ping(ctx, client); err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	return client, nil
}

// connectSQL connects to Materialize, or to what stands in for it. What fails is
// told in one line: the driver has one for each address, with TLS and without.
func connectSQL(ctx context.Context, dsn string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, dsn)
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) {
		return conn, err
	}
	var lines []string
	for line := range strings.SplitSeq(errors.Unwrap(failed).Error(), "\n") {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return nil, errors.New(strings.Join(lines, "; "))
}

// startStream runs Materialize's stand-in, and closes the listener with it.
func (p *parts) startStream(ctx context.Context, l net.Listener, k kafka.Connection, statements []sql.Statement) error {
	_, err := p.runStream(ctx, l, stream.Config{Brokers: k.Brokers, Options: k.Options(), Statements: statements, Log: p.log})
	return err
}

func (p *parts) runStream(ctx context.Context, l net.Listener, config stream.Config) (*stream.Stream, error) {
	st, err := stream.New(ctx, config)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	p.closing(func() {
		if err := st.Close(); err != nil {
			p.log.Warn("the stream did not end cleanly", "err", err)
		}
	})
	if err := st.CreateTopics(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	p.background(ctx, "stream", st.Run)
	p.background(ctx, "sql", func(ctx context.Context) error { return st.Serve(ctx, l) })
	return st, nil
}

// knative is Knative's stand-in: the manifests at work, for functions at urls.
type knative struct {
	*eventing.Eventing
	parts *parts
}

// startSinks makes the KafkaSinks ready. Sources wait for startSources.
func (p *parts) startSinks(ctx context.Context, k kafka.Connection, listen string, urls map[string]string, observer eventing.Observer) (*knative, error) {
	manifests, err := eventing.Load(infra.Knative())
	if err != nil {
		return nil, err
	}
	e, err := eventing.Start(ctx, eventing.Config{
		Manifests: manifests, Brokers: k.Brokers, KafkaOptions: k.Options(), IngressAddr: listen,
		Services: func(name string) (string, bool) { u, ok := urls[name]; return u, ok },
		Observer: observer,
		Logger:   p.log,
	})
	if err != nil {
		return nil, err
	}
	started := &knative{e, p}
	p.closing(func() { started.close(ctx) }) // if its sources never start
	return started, nil
}

// startSources lets the KafkaSources deliver. What they deliver to has to be
// started before, so that it is stopped after.
func (k *knative) startSources(ctx context.Context) error {
	if err := k.StartSources(ctx); err != nil {
		return err
	}
	k.parts.closing(func() { k.close(ctx) })
	return nil
}

// awaitPartitions waits until the KafkaSources of these topics have their
// partitions: a trip that starts before would wait for the consumer groups, not
// for the pipeline. A topic that no sink of the program writes may never be.
func (k *knative) awaitPartitions(ctx context.Context, topics []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the KafkaSources have got no partitions within 30 s: is another run using this Kafka?"))
	defer cancel()
	for {
		idle := slices.ContainsFunc(k.Status(), func(source eventing.SourceStatus) bool {
			awaited := slices.ContainsFunc(source.Topics, func(topic string) bool { return slices.Contains(topics, topic) })
			return awaited && len(source.Partitions) == 0
		})
		if !idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-k.parts.failed:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// close may be called twice.
func (k *knative) close(ctx context.Context) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := k.Close(closing); err != nil {
		k.parts.log.Warn("eventing did not end cleanly", "err", err)
	}
}

// binding is what the SinkBinding would tell a predict that runs elsewhere. base
// is the ingress as that predict finds it; empty, it is where it listens.
func (k *knative) binding(base string) (string, error) {
	env, err := k.Env("predict")
	if err != nil {
		return "", err
	}
	sink, err := url.Parse(env["K_SINK"])
	if err != nil {
		return "", fmt.Errorf("K_SINK: %w", err)
	}
	if base != "" {
		at, err := url.Parse(base)
		if err != nil {
			return "", fmt.Errorf("--sinks-url: %w", err)
		}
		sink.Scheme, sink.Host = at.Scheme, at.Host
	} else if ip := net.ParseIP(sink.Hostname()); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			sink.Host = net.JoinHostPort(name, sink.Port())
		}
	}
	text := "K_SINK=" + sink.String()
	if overrides := env["K_CE_OVERRIDES"]; overrides != "" {
		text += " K_CE_OVERRIDES='" + overrides + "'"
	}
	return text, nil
}
