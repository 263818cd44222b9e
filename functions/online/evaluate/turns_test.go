package evaluate_test

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online/evaluate"
)

var midnight = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// trip is a sample that is asked and answered so many seconds after midnight.
func trip(id string, at, labelAt int, y float64, x ...float64) evaluate.Sample {
	return evaluate.Sample{
		ID: id, At: midnight.Add(time.Duration(at) * time.Second), LabelAt: midnight.Add(time.Duration(labelAt) * time.Second),
		X: x, Y: y,
	}
}

func stream(samples ...evaluate.Sample) iter.Seq2[evaluate.Sample, error] {
	return func(yield func(evaluate.Sample, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// The example of River's stream/qa.py.
func ExampleTurns() {
	samples := stream(
		trip("0", 72000, 72900, 900), trip("1", 72600, 74400, 1800), trip("2", 73200, 73500, 300),
		trip("3", 74700, 75100, 400), trip("4", 75000, 75240, 240), trip("5", 75300, 75750, 450),
	)
	for turn, err := range evaluate.Turns(samples) {
		switch {
		case err != nil:
			fmt.Println(err)
		case turn.Answer:
			fmt.Printf("%s - trip #%d arrives after %v seconds\n", turn.LabelAt.Format("15:04:05"), turn.N, turn.Y)
		default:
			fmt.Printf("%s - trip #%d departs\n", turn.At.Format("15:04:05"), turn.N)
		}
	}
	// Output:
	// 20:00:00 - trip #0 departs
	// 20:10:00 - trip #1 departs
	// 20:15:00 - trip #0 arrives after 900 seconds
	// 20:20:00 - trip #2 departs
	// 20:25:00 - trip #2 arrives after 300 seconds
	// 20:40:00 - trip #1 arrives after 1800 seconds
	// 20:45:00 - trip #3 departs
	// 20:50:00 - trip #4 departs
	// 20:51:40 - trip #3 arrives after 400 seconds
	// 20:54:00 - trip #4 arrives after 240 seconds
	// 20:55:00 - trip #5 departs
	// 21:02:30 - trip #5 arrives after 450 seconds
}

// randomTrips have few distinct times, so that many coincide.
func randomTrips(seed uint64, n int) []evaluate.Sample {
	r := rand.New(rand.NewPCG(seed, 0))
	samples := make([]evaluate.Sample, n)
	at := 0
	for i := range samples {
		at += r.IntN(3)
		x := []float64{r.Float64(), r.NormFloat64()}
		y := 100 + 50*x[0] + 10*x[1] + r.NormFloat64()
		samples[i] = trip(fmt.Sprint(i), at, at+r.IntN(6)*r.IntN(6), y, x...)
	}
	return samples
}

// simulateQA is River's code, line by line.
func simulateQA(samples []evaluate.Sample) []string {
	var turns []string
	var mementos []int
	for i, s := range samples {
		for len(mementos) > 0 && !samples[mementos[0]].LabelAt.After(s.At) {
			turns = append(turns, fmt.Sprint("answer ", mementos[0]))
			mementos = mementos[1:]
		}
		insort := sort.Search(len(mementos), func(j int) bool { return samples[mementos[j]].LabelAt.After(s.LabelAt) })
		mementos = slices.Insert(mementos, insort, i)
		turns = append(turns, fmt.Sprint("question ", i))
	}
	for _, i := range mementos {
		turns = append(turns, fmt.Sprint("answer ", i))
	}
	return turns
}

func TestTurnsAreRivers(t *testing.T) {
	for seed := range uint64(50) {
		samples := randomTrips(seed, 300)
		var got []string
		for turn, err := range evaluate.Turns(stream(samples...)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(map[bool]string{true: "answer ", false: "question "}[turn.Answer], turn.N))
			if turn.ID != fmt.Sprint(turn.N) {
				t.Fatalf("sample %s is called %d", turn.ID, turn.N)
			}
		}
		if want := simulateQA(samples); !slices.Equal(got, want) {
			t.Fatalf("seed %d: turns\n%v, want\n%v", seed, got, want)
		}
	}
}

func TestTurnsStop(t *testing.T) {
	samples := randomTrips(1, 20)
	all := simulateQA(samples)
	for n := range all {
		count := 0
		for range evaluate.Turns(stream(samples...)) {
			if count++; count > n {
				break
			}
		}
	}
}

func TestTurnsErrors(t *testing.T) {
	tests := []struct {
		name string
		bad  evaluate.Sample
		want string
	}{
		{"out of order", trip("b", 9, 30, 1), "sample b is asked at 2020-01-01T00:00:09Z, before the one ahead"},
		{"answered before it is asked", trip("b", 20, 19, 1), "sample b is answered at 2020-01-01T00:00:19Z, before it is asked"},
		{"no label", trip("b", 20, 30, math.NaN()), "sample b has the label NaN"},
		{"infinite label", trip("b", 20, 30, math.Inf(-1)), "sample b has the label -Inf"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var turns []string
			var errs []error
			for turn, err := range evaluate.Turns(stream(trip("a", 10, 100, 1), tt.bad, trip("c", 200, 300, 1))) {
				if err != nil {
					errs = append(errs, err)
					continue
				}
				turns = append(turns, fmt.Sprint(turn.ID, turn.Answer))
			}
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want) {
				t.Errorf("errors %v, want one with %q", errs, tt.want)
			}
			if fmt.Sprint(turns) != "[afalse atrue]" {
				t.Errorf("turns %v, want those of sample a", turns)
			}
		})
	}
}
