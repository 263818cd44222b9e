package online_test

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// splitMix64 is the generator of testdata/golden.py.
type splitMix64 uint64

func (s *splitMix64) uniform() float64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return float64((z^(z>>31))>>11) * 0x1p-53
}

var demoFeatures = []string{
	"passenger_count", "is_weekend", "l1_distance", "avg_speed_by_hour", "hour_cos", "hour_sin",
}

type trip struct {
	x map[string]float64
	y float64
}

// goldenTrips are the events of testdata/golden.py.
func goldenTrips(n int) []trip {
	r := splitMix64(2016)
	trips := make([]trip, n)
	for i := range trips {
		u := r.uniform()
		distance := 0.2 * u * u * u
		x := map[string]float64{"l1_distance": distance}
		x["passenger_count"] = math.Floor(r.uniform() * 6)
		x["is_weekend"] = 0
		if r.uniform() < 0.3 {
			x["is_weekend"] = 1
		}
		x["avg_speed_by_hour"] = 1e-5 * (1 + r.uniform())
		x["hour_cos"] = float64(2*r.uniform()) - 1
		x["hour_sin"] = float64(2*r.uniform()) - 1
		y := 300 + float64(9000*distance)
		y += float64(400 * r.uniform())
		if r.uniform() < 0.05 {
			delete(x, demoFeatures[int(r.uniform()*6)])
		}
		trips[i] = trip{x, y}
	}
	return trips
}

// TestRiver holds the pipelines to what the real River predicted for the same
// events: see testdata/golden.py.
func TestRiver(t *testing.T) {
	tests := []struct{ golden, model string }{
		{"river-linear.txt", "LinearRegression: {}"},
		{"river-linear-clipped.txt", "LinearRegression: {lr: 0.005, intercept_lr: 0.02, intercept_init: 600, clip_gradient: 1000}"},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			want := readGolden(t, tt.golden)
			trips := goldenTrips(len(want) - 1)
			if len(trips) < 5000 {
				t.Fatalf("%d events, want at least 5000", len(trips))
			}
			p := pipeline(t, demoFeatures, tt.model)
			var x []float64
			for i, trip := range trips {
				x = p.Vector(x[:0], trip.x)
				sameAsRiver(t, i, p.Predict(x), want[i])
				p.Learn(x, trip.y)
			}
			sameAsRiver(t, len(trips), p.Predict(x), want[len(trips)])
		})
	}
}

func sameAsRiver(t *testing.T, i int, got, want float64) {
	t.Helper()
	if diff := math.Abs(got - want); !(diff <= 1e-12*math.Abs(want)) {
		t.Fatalf("event %d: predicts %v, River %v, off by %v of it", i, got, want, diff/math.Abs(want))
	}
}

func readGolden(t *testing.T, name string) []float64 {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var values []float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		v, err := strconv.ParseFloat(lines.Text(), 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}
