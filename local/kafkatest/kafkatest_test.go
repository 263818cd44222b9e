package kafkatest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"tripcast.dev/local/kafkatest"
)

// TestListeners goes through every door of a broker, and finds what it has
// written after the broker was stopped, and after it was killed.
func TestListeners(t *testing.T) {
	b := kafkatest.Start(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.Certificates.CA))
	certificate, err := tls.X509KeyPair([]byte(b.Certificates.ClientCert), []byte(b.Certificates.ClientKey))
	if err != nil {
		t.Fatal(err)
	}
	encrypted := kgo.DialTLSConfig(&tls.Config{RootCAs: roots})
	mutual := kgo.DialTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}})
	user := func(m sasl.Mechanism) kgo.Opt { return kgo.SASL(m) }
	plainUser := user(plain.Auth{User: kafkatest.User, Pass: kafkatest.Password}.AsMechanism())
	scramUser := scram.Auth{User: kafkatest.User, Pass: kafkatest.Password}

	doors := []struct {
		name     string
		protocol kafkatest.Protocol
		options  []kgo.Opt
	}{
		{"plaintext", kafkatest.Plaintext, nil},
		{"client certificate", kafkatest.SSL, []kgo.Opt{mutual}},
		{"PLAIN", kafkatest.SASLPlaintext, []kgo.Opt{plainUser}},
		{"SCRAM-SHA-256", kafkatest.SASLPlaintext, []kgo.Opt{user(scramUser.AsSha256Mechanism())}},
		{"SCRAM-SHA-512", kafkatest.SASLPlaintext, []kgo.Opt{user(scramUser.AsSha512Mechanism())}},
		{"PLAIN over TLS", kafkatest.SASLSSL, []kgo.Opt{plainUser, encrypted}},
		{"SCRAM over TLS", kafkatest.SASLSSL, []kgo.Opt{user(scramUser.AsSha256Mechanism()), encrypted}},
	}
	const topic = "doors"
	written := 0
	through := func(again string) {
		for _, d := range doors {
			t.Run(d.name+again, func(t *testing.T) {
				client := connect(t, append(d.options, kgo.SeedBrokers(b.Addr(d.protocol)))...)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if written == 0 {
					if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, nil, topic); err != nil {
						t.Fatal(err)
					}
				}
				if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(d.name)}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				written++
				ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
				if err != nil {
					t.Fatal(err)
				}
				if end, _ := ends.Lookup(topic, 0); end.Offset != int64(written) {
					t.Errorf("the topic has %d records, want %d", end.Offset, written)
				}
			})
		}
	}
	through("")
	b.Stop(t)
	b.Restart(t)
	through(", after a stop")
	b.Kill(t)
	b.Restart(t)
	through(", after a kill")
}

func connect(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
