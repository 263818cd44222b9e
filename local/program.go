package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/local/replay"
	"tripcast.dev/sql"
)

const sqlFlag = "`folder` of a program of your own: numbered .sql files as those of sql/ (else sql/ as built in)"

// openProgram is the folder of --sql. What is wrong with its files is told before
// anything is started.
func openProgram(dir string, set variables) (fs.FS, []sql.Statement, error) {
	files := os.DirFS(dir)
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("--sql: %w", err)
	}
	statements, err := programOf(files, "localhost:9092", set)
	if err != nil {
		return nil, nil, fmt.Errorf("--sql %s: %w", dir, err)
	}
	return files, statements, nil
}

// variables of the SQL that are not left at their defaults. As a flag, each is
// NAME=VALUE.
type variables map[string]string

func (v variables) String() string { return "" }

func (v variables) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not like grace=10 minutes", text)
	}
	v[name] = value
	return nil
}

// flags adds those that set variables.
func (v variables) flags(flags *flag.FlagSet) {
	flags.Var(v, "set", "a variable of the SQL, as `NAME=VALUE`; may be repeated")
	flags.Func("trip-retention", retentionFlag, func(text string) error {
		v[sql.VariableTripRetention] = text
		return nil
	})
}

// programOf is a program for this Kafka. Variables that it does not use are an
// error if they are set, and else no matter.
func programOf(files fs.FS, broker string, set variables) ([]sql.Statement, error) {
	if files == nil {
		files = sql.Files()
	}
	defaults := sql.Defaults()
	defaults[sql.VariableBroker] = broker
	variables, err := sql.Variables(files, defaults, set)
	if err != nil {
		return nil, err
	}
	return sql.Load(files, variables)
}

// readsTrips reports whether a program is about trips that simulate plays.
func readsTrips(statements []sql.Statement) bool {
	topics := sql.SourceTopics(statements)
	return slices.Contains(topics, events.TopicPickUps) && slices.Contains(topics, events.TopicDropOffs)
}

// inputsOf are the topics that a program reads and does not fill itself, by way of
// the functions.
func inputsOf(statements []sql.Statement) []string {
	return slices.DeleteFunc(sql.SourceTopics(statements), func(topic string) bool { return slices.Contains(replay.Outputs(), topic) })
}

// choose takes --sql, and the trips that are played into it.
func (o *options) choose(dir string, tripsGiven bool) error {
	if dir == "" {
		_, err := programOf(nil, "localhost:9092", o.variables)
		return err
	}
	files, statements, err := openProgram(dir, o.variables)
	if err != nil {
		return err
	}
	o.sql, o.sqlDir = files, dir
	if readsTrips(statements) {
		return nil
	}
	if !tripsGiven {
		o.trips = tripsNone
	}
	if o.trips != tripsNone {
		return fmt.Errorf("--trips %s would be played into %s and %s, which %s does not read: it reads %s. Leave --trips out, and send events there",
			o.trips, events.TopicPickUps, events.TopicDropOffs, dir, strings.Join(inputsOf(statements), ", "))
	}
	return needModels(dir, o.models)
}

// needModels refuses the built-in catalogue for features that it does not know.
func needModels(dir, models string) error {
	if models == "" {
		return fmt.Errorf("--sql %s is not about trips, and the models built in are for nothing else: --models FILE names your catalogue", dir)
	}
	return nil
}

// loadProgram reads the SQL, and makes the topics that it reads where they are
// missing: whoever sends events may come later.
func (s *system) loadProgram(ctx context.Context) (err error) {
	broker := s.kafka.Brokers[0]
	if s.materializeKafka != "" {
		broker = s.materializeKafka
	}
	if s.statements, err = programOf(s.sql, broker, s.variables); err != nil {
		return err
	}
	return makeTopics(ctx, s.kafka, inputsOf(s.statements))
}

// makeTopics creates what is missing.
func makeTopics(ctx context.Context, k kafka.Connection, topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	client, err := k.Client(kgo.ClientID("tripcast-local"))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	known, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("looking for the topics that the SQL reads: %w", err)
	}
	for _, topic := range topics {
		if !errors.Is(known[topic].Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		const brokerDefault = -1 // replication
		_, err := admin.CreateTopic(ctx, simulate.DefaultPartitions, brokerDefault, nil, topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s, which the SQL reads: %w", topic, err)
		}
	}
	return nil
}
