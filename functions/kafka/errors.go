package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

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
func (c Connection) explain(ctx context.Context, broker string, err *refusal) *Error {
	problem := func(kind Kind, format string, arguments ...any) *Error {
		return &Error{Kind: kind, Brokers: []string{broker}, Reason: fmt.Sprintf(format, arguments...), Err: err}
	}
	var handshake *handshakeError
	switch {
	case err.stage == none && isDial(err):
		return problem(Unreachable, "nobody listens at %s: %s", broker, dialReason(err))
	case errors.As(err, &handshake):
		return c.explainHandshake(ctx, broker, handshake, problem)
	case isRemoteAlert(err):
		return problem(TLS, "%s wants a client certificate that it trusts: %s and %s (%v)", broker, EnvClientCert, EnvClientKey, remoteAlert(err))
	case err.stage == kmsg.SASLHandshake || err.stage == kmsg.SASLAuthenticate:
		return c.explainSASL(ctx, broker, err, problem)
	case err.stage == kmsg.Metadata && isHangUp(err) && !c.usesSASL():
		return problem(Credentials, "%s wants a user: %s, %s and %s (%s would be %s)", broker, EnvMechanism, EnvUsername, EnvPassword, EnvProtocol, flipSASL(c.Protocol))
	}
	return c.explainSilence(ctx, broker, err, problem)
}

type newProblem = func(kind Kind, format string, arguments ...any) *Error

func (c Connection) explainHandshake(ctx context.Context, broker string, err *handshakeError, problem newProblem) *Error {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return problem(TLS, "the certificate of %s is not trusted: %v (%s adds whom to trust)", broker, untrusted.Err, EnvCACert)
	case isRemoteAlert(err):
		return problem(TLS, "%s refuses the TLS handshake: %v (a client certificate would be %s and %s)", broker, remoteAlert(err), EnvClientCert, EnvClientKey)
	case speaksPlaintext(ctx, broker):
		return problem(TLS, "%s speaks plaintext, but %s is %s: it should be %s", broker, EnvProtocol, c.Protocol, flipTLS(c.Protocol))
	case errors.As(err, new(tls.RecordHeaderError)):
		return problem(NotKafka, "what listens at %s speaks neither TLS nor Kafka", broker)
	}
	return problem(Unreachable, "%s does not finish the TLS handshake: %v", broker, err.err)
}

func (c Connection) explainSASL(ctx context.Context, broker string, err *refusal, problem newProblem) *Error {
	switch {
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		offered := "others"
		if names := c.offered(ctx, broker); len(names) > 0 {
			offered = strings.Join(names, ", ")
		}
		return problem(Credentials, "%s does not take SASL mechanism %s, it takes %s: %s", broker, c.Mechanism, offered, EnvMechanism)
	case errors.Is(err, kerr.IllegalSaslState):
		return problem(Credentials, "%s takes no users: %s should be %s", broker, EnvProtocol, flipSASL(c.Protocol))
	}
	if isTimeout(err) {
		return problem(Unreachable, "%s does not finish the login of user %s: %v", broker, c.Username, err.err)
	}
	if isHangUp(err) { // which some brokers do instead of naming the failure
		return problem(Credentials, "%s hangs up on user %s with this password (%s)", broker, c.Username, c.Mechanism)
	}
	return problem(Credentials, "%s refuses user %s with this password (%s): %v", broker, c.Username, c.Mechanism, err.err)
}

// explainSilence is for a broker that was reached and then gave no answer that
// is Kafka's.
func (c Connection) explainSilence(ctx context.Context, broker string, err error, problem newProblem) *Error {
	switch {
	case !c.usesTLS() && speaksTLS(ctx, broker):
		return problem(TLS, "%s speaks TLS, but %s is %s: it should be %s", broker, EnvProtocol, c.Protocol, flipTLS(c.Protocol))
	case isTimeout(err):
		return problem(Unreachable, "what listens at %s does not answer within %s", broker, answerWithin)
	case isHangUp(err):
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

// speaksPlaintext reports whether a broker answers without TLS. A handshake is
// what every listener answers, if only to refuse it.
func speaksPlaintext(ctx context.Context, broker string) bool {
	request := kmsg.NewPtrSASLHandshakeRequest()
	request.Mechanism = Plain
	_, err := Connection{Protocol: Plaintext}.request(ctx, broker, request)
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

// isDial reports whether no TCP connection was opened.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// dialReason is why there was no connection, without what the line says anyway.
func dialReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// isHangUp reports whether the other side closed the connection.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
