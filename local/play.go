package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// inFlight is how many trips may wait for their prediction, how many for their
// label, and how many labels for being learned, when trips are played as fast as
// the pipeline takes them. More would only make the queues longer and the models
// later.
const inFlight = 2000

// Wait holds a pick-up back while the pipeline is full.
func (s *system) Wait(ctx context.Context, produced int) error {
	for s.tally.full(int64(produced), s.sim.Stats().DropOffs) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// play runs the simulation and waits for what was asked for.
func (s *system) play(ctx context.Context) (*Report, error) {
	s.started = time.Now()
	playing, stopPlaying := context.WithCancel(ctx)
	defer stopPlaying()
	ended := s.simulate(playing)
	stopShowing := s.screen.show(ctx, s.moment)
	err := s.wait(ctx, ended)
	wall := time.Since(s.started)
	stopPlaying()
	if ended != nil {
		<-ended // what was produced is flushed
	}
	stopShowing()
	learned, lerr := s.books().learned(context.WithoutCancel(ctx))
	report := s.tally.report(learned, wall)
	if s.sim != nil {
		stats := s.sim.Stats()
		report.Trips, report.Rejected = stats.Trips, &stats.Rejected
	}
	if err == nil && ctx.Err() == nil && s.samples != "" {
		err = s.saveSamples(ctx) // while the broker is still there
	}
	return &report, errors.Join(err, lerr)
}

// simulate plays the trips. It returns what is closed at their end, nil if there
// are none to play.
func (s *system) simulate(ctx context.Context) <-chan struct{} {
	if s.sim == nil {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.played = inPart(ctx, "simulate", func(ctx context.Context) error {
			_, err := s.sim.Run(ctx)
			return err
		})
	}()
	return ended
}

// wait returns when the run is over: asked to stop, failed, or done. ended is
// closed when the simulation has ended.
func (s *system) wait(ctx context.Context, ended <-chan struct{}) error {
	check := time.NewTicker(100 * time.Millisecond)
	defer check.Stop()
	over := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-ended:
			if s.played != nil && ctx.Err() == nil {
				return s.played
			}
			over, ended = true, nil
			if !s.exit {
				fmt.Fprintln(s.screen, "every trip has ended; ctrl-C ends the rest")
			}
		case <-check.C:
			if !over || !s.exit {
				continue
			}
			done, err := s.books().settled(ctx, s.sim.Stats().Trips, 0)
			if done || err != nil {
				return err
			}
		}
	}
}

func (s *system) books() books {
	return books{tally: s.tally, client: s.client, baseline: s.baseline, patience: s.patience, log: s.log}
}

func (s *system) moment() moment {
	m := s.tally.moment()
	m.elapsed = time.Since(s.started)
	if s.sim != nil {
		stats := s.sim.Stats()
		m.clock, m.total = stats.EventTime, stats.Total
	}
	return m
}
