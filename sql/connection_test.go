package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// connections are those that the tests make statements of.
var connections = map[string]Connection{
	"SASL": {
		Brokers: []string{"kafka:9092"}, Protocol: "SASL_PLAINTEXT", Mechanism: "PLAIN", Username: "app", Password: "s3cret",
	},
	"everything": {
		Brokers: []string{"a:9092", "b:9092"}, Protocol: "SASL_SSL", Mechanism: "SCRAM-SHA-512", Username: "o'app", Password: `it's; \' -- /* "` + "\n$$",
		CACert: "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----\n", ClientCert: "-----BEGIN CERTIFICATE-----\nclient\n-----END CERTIFICATE-----\n",
		ClientKey: "-----BEGIN PRIVATE KEY-----\nkey\n-----END PRIVATE KEY-----\n",
	},
	"TLS alone": {Brokers: []string{"kafka:9093"}, Protocol: "SSL"},
}

func TestConnectionStatements(t *testing.T) {
	for name, want := range map[string][]string{
		"SASL": {
			"CREATE SECRET IF NOT EXISTS redpanda_password AS 's3cret'",
			"ALTER SECRET redpanda_password AS 's3cret'",
			"CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA ( BROKERS ('kafka:9092'), SECURITY PROTOCOL = 'SASL_PLAINTEXT', " +
				"SASL MECHANISMS = 'PLAIN', SASL USERNAME = 'app', SASL PASSWORD = SECRET redpanda_password )",
		},
		"TLS alone": {"CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA ( BROKERS ('kafka:9093'), SECURITY PROTOCOL = 'SSL' )"},
	} {
		t.Run(name, func(t *testing.T) {
			statements, err := connections[name].Statements()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range statements {
				got = append(got, strings.Join(strings.Fields(s.Text), " "))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}

// What is quoted comes back as it was, and nothing of it is read as SQL.
func TestConnectionQuotes(t *testing.T) {
	c := connections["everything"]
	statements, err := c.Statements()
	if err != nil {
		t.Fatal(err)
	}
	if len(statements) != 5 {
		t.Fatalf("%d statements, want 5: %v", len(statements), statements)
	}
	var literals []string
	for _, s := range statements {
		for _, token := range s.Tokens {
			if token.Kind == String {
				literals = append(literals, token.Text)
			}
		}
	}
	want := []string{
		c.Password, c.Password, c.ClientKey, c.ClientKey, "a:9092", "b:9092",
		c.Protocol, c.Mechanism, c.Username, c.CACert, c.ClientCert,
	}
	if !slices.Equal(literals, want) {
		t.Errorf("got %q\nwant %q", literals, want)
	}
}

// execFunc stands in for a server without a catalogue.
type execFunc func(statement string) error

func (f execFunc) Exec(_ context.Context, statement string, _ ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, f(statement)
}

func (f execFunc) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, &pgconn.PgError{Message: "no catalogue"}
}

func TestConnectionApply(t *testing.T) {
	for name, c := range connections {
		var ran []string
		if _, err := (Deployment{Connection: &c}).Apply(t.Context(), execFunc(func(s string) error { ran = append(ran, s); return nil })); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if statements, err := c.Statements(); err != nil || len(ran) != len(statements) {
			t.Errorf("%s: %d statements ran, want %d (%v)", name, len(ran), len(statements), err)
		}
	}
}

// A server that repeats the statement that it refuses does not make a log know
// the password.
func TestConnectionErrorsKeepSecrets(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range connections {
		_, err := Deployment{Connection: &c}.Apply(t.Context(), execFunc(func(s string) error { return fmt.Errorf("%w: %s", refused, s) }))
		if !errors.Is(err, refused) || !strings.HasPrefix(err.Error(), "sql: (connection):1: refused: CREATE") {
			t.Errorf("%s: %v, want what was refused and where", name, err)
		}
		for _, secret := range []string{c.Password, strings.ReplaceAll(c.Password, "'", "''"), c.ClientKey} {
			if secret != "" && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v holds a secret", name, err)
			}
		}
	}
}
