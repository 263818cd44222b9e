package live

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"tripcast.dev/functions/registry"
)

var start0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func ms(text string) int64 { return at(text).UnixMilli() }

// newTestState is a state whose sources are live.
func newTestState() *state {
	f := New(Config{Database: "postgres://x@127.0.0.1:1/x"})
	s := &f.state
	for name := range s.database.parts {
		s.database.live(name)
	}
	return s
}

func TestErrorsAreMergedExactly(t *testing.T) {
	for _, c := range []struct {
		name    string
		buckets int // of five minutes, one after the other
		width   int64
		want    int
	}{
		{"none", 0, bucketMS, 0},
		{"one", 1, bucketMS, 1},
		{"just enough", mostBuckets, bucketMS, mostBuckets},
		{"one too many", mostBuckets + 1, 2 * bucketMS, mostBuckets/2 + 1},
		{"a month", 31 * 288, 32 * bucketMS, 31 * 288 / 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTestState()
			s.buckets = map[bucketKey]sums{}
			first := ms("2016-01-01 00:00")
			var good, bad sums
			for i := range c.buckets {
				at := first + int64(i)*bucketMS
				one := sums{int64(i%7 + 1), int64(i * 1000)}
				s.buckets[bucketKey{"good", at}] = one
				good = good.add(one)
				if i%2 == 0 { // predicts every other
					s.buckets[bucketKey{"bad", at}] = sums{1, 5000}
					bad = bad.add(sums{1, 5000})
				}
			}
			e := s.errorsView()
			if e.WidthMS != c.width || len(e.Buckets) != c.want || len(e.Trips) != c.want {
				t.Fatalf("%d buckets of %d ms, want %d of %d", len(e.Buckets), e.WidthMS, c.want, c.width)
			}
			if !slices.IsSorted(e.Buckets) {
				t.Error("the buckets are not in order")
			}
			total, errors := int64(0), 0.0
			for i, n := range e.Trips {
				total += n
				errors += float64(n) * *e.Models["good"][i]
			}
			if total != good.trips || math.Abs(errors*1000-float64(good.absMS)) > 0.005*1000*float64(good.trips)+1 {
				t.Errorf("%d trips are %f s off, want %d and %d ms", total, errors, good.trips, good.absMS)
			}
			if c.want > 1 && c.width == bucketMS && e.Models["bad"][1] != nil {
				t.Errorf("a model without trips has an error: %v", *e.Models["bad"][1])
			}
		})
	}
}

// A trip of another century is a point of its own, and no reason to merge all
// others into one.
func TestErrorsWithAnOutlier(t *testing.T) {
	s := newTestState()
	s.buckets = map[bucketKey]sums{{"good", ms("2099-01-01 00:00")}: {1, 1}, {"good", ms("2016-01-01 00:00")}: {1, 1}, {"good", ms("2016-01-01 00:05")}: {1, 1}}
	if e := s.errorsView(); len(e.Buckets) != 3 || e.WidthMS != bucketMS {
		t.Errorf("buckets are %v of %d ms", e.Buckets, e.WidthMS)
	}
}

func TestWhoLeadsAndSinceWhen(t *testing.T) {
	type windows map[string]string
	for _, c := range []struct {
		name   string
		newest string // start of the newest bucket
		best   windows
		want   string // model
		since  string
	}{
		{"nobody yet", "12:00", windows{}, "", ""},
		{"one window", "12:00", windows{"12:05": "good"}, "good", "12:05"},
		{"for a while", "12:00", windows{"11:55": "good", "12:00": "good", "12:05": "good"}, "good", "11:55"},
		{"a change", "12:00", windows{"11:55": "good", "12:00": "bad", "12:05": "good"}, "good", "12:05"},
		{"windows that are not full", "12:00", windows{"12:00": "bad", "12:05": "bad", "12:10": "good", "12:55": "good"}, "bad", "12:00"},
		{"an hour with too few trips", "12:00", windows{"11:50": "good", "11:55": "good", "12:05": "good"}, "good", "12:05"},
		{"too few trips now", "12:00", windows{"11:50": "good", "11:55": "good"}, "good", "11:50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTestState()
			s.models.infos = []registry.Info{{Name: "bad", Champion: true}, {Name: "good"}}
			s.best = map[int64]bestModel{}
			for end, model := range c.best {
				s.best[ms("2016-01-04 "+end)] = bestModel{model, 12.345}
			}
			s.buckets = map[bucketKey]sums{
				{"bad", ms("2016-01-04 " + c.newest)}: {2, 30_000},
				{"bad", ms("2016-01-04 11:10")}:       {1, 15_000},
				{"bad", ms("2016-01-04 10:40")}:       {1, 99_000},
			}
			s.lead()
			view := s.modelsView()
			want := Leader{Model: c.want, MAE: 12.35}
			if c.want == "" {
				want.MAE = 0
			} else {
				want.Since = ms("2016-01-04 " + c.since)
			}
			if view.Best != want {
				t.Errorf("the best is %+v, want %+v", view.Best, want)
			}
			if c.want != "" && c.newest == "12:00" && c.name != "too few trips now" && c.name != "windows that are not full" && view.Champion.MAE != 15 {
				t.Errorf("the champion's last hour is %v", view.Champion.MAE)
			}
		})
	}
}

