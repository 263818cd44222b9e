package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestTablesAreFitted makes the committed tables anew: nobody has edited them,
// and the same trips give the same bytes.
func TestTablesAreFitted(t *testing.T) {
	trips := os.Getenv("TRIPCAST_TRIPS")
	if trips == "" {
		trips = "../../../../../shared/data/yellow_2016-01.csv.gz"
	}
	if _, err := os.Stat(trips); err != nil {
		t.Skipf("SKIPPED: no recorded trips (%v); set TRIPCAST_TRIPS to the file the tables are fitted on", err)
	}
	out := filepath.Join(t.TempDir(), "tables.json")
	if err := run(trips, "../newyork/zones.csv", out, "2016-01-01", "2016-01-23"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../newyork/tables.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the committed tables are not what the trips give; run\n\tgo run ./functions/simulate/internal/fit --trips %s", trips)
	}
}

func TestWeightedMedian(t *testing.T) {
	for _, c := range []struct {
		values []weighted
		want   float64
	}{
		{[]weighted{{3, 1}, {1, 1}, {2, 1}}, 2},
		{[]weighted{{3, 5}, {1, 1}, {2, 1}}, 3},
		{[]weighted{{7, 0.1}}, 7},
	} {
		var total float64
		for _, v := range c.values {
			total += v.weight
		}
		if got := weightedMedian(c.values, total); got != c.want {
			t.Errorf("the median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}
