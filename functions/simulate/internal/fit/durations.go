package main

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"tripcast.dev/functions/simulate"
	"tripcast.dev/functions/simulate/internal/newyork"
)

// place is what the tables know of a trip's ends.
type place struct {
	pickup, dropoff int // zones
	km              float64
}

// leftRunning is the duration beyond which a meter was forgotten, not slow.
const leftRunning = 20_000 * time.Second

func fit(trips []simulate.Trip, zones []newyork.Zone, days calendar) (*newyork.Tables, error) {
	if len(trips) == 0 {
		return nil, errors.New("no trips")
	}
	t := &newyork.Tables{Trips: len(trips), Zones: zones}
	finder := newZoneFinder(t.Zones)
	if err := fillCells(trips, finder); err != nil {
		return nil, err
	}
	at := make([]place, len(trips))
	for i, trip := range trips {
		at[i] = place{
			pickup:  finder.zone(trip.PickupLatitude, trip.PickupLongitude),
			dropoff: finder.zone(trip.DropoffLatitude, trip.DropoffLongitude),
			km:      trip.Kilometres(),
		}
	}
	fitPlaces(t, trips, at)
	fitVendors(t, trips)
	fitRate(t, trips, days)
	fitDuration(t, trips, at, days)
	return t, nil
}

// fitRate counts trips by hour of week on usual days, and what the storm left of them.
func fitRate(t *newyork.Tables, trips []simulate.Trip, days calendar) {
	first := trips[0].PickedUpAt.Truncate(24 * time.Hour)
	last := trips[len(trips)-1].PickedUpAt
	count := make([]float64, newyork.HoursPerWeek)
	hours := make([]float64, newyork.HoursPerWeek)
	for h := first; !h.After(last); h = h.Add(time.Hour) {
		if days.usual(h) {
			hours[newyork.HourOfWeek(h)]++
		}
	}
	storm := make([]float64, newyork.StormHours)
	for _, trip := range trips {
		if days.usual(trip.PickedUpAt) {
			count[newyork.HourOfWeek(trip.PickedUpAt)]++
		}
		if h := days.stormHour(trip.PickedUpAt); h >= 0 {
			storm[h]++
		}
	}
	usual := make([]float64, newyork.HoursPerWeek)
	var total float64
	for i := range usual {
		usual[i] = count[i] / hours[i]
		total += usual[i]
	}
	mean := total / newyork.HoursPerWeek
	for _, u := range usual {
		t.Rate = append(t.Rate, round(u/mean, 3))
	}
	// Three hours at a time: one hour alone has too few trips.
	for h := range storm {
		var got, expected float64
		for i := max(0, h-1); i <= min(h+1, len(storm)-1); i++ {
			got += storm[i]
			expected += usual[newyork.HourOfWeek(days.storm.Add(time.Duration(i)*time.Hour))]
		}
		t.Storm.Rate = append(t.Storm.Rate, round(got/expected, 2))
	}
}

// fitDuration fits the sum of newyork.Duration by backfitting (Hastie and
// Tibshirani, Generalized Additive Models, 1990) with medians, so that the heavy
// tail moves nothing: each term in turn becomes the median of what the others leave.
func fitDuration(t *newyork.Tables, trips []simulate.Trip, at []place, days calendar) {
	d := &t.Duration
	zones := len(t.Zones)
	d.Km = []float64{0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8, 11, 15, 20, 26}
	d.LogSeconds = make([]float64, len(d.Km))
	d.HourKm = []float64{0.7, 2, 6, 15}
	d.Hour = matrix[float64](newyork.DayHours, len(d.HourKm))
	d.HourOfWeek = make([]float64, newyork.HoursPerWeek)
	d.PickupZone = make([]float64, zones)
	d.DropoffZone = make([]float64, zones)

	var usual []sample
	var forgotten []float64
	for i, trip := range trips {
		if trip.Duration() > leftRunning {
			forgotten = append(forgotten, trip.Duration().Seconds())
			continue
		}
		if days.usual(trip.PickedUpAt) {
			usual = append(usual, sample{at: trip.PickedUpAt, place: at[i], y: math.Log(trip.Duration().Seconds())})
		}
	}
	d.LeftRunning.Share = round(float64(len(forgotten))/float64(len(trips)), 5)
	d.LeftRunning.Probabilities = []float64{0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95}
	slices.Sort(forgotten)
	for _, p := range d.LeftRunning.Probabilities {
		d.LeftRunning.Seconds = append(d.LeftRunning.Seconds, math.Round(quantile(forgotten, p)))
	}

	for range 6 {
		backfit(d, usual)
	}
	roundRows(append([][]float64{d.LogSeconds, d.HourOfWeek, d.PickupZone, d.DropoffZone}, d.Hour...), 3)
	fitTraffic(d, usual)
	fitResidual(d, usual)
	fitStormPace(t, trips, at, days)
}

type sample struct {
	at time.Time
	place
	y float64 // log seconds
}

func (d *sample) residual(m *newyork.Duration) float64 {
	return d.y - m.Expected(d.km, d.at, d.pickup, d.dropoff)
}

