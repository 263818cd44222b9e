package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// realTrips is the recorded file the tables are fitted on, which is not part of
// the repository.
func realTrips(tb testing.TB) string {
	tb.Helper()
	path := os.Getenv("TRIPCAST_TRIPS")
	if path == "" {
		path = "../../../shared/data/yellow_2016-01.csv.gz"
	}
	if _, err := os.Stat(path); err != nil {
		tb.Skipf("SKIPPED: no recorded trips (%v); set TRIPCAST_TRIPS to a file of them", err)
	}
	return path
}

func all(t *testing.T, s Source) []Trip {
	t.Helper()
	var trips []Trip
	for {
		trip, err := s.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return trips
		}
		if err != nil {
			t.Fatal(err)
		}
		trips = append(trips, trip)
	}
}

// TestSyntheticIsCloseToRecorded sets a made-up January 2016, its blizzard
// included, beside the recorded one.
func TestSyntheticIsCloseToRecorded(t *testing.T) {
	csv, err := OpenCSV(realTrips(t))
	if err != nil {
		t.Fatal(err)
	}
	recorded := all(t, csv)
	january := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	blizzard := time.Date(2016, 1, 23, 0, 0, 0, 0, time.UTC)

	// A month's traffic is one sample of an autoregression: several seeds show
	// that it is not this one's luck.
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s, err := NewSynthetic(SyntheticConfig{Seed: seed, Start: january, TripsPerHour: 150, SnowDays: []time.Time{blizzard}})
			if err != nil {
				t.Fatal(err)
			}
			var made []Trip
			for {
				trip, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if trip.PickedUpAt.Month() != time.January {
					break
				}
				made = append(made, trip)
			}
			compareDistributions(t, recorded, made)
			compareHours(t, recorded, made)
			compareShares(t, recorded, made, blizzard)
		})
	}
}

func compareDistributions(t *testing.T, recorded, made []Trip) {
	for _, c := range []struct {
		name  string
		of    func(Trip) float64
		limit float64 // of the Kolmogorov-Smirnov distance
	}{
		{"duration, s", func(t Trip) float64 { return t.Duration().Seconds() }, 0.02},
		{"distance, km", Trip.Kilometres, 0.02},
		{"speed, km/h", func(t Trip) float64 { return t.Kilometres() / t.Duration().Hours() }, 0.02},
	} {
		a, b := sorted(recorded, c.of), sorted(made, c.of)
		var table strings.Builder
		fmt.Fprintf(&table, "%s: %d recorded, %d made\n", c.name, len(a), len(b))
		for _, p := range []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999} {
			fmt.Fprintf(&table, "  p%-5.4g %10.2f %10.2f\n", 100*p, quantileOf(a, p), quantileOf(b, p))
		}
		ks := kolmogorovSmirnov(a, b)
		t.Logf("%s  Kolmogorov-Smirnov distance %.4f", table.String(), ks)
		if ks > c.limit {
			t.Errorf("%s: the Kolmogorov-Smirnov distance is %.4f, above %v", c.name, ks, c.limit)
		}
	}
	a, b := logCorrelation(recorded), logCorrelation(made)
	t.Logf("correlation of log duration with log distance: %.3f recorded, %.3f made", a, b)
	if math.Abs(a-b) > 0.03 {
		t.Errorf("log duration correlates with log distance by %.3f, recorded %.3f", b, a)
	}
}

func compareHours(t *testing.T, recorded, made []Trip) {
	const meanLimit = 0.05
	var table strings.Builder
	var sum float64
	for weekend := range 2 {
		for hour := range 24 {
			in := func(t Trip) bool {
				day := t.PickedUpAt.Weekday()
				return t.PickedUpAt.Hour() == hour && (day == time.Saturday || day == time.Sunday) == (weekend == 1)
			}
			duration := func(t Trip) float64 { return t.Duration().Seconds() }
			seconds := sorted(only(recorded, in), duration)
			a := quantileOf(seconds, 0.5)
			b := quantileOf(sorted(only(made, in), duration), 0.5)
			fmt.Fprintf(&table, " %.0f/%.0f", a, b)
			off := math.Abs(b/a - 1)
			sum += off / 48
			// The recorded median is itself a guess: some nights have 200 trips.
			if limit := 0.08 + 2/math.Sqrt(float64(len(seconds))); off > limit {
				t.Errorf("at %d:00 (weekend %d) the median duration is %.0f s, recorded %.0f s: %.1f %% apart, above %.1f %%", hour, weekend, b, a, 100*off, 100*limit)
			}
		}
		table.WriteByte('\n')
	}
	t.Logf("median duration by hour, recorded/made, weekdays then weekends; %.1f %% apart on average:\n%s", 100*sum, table.String())
	if sum > meanLimit {
		t.Errorf("the median durations of the hours are %.1f %% off on average, above %.0f %%", 100*sum, 100*meanLimit)
	}
}

