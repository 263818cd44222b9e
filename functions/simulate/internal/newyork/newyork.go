// Package newyork is what is known of taxi trips in New York, as tables: where
// and when they start, where they go, how long they take. The tables are
// aggregates (counts, medians and quantiles per cell) of recorded trips; no
// single trip is in them. They are made by
//
//	go run ./functions/simulate/internal/fit --trips FILE
//
// which says how; this package reads them.
package newyork

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// The resolutions of the tables.
const (
	HoursPerWeek = 168 // 0 is Sunday midnight, as time.Weekday counts
	Blocks       = 16  // three hours each of a weekday, then of a weekend's day
	DayHours     = 48  // the hours of a weekday, then of a weekend's day
	StormHours   = 120 // from the midnight before the snow until the streets are clear

	CellLat = 0.0025 // degrees; a cell is about 280 m square
	CellLon = 0.0033
	Wide    = 4 // a wide cell, for where trips are rare, is so many cells wide and high
)

// Tables are the fitted tables. They are read-only once loaded.
type Tables struct {
	Trips        int         `json:"trips"` // that they were fitted on
	Rate         []float64   `json:"rate"`  // [HoursPerWeek] trips per hour over their mean
	Zones        []Zone      `json:"zones"`
	Origins      [][]int     `json:"origins"`      // [Blocks][zone] pick-ups
	Destinations [][]int     `json:"destinations"` // [origin][destination] trips
	Attraction   [][]float64 `json:"attraction"`   // [Blocks][zone] factor on a destination
	Reach        [][]float64 `json:"reach"`        // [DayHours][class] factor on a distance: at night people go further
	ReachKm      []float64   `json:"reach_km"`     // upper edges of the classes but the last, between centres of zones
	Pull         Pull        `json:"pull"`
	RoundTrips   RoundTrips  `json:"round_trips"`
	Vendors      []Vendor    `json:"vendors"`
	Duration     Duration    `json:"duration"`
	Storm        Storm       `json:"storm"`
}

// Zone is a neighbourhood: the cells nearer to its centre than to any other's.
type Zone struct {
	Name      string  `json:"name"`
	Borough   string  `json:"borough"`
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Cells     []Cell  `json:"cells"`
}

// Cell is {column, row, size, pick-ups, drop-offs}: it spans size*CellLon
// degrees eastward from column*CellLon and size*CellLat northward from row*CellLat.
type Cell [5]int

// Pull is where trips go that no recorded trip tells: a destination counts by
// its popularity and by its distance.
type Pull struct {
	Trips float64 `json:"trips"`    // what it weighs beside an origin's recorded trips
	Km    float64 `json:"decay_km"` // popularity is divided by e every so far
}

// RoundTrips are the trips that end where they started.
type RoundTrips struct {
	Share float64 `json:"share"`
	Km    float64 `json:"km"` // the distance below which a trip is one
}

// Vendor is a meter's maker: they report differently many passengers.
type Vendor struct {
	ID         int   `json:"id"`
	Trips      int   `json:"trips"`
	Passengers []int `json:"passengers"` // trips by passenger count, from 0
}

// Duration is the logarithm of a trip's seconds, as a sum: a curve over distance,
// shifts for the hour and the two zones, the traffic of the moment and a residual.
type Duration struct {
	Km          []float64   `json:"km"`           // knots, ascending
	LogSeconds  []float64   `json:"log_seconds"`  // at the knots, linear in log km between
	HourKm      []float64   `json:"hour_km"`      // knots of Hour
	Hour        [][]float64 `json:"hour"`         // [DayHours][knot] rush hours weigh more on some distances
	HourOfWeek  []float64   `json:"hour_of_week"` // [HoursPerWeek] what is left for Mondays, Fridays...
	PickupZone  []float64   `json:"pickup_zone"`  // [zone]
	DropoffZone []float64   `json:"dropoff_zone"` // [zone]
	Traffic     Traffic     `json:"traffic"`
	Residual    Residual    `json:"residual"`
	LeftRunning LeftRunning `json:"left_running"`
}

