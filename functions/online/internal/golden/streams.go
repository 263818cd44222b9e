package golden

import (
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"tripcast.dev/functions/online/internal/mt19937"
)

// Events is the length of a stream.
const Events = 20_000

// Event is a vector, in which NaN is missing, and its label.
type Event struct {
	X []float64
	Y float64
}

// Stream is what golden vectors were made on. It is not to be changed.
type Stream struct {
	Name     string
	Features []string // in the order of the vectors
	Events   []Event
}

// Streams returns those of river/streams.py, event for event.
var Streams = sync.OnceValue(func() []Stream { return []Stream{taxi(), friedman(), trump()} })

// splitMix64 is the generator of river/streams.py.
type splitMix64 uint64

func (s *splitMix64) uniform() float64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return float64((z^(z>>31))>>11) * 0x1p-53
}

func taxi() Stream {
	s := Stream{Name: "taxi", Features: []string{
		"passenger_count", "is_weekend", "l1_distance", "avg_speed_by_hour", "hour_cos", "hour_sin",
	}}
	r := splitMix64(2016)
	for range Events {
		u := r.uniform()
		distance := 0.2 * u * u * u
		x := []float64{math.Floor(r.uniform() * 6), 0, distance, 0, 0, 0}
		if r.uniform() < 0.3 {
			x[1] = 1
		}
		x[3] = 1e-5 * (1 + r.uniform())
		x[4] = float64(2*r.uniform()) - 1
		x[5] = float64(2*r.uniform()) - 1
		y := 300 + float64(9000*distance)
		y += float64(400 * r.uniform())
		if r.uniform() < 0.05 {
			x[int(r.uniform()*6)] = math.NaN()
		}
		s.Events = append(s.Events, Event{x, y})
	}
	return s
}

// friedman is FriedmanDrift of river/datasets/synth/friedman.py, drift type gra,
// positions 7,000 and 14,000, seed 42, with labels rounded to three decimals.
func friedman() Stream {
	s := Stream{Name: "friedman"}
	for i := range 10 {
		s.Features = append(s.Features, fmt.Sprintf("x%d", i))
	}
	r := mt19937.New(42)
	for i := range Events {
		x := make([]float64, 10)
		for j := range x {
			x[j] = r.Uniform(0, 1)
		}
		a, b, c, d, e := x[0], x[1], x[2], x[3], x[4]
		if i >= 7_000 && i < 14_000 {
			a, b, c, d, e = x[3], x[5], x[1], x[0], x[2]
		}
		y := 10*math.Sin(math.Pi*a*b) + 20*(c-0.5)*(c-0.5) + 10*d + 5*e + r.Gauss(0, 1)
		y, _ = strconv.ParseFloat(strconv.FormatFloat(y, 'f', 3, 64), 64)
		s.Events = append(s.Events, Event{x, y})
	}
	return s
}

// trumpApproval is river/datasets/trump_approval.csv.gz, which River ships
// under the BSD 3-clause licence: polls of 2017 to 2019 by FiveThirtyEight.
//
//go:embed testdata/trump_approval.csv.gz
var trumpApproval string

func trump() Stream {
	rows, err := readCSV(trumpApproval)
	if err != nil {
		panic("golden: testdata/trump_approval.csv.gz: " + err.Error()) // it is embedded
	}
	const label = 1 // after ordinal_date
	s := Stream{Name: "trump", Features: rows[0][label+1:]}
	var events []Event
	for _, row := range rows[1:] {
		e := Event{X: make([]float64, len(s.Features))}
		e.Y, _ = strconv.ParseFloat(row[label], 64)
		for j := range e.X {
			e.X[j], _ = strconv.ParseFloat(row[label+1+j], 64)
		}
		events = append(events, e)
	}
	for i := range Events {
		s.Events = append(s.Events, events[i%len(events)])
	}
	return s
}

func readCSV(compressed string) ([][]string, error) {
	r, err := gzip.NewReader(strings.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return csv.NewReader(r).ReadAll()
}
