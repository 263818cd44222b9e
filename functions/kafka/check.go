package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
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
	var unreachable []error
	for _, broker := range c.Brokers {
		metadata, err := c.ask(ctx, broker, topics)
		if err == nil {
			return c.missing(topics, metadata)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("kafka: asking %s: %w", broker, ctx.Err())
		}
		problem := c.explain(ctx, broker, err)
		if problem.Kind != Unreachable {
			return problem
		}
		unreachable = append(unreachable, problem)
	}
	return c.unreachable(unreachable)
}

// unreachable is one error of those of every broker.
func (c Connection) unreachable(all []error) error {
	if len(all) == 1 {
		return all[0]
	}
	var reasons []string
	for _, err := range all {
		var problem *Error
		if errors.As(err, &problem) {
			reasons = append(reasons, problem.Reason)
		}
	}
	return &Error{Kind: Unreachable, Brokers: c.Brokers, Reason: strings.Join(reasons, "; "), Err: errors.Join(all...)}
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
		return nil, err
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

// reached reports whether a TCP connection was opened.
func reached(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return !errors.As(err, &dns) && !(errors.As(err, &op) && op.Op == "dial")
}

// isReset reports whether the other side tore the connection down.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// dialReason is why there was no connection, without what the line says anyway.
func dialReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
