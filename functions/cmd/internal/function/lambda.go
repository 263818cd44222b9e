package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/serve/lambda"
)

// readyWithin is how long it may take to find Redis and Kafka in order. Lambda
// gives a process 10 seconds to start.
const readyWithin = 8 * time.Second

// serveLambda takes batches of Kafka records from Lambda. What they would fail
// on, every one of them, is found out before the first: a process that ends
// with a line shows in Lambda, one that has nothing but failures shows nothing.
func (m Main) serveLambda(ctx context.Context, e *Environment, f Function) error {
	client, err := m.ready(ctx, e, f)
	if err != nil {
		return errors.Join(err, lambda.FailInit(ctx, e.Get(lambda.EnvRuntimeAPI), err))
	}
	defer client.Close()
	function, err := lambda.New(f.Handler, lambda.Options{
		Name: m.Name, Producer: client, Topic: f.Topic, DeadLetters: events.TopicDeadLetters, Logger: e.Log,
	})
	if err != nil {
		return err
	}
	function.Run(ctx)
	return nil
}

// ready returns a client of Kafka once Redis and Kafka have said that this
// function can work with them.
func (m Main) ready(ctx context.Context, e *Environment, f Function) (*kgo.Client, error) {
	if e.Get(kafka.EnvBrokers) == "" {
		return nil, fmt.Errorf("%s: not set, and Lambda gives no K_SINK: %s writes to Kafka itself", kafka.EnvBrokers, m.Name)
	}
	connection, err := kafka.FromEnv(e.Get)
	if err != nil {
		return nil, err
	}
	topics := []string{events.TopicDeadLetters}
	if f.Topic != "" {
		topics = append(topics, f.Topic)
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var both errgroup.Group
	both.Go(func() error { return connection.Check(ctx, topics...) })
	both.Go(func() error {
		// First, as the only thing that the address and the password decide.
		if err := registry.Ping(ctx, e.Redis); err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
		return f.Ready(ctx)
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	return connection.Client(kgo.ClientID("tripcast-" + m.Name))
}

// tellLambda passes on why the process ends, if it is Lambda that runs it.
func tellLambda(ctx context.Context, getenv func(string) string, stderr io.Writer, reason error) {
	api := getenv(lambda.EnvRuntimeAPI)
	if api == "" {
		return
	}
	if err := lambda.FailInit(ctx, api, reason); err != nil {
		fmt.Fprintln(stderr, err)
	}
}
