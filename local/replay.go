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
	"tripcast.dev/local/eventing"
	"tripcast.dev/local/replay"
)

func replayCommand(ctx context.Context, in invocation) error { return errors.ErrUnsupported }

// replaying is a recording that is played into a system of its own.
type replaying struct {
	recording string // a file, or else
	records   iter.Seq2[recordings.Record, error]

	step   bool     // one record at a time, and all that it causes awaited
	sql    fs.FS    // nil: sql/ as built in
	models []byte   // nil: infra/models.yaml as built in
	topics []string // nil: pick_ups and drop_offs
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
		play.Topics = replayed()
	}
	_, err = own.play(ctx, play, r.step, records)
	return own.collector.Outcome(), err
}

// replayed are the topics that are played unless others are named.
func replayed() []string { return []string{events.TopicPickUps, events.TopicDropOffs} }

// ownSystem is a whole system for one replay.
type ownSystem struct {
	*system
	collector *replay.Collector
	settler   replay.Settler
}

// stepTick is the tick of a stream that is given one record at a time: there is
// nothing to wait for.
const stepTick = time.Millisecond

// startOwn starts a system that nothing is played into yet. ctx bounds the start
// alone.
func startOwn(ctx context.Context, r rig, log io.Writer) (*ownSystem, error) {
	deliveries := &replay.Deliveries{}
	r.delivered = func(d eventing.Delivery) { deliveries.Ended(d.Record) }
	r.tick = stepTick
	const free = "127.0.0.1:0"
	own := &ownSystem{system: newSystem(options{
		trips: tripsNone, rig: r,
		listen: listen{kafka: free, redis: free, sql: free, predict: free, learn: free, ingress: free, monitor: monitorOff},
	}, log)}
	if err := own.startParts(ctx); err != nil {
		own.stop()
		return nil, err
	}
	own.settler = replay.Settler{
		Sync:    own.stream.Sync,
		Sources: []string{events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions},
		Told:    []string{events.TopicFeatures, events.TopicLabels},

		Collector: own.collector, Deliveries: deliveries,
	}
	return own, nil
}

func (o *ownSystem) startParts(ctx context.Context) (err error) {
	for _, step := range []func(context.Context) error{
		o.startKafka, o.startRedis, o.applyCatalogue, o.openTrips, o.startFunctions, o.startSQL, o.startSources,
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
	if step {
		play.Settle = o.settler.Settle
	}
	played, err := play.Into(ctx, o.kafka, records)
	if !step && ctx.Err() == nil {
		// Also what came before an error has consequences.
		err = errors.Join(err, o.settler.Settle(ctx))
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return played, err
}
