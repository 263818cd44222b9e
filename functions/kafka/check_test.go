package kafka_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tripcast.dev/functions/kafka"
)

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "features")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func withUsers() []kfake.Opt {
	return []kfake.Opt{
		kfake.EnableSASL(),
		kfake.Superuser(kafka.Plain, "app", secret),
		kfake.Superuser(kafka.ScramSHA256, "app", secret),
		kfake.Superuser(kafka.ScramSHA512, "app", secret),
	}
}

// as is a connection of user app to whatever brokers.
func as(protocol, mechanism, password string) kafka.Connection {
	return kafka.Connection{Protocol: protocol, Mechanism: mechanism, Username: "app", Password: password}
}

func TestCheckAndClient(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	secured := kfake.TLS(pki.server(tls.NoClientCert))
	trusting := func(c kafka.Connection) kafka.Connection { c.CACert = pki.ca; return c }
	mutual := kafka.Connection{Protocol: kafka.SSL, CACert: pki.ca, ClientCert: pki.cert, ClientKey: pki.key}
	for _, c := range []struct {
		name string
		opts []kfake.Opt
		conn kafka.Connection
	}{
		{"plaintext", nil, kafka.Connection{}},
		{"PLAIN", withUsers(), as(kafka.SASLPlaintext, kafka.Plain, secret)},
		{"SCRAM-SHA-256", withUsers(), as(kafka.SASLPlaintext, kafka.ScramSHA256, secret)},
		{"SCRAM-SHA-512", withUsers(), as(kafka.SASLPlaintext, kafka.ScramSHA512, secret)},
		{"TLS", []kfake.Opt{secured}, trusting(kafka.Connection{Protocol: kafka.SSL})},
		{"TLS of both sides", []kfake.Opt{kfake.TLS(pki.server(tls.RequireAndVerifyClientCert))}, mutual},
		{"TLS and SCRAM", append(withUsers(), secured), trusting(as(kafka.SASLSSL, kafka.ScramSHA256, secret))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// A broker that is away does no harm while another is there.
			c.conn.Brokers = append([]string{nobody(t)}, cluster(t, c.opts...).ListenAddrs()...)
			if err := c.conn.Check(t.Context(), "features"); err != nil {
				t.Fatal(err)
			}
			client, err := c.conn.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "features"}).FirstErr(); err != nil {
				t.Error(err)
			}
		})
	}
}

// failure is what a test expects of Check.
type failure struct {
	name      string
	brokers   []string
	conn      kafka.Connection
	kind      kafka.Kind
	temporary bool
	want      string // BROKER is where it was sent
}

func (f failure) check(t *testing.T) error {
	t.Helper()
	f.conn.Brokers = f.brokers
	err := f.conn.Check(t.Context(), "features")
	var problem *kafka.Error
	if !errors.As(err, &problem) {
		t.Fatalf("%v is no *Error", err)
	}
	want := strings.ReplaceAll(f.want, "BROKER", strings.Join(f.brokers, ","))
	if problem.Kind != f.kind || problem.Temporary() != f.temporary || !strings.HasPrefix(err.Error(), "kafka: "+want) {
		t.Errorf("kind %d, temporary %t: %v\nwant kind %d, temporary %t: kafka: %s", problem.Kind, problem.Temporary(), err, f.kind, f.temporary, want)
	}
	if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one line without the password", err)
	}
	return err
}

func TestCheckTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	plaintext := cluster(t).ListenAddrs()
	users := cluster(t, withUsers()...).ListenAddrs()
	encrypted := cluster(t, kfake.TLS(pki.server(tls.NoClientCert))).ListenAddrs()
	mutual := cluster(t, kfake.TLS(pki.server(tls.RequireAndVerifyClientCert))).ListenAddrs()
	ssl := kafka.Connection{Protocol: kafka.SSL, CACert: pki.ca}
	web := listener(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	mail := listener(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") })
	for _, f := range []failure{
		{"nobody", []string{nobody(t)}, kafka.Connection{}, kafka.Unreachable, true, "nobody listens at BROKER: connect: connection refused"},
		{"nobody, with TLS and users", []string{nobody(t)}, as(kafka.SASLSSL, kafka.Plain, secret), kafka.Unreachable, true, "nobody listens at BROKER: connect: connection refused"},
		{"no such host", []string{"kafka.invalid:9092"}, kafka.Connection{}, kafka.Unreachable, true, "nobody listens at BROKER: lookup kafka.invalid"},
		{"hangs up", []string{listener(t, nil)}, kafka.Connection{}, kafka.Unreachable, true, "what listens at BROKER hangs up without an answer"},
		{"hangs up on TLS", []string{listener(t, nil)}, ssl, kafka.Unreachable, true, "BROKER does not finish the TLS handshake: "},
		{"says nothing", []string{listener(t, silent)}, kafka.Connection{}, kafka.Unreachable, true, "what listens at BROKER does not answer within 5s"},
		{"a web server", []string{web}, kafka.Connection{}, kafka.NotKafka, false, "what listens at BROKER does not speak Kafka: "},
		{"a mail server", []string{mail}, kafka.Connection{}, kafka.NotKafka, false, "what listens at BROKER does not speak Kafka: "},
		{"a web server, with TLS", []string{web}, ssl, kafka.NotKafka, false, "what listens at BROKER speaks neither TLS nor Kafka"},
		{"TLS to plaintext", plaintext, ssl, kafka.TLS, false, "BROKER speaks plaintext, but KAFKA_SECURITY_PROTOCOL is SSL: it should be PLAINTEXT"},
		{"TLS to plaintext with users", users, as(kafka.SASLSSL, kafka.Plain, secret), kafka.TLS, false, "BROKER speaks plaintext, but KAFKA_SECURITY_PROTOCOL is SASL_SSL: it should be SASL_PLAINTEXT"},
		{"plaintext to TLS", encrypted, kafka.Connection{}, kafka.TLS, false, "BROKER speaks TLS, but KAFKA_SECURITY_PROTOCOL is PLAINTEXT: it should be SSL"},
		{"plaintext to TLS of both sides", mutual, as(kafka.SASLPlaintext, kafka.Plain, secret), kafka.TLS, false, "BROKER speaks TLS, but KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT: it should be SASL_SSL"},
		{"unknown authority", encrypted, kafka.Connection{Protocol: kafka.SSL}, kafka.TLS, false, "the certificate of BROKER is not trusted: x509: certificate signed by unknown authority (KAFKA_CA_CERT adds whom to trust)"},
		{"another name", []string{strings.Replace(encrypted[0], "127.0.0.1", "localhost", 1)}, ssl, kafka.TLS, false, "the certificate of BROKER is not trusted: x509: certificate is not valid for any names, but wanted to match localhost"},
		{"no client certificate", mutual, ssl, kafka.TLS, false, "BROKER wants a client certificate that it trusts: KAFKA_CLIENT_CERT and KAFKA_CLIENT_KEY (tls: certificate required)"},
		{"no user", users, kafka.Connection{}, kafka.Credentials, false, "BROKER wants a user: KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD (KAFKA_SECURITY_PROTOCOL would be SASL_PLAINTEXT)"},
		{"wrong password, hung up", users, as(kafka.SASLPlaintext, kafka.Plain, "x"), kafka.Credentials, false, "BROKER hangs up on user app with this password (PLAIN)"},
		{"wrong SCRAM password, hung up", users, as(kafka.SASLPlaintext, kafka.ScramSHA512, "x"), kafka.Credentials, false, "BROKER hangs up on user app with this password (SCRAM-SHA-512)"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.check(t)
		})
	}
}