func compareShares(t *testing.T, recorded, made []Trip, blizzard time.Time) {
	isDay := func(day time.Time) func(Trip) bool {
		return func(t Trip) bool { return t.PickedUpAt.Truncate(24 * time.Hour).Equal(day) }
	}
	for _, c := range []struct {
		name  string
		in    func(Trip) bool
		limit float64 // of the relative difference
	}{
		{"from or to an airport", func(t Trip) bool {
			return atAirport(t.PickupLatitude, t.PickupLongitude) || atAirport(t.DropoffLatitude, t.DropoffLongitude)
		}, 0.15},
		{"in the morning rush", func(t Trip) bool { return t.PickedUpAt.Hour() >= 7 && t.PickedUpAt.Hour() < 10 }, 0.1},
		{"on the day of the blizzard", isDay(blizzard), 0.15},
		{"on the Saturday before", isDay(blizzard.AddDate(0, 0, -7)), 0.15},
		{"with 5 or 6 passengers", func(t Trip) bool { return t.PassengerCount >= 5 }, 0.1},
		{"with the meter left running", func(t Trip) bool { return t.Duration() > 20_000*time.Second }, 0.35},
	} {
		a := float64(len(only(recorded, c.in))) / float64(len(recorded))
		b := float64(len(only(made, c.in))) / float64(len(made))
		t.Logf("share %s: %.3f %% recorded, %.3f %% made", c.name, 100*a, 100*b)
		if math.Abs(b/a-1) > c.limit {
			t.Errorf("the share of trips %s is %.3f %%, recorded %.3f %%", c.name, 100*b, 100*a)
		}
	}
}

func atAirport(lat, lon float64) bool {
	jfk := lat > 40.62 && lat < 40.67 && lon > -73.83 && lon < -73.74
	lga := lat > 40.765 && lat < 40.782 && lon > -73.89 && lon < -73.855
	ewr := lat > 40.67 && lat < 40.71 && lon > -74.2 && lon < -74.15
	return jfk || lga || ewr
}

func only(trips []Trip, in func(Trip) bool) []Trip {
	var kept []Trip
	for _, t := range trips {
		if in(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

func sorted(trips []Trip, of func(Trip) float64) []float64 {
	x := make([]float64, len(trips))
	for i, t := range trips {
		x[i] = of(t)
	}
	slices.Sort(x)
	return x
}

func quantileOf(sorted []float64, p float64) float64 {
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// kolmogorovSmirnov is the greatest distance between two empirical distributions.
func kolmogorovSmirnov(a, b []float64) float64 {
	var i, j int
	var d float64
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && cmp.Compare(a[i], x) <= 0 {
			i++
		}
		for j < len(b) && cmp.Compare(b[j], x) <= 0 {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return d
}

// logCorrelation is Pearson's, over the trips whose distance GPS can tell.
func logCorrelation(trips []Trip) float64 {
	var n, sx, sy, sxx, syy, sxy float64
	for _, t := range trips {
		km := t.Kilometres()
		if km < 0.1 {
			continue
		}
		x, y := math.Log(km), math.Log(t.Duration().Seconds())
		n, sx, sy = n+1, sx+x, sy+y
		sxx, syy, sxy = sxx+x*x, syy+y*y, sxy+x*y
	}
	return (n*sxy - sx*sy) / math.Sqrt((n*sxx-sx*sx)*(n*syy-sy*sy))
}