// Traffic is how the whole city is slower or faster than its hour usually is: a
// first-order autoregression from hour to hour.
type Traffic struct {
	SD          float64 `json:"sd"`
	Correlation float64 `json:"correlation"` // of an hour with the next
}

// Residual is what remains, by distance, as quantiles; traffic is part of it.
type Residual struct {
	Km            []float64   `json:"km"` // upper edges of the distance classes but the last
	SD            float64     `json:"sd"`
	Probabilities []float64   `json:"probabilities"`
	Quantiles     [][]float64 `json:"quantiles"` // [class][probability]
}

// LeftRunning are the trips whose meter nobody stopped.
type LeftRunning struct {
	Share         float64   `json:"share"`
	Probabilities []float64 `json:"probabilities"`
	Seconds       []float64 `json:"seconds"` // at the probabilities
}

// Storm is a snow storm: the factor on the rate of trips by hour, and the shift
// of log seconds by three hours.
type Storm struct {
	Rate []float64 `json:"rate"` // [StormHours]
	Pace []float64 `json:"pace"` // [StormHours/3]
}

//go:embed tables.json
var tablesJSON []byte

// Load returns the committed tables.
var Load = sync.OnceValues(func() (*Tables, error) { return Parse(tablesJSON) })

// Parse reads tables and checks that every one has its size.
func Parse(data []byte) (*Tables, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	t := new(Tables)
	if err := dec.Decode(t); err != nil {
		return nil, fmt.Errorf("newyork: parse tables: %w", err)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("newyork: parse tables: %w", err)
	}
	return t, nil
}

func (t *Tables) check() error {
	zones := len(t.Zones)
	d := &t.Duration
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"rate", len(t.Rate), HoursPerWeek},
		{"origins", len(t.Origins), Blocks},
		{"attraction", len(t.Attraction), Blocks},
		{"destinations", len(t.Destinations), zones},
		{"reach", len(t.Reach), DayHours},
		{"duration.log_seconds", len(d.LogSeconds), len(d.Km)},
		{"duration.hour", len(d.Hour), DayHours},
		{"duration.hour_of_week", len(d.HourOfWeek), HoursPerWeek},
		{"duration.pickup_zone", len(d.PickupZone), zones},
		{"duration.dropoff_zone", len(d.DropoffZone), zones},
		{"duration.residual.quantiles", len(d.Residual.Quantiles), len(d.Residual.Km) + 1},
		{"duration.left_running.seconds", len(d.LeftRunning.Seconds), len(d.LeftRunning.Probabilities)},
		{"storm.rate", len(t.Storm.Rate), StormHours},
		{"storm.pace", len(t.Storm.Pace), StormHours / 3},
	} {
		if c.got != c.want || c.got == 0 {
			return fmt.Errorf("%s has %d rows, not %d", c.name, c.got, c.want)
		}
	}
	if err := widths(zones, "a zone table of trips", slices.Concat(t.Origins, t.Destinations)); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		rows [][]float64
		want int
	}{
		{"attraction", t.Attraction, zones},
		{"reach", t.Reach, len(t.ReachKm) + 1},
		{"duration.hour", d.Hour, len(d.HourKm)},
		{"duration.residual.quantiles", d.Residual.Quantiles, len(d.Residual.Probabilities)},
	} {
		if err := widths(c.want, c.name, c.rows); err != nil {
			return err
		}
	}
	for _, z := range t.Zones {
		if len(z.Cells) == 0 {
			return fmt.Errorf("zone %s has no cells", z.Name)
		}
	}
	if len(t.Vendors) == 0 {
		return fmt.Errorf("no vendors")
	}
	return nil
}

func widths[T any](want int, name string, rows [][]T) error {
	for i, row := range rows {
		if len(row) != want {
			return fmt.Errorf("row %d of %s has %d columns, not %d", i, name, len(row), want)
		}
	}
	return nil
}

// HourOfWeek is the index into tables of HoursPerWeek.
func HourOfWeek(t time.Time) int { return int(t.Weekday())*24 + t.Hour() }

