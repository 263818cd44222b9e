package main

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/kafkatest"
)

// TestKafkaCheck asks an Apache Kafka what kafka.Check makes of the mistakes that
// people make: each is one line that names the broker and the way out.
func TestKafkaCheck(t *testing.T) {
	b := realKafka(t)
	user := func(p kafkatest.Protocol, mechanism, password string) map[string]string {
		return map[string]string{
			kafka.EnvProtocol: string(p), kafka.EnvMechanism: mechanism, kafka.EnvUsername: kafkatest.User, kafka.EnvPassword: password,
		}
	}
	with := func(env map[string]string, more ...string) map[string]string {
		env = maps.Clone(env)
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	const sasl, saslTLS, right, wrong = kafkatest.SASLPlaintext, kafkatest.SASLSSL, kafkatest.Password, "not the password"
	encrypted := map[string]string{kafka.EnvProtocol: "SSL", kafka.EnvCACert: b.Certificates.CA}
	tests := []struct {
		name string
		at   kafkatest.Protocol
		env  map[string]string
		kind kafka.Kind
		says []string
	}{
		{"PLAIN, wrong password", sasl, user(sasl, kafka.Plain, wrong), kafka.Credentials, []string{"alice", "PLAIN"}},
		{"SCRAM, wrong password", sasl, user(sasl, kafka.ScramSHA256, wrong), kafka.Credentials, []string{"alice", "SCRAM-SHA-256"}},
		{"SCRAM over TLS, wrong password", saslTLS, with(user(saslTLS, kafka.ScramSHA512, wrong), kafka.EnvCACert, b.Certificates.CA), kafka.Credentials, []string{"alice", "SCRAM-SHA-512"}},
		{"nobody of that name", sasl, with(user(sasl, kafka.ScramSHA256, right), kafka.EnvUsername, "bob"), kafka.Credentials, []string{"bob"}},
		{"user where none is taken", kafkatest.Plaintext, user(sasl, kafka.ScramSHA256, right), kafka.Credentials, []string{kafka.EnvProtocol, "PLAINTEXT"}},
		{"no user where one is wanted", sasl, nil, kafka.Credentials, []string{kafka.EnvUsername, "SASL_PLAINTEXT"}},
		{"plaintext where TLS is spoken", kafkatest.SSL, nil, kafka.TLS, []string{kafka.EnvProtocol, "SSL"}},
		{"password in plaintext where TLS is spoken", saslTLS, user(sasl, kafka.Plain, right), kafka.TLS, []string{kafka.EnvProtocol, "SASL_SSL"}},
		{"TLS where plaintext is spoken", kafkatest.Plaintext, encrypted, kafka.TLS, []string{kafka.EnvProtocol, "PLAINTEXT"}},
		{"no client certificate", kafkatest.SSL, encrypted, kafka.TLS, []string{kafka.EnvClientCert}},
		{"unknown CA", saslTLS, with(user(saslTLS, kafka.Plain, right), kafka.EnvCACert, b.Certificates.OtherCA), kafka.TLS, []string{"not trusted", kafka.EnvCACert}},
		{"no CA", saslTLS, user(saslTLS, kafka.Plain, right), kafka.TLS, []string{"not trusted", kafka.EnvCACert}},
		{"missing topic", kafkatest.Plaintext, nil, kafka.MissingTopic, []string{"topic labels", "setup topics"}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			refuses(t, connection(t, b.Addr(c.at), c.env), c.kind, append(c.says, b.Addr(c.at)))
		})
	}

	admitted := []struct {
		name string
		at   kafkatest.Protocol
		env  map[string]string
	}{
		{"plaintext", kafkatest.Plaintext, nil},
		{"PLAIN", sasl, user(sasl, kafka.Plain, right)},
		{"SCRAM-SHA-256", sasl, user(sasl, kafka.ScramSHA256, right)},
		{"SCRAM-SHA-512 over TLS", saslTLS, with(user(saslTLS, kafka.ScramSHA512, right), kafka.EnvCACert, b.Certificates.CA)},
		{"client certificate", kafkatest.SSL, with(encrypted, kafka.EnvClientCert, b.Certificates.ClientCert, kafka.EnvClientKey, b.Certificates.ClientKey)},
	}
	client, err := connection(t, b.Addr(kafkatest.Plaintext), nil).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, -1, nil, "labels"); err != nil {
		t.Fatal(err)
	}
	for _, c := range admitted {
		t.Run("admitted: "+c.name, func(t *testing.T) {
			if err := connection(t, b.Addr(c.at), c.env).Check(t.Context(), "labels"); err != nil {
				t.Error(err)
			}
		})
	}

	b.Stop(t)
	for _, p := range []kafkatest.Protocol{kafkatest.Plaintext, saslTLS} {
		t.Run("stopped, "+string(p), func(t *testing.T) {
			env := map[string]string(nil)
			if p == saslTLS {
				env = user(saslTLS, kafka.Plain, right)
			}
			refuses(t, connection(t, b.Addr(p), env), kafka.Unreachable, []string{b.Addr(p), "refused"})
		})
	}
}

func connection(t *testing.T, broker string, env map[string]string) kafka.Connection {
	t.Helper()
	c, err := kafka.FromEnv(func(name string) string {
		if name == kafka.EnvBrokers {
			return broker
		}
		return env[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refuses wants one line of one kind, that does not tell the password.
func refuses(t *testing.T, c kafka.Connection, kind kafka.Kind, says []string) {
	t.Helper()
	err := c.Check(t.Context(), "labels")
	var problem *kafka.Error
	if !errors.As(err, &problem) || problem.Kind != kind {
		t.Fatalf("the error is %v, want one of kind %d", err, kind)
	}
	t.Log(err)
	if line := err.Error(); strings.Contains(line, "\n") || c.Password != "" && strings.Contains(line, c.Password) {
		t.Errorf("want one line, and no password in it:\n%s", line)
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("want %q in: %s", word, err)
		}
	}
}
