package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/sql"
	"tripcast.dev/sql/materialize"
)

// options are what the command line and the environment say.
type options struct {
	server       materialize.Server
	deployment   sql.Deployment
	check, print bool
}

// parse finds what makes no sense before anything is connected to.
func parse(args []string, getenv func(string) string) (options, error) {
	o := options{}
	given := map[string]string{}
	flags := flag.NewFlagSet("apply", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dsn := flags.String("dsn", "", "")
	dir := flags.String("dir", "", "")
	flags.Func("set", "", func(text string) error { return set(given, text) })
	flags.StringVar(&o.deployment.Cluster, "cluster", "", "")
	sources := flags.String("sources", string(sql.AutoSyntax), "")
	flags.BoolVar(&o.deployment.Adopt, "adopt", false, "")
	flags.BoolVar(&o.check, "check", false, "")
	flags.BoolVar(&o.print, "print", false, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, usageError{err}
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is no flag, and apply takes nothing else", flags.Arg(0))
	case o.check && o.print:
		err = fmt.Errorf("--check and --print: one of them")
	case o.check && o.deployment.Adopt:
		err = fmt.Errorf("--check and --adopt: a check changes nothing")
	}
	if err != nil {
		return o, usageError{err}
	}
	if o.deployment.Sources, err = sql.ParseSourceSyntax(*sources); err != nil {
		return o, usageError{fmt.Errorf("--sources: %w", err)}
	}
	if o.server, err = server(*dsn, getenv); err != nil {
		return o, usageError{err}
	}
	if err := o.program(*dir, given, getenv); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func set(given map[string]string, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", text)
	}
	if _, twice := given[name]; twice {
		return fmt.Errorf("%s is set twice", name)
	}
	given[name] = value
	return nil
}

func server(dsn string, getenv func(string) string) (materialize.Server, error) {
	if dsn != "" {
		return materialize.Parse(dsn, "--dsn")
	}
	if dsn = getenv(materialize.EnvURL); dsn == "" {
		dsn = materialize.DefaultURL
	}
	return materialize.Parse(dsn, materialize.EnvURL)
}

// program reads the files and puts the variables in.
func (o *options) program(dir string, given map[string]string, getenv func(string) string) error {
	files := sql.Files()
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
		files = os.DirFS(dir)
	}
	defaults, err := o.kafka(given, getenv)
	if err != nil {
		return err
	}
	variables, err := sql.Variables(files, defaults, given)
	if err != nil {
		return fmt.Errorf("--set: %w", err)
	}
	o.deployment.Statements, err = sql.Load(files, variables)
	return err
}

// kafka is where Materialize finds Kafka unless it is set: the first broker of the
// environment, if there is one. For TLS and users it makes the connection as well.
func (o *options) kafka(given map[string]string, getenv func(string) string) (defaults map[string]string, err error) {
	connection, err := kafka.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	defaults = sql.Defaults()
	set, isSet := given[sql.VariableBroker]
	switch {
	case isSet:
		connection.Brokers = []string{set}
	case getenv(kafka.EnvBrokers) != "":
		defaults[sql.VariableBroker] = connection.Brokers[0]
	case connection.Protocol != kafka.Plaintext:
		return nil, fmt.Errorf("%s: not set, but %s is %s: where Materialize finds Kafka", kafka.EnvBrokers, kafka.EnvProtocol, connection.Protocol)
	}
	if connection.Protocol != kafka.Plaintext {
		secured := sql.Connection(connection)
		o.deployment.Connection = &secured
	}
	return defaults, nil
}
