package backtest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// The golden numbers are what statsmodels says: testdata/compare/golden.py.
func TestCompareAsStatsmodels(t *testing.T) {
	data, err := os.ReadFile("testdata/compare/statsmodels.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name                          string
		Differences                   []float64
		Lags                          int
		Mean, Statistic, P, Low, High float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 7 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, tt := range cases {
		t.Run(tt.Name, func(t *testing.T) {
			c := Comparison{A: "a", B: "b", Trips: len(tt.Differences)}
			c.test(tt.Differences)
			if c.Lags != tt.Lags {
				t.Errorf("%d lags, want %d", c.Lags, tt.Lags)
			}
			for name, pair := range map[string][2]float64{
				"difference": {float64(c.Difference), tt.Mean}, "statistic": {float64(c.Statistic), tt.Statistic},
				"low": {float64(c.Low), tt.Low}, "high": {float64(c.High), tt.High},
			} {
				if !(math.Abs(pair[0]-pair[1]) <= 1e-9*math.Abs(pair[1])) {
					t.Errorf("%s %v, want %v", name, pair[0], pair[1])
				}
			}
			if !(math.Abs(float64(c.P)-tt.P) <= 1e-7*tt.P) {
				t.Errorf("p %v, want %v", c.P, tt.P)
			}
		})
	}
}

func TestLags(t *testing.T) {
	for n, want := range map[int]int{30: 3, 99: 3, 100: 4, 51_199: 15, 51_200: 16, 58_894: 16, 1_458_644: 33} {
		if got := lags(n); got != want {
			t.Errorf("%d lags of %d trips, want %d", got, n, want)
		}
	}
}

// autocorrelated is a series around a mean in which neighbours are alike.
func autocorrelated(r *rand.Rand, n int, mean float64) []float64 {
	values := make([]float64, n)
	before := r.NormFloat64()
	for i := range values {
		e := r.NormFloat64()
		values[i] = mean + e + 0.6*before
		before = e
	}
	return values
}

// Where there is no difference, one in twenty tests says that there is, although
// trips that end one after another are alike.
func TestCompareOfEqualModels(t *testing.T) {
	const tests = 2000
	r := rand.New(rand.NewPCG(8, 1))
	rejected, naive := 0, 0
	for range tests {
		differences := autocorrelated(r, 1000, 0)
		c := Comparison{Trips: len(differences)}
		c.test(differences)
		if c.P < significant {
			rejected++
		}
		mean := meanOf(differences)
		if twoSided(mean/math.Sqrt(neweyWest(differences, mean, 0))) < significant {
			naive++
		}
	}
	t.Logf("%d of %d rejected; %d where neighbours are taken to be independent", rejected, tests, naive)
	if rejected < tests*35/1000 || rejected > tests*75/1000 {
		t.Errorf("%d of %d tests see a difference where there is none, want about 5 %%", rejected, tests)
	}
	if naive < 2*rejected {
		t.Errorf("%d of %d tests without lags: the series are not what this is to be tested with", naive, tests)
	}
}

func TestCompareSeesADifference(t *testing.T) {
	const tests = 200
	r := rand.New(rand.NewPCG(8, 2))
	covered := 0
	for range tests {
		differences := autocorrelated(r, 1000, 0.25)
		c := Comparison{A: "a", B: "b", Trips: len(differences)}
		c.test(differences)
		if !(c.P < significant) || !strings.HasPrefix(c.Verdict, "b is better than a by 0.") {
			t.Errorf("p %v of a difference of 0.25: %s", c.P, c.Verdict)
		}
		if c.Low < 0.25 && 0.25 < c.High {
			covered++
		}
	}
	if covered < tests*90/100 || covered == tests {
		t.Errorf("the interval holds the difference in %d of %d tests, want about 95 %%", covered, tests)
	}
}

// compared is a report of two models on trips of 100 s that ended in the order
// that is given.
func compared(a, b []float64, order ...int) *Report {
	r := &Report{order: order, Models: []Model{{Name: "a", predicted: a}, {Name: "b", predicted: b}}}
	for n := range a {
		r.labels = append(r.labels, 100)
		if len(order) == 0 {
			r.order = append(r.order, n)
		}
	}
	return r
}

func offBy(n int, errors ...float64) []float64 {
	predicted := make([]float64, n)
	for i := range predicted {
		predicted[i] = 100 + errors[i%len(errors)]
	}
	return predicted
}

func TestVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 3))
	noisy := func(n int, by float64) []float64 {
		predicted := make([]float64, n)
		for i := range predicted {
			predicted[i] = 100 + by + r.NormFloat64()
		}
		return predicted
	}
	gaps := noisy(60, 10)
	for i := range gaps[:31] {
		gaps[i] = math.NaN()
	}
	tests := []struct {
		name    string
		a, b    []float64
		verdict string
		tested  bool
		nearer  [2]float64
		trips   int
	}{
		{name: "a", a: offBy(60, 1, 2), b: noisy(60, 20), verdict: "a is better than b by 18.", tested: true, nearer: [2]float64{1, 0}, trips: 60},
		{name: "b", a: noisy(60, 20), b: offBy(60, -1, 2), verdict: "b is better than a by 18.", tested: true, nearer: [2]float64{0, 1}, trips: 60},
		{name: "neither", a: offBy(60, 5, 6, 5), b: offBy(60, 6, 5, 5), verdict: "no difference that one could rely on: a is better than b by 0.0 s", tested: true, nearer: [2]float64{1. / 3, 1. / 3}, trips: 60},
		{name: "too few", a: noisy(29, 1), b: noisy(29, 9), verdict: "too few trips to tell: a and b both answered 29, and it takes 30", nearer: [2]float64{1, 0}, trips: 29},
		{name: "too few answers", a: gaps, b: noisy(60, 30), verdict: "too few trips to tell: a and b both answered 29", nearer: [2]float64{1, 0}, trips: 29},
		{name: "no answer", a: offBy(60, math.NaN()), b: noisy(60, 1), verdict: "there is no trip that both a and b answered", nearer: [2]float64{math.NaN(), math.NaN()}},
		{name: "the same", a: offBy(60, 3, -4), b: offBy(60, -3, 4), verdict: "a and b are off by the same on every trip", trips: 60},
		{name: "constant", a: offBy(60, 3.1), b: offBy(60, 1.3), verdict: "b is better than a by 1.8 s on every trip: what does not vary cannot be tested", nearer: [2]float64{0, 1}, trips: 60},
		{name: "absurd", a: offBy(60, 1e60, 2e60), b: offBy(60, 3, 4, 5), verdict: "b is better than a by 1.5e+60 s", tested: true, nearer: [2]float64{0, 1}, trips: 60},
		{name: "not judged", a: offBy(60, 1e80, 2, 3), b: offBy(60, 9, 8, 9, 8, 7), verdict: "a is better than b by 5.", tested: true, nearer: [2]float64{1, 0}, trips: 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := compared(tt.a, tt.b).Compare("a", "b")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(c.Verdict, tt.verdict) {
				t.Errorf("verdict %q, want %q", c.Verdict, tt.verdict)
			}
			if tested := c.P.finite() && c.Low < c.High && c.Statistic.finite(); tested != tt.tested {
				t.Errorf("tested %t, want %t: %+v", tested, tt.tested, c)
			}
			if !tt.tested && (c.P.finite() || c.Low.finite() || c.High.finite() || c.Statistic.finite()) {
				t.Errorf("%+v: want nothing of a test", c)
			}
			if fmt.Sprintf("%.3f", tt.nearer) != fmt.Sprintf("%.3f", [2]Number{c.NearerA, c.NearerB}) || c.Trips != tt.trips {
				t.Errorf("a nearer on %v, b on %v of %d trips; want %v of %d", c.NearerA, c.NearerB, c.Trips, tt.nearer, tt.trips)
			}
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
			opposite(t, c, tt.a, tt.b)
		})
	}
}

