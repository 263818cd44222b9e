package simulate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/functions/simulate/internal/newyork"
)

// DefaultTripsPerHour is the mean rate of synthetic trips, in hours of the city:
// at 10 times real time about 8 trips start every second. The real city of the
// tables has about 14,700 yellow taxi trips an hour.
const DefaultTripsPerHour = 3000

// defaultStart is a Monday's morning rush, so that a demo shows one at once.
var defaultStart = time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC)

// SyntheticConfig says which trips a Synthetic makes up. The zero value is
// seed 0 and the defaults.
type SyntheticConfig struct {
	// Seed chooses the trips: the same configuration always gives the same ones,
	// ids included. A pipeline that has learned a seed's trips takes them for
	// redelivered when it meets them again, so a second run wants another seed.
	Seed uint64

	// Start is the city's clock at the beginning; default Monday 2016-01-04 08:00.
	Start time.Time

	// TripsPerHour is the rate averaged over a week; default DefaultTripsPerHour.
	TripsPerHour float64

	// SnowDays are days on which a blizzard begins, as on 2016-01-23: traffic of
	// the day falls to about a quarter, what still drives is slower, and so are
	// the days after.
	SnowDays []time.Time
}

// Synthetic is an unbounded Source of made-up trips that look like New York's:
// zones, rush hours, airport runs, speeds by hour and distance, a heavy tail, and
// now and then a meter left running. Its tables are fitted on yellow taxi trips of
// January 2016 (internal/newyork).
//
// Trips arrive as a Poisson process whose rate follows the hour of the week.
type Synthetic struct {
	seed         uint64
	tripsPerHour float64
	storms       []time.Time
	tables       *newyork.Tables
	places       *places
	traffic      traffic
	rng          *rand.Rand

	at    time.Time // when the last trip arrived, to the nanosecond
	trips uint64
}

// NewSynthetic checks the configuration and loads the tables.
func NewSynthetic(cfg SyntheticConfig) (*Synthetic, error) {
	if cfg.Start.IsZero() {
		cfg.Start = defaultStart
	}
	if year := cfg.Start.Year(); year < 2000 || year > 2099 {
		return nil, fmt.Errorf("simulate: synthetic trips: the start %s is not between 2000 and 2100", cfg.Start.Format(time.DateOnly))
	}
	if cfg.TripsPerHour == 0 {
		cfg.TripsPerHour = DefaultTripsPerHour
	}
	if !(cfg.TripsPerHour > 0 && cfg.TripsPerHour <= maxTripsPerHour) {
		return nil, fmt.Errorf("simulate: synthetic trips: a rate of %v trips per hour is not above 0 and at most %d", cfg.TripsPerHour, maxTripsPerHour)
	}
	tables, err := newyork.Load()
	if err != nil {
		return nil, fmt.Errorf("simulate: synthetic trips: %w", err)
	}
	s := &Synthetic{
		seed:         cfg.Seed,
		tripsPerHour: cfg.TripsPerHour,
		tables:       tables,
		places:       newPlaces(tables),
		rng:          rand.New(rand.NewPCG(cfg.Seed, streamTrips)),
		at:           cfg.Start.UTC(),
	}
	for _, day := range cfg.SnowDays {
		s.storms = append(s.storms, day.UTC().Truncate(24*time.Hour))
	}
	s.traffic = newTraffic(tables.Duration.Traffic, s.at, rand.New(rand.NewPCG(cfg.Seed, streamTraffic)))
	return s, nil
}

// The streams of one seed: traffic does not depend on how many trips there are.
const (
	streamTrips   = 1
	streamTraffic = 2
)

// maxTripsPerHour is far beyond any city; a larger rate is a mistyped one.
const maxTripsPerHour = 100_000_000

// Next makes up the next trip. It fails only when ctx is done or the clock has
// reached the year 2100.
func (s *Synthetic) Next(ctx context.Context) (Trip, error) {
	if err := ctx.Err(); err != nil {
		return Trip{}, err
	}
	if err := s.advance(); err != nil {
		return Trip{}, err
	}
	s.trips++

	at := s.at.Truncate(time.Second)
	t := Trip{ID: s.id(), PickedUpAt: at}
	t.VendorID, t.PassengerCount = s.places.party(s.rng)
	origin, destination := s.route(&t)
	t.DroppedOffAt = at.Add(s.duration(at, t.Kilometres(), origin, destination))
	return t, nil
}

// walkKm is how far people rather walk: the nearer, the more of them. Zones and
// cells alone would give twice as many trips of a few hundred metres as there are.
const walkKm = 0.65

// route draws a trip's two points and returns their zones.
func (s *Synthetic) route(t *Trip) (origin, destination int) {
	hour := newyork.DayHour(t.PickedUpAt)
	origin = s.places.origin(hour, s.rng)
	t.PickupLatitude, t.PickupLongitude = s.places.pickups[origin].point(s.rng)
	if round := s.tables.RoundTrips; s.rng.Float64() < round.Share {
		t.DropoffLatitude, t.DropoffLongitude = near(t.PickupLatitude, t.PickupLongitude, round.Km, s.rng)
		return origin, origin
	}
	destination = s.places.destination(hour, origin, s.rng)
	for {
		t.DropoffLatitude, t.DropoffLongitude = s.places.dropoffs[destination].point(s.rng)
		km := t.Kilometres()
		if km >= s.tables.RoundTrips.Km && km >= walkKm*s.rng.Float64() {
			return origin, destination
		}
		// Other points of the same zones: how often people go from one to the
		// other is what was counted.
		t.PickupLatitude, t.PickupLongitude = s.places.pickups[origin].point(s.rng)
	}
}