// backfit updates every term once. A term with few trips is drawn to 0.
func backfit(d *newyork.Duration, trips []sample) {
	update(trips, d, d.LogSeconds, 0, func(s *sample) (int, float64) { return newyork.Knot(d.Km, s.km) })
	for h := range d.Hour {
		update(of(trips, func(s *sample) bool { return newyork.DayHour(s.at) == h }), d, d.Hour[h], 20,
			func(s *sample) (int, float64) { return newyork.Knot(d.HourKm, s.km) })
	}
	one := func(index func(s *sample) int) func(s *sample) (int, float64) {
		return func(s *sample) (int, float64) { return index(s), 0 }
	}
	update(trips, d, d.HourOfWeek, 60, one(func(s *sample) int { return newyork.HourOfWeek(s.at) }))
	update(trips, d, d.PickupZone, 30, one(func(s *sample) int { return s.pickup }))
	update(trips, d, d.DropoffZone, 30, one(func(s *sample) int { return s.dropoff }))
}

func of(trips []sample, keep func(s *sample) bool) []sample {
	var kept []sample
	for _, s := range trips {
		if keep(&s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// update moves each value of a term to the median of its residuals, weighted by
// how near its knot they are.
func update(trips []sample, d *newyork.Duration, values []float64, prior float64, knot func(s *sample) (int, float64)) {
	groups := make([][]weighted, len(values))
	for i := range trips {
		s := &trips[i]
		r := s.residual(d)
		k, w := knot(s)
		groups[k] = append(groups[k], weighted{r + values[k], 1 - w})
		if w > 0 {
			groups[k+1] = append(groups[k+1], weighted{r + values[k+1], w})
		}
	}
	for k, g := range groups {
		var weight float64
		for _, v := range g {
			weight += v.weight
		}
		if weight > 0 {
			values[k] = weightedMedian(g, weight) * weight / (weight + prior)
		}
	}
}

type weighted struct{ value, weight float64 }

func weightedMedian(v []weighted, total float64) float64 {
	slices.SortFunc(v, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	var sum float64
	for _, x := range v {
		if sum += x.weight; sum >= total/2 {
			return x.value
		}
	}
	return v[len(v)-1].value
}

// fitTraffic takes the mean residual of every hour. What one hour shares with
// the next is not the noise of its few trips, so the covariances at lags 1 and 2
// give both the variance and the correlation.
func fitTraffic(d *newyork.Duration, trips []sample) {
	sum := make(map[int64]float64)
	n := make(map[int64]float64)
	for i := range trips {
		h := trips[i].at.Unix() / 3600
		sum[h] += clip(trips[i].residual(d))
		n[h]++
	}
	const enough = 20
	covariance := func(lag int64) float64 {
		var c, pairs float64
		for h := range n {
			if n[h] >= enough && n[h+lag] >= enough {
				c += sum[h] / n[h] * sum[h+lag] / n[h+lag]
				pairs++
			}
		}
		return c / pairs
	}
	one, two := covariance(1), covariance(2)
	correlation := min(max(two/one, 0), 0.99)
	d.Traffic.Correlation = round(correlation, 2)
	d.Traffic.SD = round(math.Sqrt(max(one, 0)/max(correlation, 0.1)), 3)
}

// clip keeps a forgotten meter from being taken for traffic.
func clip(r float64) float64 { return min(max(r, -1), 1) }

func fitResidual(d *newyork.Duration, trips []sample) {
	r := &d.Residual
	r.Km = []float64{0.2, 0.5, 1, 2, 4, 8, 14}
	r.Probabilities = []float64{
		0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
		0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.9975, 0.999,
	}
	classes := make([][]float64, len(r.Km)+1)
	var squares float64
	for i := range trips {
		res := trips[i].residual(d)
		c := newyork.Class(r.Km, trips[i].km)
		classes[c] = append(classes[c], res)
		squares += clip(res) * clip(res)
	}
	r.SD = round(math.Sqrt(squares/float64(len(trips))), 3)
	for _, class := range classes {
		slices.Sort(class)
		row := make([]float64, len(r.Probabilities))
		for i, p := range r.Probabilities {
			row[i] = round(quantile(class, p), 3)
		}
		r.Quantiles = append(r.Quantiles, row)
	}
}

// fitStormPace is the median residual of the storm by three hours, drawn to the
// mean of the storm where nearly nobody drove.
func fitStormPace(t *newyork.Tables, trips []simulate.Trip, at []place, days calendar) {
	const prior = 10
	var all []float64
	groups := make([][]float64, newyork.StormHours/3)
	for i, trip := range trips {
		h := days.stormHour(trip.PickedUpAt)
		if h < 0 || trip.Duration() > leftRunning {
			continue
		}
		s := sample{at: trip.PickedUpAt, place: at[i], y: math.Log(trip.Duration().Seconds())}
		res := s.residual(&t.Duration)
		groups[h/3] = append(groups[h/3], res)
		all = append(all, res)
	}
	slices.Sort(all)
	overall := quantile(all, 0.5)
	for _, g := range groups {
		slices.Sort(g)
		n := float64(len(g))
		pace := overall
		if n > 0 {
			pace = (quantile(g, 0.5)*n + overall*prior) / (n + prior)
		}
		t.Storm.Pace = append(t.Storm.Pace, round(pace, 3))
	}
}

// quantile of sorted values, linear between them.
func quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	x := p * float64(len(sorted)-1)
	i := int(x)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	w := x - float64(i)
	return sorted[i]*(1-w) + sorted[i+1]*w
}