// What Apache Kafka answers, which kfake does not: it hangs up.
func TestCheckAgainstKafkasAnswers(t *testing.T) {
	t.Parallel()
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		c := cluster(t, withUsers()...)
		c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("Invalid username or password")
			return response, nil, true
		})
		err := failure{
			brokers: c.ListenAddrs(), conn: as(kafka.SASLPlaintext, kafka.Plain, secret), kind: kafka.Credentials,
			want: "BROKER refuses user app with this password (PLAIN): SASL_AUTHENTICATION_FAILED",
		}.check(t)
		if !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Errorf("%v does not wrap Kafka's error", err)
		}
	})
	handshake := func(code int16, supported ...string) []string {
		c := cluster(t, withUsers()...)
		c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
			response.ErrorCode, response.SupportedMechanisms = code, supported
			return response, nil, true
		})
		return c.ListenAddrs()
	}
	for _, f := range []failure{
		{
			"mechanism", handshake(kerr.UnsupportedSaslMechanism.Code, "SCRAM-SHA-256", "OAUTHBEARER"), as(kafka.SASLPlaintext, kafka.Plain, secret),
			kafka.Credentials, false, "BROKER does not take SASL mechanism PLAIN, it takes SCRAM-SHA-256, OAUTHBEARER: KAFKA_SASL_MECHANISM",
		},
		{
			"no users", handshake(kerr.IllegalSaslState.Code), as(kafka.SASLPlaintext, kafka.Plain, secret),
			kafka.Credentials, false, "BROKER takes no users: KAFKA_SECURITY_PROTOCOL should be PLAINTEXT",
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.check(t)
		})
	}
}

func TestCheckSeveralBrokers(t *testing.T) {
	t.Parallel()
	one, other := nobody(t), nobody(t)
	err := kafka.Connection{Brokers: []string{one, other}}.Check(t.Context())
	want := "kafka: nobody listens at " + one + ": connect: connection refused; nobody listens at " + other + ": connect: connection refused"
	var problem *kafka.Error
	if !errors.As(err, &problem) || err.Error() != want || !problem.Temporary() {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestCheckTopics(t *testing.T) {
	t.Parallel()
	brokers := cluster(t).ListenAddrs()
	conn := kafka.Connection{Brokers: brokers}
	for _, c := range []struct {
		topics []string
		want   string
	}{
		{nil, ""},
		{[]string{"features"}, ""},
		{[]string{"features", "labels"}, "kafka: topic labels does not exist on Kafka at " + brokers[0] + ": `setup topics` creates it"},
		{[]string{"labels", "predictions"}, "kafka: topics labels, predictions do not exist on Kafka at " + brokers[0] + ": `setup topics` creates them"},
	} {
		err := conn.Check(t.Context(), c.topics...)
		var problem *kafka.Error
		switch {
		case c.want == "" && err == nil:
		case !errors.As(err, &problem) || problem.Kind != kafka.MissingTopic || problem.Temporary() || err.Error() != c.want:
			t.Errorf("%v: %v, want %q", c.topics, err, c.want)
		}
	}
	// That a topic was asked for does not create it.
	if err := conn.Check(t.Context(), "labels"); err == nil {
		t.Error("labels is there")
	}
}

func TestCheckTopicsOfOthers(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User(kafka.Plain, "app", secret))
	failure{
		brokers: c.ListenAddrs(), conn: as(kafka.SASLPlaintext, kafka.Plain, secret), kind: kafka.Denied,
		want: "user app may not use topic features on Kafka at BROKER: an ACL has to allow it",
	}.check(t)
}

func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	broker := listener(t, func(c net.Conn) { cancel(); silent(c) })
	err := kafka.Connection{Brokers: []string{broker}}.Check(ctx)
	var problem *kafka.Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &problem) {
		t.Errorf("%v, want that it was canceled", err)
	}
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent reads and never answers.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// listener accepts connections, reads the first bytes, does something or
// nothing, and hangs up.
func listener(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = bufio.NewReader(c).Peek(1)
				if do != nil {
					do(c)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A broker that answers is of no use if the address that it gives is not.
func TestCheckFollowsWhereBrokersSend(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	away := nobody(t)
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		host, port, _ := net.SplitHostPort(away)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host = host
		if n, err := strconv.ParseInt(port, 10, 32); err == nil {
			broker.Port = int32(n)
		}
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.Brokers = []kmsg.MetadataResponseBroker{broker}
		return response, nil, true
	})
	failure{
		brokers: c.ListenAddrs(), kind: kafka.Unreachable, temporary: true,
		want: "BROKER sends its clients to " + away + ", which cannot be reached: advertised.listeners is what Kafka tells them",
	}.check(t)
}
