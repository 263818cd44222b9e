package live

import (
	"context"
	"errors"
	"time"

	"tripcast.dev/functions/registry"
)

// models is what Redis knows.
type models struct {
	known   bool // Redis has answered with a catalogue
	infos   []registry.Info
	since   time.Time // when the champion was made that, zero if nobody knows
	lineage lineage
}

// champion is the model that is served, one without a name if there is none.
func (m models) champion() registry.Info {
	for _, i := range m.infos {
		if i.Champion {
			return i
		}
	}
	return registry.Info{}
}

const (
	// keptCommits of the champion are remembered: the last minute's at any rate.
	keptCommits = 2000
	// auditDepth is how far back the champion's promotion is looked for.
	auditDepth = 100
)

// pollModels looks at Redis about once a second: it has nothing that could be
// subscribed to, and a look is a few short commands.
func (f *Feed) pollModels(ctx context.Context) {
	var m models
	f.poll(ctx, func(ctx context.Context) {
		next, err := f.readModels(ctx, m)
		if errors.Is(ctx.Err(), context.Canceled) {
			return // the feed ends: that is no fault of Redis
		}
		if err == nil {
			m = next
		}
		f.change(changedSummary|changedModels, func(s *state) {
			if err != nil {
				s.redis.failed("models", redisProblem(err))
				return
			}
			s.redis.live("models")
			s.models = m
		})
	})
}

// poll calls look at once and then at intervals, each time with a deadline.
func (f *Feed) poll(ctx context.Context, look func(context.Context)) {
	ticker := time.NewTicker(f.timing.poll)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, f.timing.polled)
		look(bounded)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// readModels returns what there is now, given what there was.
func (f *Feed) readModels(ctx context.Context, before models) (models, error) {
	asOf := time.Now()
	infos, err := registry.Heads(ctx, f.config.Redis, f.config.Kinds)
	if err != nil {
		return models{}, err
	}
	m := models{known: true, infos: infos, since: before.since}
	champion := m.champion()
	if champion.Name == "" {
		m.since = time.Time{}
		return m, nil
	}
	if champion.Name != before.champion().Name {
		actions, err := registry.Audit(ctx, f.config.Redis, auditDepth)
		if err != nil {
			return models{}, err
		}
		m.since = crowned(actions, champion.Name)
	}
	m.lineage, err = f.readLineage(ctx, before.lineage, champion.Name, champion.Version, asOf)
	return m, err
}

// crowned is when a model last became the champion. Actions are the newest first.
func crowned(actions []registry.Action, champion string) time.Time {
	for _, a := range actions {
		if a.Kind == registry.KindPromote || a.Kind == registry.KindApply {
			if a.From == a.To { // somebody wants it to stay
				continue
			}
			if a.To == champion {
				return a.At
			}
			return time.Time{} // somebody else was made it later
		}
	}
	return time.Time{}
}

// pollDeadLetters counts them about once a second.
func (f *Feed) pollDeadLetters(ctx context.Context) {
	f.poll(ctx, func(ctx context.Context) {
		n, err := f.config.DeadLetters(ctx)
		if errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		f.change(changedSummary, func(s *state) {
			if err != nil {
				s.kafka.failed("dead letters", kafkaProblem(err))
				return
			}
			s.kafka.live("dead letters")
			s.deadLetters = n
		})
	})
}
