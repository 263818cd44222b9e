package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind says what is wrong with a connection.
type Kind int

// What can be wrong.
const (
	Unreachable  Kind = iota // nobody listens, or who listens does not answer
	NotKafka                 // who listens speaks something else
	TLS                      // one side speaks TLS, or does not trust the other
	Credentials              // the user, the password or the mechanism is refused
	Denied                   // the user may not
	MissingTopic             // a topic does not exist
)

// Error is what is wrong with a connection, in one line.
type Error struct {
	Kind    Kind
	Brokers []string // that were asked
	Reason  string   // the line
	Err     error    // what the client said
}

func (e *Error) Error() string { return "kafka: " + e.Reason }

// Unwrap is what the client said.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether it may be right some seconds later without anybody
// changing anything: a broker that starts is, a refused password is not.
func (e *Error) Temporary() bool { return e.Kind == Unreachable }

// explain finds out what an error of a broker means, where need be by asking
// the broker in another way.
func (c Connection) explain(ctx context.Context, broker string, err error) *Error {
	problem := func(kind Kind, format string, arguments ...any) *Error {
		return &Error{Kind: kind, Brokers: []string{broker}, Reason: fmt.Sprintf(format, arguments...), Err: err}
	}
	var at *refusal
	if !errors.As(err, &at) || !reached(err) {
		return problem(Unreachable, "nobody listens at %s: %s", broker, dialReason(err))
	}
	var handshake *handshakeError
	switch {
	case errors.As(err, &handshake):
		return c.explainHandshake(ctx, broker, handshake, problem)
	case isRemoteAlert(err):
		return problem(TLS, "%s wants a client certificate that it trusts: %s and %s (%v)", broker, EnvClientCert, EnvClientKey, remoteAlert(err))
	case at.stage == kmsg.SASLHandshake || at.stage == kmsg.SASLAuthenticate:
		return c.explainSASL(ctx, broker, at, problem)
	case at.stage == kmsg.Metadata && errors.Is(err, io.EOF) && !c.usesSASL():
		return problem(Credentials, "%s wants a user: %s, %s and %s (%s)", broker, EnvMechanism, EnvUsername, EnvPassword, c.wouldBe(flipSASL(c.Protocol)))
	}
	return c.explainSilence(ctx, broker, err, problem)
}

type newProblem = func(kind Kind, format string, arguments ...any) *Error

func (c Connection) wouldBe(protocol string) string {
	return fmt.Sprintf("%s would be %s", EnvProtocol, protocol)
}

func (c Connection) explainHandshake(ctx context.Context, broker string, err *handshakeError, problem newProblem) *Error {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return problem(TLS, "the certificate of %s is not trusted: %v (%s adds whom to trust)", broker, untrusted.Err, EnvCACert)
	case isRemoteAlert(err):
		return problem(TLS, "%s refuses the TLS handshake: %v (a client certificate would be %s and %s)", broker, remoteAlert(err), EnvClientCert, EnvClientKey)
	case c.speaksPlaintext(ctx, broker):
		return problem(TLS, "%s speaks plaintext, but %s is %s: it should be %s", broker, EnvProtocol, c.Protocol, flipTLS(c.Protocol))
	case errors.As(err, new(tls.RecordHeaderError)):
		return problem(NotKafka, "what listens at %s speaks neither TLS nor Kafka", broker)
	}
	return problem(Unreachable, "%s does not finish the TLS handshake: %v", broker, err.err)
}

func (c Connection) explainSASL(ctx context.Context, broker string, at *refusal, problem newProblem) *Error {
	switch {
	case errors.Is(at, kerr.UnsupportedSaslMechanism):
		offered := "others"
		if names := c.offered(ctx, broker); len(names) > 0 {
			offered = strings.Join(names, ", ")
		}
		return problem(Credentials, "%s does not take SASL mechanism %s, it takes %s: %s", broker, c.Mechanism, offered, EnvMechanism)
	case errors.Is(at, kerr.IllegalSaslState):
		return problem(Credentials, "%s takes no users: %s should be %s", broker, EnvProtocol, flipSASL(c.Protocol))
	}
	// Kafka answers and names the failure; others just hang up.
	return problem(Credentials, "%s refuses user %s with this password (%s): %v", broker, c.Username, c.Mechanism, at.err)
}

// explainSilence is for a broker that was reached and then gave no answer that
// is Kafka's.
func (c Connection) explainSilence(ctx context.Context, broker string, err error, problem newProblem) *Error {
	switch {
	case !c.usesTLS() && speaksTLS(ctx, broker):
		return problem(TLS, "%s speaks TLS, but %s is %s: it should be %s", broker, EnvProtocol, c.Protocol, flipTLS(c.Protocol))
	case errors.Is(err, context.DeadlineExceeded):
		return problem(Unreachable, "what listens at %s does not answer within %s", broker, answerWithin)
	case errors.Is(err, io.EOF) || isReset(err):
		return problem(Unreachable, "what listens at %s hangs up without an answer", broker)
	}
	return problem(NotKafka, "what listens at %s does not speak Kafka: %v", broker, err)
}

// offered are the SASL mechanisms of a broker.
func (c Connection) offered(ctx context.Context, broker string) []string {
	c.Protocol = flipSASL(c.Protocol) // ask without taking part
	request := kmsg.NewPtrSASLHandshakeRequest()
	request.Mechanism = c.Mechanism
	response, err := c.request(ctx, broker, request)
	if err != nil {
		return nil
	}
	return response.(*kmsg.SASLHandshakeResponse).SupportedMechanisms
}

// speaksPlaintext reports whether a broker answers without TLS.
func (c Connection) speaksPlaintext(ctx context.Context, broker string) bool {
	_, err := Connection{Protocol: Plaintext}.request(ctx, broker, kmsg.NewPtrApiVersionsRequest())
	return err == nil
}

// speaksTLS reports whether who listens does a TLS handshake.
func speaksTLS(ctx context.Context, broker string) bool {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	// Nothing is sent or believed: who it is does not matter.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec
	conn, err := dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return isRemoteAlert(err)
	}
	conn.Close()
	return true
}

// isRemoteAlert reports whether the other side ended TLS with a reason, as when
// it wants a client certificate.
func isRemoteAlert(err error) bool { return remoteAlert(err) != nil }

func remoteAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err
	}
	return nil
}
