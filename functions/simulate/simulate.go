// Package simulate plays taxi trips into Kafka as they would happen: a Source
// gives trips, a replay puts their starts and ends in order, a clock says when
// each is due, a Producer writes it.
//
//	source, err := simulate.OpenSource("synthetic", simulate.SyntheticConfig{Seed: 1})
//	producer, err := simulate.NewProducer(ctx, simulate.ProducerConfig{Brokers: []string{"localhost:9092"}})
//	sim, err := simulate.New(simulate.Config{Source: source, Producer: producer, Speed: 10})
//	report, err := sim.Run(ctx)
package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"tripcast.dev/events"
)

// TripsSynthetic is the name of the made-up source, where a file could be named.
const TripsSynthetic = "synthetic"

// OpenSource opens the trips that a person names: TripsSynthetic, or a file for
// OpenCSV.
func OpenSource(trips string, synthetic SyntheticConfig) (Source, error) {
	if trips == TripsSynthetic {
		return NewSynthetic(synthetic)
	}
	return OpenCSV(trips)
}

// EventProducer takes events in the order in which they happened. It may return
// before they are written; Flush waits until they are, and Acked counts those of
// a topic that are. An error is final. A *Producer is one.
type EventProducer interface {
	PickUp(ctx context.Context, t Trip) error
	DropOff(ctx context.Context, t Trip) error
	Flush(ctx context.Context) error
	Acked(topic string) int64
}

// Throttle holds trips back for a pipeline that is slower than the simulation,
// as at Speed 0. Wait is called before each pick-up with how many were produced
// already, and blocks while that is too many: it has to be cheap when it is not.
// Everything older than the pick-up is with the producer by then, and what the
// pipeline still waits for may be the very trips held back (a bucket closes when
// a later event arrives): the queue it allows must never be empty.
type Throttle interface {
	Wait(ctx context.Context, produced int) error
}

// DefaultFlushTimeout is how long Run waits for acknowledgements at its end.
const DefaultFlushTimeout = 10 * time.Second

// Config says what is played, how fast, and where to.
type Config struct {
	Source   Source
	Producer EventProducer

	// Speed is how many times faster than real time the city's clock runs; 0 is
	// as fast as the producer and the throttle let it.
	Speed float64

	// Limit is after how many trips no more start; those on their way still end,
	// by the clock. 0 is no limit.
	Limit int

	Throttle     Throttle      // nil holds nothing back
	FlushTimeout time.Duration // default DefaultFlushTimeout
	Log          *slog.Logger  // default slog.Default()
}

// Stats are the counters of a simulation.
type Stats struct {
	Trips     int64     // started: their pick-up was handed to the producer
	Open      int64     // of them on their way
	Total     int64     // that will start in all, -1 where that is unknown
	Rejected  int64     // rows of the source that are not trips
	PickUps   int64     // acknowledged by the broker
	DropOffs  int64     // acknowledged by the broker
	EventTime time.Time // the city's clock, zero before the first trip
}

// Report is what a simulation did.
type Report struct {
	Stats
	Rejections Rejected      // why rows of the source are not trips
	Wall       time.Duration // what Run took
	Done       bool          // every trip has started and ended
}

// Simulation plays a source once.
type Simulation struct {
	cfg      Config
	replay   replay
	clock    clock
	rejected Rejected
	total    int64

	trips, dropOffs atomic.Int64
	eventTime       atomic.Int64 // Unix nanoseconds, 0 before the first event
}

