package newyork

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestTables(t *testing.T) {
	if len(tablesJSON) > 200_000 {
		t.Errorf("the tables are %d bytes", len(tablesJSON))
	}
	tables, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, z := range tables.Zones {
		names[z.Name] = true
		for _, c := range z.Cells {
			// What keeps a single trip from being told from the tables.
			if c[3]+c[4] < 4 {
				t.Errorf("a cell of %s counts %d points", z.Name, c[3]+c[4])
			}
		}
	}
	for _, airport := range []string{"JFK Airport", "LaGuardia Airport", "Newark Airport"} {
		if !names[airport] {
			t.Errorf("%s is not among the zones", airport)
		}
	}
	var sum float64
	for _, r := range tables.Rate {
		sum += r
	}
	if mean := sum / HoursPerWeek; math.Abs(mean-1) > 0.001 {
		t.Errorf("the mean of the rates is %v, want 1", mean)
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, by string) []byte { return bytes.Replace(tablesJSON, []byte(old), []byte(by), 1) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut short":      {tablesJSON[:len(tablesJSON)/2], "EOF"},
		"unknown field":  {replace(`"trips":`, `"journeys":`), "journeys"},
		"short table":    {replace(`"hour_of_week":[`, `"hour_of_week":[0,`), "hour_of_week has 169"},
		"too many zones": {replace(`"zones":[`, `"zones":[{"name":"Atlantis","cells":[[0,0,1,1,1]]},`), "destinations has"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestInterpolate(t *testing.T) {
	knots, values := []float64{0.1, 1, 10}, []float64{5, 6, 8}
	for km, want := range map[float64]float64{
		0: 5, 0.01: 5, 0.1: 5, 1: 6, 10: 8, 100: 8, math.Sqrt(0.1): 5.5, math.Sqrt(10): 7,
	} {
		if got := Interpolate(knots, values, km); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v km it is %v, want %v", km, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	p, v := []float64{0.1, 0.5, 0.9}, []float64{1, 3, 11}
	for at, want := range map[float64]float64{0: 1, 0.1: 1, 0.3: 2, 0.5: 3, 0.7: 7, 0.9: 11, 1: 11} {
		if got := Quantile(p, v, at); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v it is %v, want %v", at, got, want)
		}
	}
}

func TestClass(t *testing.T) {
	edges := []float64{1, 2}
	for km, want := range map[float64]int{0: 0, 0.99: 0, 1: 1, 1.5: 1, 2: 2, 99: 2} {
		if got := Class(edges, km); got != want {
			t.Errorf("%v km is of class %d, want %d", km, got, want)
		}
	}
}

func TestHours(t *testing.T) {
	sunday := time.Date(2016, 1, 3, 23, 59, 0, 0, time.UTC)
	for _, c := range []struct {
		at                   time.Time
		ofWeek, ofDay, block int
	}{
		{sunday, 23, 47, 15},
		{sunday.Add(time.Minute), 24, 0, 0},
		{sunday.Add(-24 * time.Hour), 167, 47, 15},
		{sunday.Add(9 * time.Hour), 32, 8, 2},
	} {
		if a, b, d := HourOfWeek(c.at), DayHour(c.at), Block(c.at); a != c.ofWeek || b != c.ofDay || d != c.block {
			t.Errorf("%s is hour %d of the week, %d of the day, block %d; want %d, %d, %d", c.at, a, b, d, c.ofWeek, c.ofDay, c.block)
		}
	}
}

func TestKilometres(t *testing.T) {
	// JFK to LaGuardia.
	if km := Kilometres(40.6413, -73.7781, 40.7769, -73.8740); math.Abs(km-17.11) > 0.05 {
		t.Errorf("it is %.2f km", km)
	}
	if km := Kilometres(0, 0, 0, 180); math.Abs(km-math.Pi*6371.0088) > 1e-6 {
		t.Errorf("half way round the globe is %v km", km)
	}
}
