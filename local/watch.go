package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/registry"
)

const watchUsage = `local watch starts nothing: it reads the topics of a running system from their
beginning, and ends when so many trips have been predicted and learned, or lie in
the topic dead_letters. The exit code is 0 only if nothing was lost.

  local watch --kafka localhost:9092 --redis redis://localhost:6379 --expect 500 --report -

`

// watcher watches a system that others run.
type watcher struct {
	*parts
	kafka    kafka.Connection
	redis    string
	expect   int64
	patience time.Duration
	report   string

	screen *screen
	books  books
}

func watch(ctx context.Context, in invocation) error {
	w := watcher{screen: newScreen(in.stderr)}
	flags := in.flags("watch", watchUsage)
	brokers := flags.String("kafka", "", kafkaFlag)
	flags.StringVar(&w.redis, "redis", registry.DefaultURL, "`URL` of the Redis that the models are in")
	flags.Int64Var(&w.expect, "expect", 0, "how many `trips`")
	flags.DurationVar(&w.patience, "patience", time.Minute, "give up when nothing has moved for so long")
	flags.StringVar(&w.report, "report", "", "write a JSON report to this `file` at the end; - is standard output")
	verbose := flags.Bool("v", false, "log every event")
	if err := in.parse(flags); err != nil {
		return err
	}
	if w.expect < 1 {
		return usageError{errors.New("--expect says how many trips to wait for")}
	}
	var err error
	if w.kafka, err = in.kafka(*brokers); err != nil {
		return err
	}
	w.parts = newParts(newLog(w.screen, *verbose))
	defer w.stop()
	if err := w.start(ctx); err != nil {
		return err
	}
	report, err := w.run(ctx)
	return errors.Join(err, report.write(w.report, in.stdout))
}

// start counts all that is in the topics, and what comes.
func (w *watcher) start(ctx context.Context) error {
	client, err := w.openRedis(ctx, w.redis)
	if err != nil {
		return err
	}
	t, err := newTally(w.kafka, w.log)
	if err != nil {
		return err
	}
	w.closing(t.client.Close)
	err = w.await(ctx, func() error {
		if err := w.kafka.Check(ctx, counted...); err != nil {
			return err
		}
		return t.know(ctx, client)
	})
	if err != nil {
		return err
	}
	if err := t.fromStart(ctx); err != nil {
		return err
	}
	w.background(ctx, "counting", func(ctx context.Context) error {
		t.run(ctx)
		return nil
	})
	w.books = books{tally: t, client: client, patience: w.patience, log: w.log}
	return nil
}

// await waits for the topics and the models, which a system makes when it starts.
func (w *watcher) await(ctx context.Context, made func() error) error {
	for deadline := time.Now().Add(w.patience); ; {
		err := made()
		comes := errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, registry.ErrNoModels)
		if !comes || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// run waits for the trips. The report is what there is when it ends.
func (w *watcher) run(ctx context.Context) (Report, error) {
	started := time.Now()
	stopShowing := w.screen.show(ctx, func() moment {
		m := w.books.tally.moment()
		m.elapsed, m.total = time.Since(started), w.expect
		return m
	})
	err := w.wait(ctx)
	stopShowing()
	learned, lerr := w.books.learned(context.WithoutCancel(ctx))
	return w.books.tally.report(learned, w.books.tally.took()), errors.Join(err, lerr)
}

func (w *watcher) wait(ctx context.Context) error {
	check := time.NewTicker(100 * time.Millisecond)
	defer check.Stop()
	var ends kadm.ListedOffsets // of the topics of trips, when all seemed to be over
	for {
		select {
		case <-ctx.Done():
			_, learned := w.books.tally.progress()
			return fmt.Errorf("stopped after %d of %d trips", learned, w.expect)
		case <-check.C:
		}
		// Who plays trips without end has some on their way at any moment.
		others := max(0, w.books.tally.started()-w.expect)
		done, err := w.books.settled(ctx, w.expect, others)
		if err != nil {
			return err
		}
		if !done {
			continue
		}
		if ends == nil {
			if ends, err = w.books.tally.ends(ctx); err != nil && w.books.tally.quiet() > w.patience {
				return err
			} else if err != nil {
				w.log.Warn("the topics of trips cannot be asked for, trying again", "err", err)
				continue
			}
		}
		if w.books.tally.through(ends) {
			return nil
		}
	}
}
