package main

import (
	"math"
	"slices"
	"sort"
	"time"

	"tripcast.dev/events"
)

// staleness is how long after its delivery a label first shows in a prediction
// of the champion.
type staleness struct {
	// champion is the one at first: versions of one model say nothing of another's.
	champion string
	serving  []serving // by version: the first prediction served with it
	waiting  []waiting // labels that no served version has learned yet
	ms       []int32
}

type serving struct {
	version uint64
	at      time.Time
}

type waiting struct {
	version   uint64
	delivered time.Time
}

// predicted notes which version of the champion predicted, whether or not it still
// is that.
func (s *staleness) predicted(predictions map[string]events.ModelPrediction, at time.Time) {
	if p, ok := predictions[s.champion]; ok {
		s.served(p.Version, at)
	}
}

func (s *staleness) served(version uint64, at time.Time) {
	if n := len(s.serving); n > 0 && s.serving[n-1].version >= version {
		return
	}
	s.serving = append(s.serving, serving{version, at})
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool {
		if w.version > version {
			return false
		}
		s.note(at.Sub(w.delivered))
		return true
	})
}

func (s *staleness) learned(versions map[string]uint64, delivered time.Time) {
	version, ok := versions[s.champion]
	if !ok {
		return
	}
	i := sort.Search(len(s.serving), func(i int) bool { return s.serving[i].version >= version })
	if i < len(s.serving) {
		s.note(s.serving[i].at.Sub(delivered))
		return
	}
	s.waiting = append(s.waiting, waiting{version, delivered})
}

func (s *staleness) note(d time.Duration) { s.ms = append(s.ms, int32(max(0, d.Milliseconds()))) }

// quantiles are the median and the 99th percentile, nearest rank.
func quantiles(values []int32) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := func(q float64) float64 {
		return float64(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)])
	}
	return Quantiles{P50: rank(0.50), P99: rank(0.99)}
}
