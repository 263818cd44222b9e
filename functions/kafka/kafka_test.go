package kafka_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/functions/kafka"
)

const secret = "s3cret"

// env is an environment made of name=value.
func env(pairs ...string) func(string) string {
	values := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestFromEnv(t *testing.T) {
	pki := newPKI(t)
	users := []string{"KAFKA_SECURITY_PROTOCOL=sasl_ssl", "KAFKA_SASL_MECHANISM=SCRAM-SHA-256", "KAFKA_USERNAME=app", "KAFKA_PASSWORD=" + secret}
	for _, c := range []struct {
		name string
		env  []string
		want string // String
	}{
		{"nothing", nil, "localhost:9092"},
		{"brokers", []string{"KAFKA_BROKERS=a:1, [::1]:2,c.example:65535"}, "a:1,[::1]:2,c.example:65535"},
		{"plaintext", []string{"KAFKA_SECURITY_PROTOCOL=PLAINTEXT"}, "localhost:9092"},
		{"TLS", []string{"KAFKA_SECURITY_PROTOCOL=SSL\n", "KAFKA_CA_CERT=" + pki.ca}, "localhost:9092 SSL"},
		{"client certificate", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CLIENT_CERT=" + pki.cert, "KAFKA_CLIENT_KEY=" + pki.key}, "localhost:9092 SSL"},
		{"users", users, "localhost:9092 SASL_SSL SCRAM-SHA-256 as app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := kafka.FromEnv(env(c.env...))
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			client, err := got.Client()
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
		})
	}
}

func TestFromEnvRefuses(t *testing.T) {
	pki := newPKI(t)
	users := map[string]string{"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_USERNAME": "app", "KAFKA_PASSWORD": secret}
	with := func(pairs ...string) []string {
		all := maps.Clone(users)
		for _, p := range pairs {
			name, value, _ := strings.Cut(p, "=")
			all[name] = value
		}
		var list []string
		for name, value := range all {
			list = append(list, name+"="+value)
		}
		return list
	}
	for _, c := range []struct {
		name string
		env  []string
		want string
	}{
		{"no port", []string{"KAFKA_BROKERS=a:1,redpanda"}, `KAFKA_BROKERS: "redpanda" is not host:port, such as localhost:9092`},
		{"empty broker", []string{"KAFKA_BROKERS=a:1,"}, `KAFKA_BROKERS: "" is not host:port`},
		{"no host", []string{"KAFKA_BROKERS=:9092"}, `KAFKA_BROKERS: ":9092" is not host:port`},
		{"port 0", []string{"KAFKA_BROKERS=a:0"}, `KAFKA_BROKERS: "a:0" has no port`},
		{"a URL", []string{"KAFKA_BROKERS=kafka://a:9092"}, `KAFKA_BROKERS: "kafka://a:9092" is not host:port`},
		{"protocol", []string{"KAFKA_SECURITY_PROTOCOL=TLS"}, `KAFKA_SECURITY_PROTOCOL: "TLS" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`},
		{"mechanism", with("KAFKA_SASL_MECHANISM=GSSAPI"), `KAFKA_SASL_MECHANISM: "GSSAPI" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`},
		{"no mechanism", with("KAFKA_SASL_MECHANISM="), `KAFKA_SASL_MECHANISM: "" is none of PLAIN,`},
		{"no username", with("KAFKA_USERNAME="), "KAFKA_USERNAME: not set, but KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT wants it"},
		{"no password", with("KAFKA_PASSWORD="), "KAFKA_PASSWORD: not set, but KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT wants it"},
		{"users without SASL", []string{"KAFKA_USERNAME=app"}, "KAFKA_USERNAME: given, but KAFKA_SECURITY_PROTOCOL PLAINTEXT has no users: SASL_PLAINTEXT has"},
		{"users with SSL alone", with("KAFKA_SECURITY_PROTOCOL=SSL"), "KAFKA_SASL_MECHANISM: given, but KAFKA_SECURITY_PROTOCOL SSL has no users: SASL_SSL has"},
		{"certificate without TLS", with("KAFKA_CA_CERT=" + pki.ca), "KAFKA_CA_CERT: given, but KAFKA_SECURITY_PROTOCOL SASL_PLAINTEXT has no TLS: SASL_SSL has"},
		{"certificate without key", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CLIENT_CERT=" + pki.cert}, "KAFKA_CLIENT_KEY: not set, but KAFKA_CLIENT_CERT is"},
		{"key without certificate", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CLIENT_KEY=" + pki.key}, "KAFKA_CLIENT_CERT: not set, but KAFKA_CLIENT_KEY is"},
		{"key of another", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CLIENT_CERT=" + pki.cert, "KAFKA_CLIENT_KEY=" + newPKI(t).key}, "KAFKA_CLIENT_CERT and KAFKA_CLIENT_KEY: tls: private key does not match"},
		{"a path, not PEM", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CA_CERT=/etc/ca.crt"}, "KAFKA_CA_CERT: no PEM certificate in it"},
		{"a key, not a certificate", []string{"KAFKA_SECURITY_PROTOCOL=SSL", "KAFKA_CA_CERT=" + pki.key}, "KAFKA_CA_CERT: no PEM certificate in it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := kafka.FromEnv(env(c.env...))
			if err == nil {
				t.Fatalf("accepted as %s", got)
			}
			if !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("%q, want %q", err, c.want)
			}
		})
	}
}

// However a connection is printed, its password and its key are not.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := kafka.Connection{Brokers: []string{"a:1"}, Protocol: kafka.SASLSSL, Mechanism: kafka.Plain, Username: "app", Password: secret, ClientKey: secret}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("kafka", "to", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("kafka", "to", c)
	if n := strings.Count(log.String(), c.String()); n != 2 {
		t.Errorf("%q is in the logs %d times, want 2:\n%s", c, n, &log)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range slices.Concat([]string{log.String(), string(encoded)}, []string{
		c.String(), fmt.Sprint(c), fmt.Sprintf("%v %+v %s", c, c, &c),
	}) {
		if strings.Contains(text, secret) || !strings.Contains(text, "app") {
			t.Errorf("printed as %s", text)
		}
	}
}
