package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/sql"
	"tripcast.dev/sql/materialize"
)

func prepareSQL(o options, getenv func(string) string, out io.Writer) (step, error) {
	connection, err := kafkaFromEnv(getenv)
	if err != nil {
		return nil, err
	}
	dsn := getenv(materialize.EnvURL)
	if dsn == "" {
		dsn = materialize.DefaultURL
	}
	server, err := materialize.Parse(dsn, materialize.EnvURL)
	if err != nil {
		return nil, usageError{err}
	}
	deployment, err := prepareDeployment(o, connection)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		// Materialize would say it less clearly, and make the topics of its sinks itself.
		topics := slices.DeleteFunc(events.Topics(), func(t string) bool { return t == events.TopicDeadLetters })
		if err := check(ctx, connection, topics...); err != nil {
			return err
		}
		result, err := deploy(ctx, server, deployment)
		if err != nil {
			return err
		}
		for _, warning := range result.Warnings() {
			fmt.Fprintf(out, "sql: WARNING: %s\n", warning)
		}
		fmt.Fprintf(out, "sql: %s, in Materialize at %s\n", result, server.Address())
		return nil
	}, nil
}

// prepareDeployment is the program for a Kafka. One with TLS or users needs a
// connection that the program does not have.
func prepareDeployment(o options, connection kafka.Connection) (sql.Deployment, error) {
	brokers := connection.Brokers // as Materialize sees them
	if o.materializeKafka != nil {
		brokers = o.materializeKafka
	}
	given := map[string]string{sql.VariableBroker: brokers[0]}
	if o.tripRetention != "" {
		given[sql.VariableTripRetention] = o.tripRetention
	}
	variables, err := sql.Variables(sql.Files(), sql.Defaults(), given)
	if err != nil {
		return sql.Deployment{}, usageError{err}
	}
	program, err := sql.Load(sql.Files(), variables)
	if err != nil {
		return sql.Deployment{}, err
	}
	deployment := sql.Deployment{Statements: program, Cluster: o.cluster}
	if connection.Protocol != kafka.Plaintext {
		secured := sql.Connection(connection)
		secured.Brokers = brokers
		deployment.Connection = &secured
	}
	return deployment, nil
}

func deploy(ctx context.Context, server materialize.Server, deployment sql.Deployment) (sql.Result, error) {
	db, err := server.Connect(ctx)
	if err != nil {
		return sql.Result{}, waitIfTemporary(err)
	}
	defer db.Close(context.WithoutCancel(ctx))
	result, err := deployment.Apply(ctx, db)
	if err != nil {
		return result, waitIfTemporary(server.Refused(err))
	}
	return result, nil
}

// waitIfTemporary is notYet for what passes.
func waitIfTemporary(err error) error {
	var problem *materialize.Error
	if errors.As(err, &problem) && problem.Temporary() {
		return notYet{"Materialize", err}
	}
	return err
}
