package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/eventing"
	"tripcast.dev/local/replay"
	"tripcast.dev/sql"
)

// replaying is a recording that is played into a system of its own.
type replaying struct {
	recording string // a file, or else
	records   iter.Seq2[recordings.Record, error]

	step   bool     // one record at a time, and all that it causes awaited
	sql    fs.FS    // nil: sql/ as built in
	models []byte   // nil: infra/models.yaml as built in
	topics []string // nil: what the program reads
}

// run starts a system, plays the recording into it, and stops it. An outcome is
// there also with an error: it is that of what came before.
func (r replaying) run(ctx context.Context, log io.Writer) (*replay.Outcome, error) {
	records := r.records
	if records == nil {
		reader, err := recordings.Open(r.recording)
		if err != nil {
			return nil, err
		}
		defer reader.Close()
		records = reader.Records()
	}
	own, err := startOwn(ctx, rig{sql: r.sql, catalogue: r.models, newest: r.step}, log)
	if err != nil {
		return nil, err
	}
	defer own.stop()
	play := replay.Play{Topics: r.topics}
	if play.Topics == nil {
		play.Topics = inputsOf(own.statements)
	}
	_, err = own.play(ctx, play, r.step, records)
	return own.collector.Outcome(), err
}

// inputs are the topics that are played unless others are named: the rest comes
// out.
func inputs() []string { return []string{events.TopicPickUps, events.TopicDropOffs} }

// ownSystem is a whole system for one replay.
type ownSystem struct {
	*system
	collector *replay.Collector
	settler   replay.Settler
}

// stepTick is the tick of a stream that is given one record at a time: there is
// nothing to wait for.
const stepTick = time.Millisecond

// atOnce are the records of a stream of somebody's own that are played, as fast as
// it goes, before what they cause is awaited. Of trips it is known which records
// have to be answered by what; here it is not.
const atOnce = 50

// startOwn starts a system that nothing is played into yet. ctx bounds the start
// alone.
func startOwn(ctx context.Context, r rig, log io.Writer) (*ownSystem, error) {
	return startOwnWith(ctx, options{rig: r}, log)
}

func startOwnWith(ctx context.Context, o options, log io.Writer) (*ownSystem, error) {
	deliveries := &replay.Deliveries{}
	o.delivered = func(d eventing.Delivery) { deliveries.Ended(d.Record) }
	if o.newest {
		o.turn, o.tick = deliveries.Turn, stepTick
	}
	o.trips = tripsNone
	const free = "127.0.0.1:0"
	o.listen = listen{kafka: free, redis: free, sql: free, predict: free, learn: free, promote: free, ingress: free, monitor: monitorOff}
	own := &ownSystem{system: newSystem(o, log)}
	if err := own.startParts(ctx); err != nil {
		own.stop()
		return nil, err
	}
	own.closing(deliveries.Release)
	own.settler = replay.Settler{
		Sync:      own.stream.Sync,
		Sources:   sql.SourceTopics(own.statements),
		Told:      []string{events.TopicFeatures, events.TopicLabels},
		Collector: own.collector, Deliveries: deliveries,
	}
	return own, nil
}

func (o *ownSystem) startParts(ctx context.Context) (err error) {
	for _, step := range []func(context.Context) error{
		o.startKafka, o.startRedis, o.applyCatalogue, o.loadProgram, o.openTrips, o.startFunctions, o.startSQL, o.startSources,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if o.collector, err = replay.NewCollector(ctx, o.kafka, replay.Outputs()...); err != nil {
		return err
	}
	o.closing(o.collector.Close)
	return nil
}

// play plays records and waits until all that they cause has happened, after each
// of them or at the end. A part that fails ends it.
func (o *ownSystem) play(ctx context.Context, play replay.Play, step bool, records iter.Seq2[recordings.Record, error]) (*replay.Played, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case err := <-o.failed:
			cancel(err)
		case <-ended:
		}
	}()
	played, err := o.playUntil(ctx, play, step, records)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return played, err
}

func (o *ownSystem) playUntil(ctx context.Context, play replay.Play, step bool, records iter.Seq2[recordings.Record, error]) (*replay.Played, error) {
	if own := !readsTrips(o.statements); step || own && play.Speed == 0 {
		play.Settle = o.settler.Settle
		if !step {
			play.SettleEvery = atOnce
		}
		played, err := play.Into(ctx, o.kafka, records)
		if !step && ctx.Err() == nil {
			err = errors.Join(err, o.settler.Settle(ctx))
		}
		return played, err
	}
	played, err := collecting(ctx, o.collector, play, o.kafka, records, nil)
	if ctx.Err() == nil {
		// Also what came before an error has consequences.
		err = errors.Join(err, o.settler.Settle(ctx))
	}
	return played, err
}

// collecting plays records into a Kafka and reads what comes out until then, and
// until what is awaited afterwards.
func collecting(
	ctx context.Context, c *replay.Collector, play replay.Play, k kafka.Connection,
	records iter.Seq2[recordings.Record, error], await func(context.Context) error,
) (*replay.Played, error) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	read := make(chan error, 1)
	go func() { read <- c.Run(reading) }()
	play.Hold = c.Hold
	played, err := play.Into(ctx, k, records)
	if await != nil && ctx.Err() == nil {
		err = errors.Join(err, await(ctx))
	}
	stop()
	return played, errors.Join(err, <-read)
}
