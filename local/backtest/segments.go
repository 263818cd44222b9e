package backtest

import (
	"math"
	"slices"
	"strconv"
	"time"

	"tripcast.dev/functions/online/metrics"
)

// Scores are the errors of some predictions.
type Scores struct {
	Count int    `json:"count"`
	MAE   Number `json:"mae"`
	RMSE  Number `json:"rmse"`
}

// Interval is a period.
type Interval struct {
	Start time.Time `json:"start"` // a multiple of the period since the zero time, in UTC
	Scores
}

// Segment is a part of the trips.
type Segment struct {
	Name string `json:"segment"`
	Scores

	index int // among the names of its division
}

// Segments are the trips divided in some ways. A segment in which nothing was
// judged is left out.
type Segments struct {
	Hour   []Segment `json:"hour"`    // of the pick-up, by the city's clock: 0 to 23
	Day    []Segment `json:"day"`     // weekday or weekend
	FromKM []Segment `json:"from_km"` // as in sql/50_monitoring.sql: from so many kilometres to the next
}

// distanceKM is the feature that FromKM is of.
const distanceKM = "distance_km"

// fromKM are the lower bounds of the classes of sql/50_monitoring.sql.
var fromKM = []float64{0, 1, 2, 5, 10}

// division puts each sample into a part.
type division struct {
	names []string
	of    []int // by the number of the sample: an index of names, or none
}

// none is the part of a sample that belongs to no part.
const none = -1

type divisions struct {
	period, hour, day, distance division
	starts                      []time.Time // of the periods
}

// divide knows the city's clock as events have it: written as UTC.
func divide(trips *Trips, period time.Duration) divisions {
	d := divisions{
		day:  division{names: []string{"weekday", "weekend"}},
		hour: division{names: numbered(24)},
	}
	for _, from := range fromKM {
		d.distance.names = append(d.distance.names, strconv.FormatFloat(from, 'f', -1, 64))
	}
	column := slices.Index(trips.Names, distanceKM)
	for _, s := range trips.Samples {
		at := s.At.UTC()
		if start := at.Truncate(period); len(d.starts) == 0 || !d.starts[len(d.starts)-1].Equal(start) {
			d.starts = append(d.starts, start) // samples come in the order of At
		}
		d.period.of = append(d.period.of, len(d.starts)-1)
		d.hour.of = append(d.hour.of, at.Hour())
		weekend := 0
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
			weekend = 1
		}
		d.day.of = append(d.day.of, weekend)
		class := none
		if column >= 0 {
			class = distanceClass(s.X[column])
		}
		d.distance.of = append(d.distance.of, class)
	}
	d.period.names = numbered(len(d.starts))
	return d
}

// distanceClass is the last of fromKM that is not above, which for NaN is none.
func distanceClass(km float64) int {
	class := none
	for i, from := range fromKM {
		if km >= from {
			class = i
		}
	}
	return class
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// score judges each part by itself, in the order of the answers.
func (d division) score(order []int, labels, predicted []float64) []Segment {
	type judge struct {
		mae  metrics.MAE
		rmse metrics.RMSE
	}
	judges := make([]judge, len(d.names))
	for _, n := range order {
		if d.of[n] != none && !math.IsNaN(predicted[n]) {
			j := &judges[d.of[n]]
			j.mae.Update(labels[n], predicted[n])
			j.rmse.Update(labels[n], predicted[n])
		}
	}
	segments := []Segment{} // in JSON an empty list, not null
	for i := range judges {
		if j := &judges[i]; j.mae.N() > 0 {
			scores := Scores{Count: int(j.mae.N()), MAE: Number(j.mae.Get()), RMSE: Number(j.rmse.Get())}
			segments = append(segments, Segment{Name: d.names[i], Scores: scores, index: i})
		}
	}
	return segments
}