func TestRatesAndChangesAreOfTenSeconds(t *testing.T) {
	s := newTestState()
	s.errors = map[string]modelError{"good": {trips: 1, mae: 100}}
	s.counts = map[struct{}]Counts{{}: {}}
	now := start0
	// Thirty seconds of 20 pick-ups, 10 predictions and 5 labels a second; the
	// oldest trips leave the views at the same time.
	for n := range int64(121) {
		s.trips.total = totals{started: n * 10 / 4, ended: n * 5 / 4}
		s.counts[struct{}{}] = Counts{PickUps: 500 + n*20/4 - n*10/4, Predictions: 500, Completed: 100, Labels: 100}
		s.errors["good"] = modelError{trips: 1, mae: 100 - float64(n)/4}
		s.due(now, time.Second)
		now = now.Add(250 * time.Millisecond)
	}
	now = now.Add(-250 * time.Millisecond)
	sum := s.summary(now)
	for name, c := range map[string]struct{ got, want float64 }{
		"pick-ups": {sum.Rates.PickUps, 20}, "predictions": {sum.Rates.Predictions, 10}, "labels": {sum.Rates.Labels, 5},
	} {
		if math.Abs(c.got-c.want) > 0.5 {
			t.Errorf("%s: %v a second, want %v", name, c.got, c.want)
		}
	}
	if m := s.model("good"); math.Abs(m.MAEChange+10) > 0.001 {
		t.Errorf("the error has changed by %v s in ten seconds, want -10", m.MAEChange)
	}
	// Then nothing happens any more.
	for range 44 {
		now = now.Add(250 * time.Millisecond)
		s.due(now, time.Second)
	}
	if sum := s.summary(now); sum.Rates != (Rates{}) || s.model("good").MAEChange != 0 {
		t.Errorf("after ten seconds of nothing: %+v, %v", sum.Rates, s.model("good").MAEChange)
	}
}

// What was counted before an outage is not compared with what is there after it.
func TestRatesAfterAnOutage(t *testing.T) {
	s := newTestState()
	now := start0
	pass := func(pickUps int64) {
		s.counts = map[struct{}]Counts{{}: {PickUps: pickUps}}
		for range 8 {
			now = now.Add(250 * time.Millisecond)
			s.due(now, time.Second)
		}
	}
	pass(0)
	pass(10)
	rates := s.summary(now).Rates
	if rates.PickUps == 0 {
		t.Fatal("nothing was picked up")
	}
	s.database.failed(viewCounts, problem{text: "gone"})
	pass(10)
	if s.summary(now).Rates != rates {
		t.Errorf("while it is away the rates are %+v, want the last ones", s.summary(now).Rates)
	}
	s.database.live(viewCounts)
	pass(100_000)
	if s.summary(now).Rates.PickUps != 0 {
		t.Errorf("after the outage: %+v", s.summary(now).Rates)
	}
}

