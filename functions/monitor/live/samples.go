package live

import (
	"math"
	"slices"
	"time"
)

// sample is what one prediction says of the pipeline. Times are in milliseconds.
type sample struct {
	at          int64 // when this program saw it
	lagMS       int64
	predictedAt int64 // by Kafka's clock
	champion    string
	version     uint64 // of the champion
}

// samples are the newest, bounded.
type samples struct {
	all  []sample // a circle once it is full
	next int
}

func (s *samples) add(one sample) {
	if len(s.all) < keptSamples {
		s.all = append(s.all, one)
		return
	}
	s.all[s.next] = one
	s.next = (s.next + 1) % keptSamples
}

// recent is how far back the samples count.
const recent = time.Minute

// lag is how long the last minute's predictions took.
func (s *samples) lag(now time.Time) Quantile {
	var ms []float64
	for _, one := range s.all {
		if one.at > now.Add(-recent).UnixMilli() {
			ms = append(ms, float64(one.lagMS))
		}
	}
	return quantile(ms)
}

// staleness is for how long there had been a newer version when the last
// minute's predictions were made. A prediction of which that is not known, or
// not yet, does not count.
func (s *samples) staleness(now time.Time, l lineage) Quantile {
	var ms []float64
	for _, one := range s.all {
		if one.at <= now.Add(-recent).UnixMilli() || one.champion != l.model {
			continue
		}
		if stale, ok := l.staleness(one); ok {
			ms = append(ms, float64(stale))
		}
	}
	return quantile(ms)
}

// quantile takes the smallest value that so many are not above, as the SQL does.
func quantile(values []float64) Quantile {
	n := len(values)
	if n == 0 {
		return Quantile{}
	}
	slices.Sort(values)
	rank := func(q float64) float64 { return values[max(0, int(math.Ceil(q*float64(n)))-1)] }
	return Quantile{N: int64(n), P50: rank(0.50), P99: rank(0.99)}
}

// finite is a number that JSON can hold.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// rounded leaves so many decimals.
func rounded(x float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(finite(x)*scale) / scale
}