// DayHour is the index into tables of DayHours.
func DayHour(t time.Time) int {
	if day := t.Weekday(); day == time.Saturday || day == time.Sunday {
		return 24 + t.Hour()
	}
	return t.Hour()
}

// Block is the index into tables of Blocks.
func Block(t time.Time) int { return DayHour(t) / 3 }

// MinKm is the distance that shorter ones count as: below it GPS says nothing.
const MinKm = 0.1

// Expected is the logarithm of the seconds that a trip takes on a usual day,
// without residual.
func (d *Duration) Expected(km float64, at time.Time, pickup, dropoff int) float64 {
	return Interpolate(d.Km, d.LogSeconds, km) +
		Interpolate(d.HourKm, d.Hour[DayHour(at)], km) +
		d.HourOfWeek[HourOfWeek(at)] + d.PickupZone[pickup] + d.DropoffZone[dropoff]
}

// Class is the class of a distance, given the upper edges of all but the last.
func Class(edges []float64, km float64) int {
	i, found := slices.BinarySearch(edges, km)
	if found {
		i++
	}
	return i
}

// Usual is how often trips from an origin go to each zone: as often as was
// recorded, plus the pull of popular and near zones.
func (t *Tables) Usual(origin int) []float64 {
	popularity := make([]float64, len(t.Zones))
	for _, row := range t.Destinations {
		for z, n := range row {
			popularity[z] += float64(n)
		}
	}
	pull := make([]float64, len(t.Zones))
	var sum float64
	for z := range t.Zones {
		pull[z] = popularity[z] * math.Exp(-t.Between(origin, z)/t.Pull.Km)
		sum += pull[z]
	}
	usual := make([]float64, len(t.Zones))
	for z, n := range t.Destinations[origin] {
		usual[z] = float64(n) + t.Pull.Trips*pull[z]/sum
	}
	return usual
}

// Between is the distance between the centres of two zones, in km.
func (t *Tables) Between(a, b int) float64 {
	from, to := &t.Zones[a], &t.Zones[b]
	return Kilometres(from.Latitude, from.Longitude, to.Latitude, to.Longitude)
}

// Kilometres is the great-circle distance between two points given in degrees.
func Kilometres(lat1, lon1, lat2, lon2 float64) float64 {
	const earthRadius = 6371.0088 // km, the mean radius of the IUGG
	const radian = math.Pi / 180
	sinLat := math.Sin((lat2 - lat1) * radian / 2)
	sinLon := math.Sin((lon2 - lon1) * radian / 2)
	a := sinLat*sinLat + math.Cos(lat1*radian)*math.Cos(lat2*radian)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Min(1, math.Sqrt(a)))
}

// Interpolate is the value at km of a curve given at knots, linear in the
// logarithm of the distance and constant beyond the ends.
func Interpolate(knots, values []float64, km float64) float64 {
	i, w := Knot(knots, km)
	if w == 0 {
		return values[i]
	}
	return values[i]*(1-w) + values[i+1]*w
}

// Knot is where km lies between knots: w of the way from knot i to the next.
func Knot(knots []float64, km float64) (i int, w float64) {
	km = max(km, MinKm)
	last := len(knots) - 1
	switch {
	case km <= knots[0]:
		return 0, 0
	case km >= knots[last]:
		return last, 0
	}
	i, _ = slices.BinarySearch(knots, km)
	if i > 0 && knots[i] > km {
		i--
	}
	return i, math.Log(km/knots[i]) / math.Log(knots[i+1]/knots[i])
}

// Quantile is the value at probability p of a distribution given by quantiles,
// linear between them.
func Quantile(probabilities, values []float64, p float64) float64 {
	i, _ := slices.BinarySearch(probabilities, p)
	switch i {
	case 0:
		return values[0]
	case len(values):
		return values[i-1]
	}
	w := (p - probabilities[i-1]) / (probabilities[i] - probabilities[i-1])
	return values[i-1]*(1-w) + values[i]*w
}
