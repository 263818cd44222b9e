package backtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/infra"
	"tripcast.dev/local/backtest"
	"tripcast.dev/sql"
)

// midnight is a Friday's.
var midnight = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)

// made are synthetic trips with the features of sql/.
var made = sync.OnceValues(func() (*backtest.Trips, error) {
	statements, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		return nil, err
	}
	source, err := simulate.NewSynthetic(simulate.SyntheticConfig{Seed: 5})
	if err != nil {
		return nil, err
	}
	return backtest.Read(context.Background(), statements, backtest.Records(context.Background(), source, 600))
})

func synthetic(t testing.TB) *backtest.Trips {
	t.Helper()
	trips, err := made()
	if err != nil {
		t.Fatal(err)
	}
	if len(trips.Samples) < 500 {
		t.Fatalf("%d samples of 600 trips, left %v", len(trips.Samples), trips.Left)
	}
	return trips
}

// catalogue is that of infra/models.yaml.
func catalogue(t testing.TB) *online.Catalogue {
	t.Helper()
	c, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fresh are its models, or those that are named.
func fresh(t testing.TB, names ...string) []evaluate.Model {
	t.Helper()
	models, err := evaluate.Models(catalogue(t))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(models, func(m evaluate.Model) bool { return len(names) > 0 && !slices.Contains(names, m.Name) })
}

func backtested(t testing.TB, trips *backtest.Trips, o backtest.Options, models ...evaluate.Model) *backtest.Report {
	t.Helper()
	r, err := backtest.Run(t.Context(), trips, "city-grid-neighbors", models, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asJSON is the report without its times.
func asJSON(t testing.TB, r *backtest.Report) string {
	t.Helper()
	var out bytes.Buffer
	timeless := *r
	timeless.Timing = backtest.Timing{}
	if err := timeless.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Whatever the machine and whoever is beside it, a model's report is the same.
func TestDeterministic(t *testing.T) {
	trips := synthetic(t)
	want := backtested(t, trips, backtest.Options{Workers: 1}, fresh(t)...)
	if _, err := want.Compare("city-grid", "city-grid-neighbors"); err != nil {
		t.Error(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, processors := range []int{1, 3} {
		runtime.GOMAXPROCS(processors)
		for _, workers := range []int{0, 1, 8} {
			if got := backtested(t, trips, backtest.Options{Workers: workers}, fresh(t)...); asJSON(t, got) != asJSON(t, want) {
				t.Errorf("%d workers on %d processors: another report:\n%s", workers, processors, asJSON(t, got))
			}
		}
	}
	for _, m := range want.Models {
		alone := backtested(t, trips, backtest.Options{Workers: 8}, fresh(t, m.Name)...)
		a, err := json.Marshal(alone.Models[0])
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(alone.Models) != 1 || !bytes.Equal(a, b) {
			t.Errorf("%s alone:\n%s\nwith all:\n%s", m.Name, a, b)
		}
	}
}

// scripted answers with a function of its one feature.
type scripted struct {
	online.Regressor
	answer func(x float64) float64
}

func (s scripted) Width() int                          { return 1 }
func (s scripted) Predict(x []float64) float64         { return s.answer(x[0]) }
func (s scripted) Learn([]float64, float64)            {}
func (scripted) AppendBinary(b []byte) ([]byte, error) { return append(b, "state"...), nil }
func answers(x float64) float64                        { return x }
func scriptedModel(t testing.TB, name, feature string, answer func(float64) float64) evaluate.Model {
	t.Helper()
	p, err := online.NewPipeline([]string{feature}, nil, scripted{answer: answer})
	if err != nil {
		t.Fatal(err)
	}
	return evaluate.Model{Name: name, Pipeline: p}
}

// trip is one that took 100 s, of which a model says what its first feature is.
func trip(id string, at time.Duration, says, km float64) evaluate.Sample {
	start := midnight.Add(at)
	return evaluate.Sample{ID: id, At: start, LabelAt: start.Add(100 * time.Second), X: []float64{says, km}, Y: 100}
}

func TestSegments(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	trips := &backtest.Trips{
		Names: []string{"says", "distance_km"}, Left: map[string]int{"no label": 2, "never": 1},
		Samples: []evaluate.Sample{
			trip("a", 0, 103, 0), trip("b", hour, 96, 0.999), trip("c", hour+1, 100, 1),
			trip("d", day, 110, 2), trip("e", day+23*hour, 120, 5), // a Saturday
			trip("f", 3*day, 90, 9.99), trip("g", 3*day, 130, 10), trip("h", 3*day+1, 70, 100),
			trip("i", 4*day, math.NaN(), 1), trip("j", 4*day, 140, math.NaN()),
		},
	}
	r := backtested(t, trips, backtest.Options{}, scriptedModel(t, "m", "says", answers))
	m := r.Models[0]
	if r.Trips != 10 || m.Count != 9 || m.Unanswered != 1 || r.PeriodS != 86400 || !r.From.Equal(midnight) || !r.To.Equal(midnight.Add(4*day+100*time.Second)) {
		t.Errorf("%+v", r)
	}
	wantScores(t, "over", len(m.Over), func(i int) (string, backtest.Scores) { return m.Over[i].Start.Format("02"), m.Over[i].Scores },
		"01 3 2.333 2.887", "02 2 15.000 15.811", "04 3 23.333 25.166", "05 1 40.000 40.000")
	segments := func(s []backtest.Segment) (int, func(i int) (string, backtest.Scores)) {
		return len(s), func(i int) (string, backtest.Scores) { return s[i].Name, s[i].Scores }
	}
	n, of := segments(m.Segments.Hour)
	wantScores(t, "hour", n, of, "0 6 20.500 24.525", "1 2 2.000 2.828", "23 1 20.000 20.000")
	n, of = segments(m.Segments.Day)
	wantScores(t, "day", n, of, "weekday 7 16.714 22.440", "weekend 2 15.000 15.811")
	n, of = segments(m.Segments.FromKM)
	wantScores(t, "from_km", n, of, "0 2 3.500 3.536", "1 1 0.000 0.000", "2 1 10.000 10.000", "5 2 15.000 15.811", "10 2 30.000 30.000")
	if got, want := r.LeftOut(), "3 trips left out: 2 × no label; 1 × never"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func wantScores(t *testing.T, what string, n int, of func(int) (string, backtest.Scores), want ...string) {
	t.Helper()
	var got []string
	for i := range n {
		name, s := of(i)
		got = append(got, fmt.Sprintf("%s %d %.3f %.3f", name, s.Count, s.MAE, s.RMSE))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%q, want\n%q", what, got, want)
	}
}

// The classes of distance are those of the dashboard.
func TestDistancesAreThoseOfTheSQL(t *testing.T) {
	text, err := os.ReadFile("../../sql/50_monitoring.sql")
	if err != nil {
		t.Fatal(err)
	}
	classes := regexp.MustCompile(`distance_km < ([0-9.]+) THEN ([0-9.]+)|ELSE ([0-9.]+) END AS from_km`).FindAllStringSubmatch(string(text), -1)
	if len(classes) < 2 {
		t.Fatal("no classes found in the SQL")
	}
	trips := &backtest.Trips{Names: []string{"says", "distance_km"}}
	var want []string
	for _, class := range classes {
		km := 1e6
		if class[1] != "" {
			if _, err := fmt.Sscan(class[1], &km); err != nil {
				t.Fatal(err)
			}
		}
		trips.Samples = append(trips.Samples, trip(class[0], 0, 100, math.Nextafter(km, 0)))
		want = append(want, class[2]+class[3])
	}
	var got []string
	for _, s := range backtested(t, trips, backtest.Options{}, scriptedModel(t, "m", "says", answers)).Models[0].Segments.FromKM {
		got = append(got, s.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("classes from %v km, the SQL's are %v", got, want)
	}
}

// What the report adds to evaluate's results is judged as those are.
func TestAgreesWithEvaluate(t *testing.T) {
	trips := synthetic(t)
	results, err := evaluate.Progressive(t.Context(), trips.Names, each(trips.Samples), fresh(t), evaluate.Options{Period: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r := backtested(t, trips, backtest.Options{Period: 2 * time.Hour}, fresh(t)...)
	for i, result := range evaluate.Best(results) {
		m := r.Models[i]
		if m.Name != result.Name || float64(m.MAE) != result.MAE || float64(m.R2) != result.R2 || m.StateBytes != result.StateBytes || m.Count != result.Count {
			t.Errorf("%+v, evaluate says %+v", m, result)
		}
		for j, interval := range result.Over {
			if over := m.Over[j]; !over.Start.Equal(interval.Start) || over.Count != interval.Count || float64(over.MAE) != interval.MAE {
				t.Errorf("%s: %+v, evaluate says %+v", m.Name, over, interval)
			}
		}
		for name, segments := range map[string][]backtest.Segment{"hour": m.Segments.Hour, "day": m.Segments.Day, "from_km": m.Segments.FromKM} {
			count, sum := 0, 0.0
			for _, s := range segments {
				count += s.Count
				sum += float64(s.Count) * float64(s.MAE)
			}
			if count != m.Count || math.Abs(sum/float64(count)-result.MAE) > 1e-9*result.MAE {
				t.Errorf("%s by %s: %d trips with an error of %v, all are %d with %v", m.Name, name, count, sum/float64(count), m.Count, result.MAE)
			}
		}
	}
}

func each(samples []evaluate.Sample) func(func(evaluate.Sample, error) bool) {
	return func(yield func(evaluate.Sample, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func TestPeriod(t *testing.T) {
	for days, want := range map[float64]backtest.Number{0: 3600, 2.99: 3600, 3: 86400, 40: 86400} {
		last := time.Duration(days * float64(24*time.Hour))
		trips := &backtest.Trips{Names: []string{"says"}, Samples: []evaluate.Sample{trip("a", 0, 1, 1), trip("b", last, 1, 1)}}
		for i := range trips.Samples {
			trips.Samples[i].X = trips.Samples[i].X[:1]
		}
		r := backtested(t, trips, backtest.Options{}, scriptedModel(t, "m", "says", answers))
		if r.PeriodS != want {
			t.Errorf("%v days of trips: a period of %v s, want %v", days, r.PeriodS, want)
		}
		if n := len(r.Models[0].Segments.FromKM); n != 0 {
			t.Errorf("%d classes of distance without the feature", n)
		}
	}
}

// A model that panics stops, the others go on.
func TestModelThatStops(t *testing.T) {
	trips := synthetic(t)
	asked := 0
	broken := scriptedModel(t, "broken", "distance_km", func(float64) float64 {
		if asked++; asked > 200 {
			panic("no")
		}
		return 900
	})
	r := backtested(t, trips, backtest.Options{}, append(fresh(t, "linear-distance"), broken)...)
	first, last := r.Models[0], r.Models[1]
	if first.Name != "linear-distance" || first.Error != "" || first.Count != len(trips.Samples) {
		t.Errorf("%s judged on %d, error %q", first.Name, first.Count, first.Error)
	}
	if last.Name != "broken" || !strings.Contains(last.Error, "model broken panicked on sample ") || last.Count == 0 || last.Count > 200 {
		t.Errorf("%s judged on %d, error %q", last.Name, last.Count, last.Error)
	}
	c, err := r.Compare("broken", "linear-distance")
	if err != nil || c.Trips != last.Count {
		t.Errorf("compared on %d trips, error %v: want %d", c.Trips, err, last.Count)
	}
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil || !strings.Contains(out.String(), "STOPPED") {
		t.Errorf("error %v, table\n%s", err, out.String())
	}
}

func TestRunFails(t *testing.T) {
	trips := synthetic(t)
	if _, err := backtest.Run(t.Context(), &backtest.Trips{Names: trips.Names}, "m", fresh(t), backtest.Options{}); !errors.Is(err, backtest.ErrNoTrips) {
		t.Errorf("error %v, want ErrNoTrips", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	r, err := backtest.Run(ctx, trips, "m", fresh(t), backtest.Options{Progress: func(int, int, time.Time) { cancel(enough) }})
	if r != nil || !errors.Is(err, enough) {
		t.Errorf("report %v, error %v of a run that was ended", r, err)
	}
	_, err = backtest.Run(t.Context(), trips, "m", []evaluate.Model{scriptedModel(t, "m", "weather", answers)}, backtest.Options{})
	if err == nil || !strings.Contains(err.Error(), "wants the feature weather") {
		t.Errorf("error %v of a feature that is not there", err)
	}
}

func TestProgress(t *testing.T) {
	trips, last := synthetic(t), 0
	backtested(t, trips, backtest.Options{Progress: func(asked, total int, at time.Time) {
		if asked < last || total != len(trips.Samples) || asked > 0 && at.Before(trips.Samples[0].At) {
			t.Errorf("%d of %d asked at %v", asked, total, at)
		}
		last = asked
	}}, fresh(t, "linear-distance")...)
	if last != len(trips.Samples) {
		t.Errorf("%d asked in the end, want %d", last, len(trips.Samples))
	}
}
