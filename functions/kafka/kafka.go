// Package kafka is how a command reaches Kafka: which brokers, with TLS or
// without, as which user. A command is told by its environment, all commands by
// the same variables, and what goes wrong is told in one line that names the
// broker, or the variable, and the way out.
package kafka

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
)

// The variables that FromEnv reads, and that errors name.
const (
	EnvBrokers    = "KAFKA_BROKERS"
	EnvProtocol   = "KAFKA_SECURITY_PROTOCOL"
	EnvMechanism  = "KAFKA_SASL_MECHANISM"
	EnvUsername   = "KAFKA_USERNAME"
	EnvPassword   = "KAFKA_PASSWORD"
	EnvCACert     = "KAFKA_CA_CERT"
	EnvClientCert = "KAFKA_CLIENT_CERT"
	EnvClientKey  = "KAFKA_CLIENT_KEY"
)

// The protocols of Kafka's listeners.
const (
	Plaintext     = "PLAINTEXT"
	SSL           = "SSL"
	SASLPlaintext = "SASL_PLAINTEXT"
	SASLSSL       = "SASL_SSL"
)

// The SASL mechanisms that are spoken here.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

var (
	protocols  = []string{Plaintext, SSL, SASLPlaintext, SASLSSL}
	mechanisms = []string{Plain, ScramSHA256, ScramSHA512}
)

const defaultBroker = "localhost:9092"

// Connection says how to reach Kafka. Its zero value but for Brokers is a
// plaintext listener without users.
type Connection struct {
	Brokers   []string // host:port
	Protocol  string   // of the listener, PLAINTEXT if empty
	Mechanism string   // of SASL
	Username  string
	Password  string `json:"-"`

	// PEM texts. A broker is trusted if the system or CACert trusts it.
	CACert     string
	ClientCert string
	ClientKey  string `json:"-"`
}

// FromEnv reads a connection from the environment and refuses what cannot work.
func FromEnv(getenv func(string) string) (Connection, error) {
	c := Connection{
		Protocol:   strings.ToUpper(strings.TrimSpace(getenv(EnvProtocol))),
		Mechanism:  strings.ToUpper(strings.TrimSpace(getenv(EnvMechanism))),
		Username:   getenv(EnvUsername),
		Password:   getenv(EnvPassword),
		CACert:     getenv(EnvCACert),
		ClientCert: getenv(EnvClientCert),
		ClientKey:  getenv(EnvClientKey),
	}
	if c.Protocol == "" {
		c.Protocol = Plaintext
	}
	brokers := getenv(EnvBrokers)
	if brokers == "" {
		brokers = defaultBroker
	}
	var err error
	if c.Brokers, err = ParseBrokers(brokers); err != nil {
		return Connection{}, fmt.Errorf("%s: %w", EnvBrokers, err)
	}
	if err := c.validate(); err != nil {
		return Connection{}, err
	}
	return c, nil
}

// ParseBrokers reads host:port, comma-separated.
func ParseBrokers(text string) ([]string, error) {
	var brokers []string
	for broker := range strings.SplitSeq(text, ",") {
		broker = strings.TrimSpace(broker)
		host, port, err := net.SplitHostPort(broker)
		if err != nil || host == "" {
			return nil, fmt.Errorf("%q is not host:port, such as %s", broker, defaultBroker)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q has no port, such as %s", broker, defaultBroker)
		}
		brokers = append(brokers, broker)
	}
	return brokers, nil
}

// validate names the variable of the first thing that is wrong.
func (c Connection) validate() error {
	if !slices.Contains(protocols, c.Protocol) {
		return fmt.Errorf("%s: %q is none of %s", EnvProtocol, c.Protocol, strings.Join(protocols, ", "))
	}
	if err := c.validateSASL(); err != nil {
		return err
	}
	if !c.usesTLS() {
		for _, v := range []struct{ name, value string }{
			{EnvCACert, c.CACert}, {EnvClientCert, c.ClientCert}, {EnvClientKey, c.ClientKey},
		} {
			if v.value != "" {
				return fmt.Errorf("%s: given, but %s %s has no TLS: %s has", v.name, EnvProtocol, c.Protocol, flipTLS(c.Protocol))
			}
		}
	}
	_, err := c.tlsConfig()
	return err
}

func (c Connection) validateSASL() error {
	given := []struct{ name, value string }{{EnvMechanism, c.Mechanism}, {EnvUsername, c.Username}, {EnvPassword, c.Password}}
	if !c.usesSASL() {
		for _, v := range given {
			if v.value != "" {
				return fmt.Errorf("%s: given, but %s %s has no users: %s has", v.name, EnvProtocol, c.Protocol, flipSASL(c.Protocol))
			}
		}
		return nil
	}
	if !slices.Contains(mechanisms, c.Mechanism) {
		return fmt.Errorf("%s: %q is none of %s", EnvMechanism, c.Mechanism, strings.Join(mechanisms, ", "))
	}
	for _, v := range given {
		if v.value == "" {
			return fmt.Errorf("%s: not set, but %s %s wants it", v.name, EnvProtocol, c.Protocol)
		}
	}
	return nil
}

func (c Connection) protocol() string {
	if c.Protocol == "" {
		return Plaintext
	}
	return c.Protocol
}

func (c Connection) usesTLS() bool  { return c.Protocol == SSL || c.Protocol == SASLSSL }
func (c Connection) usesSASL() bool { return c.Protocol == SASLPlaintext || c.Protocol == SASLSSL }

// flipTLS is the protocol that differs in TLS only.
func flipTLS(protocol string) string {
	switch protocol {
	case SSL:
		return Plaintext
	case SASLSSL:
		return SASLPlaintext
	case SASLPlaintext:
		return SASLSSL
	default:
		return SSL
	}
}

// flipSASL is the protocol that differs in SASL only.
func flipSASL(protocol string) string {
	switch protocol {
	case SSL:
		return SASLSSL
	case SASLSSL:
		return SSL
	case SASLPlaintext:
		return Plaintext
	default:
		return SASLPlaintext
	}
}

// String tells where and as whom, without the password.
func (c Connection) String() string {
	text := strings.Join(c.Brokers, ",")
	if p := c.protocol(); p != Plaintext {
		text += " " + p
	}
	if c.usesSASL() {
		text += fmt.Sprintf(" %s as %s", c.Mechanism, c.Username)
	}
	return text
}

// LogValue is String.
func (c Connection) LogValue() slog.Value { return slog.StringValue(c.String()) }
