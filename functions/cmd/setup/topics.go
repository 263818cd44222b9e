package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
)

// adminTimeout bounds one request about topics, retries of the client included.
const adminTimeout = 15 * time.Second

// The configuration of a topic, as Kafka names it.
const (
	configRetention = "retention.ms"
	configCleanup   = "cleanup.policy"
)

// topic is one that is wanted.
type topic struct {
	name       string
	partitions int32
	configs    map[string]string
}

func wantedTopics(o options) []topic {
	var topics []topic
	for _, name := range events.Topics() {
		t := topic{name: name, partitions: int32(o.partitions), configs: map[string]string{
			configRetention: strconv.FormatInt(o.retention.Milliseconds(), 10),
			configCleanup:   "delete",
		}}
		if name == events.TopicChampions {
			t.partitions = 1 // one an hour, in order
		}
		if name == events.TopicDeadLetters {
			// Few, in the order in which things went wrong, and kept until somebody
			// has looked.
			t.partitions, t.configs[configRetention] = 1, "-1"
		}
		topics = append(topics, t)
	}
	return topics
}

func kafkaFromEnv(getenv func(string) string) (kafka.Connection, error) {
	connection, err := kafka.FromEnv(getenv)
	if err != nil {
		return connection, usageError{err}
	}
	return connection, nil
}

func prepareTopics(o options, getenv func(string) string, out io.Writer) (step, error) {
	connection, err := kafkaFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	topics := wantedTopics(o)
	return func(ctx context.Context) error {
		if err := check(ctx, connection); err != nil {
			return err
		}
		client, err := connection.Client(kgo.ClientID("tripcast-setup"))
		if err != nil {
			return err
		}
		defer client.Close()
		admin := topicAdmin{kadm.NewClient(client), connection, out}
		if err := admin.ensure(ctx, topics, int16(o.replicationFactor)); err != nil {
			return fmt.Errorf("topics on Kafka at %s: %w", strings.Join(connection.Brokers, ","), err)
		}
		return nil
	}, nil
}

// check is the connection's, where what passes is notYet.
func check(ctx context.Context, connection kafka.Connection, topics ...string) error {
	err := connection.Check(ctx, topics...)
	var problem *kafka.Error
	if errors.As(err, &problem) && problem.Temporary() {
		return notYet{"Kafka", err}
	}
	return err
}

// topicAdmin creates topics, and tells of those that are not as they were wanted.
type topicAdmin struct {
	client     *kadm.Client
	connection kafka.Connection
	out        io.Writer
}

func (a topicAdmin) ensure(ctx context.Context, topics []topic, replicationFactor int16) error {
	var names []string
	for _, t := range topics {
		names = append(names, t.name)
	}
	listing, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	known, err := a.client.ListTopics(listing, names...)
	if err != nil {
		return passing(fmt.Errorf("list them: %w", err))
	}
	var created []string
	var existing []topic
	for _, t := range topics {
		switch found := known[t.name]; {
		case errors.Is(found.Err, kerr.UnknownTopicOrPartition):
			is, err := a.create(ctx, t, replicationFactor)
			if err != nil {
				return err
			}
			if is {
				created = append(created, t.name)
			} else {
				existing = append(existing, t)
			}
		case found.Err != nil:
			return passing(fmt.Errorf("look for %s: %w", t.name, found.Err))
		default:
			existing = append(existing, t)
			a.comparePartitions(t, len(found.Partitions))
		}
	}
	if err := a.compareConfigs(ctx, existing); err != nil {
		return err
	}
	a.tell(created, len(existing))
	return nil
}

// create reports whether it was this call that created the topic.
func (a topicAdmin) create(ctx context.Context, t topic, replicationFactor int16) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	configs := map[string]*string{}
	for name, value := range t.configs {
		configs[name] = kadm.StringPtr(value)
	}
	response, err := a.client.CreateTopic(ctx, t.partitions, replicationFactor, configs, t.name)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case err != nil && response.ErrMessage != "":
		return false, passing(fmt.Errorf("create %s: %w: %s", t.name, err, response.ErrMessage))
	case err != nil:
		return false, passing(fmt.Errorf("create %s: %w", t.name, err))
	}
	return true, nil
}

func (a topicAdmin) comparePartitions(t topic, has int) {
	switch wanted := int(t.partitions); {
	case has > wanted:
		fmt.Fprintf(a.out, "topics: %s has %d partitions, not %d: left as it is\n", t.name, has, wanted)
	case has < wanted:
		fmt.Fprintf(a.out, "topics: WARNING: %s has %d partitions, fewer than %d: left as it is, because with more the records of a trip would move to another one\n", t.name, has, wanted)
	}
}

// compareConfigs tells of topics that are kept for longer or shorter, or
// otherwise, than was asked for.
func (a topicAdmin) compareConfigs(ctx context.Context, topics []topic) error {
	var names []string
	for _, t := range topics {
		names = append(names, t.name)
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	configs, err := a.client.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return passing(fmt.Errorf("read their configuration: %w", err))
	}
	for _, t := range topics {
		found, err := configs.On(t.name, nil)
		if err = errors.Join(err, found.Err); err != nil {
			// Who may write to a topic may not be one who may see how it is kept.
			fmt.Fprintf(a.out, "topics: how %s is configured cannot be seen: %v\n", t.name, err)
			continue
		}
		for _, c := range found.Configs {
			wanted, ok := t.configs[c.Key]
			if has := c.MaybeValue(); ok && has != wanted {
				fmt.Fprintf(a.out, "topics: %s has %s, not %s: left as it is\n", t.name, configText(c.Key, has), configText(c.Key, wanted))
			}
		}
	}
	return nil
}

// configText is a configuration as people read it.
func configText(key, value string) string {
	if ms, err := strconv.ParseInt(value, 10, 64); key == configRetention && err == nil {
		if ms < 0 {
			return key + "=-1 (for ever)"
		}
		return fmt.Sprintf("%s=%d (%s)", key, ms, time.Duration(ms)*time.Millisecond)
	}
	return key + "=" + value
}

func (a topicAdmin) tell(created []string, existing int) {
	at := strings.Join(a.connection.Brokers, ",")
	if len(created) == 0 {
		fmt.Fprintf(a.out, "topics: all %d are there, on Kafka at %s\n", existing, at)
		return
	}
	fmt.Fprintf(a.out, "topics: created %s; %d were there, on Kafka at %s\n", strings.Join(created, ", "), existing, at)
}

// passing is an error of the client: what Kafka refuses for good is final, and
// everything else, a broker that is lost among it, is not.
func passing(err error) error {
	var answer *kerr.Error
	if errors.As(err, &answer) && !answer.Retriable {
		return err
	}
	return notYet{"Kafka", err}
}
