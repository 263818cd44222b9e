package sql

import (
	"fmt"
	"strings"
)

// Connection is a Kafka with TLS or users, which the program's own connection
// has not: it knows one plaintext broker. Applied before the program it takes
// the name first, and the program's IF NOT EXISTS leaves it. Its fields are those
// of functions/kafka's Connection, which converts to it.
type Connection struct {
	Brokers   []string // host:port, as Materialize sees them
	Protocol  string   // SSL, SASL_PLAINTEXT or SASL_SSL
	Mechanism string   // of SASL, with Username and Password
	Username  string
	Password  string

	// PEM texts, empty where there is none.
	CACert     string
	ClientCert string
	ClientKey  string
}

// The names of the connection in the program and of its secrets.
const (
	connectionName = "redpanda"
	passwordName   = connectionName + "_password"
	keyName        = connectionName + "_key"
)

// Statements make the connection and its secrets. What exists is kept, but the
// secrets are set again: a password that was changed arrives.
func (c Connection) Statements() ([]Statement, error) {
	var script strings.Builder
	secret := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&script, "CREATE SECRET IF NOT EXISTS %s AS %s;\n", name, literal(value))
			fmt.Fprintf(&script, "ALTER SECRET %s AS %s;\n", name, literal(value))
		}
	}
	secret(passwordName, c.Password)
	secret(keyName, c.ClientKey)
	fmt.Fprintf(&script, "CREATE CONNECTION IF NOT EXISTS %s TO KAFKA (\n    %s\n);", connectionName, strings.Join(c.options(), ",\n    "))
	return Split(connectionFile, script.String())
}

// connectionFile is what errors name in place of a file.
const connectionFile = "(connection)"

func (c Connection) options() []string {
	brokers := make([]string, len(c.Brokers))
	for i, b := range c.Brokers {
		brokers[i] = literal(b)
	}
	options := []string{"BROKERS (" + strings.Join(brokers, ", ") + ")"}
	add := func(given, option, value string) {
		if given != "" {
			options = append(options, option+" = "+value)
		}
	}
	add(c.Protocol, "SECURITY PROTOCOL", literal(c.Protocol))
	add(c.Mechanism, "SASL MECHANISMS", literal(c.Mechanism))
	add(c.Username, "SASL USERNAME", literal(c.Username))
	add(c.Password, "SASL PASSWORD", "SECRET "+passwordName)
	add(c.CACert, "SSL CERTIFICATE AUTHORITY", literal(c.CACert))
	add(c.ClientCert, "SSL CERTIFICATE", literal(c.ClientCert))
	add(c.ClientKey, "SSL KEY", "SECRET "+keyName)
	return options
}

// literal is a value as a string of SQL, in which a backslash is nothing special.
func literal(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

// redacted is an error whose text has lost its secrets.
type redacted struct {
	error
	text string
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.error }

// redact takes the secrets that are set by the statements out of an error.
func redact(err error, statements []Statement) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range statements {
		if at, ok := secretAt(s); ok && s.Tokens[at].Text != "" {
			text = strings.NewReplacer(s.Tokens[at].Text, "…", s.Tokens[at].Raw, "…").Replace(text)
		}
	}
	if text == err.Error() {
		return err
	}
	return &redacted{error: err, text: text}
}
