package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"tripcast.dev/functions/registry"
)

const healthUsage = `local health asks one server whether it serves: one line, and exit code 0 or 1.

  local health tcp://localhost:8083               something listens
  local health http://localhost:8081/health/readiness
  local health kafka://redpanda:9092              a broker answers, connected to as the KAFKA_ variables say
  local health kafka://redpanda:9092/pick_ups,drop_offs   and has these topics
  local health redis://redis:6379
  local health postgres://materialize@localhost:6875/materialize

`

func health(ctx context.Context, in invocation) error {
	flags := in.flags("health", healthUsage)
	within := flags.Duration("within", 5*time.Second, "how long it may take to answer")
	if err := in.parse(flags, "what to ask"); err != nil {
		return err
	}
	target := flags.Arg(0)
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return usageError{fmt.Errorf("%q is not like tcp://HOST:PORT: local health -h says more", target)}
	}
	ctx, cancel := context.WithTimeout(ctx, *within)
	defer cancel()
	var err error
	switch scheme {
	case "tcp":
		err = askTCP(ctx, rest)
	case "http", "https":
		err = askHTTP(ctx, target)
	case "kafka":
		err = in.askKafka(ctx, rest)
	case "redis", "rediss":
		err = askRedis(ctx, target)
	case "postgres", "postgresql":
		err = askPostgres(ctx, target)
	default:
		return usageError{fmt.Errorf("%s:// is none of tcp, http, https, kafka, redis, rediss, postgres", scheme)}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(in.stdout, scheme, "answers")
	return nil
}

func askTCP(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func askHTTP(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 2 {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(response.Body, 200)) // as far as it says
	line, _, _ := strings.Cut(strings.TrimSpace(string(why)), "\n")
	return fmt.Errorf("%s answers %s: %s", request.URL.Redacted(), response.Status, line)
}

func (in invocation) askKafka(ctx context.Context, rest string) error {
	brokers, topics, _ := strings.Cut(rest, "/")
	k, err := in.kafka(brokers)
	if err != nil {
		return err
	}
	if topics == "" {
		return k.Check(ctx)
	}
	return k.Check(ctx, strings.Split(topics, ",")...)
}

func askRedis(ctx context.Context, url string) error {
	client, err := registry.Open(url)
	if err != nil {
		return usageError{err}
	}
	defer client.Close()
	return registry.Ping(ctx, client)
}

func askPostgres(ctx context.Context, dsn string) error {
	conn, err := connectSQL(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "SELECT 1")
	return err
}
