package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"tripcast.dev/functions/kafka"
)

// The steps, by name.
const (
	stepTopics = "topics"
	stepModels = "models"
	stepSQL    = "sql"
)

// options are what the command line says.
type options struct {
	steps             []string // none is all
	models            string
	partitions        int
	replicationFactor int
	retention         time.Duration
	materializeKafka  []string
	cluster           string // of Materialize, empty is the session's own
	tripRetention     string // an interval, empty is the program's own
	wait              time.Duration
}

func (o options) wants(step string) bool {
	return len(o.steps) == 0 || slices.Contains(o.steps, step)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.models, "models", "", "")
	flags.IntVar(&o.partitions, "partitions", 3, "")
	flags.IntVar(&o.replicationFactor, "replication-factor", -1, "")
	flags.DurationVar(&o.retention, "retention", 168*time.Hour, "")
	materializeKafka := flags.String("materialize-kafka", "", "")
	flags.StringVar(&o.cluster, "cluster", "", "")
	flags.StringVar(&o.tripRetention, "trip-retention", "", "")
	flags.DurationVar(&o.wait, "wait", 2*time.Minute, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, usageError{err}
	}
	o.steps = flags.Args()
	if *materializeKafka != "" {
		var err error
		if o.materializeKafka, err = kafka.ParseBrokers(*materializeKafka); err != nil {
			return o, usageError{fmt.Errorf("--materialize-kafka: %w", err)}
		}
	}
	if err := o.validate(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func (o options) validate() error {
	for _, name := range o.steps {
		if !slices.Contains([]string{stepTopics, stepModels, stepSQL}, name) {
			return fmt.Errorf("%q is no step: topics, models and sql are, and flags come before them", name)
		}
	}
	switch {
	case o.partitions < 1 || o.partitions > math.MaxInt32:
		return fmt.Errorf("--partitions %d: at least 1", o.partitions)
	case o.replicationFactor != -1 && (o.replicationFactor < 1 || o.replicationFactor > math.MaxInt16):
		return fmt.Errorf("--replication-factor %d: at least 1, or -1 for the broker's default", o.replicationFactor)
	case o.retention < time.Millisecond:
		return fmt.Errorf("--retention %s: above 0", o.retention)
	case o.wait < 0:
		return fmt.Errorf("--wait %s: not below 0", o.wait)
	}
	return nil
}
