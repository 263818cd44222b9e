package evaluate_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
)

var names = []string{"a", "b"}

// scripted answers with functions and counts the labels it has seen.
type scripted struct {
	online.Regressor
	answer  func(learned int, x []float64) float64
	learn   func(x []float64, y float64)
	learned int
}

func (s *scripted) Width() int                  { return 2 }
func (s *scripted) Predict(x []float64) float64 { return s.answer(s.learned, x) }
func (s *scripted) Learn(x []float64, y float64) {
	s.learned++
	if s.learn != nil {
		s.learn(x, y)
	}
}
func (s *scripted) AppendBinary(b []byte) ([]byte, error) { return append(b, "state"...), nil }

func model(t testing.TB, name string, s *scripted) evaluate.Model {
	t.Helper()
	p, err := online.NewPipeline(names, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return evaluate.Model{Name: name, Pipeline: p}
}

func regression(t testing.TB, name string, features ...string) evaluate.Model {
	t.Helper()
	c, err := online.ParseCatalogue(fmt.Appendf(nil,
		"champion: %[1]s\nmodels:\n  - {name: %[1]s, features: [%[2]s], transformers: [StandardScaler], model: LinearRegression}\n",
		name, strings.Join(features, ", ")), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	return evaluate.Model{Name: name, Pipeline: p}
}

func progressive(t testing.TB, samples []evaluate.Sample, opts evaluate.Options, models ...evaluate.Model) []evaluate.Result {
	t.Helper()
	results, err := evaluate.Progressive(t.Context(), names, stream(samples...), models, opts)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// A prediction knows the labels that are due, and no other.
func TestLabelsAreDelayed(t *testing.T) {
	var learned []int
	m := model(t, "m", &scripted{answer: func(n int, _ []float64) float64 { learned = append(learned, n); return 0 }})
	progressive(t, []evaluate.Sample{
		trip("0", 0, 20, 1, 0, 0), trip("1", 10, 40, 1, 0, 0), trip("2", 20, 30, 1, 0, 0), trip("3", 39, 50, 1, 0, 0), trip("4", 40, 41, 1, 0, 0),
	}, evaluate.Options{}, m)
	if fmt.Sprint(learned) != "[0 0 1 2 3]" {
		t.Errorf("labels known at each question: %v, want [0 0 1 2 3]", learned)
	}
}

func TestScores(t *testing.T) {
	const day = 24 * 3600
	samples := []evaluate.Sample{
		trip("a", 0, 2*day, 10, 13, 0), // answered after those of the next day
		trip("b", day, day+1, 20, 16, 0),
		trip("c", day, day+2, 30, -5, 0),         // counts as 0
		trip("d", day, day+3, 40, math.NaN(), 0), // no answer
		trip("e", day+9, day+9, 50, math.Inf(1), 0),
		trip("f", day+9, day+9, 50, 1e300, 0), // is too large to be judged
	}
	m := model(t, "m", &scripted{answer: func(_ int, x []float64) float64 { return x[0] }})
	r := progressive(t, samples, evaluate.Options{}, m)[0]
	if r.Name != "m" || r.Count != 3 || r.Unanswered != 3 || r.Err != nil || r.StateBytes < len("state") {
		t.Errorf("result %+v", r)
	}
	l := func(p, y float64) float64 { return math.Pow(math.Log1p(p)-math.Log1p(y), 2) }
	near(t, "MAE", r.MAE, (3+4+30)/3.)
	near(t, "RMSE", r.RMSE, math.Sqrt((9+16+900)/3.))
	near(t, "RMSLE", r.RMSLE, math.Sqrt((l(13, 10)+l(16, 20)+l(0, 30))/3))
	near(t, "R2", r.R2, 1-(9+16+900)/200.)
	near(t, "Bias", r.Bias, (3-4-30)/3.)
	want := []evaluate.Interval{{Start: midnight, Count: 1, MAE: 3}, {Start: midnight.Add(24 * time.Hour), Count: 2, MAE: 17}}
	if !slices.Equal(r.Over, want) {
		t.Errorf("by day %v, want %v", r.Over, want)
	}
	hourly := progressive(t, samples, evaluate.Options{Period: time.Hour}, m)[0]
	if len(hourly.Over) != 2 || hourly.Over[1].Start != midnight.Add(24*time.Hour) {
		t.Errorf("by hour %v", hourly.Over)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12*math.Abs(want)) { // NaN is never near
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

func TestNothingToJudge(t *testing.T) {
	r := progressive(t, nil, evaluate.Options{}, regression(t, "m", "a"))[0]
	if r.Count != 0 || !math.IsNaN(r.MAE) || !math.IsNaN(r.R2) || r.Bias == 0 || r.Predict != 0 || len(r.Over) != 0 {
		t.Errorf("result of nothing %+v", r)
	}
}

// A model sees its own features in its own order, whatever models are beside it.
func TestFeatures(t *testing.T) {
	var seen [][]float64
	s := &scripted{
		answer: func(_ int, x []float64) float64 { seen = append(seen, slices.Clone(x)); return 0 },
		learn:  func(x []float64, y float64) { seen = append(seen, slices.Clone(x)) },
	}
	p, err := online.NewPipeline([]string{"b", "a"}, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	samples := []evaluate.Sample{trip("0", 0, 1, 1, 1, 2), trip("1", 1, 2, 1, math.Inf(1), 4)}
	progressive(t, samples, evaluate.Options{}, evaluate.Model{Name: "m", Pipeline: p}, regression(t, "l", "a"))
	if got := fmt.Sprint(seen); got != "[[2 1] [2 1] [4 NaN] [4 NaN]]" {
		t.Errorf("saw %s", got)
	}
	_, err = evaluate.Progressive(t.Context(), []string{"a"}, stream(), []evaluate.Model{{Name: "m", Pipeline: p}}, evaluate.Options{})
	if err == nil || !strings.Contains(err.Error(), "model m wants the feature b") {
		t.Errorf("error %v of a feature that is not there", err)
	}
	_, err = evaluate.Progressive(t.Context(), names, stream(trip("short", 0, 1, 1, 1)), nil, evaluate.Options{})
	if err == nil || !strings.Contains(err.Error(), "sample short has 1 features, not 2") {
		t.Errorf("error %v of a short vector", err)
	}
}

// Results are the same however many models there are and work at once.
func TestDeterminism(t *testing.T) {
	samples := randomTrips(7, 5000)
	judged := func(workers int, features ...[]string) []evaluate.Result {
		var models []evaluate.Model
		for _, f := range features {
			models = append(models, regression(t, "m", f...))
		}
		results := progressive(t, samples, evaluate.Options{Workers: workers, Period: time.Minute}, models...)
		for i := range results {
			results[i].Predict, results[i].Learn = 0, 0
		}
		return results
	}
	a, b, both := []string{"a"}, []string{"b"}, []string{"b", "a"}
	want := judged(1, a, b, both)
	if got := judged(8, a, b, both); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("eight workers give\n%+v, one\n%+v", got, want)
	}
	if got := judged(1, both)[0]; fmt.Sprint(got) != fmt.Sprint(want[2]) {
		t.Errorf("alone\n%+v, among others\n%+v", got, want[2])
	}
	if want[2].MAE > 10 || want[2].Count != len(samples) {
		t.Errorf("it does not learn: %+v", want[2])
	}
}

// It is what a loop by hand is.
func TestProgressiveIsTheLoop(t *testing.T) {
	samples := randomTrips(8, 3000)
	byHand := regression(t, "m", "a", "b").Pipeline
	predicted := map[int]float64{}
	var mae float64
	for turn, err := range evaluate.Turns(stream(samples...)) {
		if err != nil {
			t.Fatal(err)
		}
		if !turn.Answer {
			predicted[turn.N] = max(byHand.Predict(turn.X), 0)
			continue
		}
		mae += math.Abs(predicted[turn.N]-turn.Y) / float64(len(samples))
		byHand.Learn(turn.X, turn.Y)
	}
	answers := 0
	r := progressive(t, samples, evaluate.Options{Answered: func(m int, s evaluate.Turn, p float64) {
		var n int
		fmt.Sscan(s.ID, &n)
		if answers++; m != 0 || p != predicted[n] {
			t.Errorf("model %d had predicted %v for %s, want %v", m, p, s.ID, predicted[n])
		}
	}}, regression(t, "m", "a", "b"))[0]
	if answers != len(samples) || math.Abs(r.MAE-mae) > 1e-9 {
		t.Errorf("%d answers, MAE %v, want %d and %v", answers, r.MAE, len(samples), mae)
	}
}

func TestPanicStopsOneModel(t *testing.T) {
	samples := randomTrips(9, 3000)
	bad := model(t, "bad", &scripted{answer: func(n int, _ []float64) float64 {
		if n >= 13 {
			panic("13 is unlucky")
		}
		return 1
	}})
	results := progressive(t, samples, evaluate.Options{}, bad, regression(t, "good", "a"))
	if r := results[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "model bad panicked on sample") || r.Count < 13 || r.Count > 30 {
		t.Errorf("bad: %+v", r)
	}
	if r := results[1]; r.Err != nil || r.Count != len(samples) {
		t.Errorf("good: %+v", r)
	}
	if best := evaluate.Best(results); best[0].Name != "good" || best[1].Name != "bad" {
		t.Errorf("best first: %s, %s", best[0].Name, best[1].Name)
	}
}

func TestBest(t *testing.T) {
	r := func(name string, n int, mae float64) evaluate.Result {
		return evaluate.Result{Name: name, Count: n, Scores: evaluate.Scores{MAE: mae}}
	}
	var got []string
	for _, b := range evaluate.Best([]evaluate.Result{r("none", 0, math.NaN()), r("c", 9, 3), r("a", 9, 1), r("a2", 9, 1), r("nan", 9, math.NaN())}) {
		got = append(got, b.Name)
	}
	if want := []string{"a", "a2", "c", "none", "nan"}; !slices.Equal(got, want) {
		t.Errorf("best first %v, want %v", got, want)
	}
}

// What was read before an error counts, and is returned with it.
func TestSamplesThatEndInAnError(t *testing.T) {
	cut := errors.New("cut short")
	samples := func(yield func(evaluate.Sample, error) bool) {
		if yield(trip("0", 0, 100, 10, 1, 1), nil) {
			yield(evaluate.Sample{}, cut)
		}
	}
	results, err := evaluate.Progressive(t.Context(), names, samples, []evaluate.Model{regression(t, "m", "a")}, evaluate.Options{})
	if !errors.Is(err, cut) || len(results) != 1 || results[0].Count != 1 || results[0].MAE != 10 {
		t.Errorf("results %+v, error %v", results, err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var endless iter.Seq2[evaluate.Sample, error] = func(yield func(evaluate.Sample, error) bool) {
		for i := 0; yield(trip("x", i, i, 1, 1, 1), nil); i++ {
			if i == 5000 {
				cancel(enough)
			}
		}
	}
	results, err := evaluate.Progressive(ctx, names, endless, []evaluate.Model{regression(t, "m", "a")}, evaluate.Options{})
	if results != nil || !errors.Is(err, enough) {
		t.Errorf("results %v, error %v", results, err)
	}
}

func TestProgress(t *testing.T) {
	samples := randomTrips(10, 3000)
	var asked []int
	var at time.Time
	progressive(t, samples, evaluate.Options{Progress: func(n int, when time.Time) { asked, at = append(asked, n), when }})
	if len(asked) < 3 || !slices.IsSorted(asked) || asked[len(asked)-1] != len(samples) || at != samples[len(samples)-1].At {
		t.Errorf("progress %v, at last %v", asked, at)
	}
}

// At most so many models work at once.
func TestWorkers(t *testing.T) {
	var mu sync.Mutex
	working, most := 0, 0
	busy := func(_ int, _ []float64) float64 {
		mu.Lock()
		working++
		most = max(most, working)
		mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		mu.Lock()
		working--
		mu.Unlock()
		return 0
	}
	var models []evaluate.Model
	for range 6 {
		models = append(models, model(t, "m", &scripted{answer: busy}))
	}
	progressive(t, randomTrips(11, 200), evaluate.Options{Workers: 2}, models...)
	if most != 2 {
		t.Errorf("%d models at once, want 2", most)
	}
}

func BenchmarkProgressive(b *testing.B) {
	samples := randomTrips(12, 20000)
	b.ReportAllocs()
	for b.Loop() {
		progressive(b, samples, evaluate.Options{}, regression(b, "m", "a", "b"))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
}
