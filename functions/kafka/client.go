package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// dialTimeout bounds opening a connection, the TLS handshake included.
const dialTimeout = 10 * time.Second

// Options are TLS and SASL for a client of these brokers. A connection that
// FromEnv has not seen and that cannot work gives an option that fails when the
// first broker is dialed.
func (c Connection) Options() []kgo.Opt { return c.options(dialTimeout) }

func (c Connection) options(dialTimeout time.Duration) []kgo.Opt {
	opts := []kgo.Opt{kgo.Dialer(c.dialer(dialTimeout))}
	switch {
	case !c.usesSASL():
	case c.Mechanism == ScramSHA256:
		opts = append(opts, kgo.SASL(scram.Auth{User: c.Username, Pass: c.Password}.AsSha256Mechanism()))
	case c.Mechanism == ScramSHA512:
		opts = append(opts, kgo.SASL(scram.Auth{User: c.Username, Pass: c.Password}.AsSha512Mechanism()))
	default:
		opts = append(opts, kgo.SASL(plain.Auth{User: c.Username, Pass: c.Password}.AsMechanism()))
	}
	return opts
}

// Client makes a client of these brokers. It connects with its first request.
func (c Connection) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	all := append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...)}, c.Options()...)
	client, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: configure the client: %w", err)
	}
	return client, nil
}

// handshakeError is a TLS handshake that failed after the broker was reached.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// dialer opens connections to brokers, with TLS where the protocol has it.
func (c Connection) dialer(timeout time.Duration) func(ctx context.Context, network, broker string) (net.Conn, error) {
	if !c.usesTLS() {
		return (&net.Dialer{Timeout: timeout}).DialContext
	}
	config, err := c.tlsConfig()
	return func(ctx context.Context, network, broker string) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, network, broker)
		if err != nil {
			return nil, err
		}
		config := config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(broker)
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, &handshakeError{err}
		}
		return secured, nil
	}
}

// tlsConfig is what the certificates amount to.
func (c Connection) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a system without certificates
		}
		if !pool.AppendCertsFromPEM([]byte(c.CACert)) {
			return nil, fmt.Errorf("%s: no PEM certificate in it", EnvCACert)
		}
		config.RootCAs = pool
	}
	switch {
	case c.ClientCert == "" && c.ClientKey == "":
		return config, nil
	case c.ClientKey == "":
		return nil, fmt.Errorf("%s: not set, but %s is", EnvClientKey, EnvClientCert)
	case c.ClientCert == "":
		return nil, fmt.Errorf("%s: not set, but %s is", EnvClientCert, EnvClientKey)
	}
	pair, err := tls.X509KeyPair([]byte(c.ClientCert), []byte(c.ClientKey))
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", EnvClientCert, EnvClientKey, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
