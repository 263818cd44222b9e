package simulate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func synthetic(tb testing.TB, seed uint64) *Synthetic {
	tb.Helper()
	s, err := NewSynthetic(SyntheticConfig{Seed: seed})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func take(tb testing.TB, s Source, n int) []Trip {
	tb.Helper()
	trips := make([]Trip, n)
	for i := range trips {
		var err error
		if trips[i], err = s.Next(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return trips
}

// TestSyntheticGolden holds the trips of a seed to what they were: a change of
// them is a change of every recorded result. -update accepts it.
func TestSyntheticGolden(t *testing.T) {
	const golden = "testdata/synthetic.golden"
	var got strings.Builder
	for _, c := range []struct {
		name string
		cfg  SyntheticConfig
	}{
		{"seed 0", SyntheticConfig{}},
		{"seed 1", SyntheticConfig{Seed: 1}},
		{"seed 1, snow", SyntheticConfig{Seed: 1, SnowDays: []time.Time{defaultStart}}},
		{"seed 1, dense", SyntheticConfig{Seed: 1, TripsPerHour: 15_000}},
	} {
		s, err := NewSynthetic(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		for _, trip := range take(t, s, 1000) {
			fmt.Fprintf(hash, "%+v\n", trip)
		}
		fmt.Fprintf(&got, "%s: %s\n", c.name, hex.EncodeToString(hash.Sum(nil)))
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the first 1,000 trips have changed:\n%swant\n%s", got.String(), want)
	}
}

func TestSyntheticTripsAreAccepted(t *testing.T) {
	s, err := NewSynthetic(SyntheticConfig{Seed: 5, TripsPerHour: 200})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	last := defaultStart
	for _, trip := range take(t, s, 50_000) {
		if bad := checkTrip(trip); bad != nil {
			t.Fatalf("%+v: %v", trip, bad)
		}
		if trip.PickedUpAt.Before(last) {
			t.Fatalf("%s starts at %s, before %s", trip.ID, trip.PickedUpAt, last)
		}
		if ids[trip.ID] {
			t.Fatalf("two trips are %s", trip.ID)
		}
		last, ids[trip.ID] = trip.PickedUpAt, true
	}
}

func TestSyntheticRate(t *testing.T) {
	const rate = 500
	s, err := NewSynthetic(SyntheticConfig{Seed: 2, TripsPerHour: rate})
	if err != nil {
		t.Fatal(err)
	}
	week := s.at.AddDate(0, 0, 7)
	var n int
	for {
		trip, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !trip.PickedUpAt.Before(week) {
			break
		}
		n++
	}
	// A Poisson variate of mean 84,000 has a standard deviation of 290.
	if want := rate * 168; n < want-1500 || n > want+1500 {
		t.Errorf("a week has %d trips, want about %d", n, want)
	}
}

func TestSnowDay(t *testing.T) {
	midnight := defaultStart.Truncate(24 * time.Hour)
	perDay := func(snow ...time.Time) (trips [7]int, kmPerHour [7]float64) {
		s, err := NewSynthetic(SyntheticConfig{Seed: 9, TripsPerHour: 400, Start: midnight, SnowDays: snow})
		if err != nil {
			t.Fatal(err)
		}
		var km, hours [7]float64
		for {
			trip, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			day := int(trip.PickedUpAt.Sub(midnight) / (24 * time.Hour))
			if day >= len(trips) {
				break
			}
			trips[day]++
			if trip.Duration() < 20_000*time.Second { // but for meters left running
				km[day] += trip.Kilometres()
				hours[day] += trip.Duration().Hours()
			}
		}
		for day := range kmPerHour {
			kmPerHour[day] = km[day] / hours[day]
		}
		return trips, kmPerHour
	}
	tuesday, err := ParseSnowDays("+1", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	usual, usualSpeed := perDay()
	snow, snowSpeed := perDay(tuesday...)
	share := func(day int) float64 { return float64(snow[day]) / float64(usual[day]) }
	t.Logf("trips by day from Monday: %v, with snow on Tuesday %v", usual, snow)
	t.Logf("km/h by day from Monday: %.1f, with snow on Tuesday %.1f", usualSpeed, snowSpeed)
	if s := share(0); s < 0.95 || s > 1.05 {
		t.Errorf("the day before the snow has %.0f %% of its trips", 100*s)
	}
	if s := share(1); s < 0.1 || s > 0.35 {
		t.Errorf("the day of the snow has %.0f %% of its trips, want about a quarter", 100*s)
	}
	if share(2) >= 0.9 || share(2) <= share(1) {
		t.Errorf("the day after the snow has %.0f %% of its trips", 100*share(2))
	}
	for day := 1; day <= 3; day++ {
		if snowSpeed[day] > 0.9*usualSpeed[day] {
			t.Errorf("%d days after the snow taxis drive %.1f km/h, on a usual day %.1f", day-1, snowSpeed[day], usualSpeed[day])
		}
	}
	if snowSpeed[0] < 0.95*usualSpeed[0] {
		t.Errorf("on the day before the snow taxis drive %.1f km/h, on a usual day %.1f", snowSpeed[0], usualSpeed[0])
	}
}

func TestParseSnowDays(t *testing.T) {
	start := time.Date(2016, 3, 30, 17, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"2016-01-23": "2016-01-23", "+0": "2016-03-30", "+2": "2016-04-01",
		"": "", "+": "", "-1": "", "+x": "", "2016-13-01": "", "+99999999": "",
	} {
		day, err := parseSnowDay(s, start)
		if want == "" {
			if err == nil {
				t.Errorf("%q is %s, want an error", s, day)
			}
			continue
		}
		if err != nil || day.Format(time.DateTime) != want+" 00:00:00" {
			t.Errorf("%q is %s, %v; want %s", s, day, err, want)
		}
	}
}

func TestParseSnowDaysList(t *testing.T) {
	start := time.Date(2016, 3, 30, 17, 0, 0, 0, time.UTC)
	days, err := ParseSnowDays("2016-01-23,+2", start)
	if err != nil || len(days) != 2 || days[0].Format(time.DateOnly) != "2016-01-23" || days[1].Format(time.DateOnly) != "2016-04-01" {
		t.Errorf("two days are %v, %v", days, err)
	}
	if days, err := ParseSnowDays("", start); err != nil || days != nil {
		t.Errorf("no text is %v, %v; want no snow", days, err)
	}
	if days, err := ParseSnowDays("+1,", start); err == nil {
		t.Errorf("a day that is missing is %v, want an error", days)
	}
}

func TestSyntheticRefuses(t *testing.T) {
	for name, cfg := range map[string]SyntheticConfig{
		"negative rate": {TripsPerHour: -1},
		"absurd rate":   {TripsPerHour: 1e12},
		"long ago":      {Start: time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC)},
		"far ahead":     {Start: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := NewSynthetic(cfg); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	end, err := NewSynthetic(SyntheticConfig{Start: time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC), TripsPerHour: 1})
	if err != nil {
		t.Fatal(err)
	}
	if trip, err := end.Next(t.Context()); err == nil {
		t.Errorf("a trip starts at %s, beyond what events.Validate takes", trip.PickedUpAt)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := synthetic(t, 0).Next(ctx); err == nil {
		t.Error("a done context gives a trip")
	}
}

func BenchmarkSynthetic(b *testing.B) {
	s := synthetic(b, 1)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Next(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