// New checks the configuration. Nothing is produced before Run.
func New(cfg Config) (*Simulation, error) {
	switch {
	case cfg.Source == nil:
		return nil, errors.New("simulate: no source of trips")
	case cfg.Producer == nil:
		return nil, errors.New("simulate: no producer")
	case !(cfg.Speed >= 0) || math.IsInf(cfg.Speed, 0):
		return nil, fmt.Errorf("simulate: a speed of %v is not 0 or above", cfg.Speed)
	case cfg.Limit < 0:
		return nil, fmt.Errorf("simulate: a limit of %d trips is not 0 or above", cfg.Limit)
	}
	if cfg.FlushTimeout == 0 {
		cfg.FlushTimeout = DefaultFlushTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Simulation{
		cfg:    cfg,
		replay: replay{source: cfg.Source, limit: cfg.Limit},
		clock:  clock{speed: cfg.Speed},
		total:  -1,
	}
	if cfg.Limit > 0 {
		s.total = int64(cfg.Limit)
	}
	if known, ok := cfg.Source.(interface{ Len() int }); ok {
		if n := int64(known.Len()); s.total < 0 || n < s.total {
			s.total = n
		}
	}
	if picky, ok := cfg.Source.(interface{ Rejected() Rejected }); ok {
		s.rejected = picky.Rejected()
	}
	return s, nil
}

// Stats is a snapshot of the counters, for any goroutine at any time.
func (s *Simulation) Stats() Stats {
	// In this order, that no trip seems to have ended before it started.
	dropOffs := s.dropOffs.Load()
	trips := s.trips.Load()
	st := Stats{
		Trips:    trips,
		Open:     trips - dropOffs,
		Total:    s.total,
		Rejected: int64(s.rejected.Total),
		DropOffs: s.cfg.Producer.Acked(events.TopicDropOffs),
		PickUps:  s.cfg.Producer.Acked(events.TopicPickUps),
	}
	if ns := s.eventTime.Load(); ns != 0 {
		st.EventTime = time.Unix(0, ns).UTC()
	}
	return st
}

// Run plays the source to its end, until ctx is done or until an event cannot be
// produced. Whatever ends it, what was handed to the producer is flushed, and the
// report says what came of it. The error is nil if and only if every trip started
// and ended; where ctx ended it, errors.Is tells its error. Run is called once.
func (s *Simulation) Run(ctx context.Context) (Report, error) {
	log := s.cfg.Log
	if s.rejected.Total > 0 {
		log.Warn("rows of the source are not trips", "rejected", s.rejected.String())
	}
	start := time.Now()
	err := s.play(ctx)

	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.FlushTimeout)
	defer cancel()
	if flushErr := s.cfg.Producer.Flush(flushing); flushErr != nil && (err == nil || !errors.Is(flushErr, err)) {
		err = errors.Join(err, flushErr)
	}
	report := Report{Stats: s.Stats(), Rejections: s.rejected, Wall: time.Since(start), Done: err == nil}
	log.Info("simulation ended",
		"trips", report.Trips, "open", report.Open, "pick_ups", report.PickUps, "drop_offs", report.DropOffs,
		"rejected", report.Rejected, "event_time", report.EventTime.Format(time.DateTime), "wall", report.Wall.Round(time.Millisecond))
	return report, err
}

func (s *Simulation) play(ctx context.Context) error {
	for {
		m, err := s.replay.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.clock.wait(ctx, m.at()); err != nil {
			return fmt.Errorf("simulate: stopped: %w", err)
		}
		if err := s.produce(ctx, m); err != nil {
			return err
		}
		s.eventTime.Store(m.at().UnixNano())
	}
}

func (s *Simulation) produce(ctx context.Context, m moment) error {
	if m.dropOff {
		if err := s.cfg.Producer.DropOff(ctx, m.trip); err != nil {
			return err
		}
		s.dropOffs.Add(1)
		return nil
	}
	if s.cfg.Throttle != nil {
		if err := s.cfg.Throttle.Wait(ctx, int(s.trips.Load())); err != nil {
			return fmt.Errorf("simulate: throttle before trip %s: %w", m.trip.ID, err)
		}
	}
	if err := s.cfg.Producer.PickUp(ctx, m.trip); err != nil {
		return err
	}
	s.trips.Add(1)
	return nil
}