// opposite checks that the order of the names does not matter.
func opposite(t *testing.T, c *Comparison, a, b []float64) {
	t.Helper()
	o, err := compared(a, b).Compare("b", "a")
	if err != nil {
		t.Fatal(err)
	}
	if c.P.finite() && (o.P != c.P || o.Difference != -c.Difference || o.Low != -c.High || o.High != -c.Low || o.NearerA != c.NearerB || o.MAEA != c.MAEB) {
		t.Errorf("b against a is %+v, a against b %+v", o, c)
	}
	if c.Difference != 0 && c.P.finite() && o.Verdict != c.Verdict {
		t.Errorf("b against a: %s\na against b: %s", o.Verdict, c.Verdict)
	}
}

// It is the order of the answers in which neighbours are alike.
func TestCompareInTheOrderOfTheAnswers(t *testing.T) {
	const n = 400
	r := rand.New(rand.NewPCG(8, 4))
	series, order := autocorrelated(r, n, 0), r.Perm(n)
	a, b := make([]float64, n), offBy(n, 50)
	for i, trip := range order {
		a[trip] = 100 + 50 + series[i]
	}
	c, err := compared(a, b, order...).Compare("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	mean := meanOf(series)
	if want := mean / math.Sqrt(neweyWest(series, mean, lags(n))); math.Abs(float64(c.Statistic)-want) > 1e-9*math.Abs(want) {
		t.Errorf("statistic %v, want %v", c.Statistic, want)
	}
}

func TestCompareOfWhom(t *testing.T) {
	r := compared(offBy(40, 1), offBy(40, 2))
	for names, want := range map[[2]string]string{
		{"a", "c"}: `there is no model "c": the models are a, b`,
		{"", "b"}:  `there is no model ""`,
		{"a", "a"}: "a is to be compared with itself",
	} {
		if _, err := r.Compare(names[0], names[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", names, err, want)
		}
	}
}
