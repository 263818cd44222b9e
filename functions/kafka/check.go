package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How long one broker may take to answer Check, and to be connected to.
const (
	answerWithin  = 5 * time.Second
	connectWithin = 2 * time.Second
)

// Check asks the brokers, in turn, until one answers, whether it would serve
// this connection and has these topics. What is wrong comes back as one *Error.
// It retries nothing and takes some seconds at most: who wants to wait asks
// again where Error.Temporary says so.
func (c Connection) Check(ctx context.Context, topics ...string) error {
	c.Protocol = c.protocol()
	if err := c.validate(); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	var reasons []string
	var errs []error
	for _, broker := range c.Brokers {
		metadata, err := c.ask(ctx, broker, topics)
		if err == nil {
			if err := c.missing(topics, metadata); err != nil {
				return err
			}
			return c.elsewhere(ctx, broker, metadata)
		}
		var at *refusal
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("kafka: asking %s: %w", broker, ctx.Err())
		case !errors.As(err, &at):
			return err
		}
		problem := c.explain(ctx, broker, at)
		if problem.Kind != Unreachable {
			return problem
		}
		reasons, errs = append(reasons, problem.Reason), append(errs, problem.Err)
	}
	return &Error{Kind: Unreachable, Brokers: c.Brokers, Reason: strings.Join(reasons, "; "), Err: errors.Join(errs...)}
}

// elsewhere tells of brokers that answer, and send their clients to where nobody
// listens.
func (c Connection) elsewhere(ctx context.Context, asked string, metadata *kmsg.MetadataResponse) error {
	var names []string
	var errs []error
	for _, b := range metadata.Brokers {
		broker := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		if broker == asked {
			return nil
		}
		conn, err := c.dialer(connectWithin)(ctx, "tcp", broker)
		if err == nil {
			conn.Close()
			return nil
		}
		names, errs = append(names, broker), append(errs, err)
	}
	if len(names) == 0 {
		return &Error{Kind: Unreachable, Brokers: c.Brokers, Reason: asked + " knows of no broker yet"}
	}
	return &Error{Kind: Unreachable, Brokers: c.Brokers, Err: errors.Join(errs...), Reason: fmt.Sprintf(
		"%s sends its clients to %s, which cannot be reached: advertised.listeners is what Kafka tells them (%v)", asked, strings.Join(names, ", "), errs[0])}
}

// refusal is an error and how far the connection had come.
type refusal struct {
	err error
	// stage is the key of the last request that was written, none before the
	// first: ApiVersions, SASLHandshake, SASLAuthenticate, Metadata.
	stage kmsg.Key
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// none is the stage before the first request.
const none kmsg.Key = -1

// stages is a hook of the client that sees the stage.
type stages struct{ last atomic.Int32 }

func (s *stages) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	s.last.Store(int32(key))
}

// ask asks one broker for its metadata.
func (c Connection) ask(ctx context.Context, broker string, topics []string) (*kmsg.MetadataResponse, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // not nil, which is all of them
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, t)
	}
	response, err := c.request(ctx, broker, request)
	if err != nil {
		return nil, err
	}
	return response.(*kmsg.MetadataResponse), nil
}

// request sends one request to one broker, and does not send it again.
func (c Connection) request(ctx context.Context, broker string, request kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var seen stages
	seen.last.Store(int32(none))
	opts := append(c.options(connectWithin), kgo.SeedBrokers(broker), kgo.WithHooks(&seen), kgo.RequestTimeoutOverhead(answerWithin))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: configure the client: %w", err)
	}
	defer client.Close()
	response, err := client.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return nil, &refusal{err: err, stage: kmsg.Key(seen.last.Load())}
	}
	return response, nil
}

// missing tells of topics that are not there, or not for this user.
func (c Connection) missing(topics []string, metadata *kmsg.MetadataResponse) error {
	var missing, denied []string
	for _, t := range metadata.Topics {
		if t.Topic == nil || !slices.Contains(topics, *t.Topic) {
			continue
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, *t.Topic)
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			denied = append(denied, *t.Topic)
		}
	}
	switch {
	case len(denied) > 0:
		return &Error{Kind: Denied, Brokers: c.Brokers, Reason: fmt.Sprintf("user %s may not use %s on Kafka at %s: an ACL has to allow it",
			c.Username, plural("topic", denied), strings.Join(c.Brokers, ",")), Err: kerr.TopicAuthorizationFailed}
	case len(missing) > 0:
		does, it := "does", "it"
		if len(missing) > 1 {
			does, it = "do", "them"
		}
		return &Error{Kind: MissingTopic, Brokers: c.Brokers, Reason: fmt.Sprintf("%s %s not exist on Kafka at %s: `setup topics` creates %s",
			plural("topic", missing), does, strings.Join(c.Brokers, ","), it), Err: kerr.UnknownTopicOrPartition}
	}
	return nil
}

func plural(thing string, names []string) string {
	if len(names) > 1 {
		thing += "s"
	}
	return thing + " " + strings.Join(names, ", ")
}
