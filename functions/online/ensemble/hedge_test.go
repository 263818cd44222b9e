package ensemble_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/ensemble"
	"tripcast.dev/functions/online/internal/golden"
)

// trips are events whose labels are seconds.
func trips(n int) []golden.Event {
	r := rand.New(rand.NewPCG(1, 0))
	events := make([]golden.Event, n)
	for i := range events {
		x := []float64{r.NormFloat64(), r.NormFloat64()}
		events[i] = golden.Event{X: x, Y: 900 + 300*x[0] + 100*x[1] + 120*r.NormFloat64()}
	}
	return events
}

// Weights do not depend on the unit of the labels, and none reaches zero.
func TestHedgeHasNoUnit(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	events := trips(n)
	var want []float64
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"seconds", 1}, {"milliseconds", 1. / 1000}, {"days", 86400}} {
		h := must(ensemble.NewHedge(ensemble.DefaultHedgeConfig(), scaled(2, .01), scaled(2, .002), scaled(2, .0001)))
		var err float64
		for _, e := range events {
			y := e.Y / unit.seconds
			err += math.Abs(h.Predict(e.X) - y)
			h.Learn(e.X, y)
		}
		if err *= unit.seconds / float64(n); !(err < 110) {
			t.Errorf("%s: a mean error of %v s", unit.name, err)
		}
		weights := h.Weights()
		if want == nil {
			want = weights
		}
		var all float64
		for i, w := range weights {
			all += w
			if !(w > 1e-4) || math.Abs(w-want[i]) > 1e-6 {
				t.Errorf("%s: weights %v, want those of seconds, %v, above 0.0001", unit.name, weights, want)
				break
			}
		}
		if math.Abs(all-1) > 1e-9 {
			t.Errorf("%s: weights sum to %v", unit.name, all)
		}
	}
}

// An expert that explodes, as a linear regression on features without a scale
// does, does not take the others along.
func TestHedgeSurvivesAnExpertThatExplodes(t *testing.T) {
	for name, config := range map[string]ensemble.HedgeConfig{"mean": ensemble.DefaultHedgeConfig(), "median": median()} {
		alone := scaled(2, .01)
		exploding := unscaled(2, .01)
		h := must(ensemble.NewHedge(config, scaled(2, .01), exploding))
		var best, err, worst float64
		for _, e := range trips(10_000) {
			x := []float64{1e3 * e.X[0], 1e3 * e.X[1]}
			best += math.Abs(alone.Predict(x) - e.Y)
			err += math.Abs(h.Predict(x) - e.Y)
			worst = max(worst, math.Abs(exploding.Predict(x)))
			alone.Learn(x, e.Y)
			h.Learn(x, e.Y)
		}
		if worst < 1e9 {
			t.Errorf("the expert that should explode predicts at most %v", worst)
		}
		if err > 1.05*best {
			t.Errorf("%s: %.1f s off on average, the good expert alone %.1f s", name, err/1e4, best/1e4)
		}
	}
}

func TestHedgeOneAnswerFromAnotherWorld(t *testing.T) {
	for name, config := range map[string]ensemble.HedgeConfig{"mean": ensemble.DefaultHedgeConfig(), "median": median()} {
		experts := []*said{{y: 590}, {y: 600}, {y: 605}}
		h := must(ensemble.NewHedge(config, experts[0], experts[1], experts[2]))
		for i := range 1000 {
			h.Learn(nil, 600+10*float64(i%3-1))
		}
		before := h.Predict(nil)
		for _, y := range []float64{1e9, -1e9, math.MaxFloat64, math.NaN()} {
			experts[0].y = y
			if got := h.Predict(nil); math.Abs(got-before) > 30 {
				t.Errorf("%s: one expert says %v and the answer goes from %v to %v", name, y, before, got)
			}
			experts[0].y = 590
		}
	}
}

func TestHedgeLeavesOutWhoHasNoAnswer(t *testing.T) {
	a, b := &said{y: math.NaN()}, &said{y: 7}
	h := must(ensemble.NewHedge(ensemble.DefaultHedgeConfig(), a, b))
	for range 100 {
		h.Learn(nil, 8)
	}
	if w := h.Weights(); math.Abs(w[0]-.5) > 1e-9 {
		t.Errorf("weights %v, want those from before", w)
	}
	if got := h.Predict(nil); got != 7 {
		t.Errorf("predicts %v, want 7", got)
	}
	b.y = math.NaN()
	if got := h.Predict(nil); !math.IsNaN(got) {
		t.Errorf("nobody has an answer, and the answer is %v", got)
	}
}

// On a stream whose concept changes twice it is not worse than its best expert
// by more than a hundredth. (It is better, as one expert is best at first after
// a change and another later.)
func TestHedgeRegret(t *testing.T) {
	for _, s := range golden.Streams() {
		width := len(s.Features)
		experts := func() []online.Regressor {
			return []online.Regressor{scaled(width, .001), scaled(width, .01), scaled(width, .05), unscaled(width, 1)}
		}
		best := math.Inf(1)
		for _, m := range experts() {
			best = min(best, prequential(m, s.Events))
		}
		for name, config := range map[string]ensemble.HedgeConfig{"mean": ensemble.DefaultHedgeConfig(), "median": median()} {
			got := prequential(must(ensemble.NewHedge(config, experts()...)), s.Events)
			t.Logf("%s, %s: mean error %.4f, of the best expert %.4f", s.Name, name, got, best)
			if got > 1.02*best {
				t.Errorf("%s, %s: mean error %v, of the best expert %v", s.Name, name, got, best)
			}
		}
	}
}

// prequential is the mean absolute error, where no answer is one of 0.
func prequential(m online.Regressor, events []golden.Event) float64 {
	var sum float64
	for _, e := range events {
		y := m.Predict(e.X)
		if math.IsNaN(y) {
			y = 0
		}
		sum += math.Abs(y - e.Y)
		m.Learn(e.X, e.Y)
	}
	return sum / float64(len(events))
}

// After a change it finds the expert that is best now, however long the other was.
func TestHedgeTracksTheBestExpert(t *testing.T) {
	a, b := &said{y: 10}, &said{y: 20}
	h := must(ensemble.NewHedge(ensemble.DefaultHedgeConfig(), a, b))
	r := rand.New(rand.NewPCG(2, 0))
	for i := range 100_000 {
		h.Learn(nil, 10+r.NormFloat64())
		if i == 99_999 && h.Weights()[0] < .99 {
			t.Errorf("weights %v after 100,000 events of the first expert", h.Weights())
		}
	}
	for i := range 100 {
		h.Learn(nil, 20+r.NormFloat64())
		if h.Weights()[1] > .9 {
			t.Logf("found after %d events", i+1)
			return
		}
	}
	t.Errorf("weights %v 100 events after the change, want the second above 0.9", h.Weights())
}

// One expert knows the trips of the day and one those of the night.
func ExampleHedge() {
	day, night := &said{y: 900}, &said{y: 400}
	h, err := ensemble.NewHedge(ensemble.DefaultHedgeConfig(), day, night)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 50 {
		h.Learn(nil, 870)
	}
	fmt.Printf("%.0f\n", h.Predict(nil))
	for range 50 {
		h.Learn(nil, 430)
	}
	fmt.Printf("%.0f\n", h.Predict(nil))
	// Output:
	// 900
	// 401
}
