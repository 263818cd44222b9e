package live

import (
	"maps"
	"slices"
	"time"
)

// counters only grow, but for a database that forgot: what has left the views
// because of its age is in none of the differences.
type counters struct{ pickUps, predictions, labels int64 }

// counters are what the rates are of. A trip's pick-up leaves the views when its
// prediction does, so the difference of the two stays when they grow old.
func (s *state) countersNow() counters {
	c := s.counts[struct{}{}]
	return counters{
		pickUps:     s.trips.total.started + c.PickUps - c.Predictions,
		predictions: s.trips.total.started,
		labels:      s.trips.total.ended + c.Labels - c.Completed,
	}
}

// look is called before messages are made: it compares with the past. While the
// database is away, what was computed last stays.
func (s *state) look(now time.Time) {
	live := s.database.shown.State == Live
	if live && !s.lively {
		s.counters, s.maes = history[counters]{}, history[map[string]float64]{}
		s.noted = time.Time{}
	}
	s.lively = live
	if !live || now.Sub(s.noted) < time.Second {
		return
	}
	s.noted = now
	s.changed |= changedSummary | changedModels
	s.counters.note(now, s.countersNow())
	maes := make(map[string]float64, len(s.errors))
	for model, e := range s.errors {
		maes[model] = e.mae
	}
	s.maes.note(now, maes)
	s.compare(now)
}

func (s *state) compare(now time.Time) {
	s.rates, s.changes = Rates{}, map[string]float64{}
	if then, ok := s.counters.oldest(); ok && now.After(then.at) {
		seconds, c := now.Sub(then.at).Seconds(), s.countersNow()
		rate := func(now, then int64) float64 { return rounded(max(0, float64(now-then)/seconds), 1) }
		s.rates = Rates{
			PickUps:     rate(c.pickUps, then.value.pickUps),
			Predictions: rate(c.predictions, then.value.predictions),
			Labels:      rate(c.labels, then.value.labels),
		}
	}
	if then, ok := s.maes.oldest(); ok {
		for model, e := range s.errors {
			if before, ok := then.value[model]; ok {
				s.changes[model] = e.mae - before
			}
		}
	}
}

func (s *state) summary(now time.Time) Summary {
	summary := Summary{
		At: now.UnixMilli(), Clock: s.trips.clock(),
		Database: s.database.shown, Redis: s.redis.shown,
		Trips: s.counts[struct{}{}], Rates: s.rates,
		Lag: s.trips.samples.lag(now), LagAll: s.lags[struct{}{}],
		Staleness:   s.trips.samples.staleness(now, s.models.lineage),
		DeadLetters: s.deadLetters,
	}
	if s.kafka != nil {
		summary.Kafka = s.kafka.shown
	}
	return summary
}

// modelsView lists the models of the catalogue. Before Redis has answered, those
// that have made errors are better than none.
func (s *state) modelsView() Models {
	champion := s.models.champion()
	view := Models{
		Champion: Leader{Model: champion.Name, Since: millis(s.models.since), MAE: s.lastHour(champion.Name)},
		Best:     s.leader,
		Models:   []Model{},
	}
	if !s.models.known {
		for _, name := range slices.Sorted(maps.Keys(s.errors)) {
			view.Models = append(view.Models, s.model(name))
		}
		return view
	}
	for _, info := range s.models.infos {
		m := s.model(info.Name)
		m.Champion, m.Broken = info.Champion, info.Broken
		m.Labels, m.StateBytes, m.CommittedAt = info.Count, info.StateBytes, millis(info.Committed)
		m.Version = max(info.Version, m.ServedVersion) // Redis was asked up to a second ago
		view.Models = append(view.Models, m)
	}
	return view
}

// model is what the views of sql/ say of a model.
func (s *state) model(name string) Model {
	e := s.errors[name]
	return Model{
		Name: name, Best: name == s.leader.Model,
		Trips: e.trips, MAE: rounded(e.mae, 3), RMSE: rounded(e.rmse, 3), Bias: rounded(e.bias, 3),
		MAEChange:     rounded(s.changes[name], 3),
		ServedVersion: s.trips.served[name].Version,
	}
}

// lead finds the best model of the last hour that is full, and since when it has
// been that without interruption. The windows of best_models end every five
// minutes, and later than the newest trip; those are not full yet.
func (s *state) lead() {
	newest := int64(0)
	for key := range s.buckets {
		newest = max(newest, key.start+bucketMS)
	}
	s.leader, s.window = Leader{}, 0
	for end := range s.best {
		if end <= newest {
			s.window = max(s.window, end)
		}
	}
	best, ok := s.best[s.window]
	if !ok {
		return
	}
	since := s.window
	for s.best[since-bucketMS].model == best.model {
		since -= bucketMS
	}
	s.leader = Leader{Model: best.model, Since: since, MAE: rounded(best.mae, 2)}
}

// lastHour is the error of a model over the hour that the best is the best of.
func (s *state) lastHour(model string) float64 {
	var hour sums
	for start := s.window - hourMS; start < s.window; start += bucketMS {
		hour = hour.add(s.buckets[bucketKey{model, start}])
	}
	if hour.trips == 0 {
		return 0
	}
	return rounded(hour.mae(), 2)
}
