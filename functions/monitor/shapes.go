package monitor

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/functions/monitor/live"
)

// shapes are what templates need to lay out what they show, and words that only
// one of them says.
func shapes() template.FuncMap {
	return template.FuncMap{
		"ago":        ago,    // 12 s ago
		"rate":       rate,   // 8.1
		"after":      after,  // +13 ms, between two times
		"cell":       cell,   // of a table of errors: 349, 12k, 12M
		"latest":     latest, // indices of the newest buckets
		"counted":    counted,
		"segment":    newSegment, // a table of errors by class of trips
		"blank":      func() live.Model { return live.Model{} },
		"championOf": championOf,
		"barScale":   barScale, // what the longest bar of a trip stands for
		"tooLong":    tooLong,  // 12.3 s too long
		"place":      place,
		"feature":    feature,
		"unit":       unit,
	}
}

func ago(v any) string {
	t, ok := moment(v)
	if !ok {
		return nothing
	}
	return span(time.Since(t)) + " ago"
}

// span is how long something is ago, to the unit that matters.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return number(int64(d/time.Second)) + unitSpace + "s"
	case d < time.Hour:
		return number(int64(d/time.Minute)) + unitSpace + "min"
	case d < 48*time.Hour:
		return number(int64(d/time.Hour)) + unitSpace + "h"
	}
	return number(int64(d/(24*time.Hour))) + unitSpace + "days"
}

func rate(perSecond float64) string {
	if perSecond >= 100 {
		return number(math.Round(perSecond))
	}
	return strconv.FormatFloat(perSecond, 'f', 1, 64)
}

func after(from, to time.Time) string {
	d := to.Sub(from)
	if d < 0 {
		return minus + millis(float64(-d.Milliseconds()))
	}
	return "+" + millis(float64(d.Milliseconds()))
}

// cell is an error where there is little room: whole seconds.
func cell(values []*float64, i int) string {
	if i >= len(values) {
		return nothing
	}
	f, ok := float(values[i])
	switch {
	case !ok:
		return nothing
	case f < 9999.5:
		return number(math.Round(f))
	case f < 999_500:
		return number(math.Round(f/1e3)) + "k"
	}
	return number(math.Round(f/1e6)) + "M"
}

func latest(e live.Errors, n int) []int {
	var indices []int
	for i := len(e.Buckets) - 1; i >= 0 && len(indices) < n; i-- {
		indices = append(indices, i)
	}
	return indices
}

// segment is a table: a row for each model, a column for each class of trips.
type segment struct {
	ID, Caption string
	live.Segment
	Rows []segmentRow
}

type segmentRow struct {
	Name  string
	Cells []string
}

func newSegment(models live.Models, of live.Segment, id, caption string) segment {
	s := segment{ID: id, Caption: caption, Segment: of}
	for _, m := range models.Models {
		row := segmentRow{Name: m.Name}
		for i := range of.Labels {
			row.Cells = append(row.Cells, cell(of.Models[m.Name], i))
		}
		s.Rows = append(s.Rows, row)
	}
	return s
}

// counted reports whether any trip is in one of the classes.
func counted(s live.Segment) bool {
	return slices.ContainsFunc(s.Trips, func(n int64) bool { return n > 0 })
}

// championOf is what was answered for a trip, nil if nothing was.
func championOf(t live.Trip) *live.Prediction {
	for i := range t.Predictions {
		if t.Predictions[i].Champion {
			return &t.Predictions[i]
		}
	}
	return nil
}

// barScale is as long as the longest of a trip's bars, but for those of models
// that are far off: the others would be too short to see.
func barScale(t live.Trip) float64 {
	var durations []float64
	for _, p := range t.Predictions {
		durations = append(durations, p.DurationS)
	}
	if len(durations) == 0 {
		return 1
	}
	slices.Sort(durations)
	most := max(durations[len(durations)/2], t.DurationS) * 3
	longest := max(t.DurationS, 1)
	for _, d := range durations {
		longest = max(longest, min(d, most))
	}
	return math.Ceil(longest)
}

func tooLong(off *float64) string {
	switch {
	case off == nil:
		return nothing
	case math.Abs(*off) < 0.5:
		return "right to the second"
	case *off < 0:
		return seconds(-*off) + " too short"
	}
	return seconds(*off) + " too long"
}

// place is a position as maps write it.
func place(p live.Point) string {
	side := func(v float64, positive, negative string) string {
		if v < 0 {
			positive = negative
		}
		return fmt.Sprintf("%.4f°%s%s", math.Abs(v), unitSpace, positive)
	}
	return side(p.Lat, "N", "S") + ", " + side(p.Lon, "E", "W")
}

func feature(v float64) string {
	return strings.Replace(strconv.FormatFloat(v, 'g', 7, 64), "-", minus, 1)
}

// units are those of the features that sql/ computes.
var units = map[string]string{
	"passenger_count":   "persons",
	"is_weekend":        "1 on Saturday and Sunday",
	"l1_distance":       "degrees",
	"avg_speed_by_hour": "degrees a second",
	"hour_cos":          "of the time of day as an angle",
	"hour_sin":          "of the time of day as an angle",
	"distance_km":       "km",
	"bearing":           "degrees from north",
	"pickup_longitude":  "degrees east",
	"pickup_latitude":   "degrees north",
	"dropoff_longitude": "degrees east",
	"dropoff_latitude":  "degrees north",
	"recent_speed":      "km/h",
}

// unit is that of a feature, empty where nobody knows.
func unit(feature string) string { return units[feature] }
