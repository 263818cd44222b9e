package live

import (
	"slices"
	"time"
)

const (
	bucketMS = int64(5 * time.Minute / time.Millisecond)
	hourMS   = int64(time.Hour / time.Millisecond)
	// mostBuckets are in a chart: more than its pixels are of no use.
	mostBuckets = 300
)

// errorsView merges the buckets of five minutes until there are few enough: what
// is added up is exact.
func (s *state) errorsView() Errors {
	var starts []int64
	for key := range s.buckets {
		starts = append(starts, key.start)
	}
	width := bucketMS
	for starts = wider(starts, width); len(starts) > mostBuckets; starts = wider(starts, width) {
		width *= 2
	}
	view := Errors{WidthMS: width, Buckets: starts, Trips: make([]int64, len(starts)), Models: map[string][]*float64{}}
	place := make(map[int64]int, len(starts))
	for i, start := range starts {
		place[start] = i
	}
	classes := newClasses(len(starts))
	for key, one := range s.buckets {
		classes.add(key.model, place[floor(key.start, width)], one)
	}
	classes.fill(view.Trips, view.Models)
	return view
}

// wider returns the starts of the buckets of a width that hold these.
func wider(starts []int64, width int64) []int64 {
	wide := make([]int64, len(starts))
	for i, start := range starts {
		wide[i] = floor(start, width)
	}
	slices.Sort(wide)
	return slices.Compact(wide)
}

func floor(start, width int64) int64 {
	rest := start % width
	if rest < 0 {
		rest += width
	}
	return start - rest
}

// classes add up what each model did in each class of trips.
type classes struct {
	n      int
	models map[string][]sums
}

func newClasses(n int) classes { return classes{n, map[string][]sums{}} }

func (c classes) add(model string, class int, one sums) {
	if class < 0 {
		return
	}
	if c.models[model] == nil {
		c.models[model] = make([]sums, c.n)
	}
	c.models[model][class] = c.models[model][class].add(one)
}

// fill sets the trips of each class, which are those of the model that predicted
// most of them, and the errors of each model.
func (c classes) fill(trips []int64, maes map[string][]*float64) {
	for model, all := range c.models {
		maes[model] = make([]*float64, c.n)
		for i, one := range all {
			trips[i] = max(trips[i], one.trips)
			if one.trips > 0 {
				mae := rounded(one.mae(), 2)
				maes[model][i] = &mae
			}
		}
	}
}

// distanceLabels name the classes of model_errors_by_distance.
var distanceLabels = []struct {
	fromKM int64
	label  string
}{{0, "0–1 km"}, {1, "1–2 km"}, {2, "2–5 km"}, {5, "5–10 km"}, {10, "10 km or more"}}

func (s *state) segmentsView() Segments {
	hours, distances := newClasses(24), newClasses(len(distanceLabels))
	for key, one := range s.hours {
		if key.hour >= 0 && key.hour < 24 {
			hours.add(key.model, int(key.hour), one)
		}
	}
	for key, one := range s.distances {
		for i, class := range distanceLabels {
			if class.fromKM == key.fromKM {
				distances.add(key.model, i, one)
			}
		}
	}
	var view Segments
	labels := make([]string, 0, 24)
	for hour := range 24 {
		labels = append(labels, string([]byte{'0' + byte(hour/10), '0' + byte(hour%10)}))
	}
	view.Hours = hours.segment(labels)
	labels = nil
	for _, class := range distanceLabels {
		labels = append(labels, class.label)
	}
	view.Distances = distances.segment(labels)
	return view
}

func (c classes) segment(labels []string) Segment {
	s := Segment{Labels: labels, Trips: make([]int64, c.n), Models: map[string][]*float64{}}
	c.fill(s.Trips, s.Models)
	return s
}