func TestCrowned(t *testing.T) {
	at := func(n int) time.Time { return start0.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		name    string
		actions []registry.Action
		want    time.Time
	}{
		{"nobody knows", nil, time.Time{}},
		{"promoted", []registry.Action{{At: at(3), Kind: registry.KindPromote, To: "good"}, {At: at(1), Kind: registry.KindApply, To: "bad"}}, at(3)},
		{"applied", []registry.Action{{At: at(2), Kind: registry.KindApply, To: "good"}}, at(2)},
		{"with a rollback since", []registry.Action{{At: at(4), Kind: registry.KindRollback, Model: "good", To: "7"}, {At: at(3), Kind: registry.KindPromote, To: "good"}}, at(3)},
		{"another one later, by other means", []registry.Action{{At: at(4), Kind: registry.KindPromote, To: "bad"}, {At: at(3), Kind: registry.KindPromote, To: "good"}}, time.Time{}},
	} {
		if got := crowned(c.actions, "good"); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// No number that JSON cannot hold gets into a view.
func TestViewsAreFinite(t *testing.T) {
	s := newTestState()
	s.errors = map[string]modelError{"good": {trips: 1, mae: math.NaN(), rmse: math.Inf(1), bias: math.Inf(-1)}}
	s.changes = map[string]float64{"good": math.NaN()}
	s.best = map[int64]bestModel{bucketMS: {"good", math.NaN()}}
	s.buckets = map[bucketKey]sums{{"good", 0}: {}}
	s.lead()
	for _, v := range []any{s.modelsView(), s.errorsView(), s.segmentsView(), s.summary(start0)} {
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	}
}

// Rows are taken when their time is complete, those that go before those that
// come, however they arrive.
func TestProgress(t *testing.T) {
	var took [][]change[string]
	began := 0
	s := &subscription[string]{began: func() { began++ }, take: func(c []change[string]) { took = append(took, c) }}
	put := func(at uint64, diff int64, row string) { s.pending = append(s.pending, change[string]{at, diff, row}) }
	want := func(n int) {
		t.Helper()
		if len(took) != n {
			t.Fatalf("%d times something was taken, want %d: %v", len(took), n, took)
		}
	}
	s.progress(5) // it begins
	want(0)
	put(5, 1, "a")
	put(5, 1, "b")
	s.progress(5)
	want(0)
	s.progress(6)
	want(1)
	s.progress(7) // nothing new
	want(1)
	put(9, 1, "A")
	put(8, 1, "c")
	put(9, -1, "a")
	put(10, 1, "d")
	s.progress(10)
	want(2)
	if got := fmt.Sprint(took); got != "[[{5 1 a} {5 1 b}] [{8 1 c} {9 -1 a} {9 1 A}]]" {
		t.Errorf("took %s", got)
	}
	s.progress(11)
	want(3)
	if began != 1 {
		t.Errorf("it began %d times", began)
	}

	// A view without rows is complete when time has passed.
	took = nil
	s = &subscription[string]{take: s.take}
	s.progress(5)
	want(0)
	s.progress(6)
	want(1)

	// A server may tell nothing before the first rows.
	took = nil
	s = &subscription[string]{take: s.take}
	put(5, 1, "a")
	s.progress(6)
	want(1)
}

// What is large waits for its second; what is small does not.
func TestErrorsAndSegmentsAreSlow(t *testing.T) {
	s := newTestState()
	s.database.failed(viewCounts, problem{text: "gone"}) // so that no rate is looked at
	s.changed, s.slow = changedAll, time.Time{}
	now := start0
	if may := s.due(now, time.Second); may != changedAll {
		t.Errorf("at first %b is due", may)
	}
	s.changed = changedAll
	if may := s.due(now.Add(250*time.Millisecond), time.Second); may != changedSummary|changedModels {
		t.Errorf("a moment later %b is due", may)
	}
	if may := s.due(now.Add(500*time.Millisecond), time.Second); may != 0 {
		t.Errorf("without a change %b is due", may)
	}
	if may := s.due(now.Add(time.Second), time.Second); may != changedErrors|changedSegments|changedModels {
		t.Errorf("a second later %b is due", may)
	}
	if may := s.due(now.Add(3*time.Second), time.Second); may != 0 {
		t.Errorf("when all is told %b is due", may)
	}
}

func TestTimeAloneIsNoNews(t *testing.T) {
	h := newHub()
	now := Now{Summary: Summary{At: 1, Clock: 7}}
	h.publish(now, changedAll, Trips{}, false)
	first := h.current.Load()
	now.Summary.At = 2
	h.publish(now, changedAll, Trips{}, false)
	if h.current.Load() != first {
		t.Error("the time alone makes an edition")
	}
	now.Summary.Clock = 8
	h.publish(now, changedAll, Trips{}, false)
	if h.current.Load() == first || h.current.Load().now.Summary.At != 2 {
		t.Error("a change makes none")
	}
}

// A source is in a state since it came into it, however often it is tried.
func TestSinceWhen(t *testing.T) {
	s := newSource("a source", "", slog.New(slog.DiscardHandler), "one", "two")
	steps := []struct {
		name string
		do   func()
		want string
		err  string
	}{
		{"no answer", func() { s.failed("one", problem{text: "refused"}) }, Connecting, "refused"},
		{"half of it", func() { s.live("one") }, Connecting, ""},
		{"all of it", func() { s.live("two") }, Live, ""},
		{"half of it is lost", func() { s.failed("one", problem{text: "gone"}) }, Away, "gone"},
		{"all of it is lost", func() { s.failed("two", problem{text: "gone, too"}) }, Away, "gone"},
		{"half of it is back", func() { s.live("one") }, Away, "gone, too"},
		{"all of it is back", func() { s.live("two") }, Live, ""},
	}
	for _, step := range steps {
		before := s.shown.State
		s.shown.Since = 1
		step.do()
		if s.shown.State != step.want || s.shown.Error != step.err {
			t.Errorf("%s: it is %+v, want %s, %q", step.name, s.shown, step.want, step.err)
		}
		if changed := s.shown.State != before; changed != (s.shown.Since != 1) {
			t.Errorf("%s: from %s to %+v", step.name, before, s.shown)
		}
	}
	s = newSource("a source", "", slog.New(slog.DiscardHandler), "one")
	if s.failed("one", problem{text: "no", answered: true}); s.shown.State != Away {
		t.Errorf("one that refuses is %s", s.shown.State)
	}
}