func (s *Synthetic) id() string {
	return "s" + strconv.FormatUint(s.seed, 10) + "-" + strconv.FormatUint(s.trips, 10)
}

// advance moves the clock to the next arrival. The rate is constant within an
// hour, so an exponential variate is used up hour by hour.
func (s *Synthetic) advance() error {
	left := s.rng.ExpFloat64()
	for s.at.Year() < 2100 {
		hour := s.at.Truncate(time.Hour)
		end := hour.Add(time.Hour)
		rate := s.rate(hour)
		expected := rate * end.Sub(s.at).Hours()
		if left < expected {
			// The float's rounding must not lead out of the hour.
			s.at = s.at.Add(min(time.Duration(left/rate*float64(time.Hour)), end.Sub(s.at)-1))
			return nil
		}
		left -= expected
		s.at = end
	}
	return errors.New("simulate: synthetic trips: the city's clock has reached 2100")
}

// rate is the expected trips of an hour.
func (s *Synthetic) rate(hour time.Time) float64 {
	r := s.tripsPerHour * s.tables.Rate[newyork.HourOfWeek(hour)]
	for _, storm := range s.storms {
		if h := stormHour(storm, hour); h >= 0 {
			r *= s.tables.Storm.Rate[h]
		}
	}
	return r
}

func stormHour(storm, t time.Time) int {
	since := t.Sub(storm)
	if since < 0 || since >= newyork.StormHours*time.Hour {
		return -1
	}
	return int(since / time.Hour)
}

// duration draws how long a trip takes, in whole seconds.
func (s *Synthetic) duration(at time.Time, km float64, origin, destination int) time.Duration {
	d := &s.tables.Duration
	u := s.rng.Float64()
	if s.rng.Float64() < d.LeftRunning.Share {
		return seconds(newyork.Quantile(d.LeftRunning.Probabilities, d.LeftRunning.Seconds, u))
	}
	logSeconds := d.Expected(km, at, origin, destination) + s.traffic.at(at)
	for _, storm := range s.storms {
		if h := stormHour(storm, at); h >= 0 {
			logSeconds += s.tables.Storm.Pace[h/3]
		}
	}
	// The residuals were taken with traffic in them: less by its part.
	scale := math.Sqrt(max(0, 1-d.Traffic.SD*d.Traffic.SD/(d.Residual.SD*d.Residual.SD)))
	logSeconds += scale * newyork.Quantile(d.Residual.Probabilities, d.Residual.Quantiles[newyork.Class(d.Residual.Km, km)], u)
	return seconds(math.Exp(logSeconds))
}

func seconds(s float64) time.Duration {
	return time.Duration(min(max(math.Round(s), 1), events.MaxDurationS)) * time.Second
}

// traffic is an autoregression from hour to hour, linear within the hour.
type traffic struct {
	newyork.Traffic
	rng      *rand.Rand
	hour     time.Time
	now, end float64 // at the beginning and the end of the hour
}

func newTraffic(t newyork.Traffic, start time.Time, rng *rand.Rand) traffic {
	tr := traffic{Traffic: t, rng: rng, hour: start.Truncate(time.Hour)}
	tr.now = t.SD * rng.NormFloat64()
	tr.end = tr.step()
	return tr
}

func (t *traffic) step() float64 {
	return t.Correlation*t.now + t.SD*math.Sqrt(1-t.Correlation*t.Correlation)*t.rng.NormFloat64()
}

// at is the shift of log seconds; times never go back.
func (t *traffic) at(now time.Time) float64 {
	for !now.Before(t.hour.Add(time.Hour)) {
		t.hour = t.hour.Add(time.Hour)
		t.now = t.end
		t.end = t.step()
	}
	w := now.Sub(t.hour).Hours()
	return t.now*(1-w) + t.end*w
}

// ParseStart reads the city's clock as a command line says it, such as
// 2016-01-04T08:00. Nothing is the zero time, which is the default start.
func ParseStart(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not like 2016-01-04T08:00", text)
	}
	return t, nil
}

// ParseSnowDays reads the days on which it begins to snow, separated by commas:
// dates as 2016-01-23, or so many days after the day of start, as +2. No text is
// no snow. A zero start is that of SyntheticConfig.
func ParseSnowDays(s string, start time.Time) ([]time.Time, error) {
	if s == "" {
		return nil, nil
	}
	var days []time.Time
	for _, one := range strings.Split(s, ",") {
		day, err := parseSnowDay(one, start)
		if err != nil {
			return nil, err
		}
		days = append(days, day)
	}
	return days, nil
}

func parseSnowDay(s string, start time.Time) (time.Time, error) {
	if start.IsZero() {
		start = defaultStart
	}
	if len(s) > 1 && s[0] == '+' {
		days, err := strconv.Atoi(s[1:])
		if err == nil && days >= 0 && days <= 36_500 {
			return start.UTC().Truncate(24*time.Hour).AddDate(0, 0, days), nil
		}
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("simulate: snow day %q is neither a date (2016-01-23) nor days after the start (+2)", s)
	}
	return day, nil
}
