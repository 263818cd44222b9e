package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Quantile
	}{
		{nil, Quantile{}},
		{[]float64{7}, Quantile{1, 7, 7}},
		{[]float64{2, 1}, Quantile{2, 1, 2}},
		{[]float64{3, 1, 2}, Quantile{3, 2, 3}},
	} {
		if got := quantile(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
	}
	var hundred []float64
	for _, n := range rand.Perm(100) {
		hundred = append(hundred, float64(n+1))
	}
	if got := quantile(hundred); got != (Quantile{100, 50, 99}) {
		t.Errorf("of 1 to 100: %+v", got)
	}
}

func TestSamplesAreOfTheLastMinute(t *testing.T) {
	var s samples
	now := start0
	s.add(sample{at: now.Add(-61 * time.Second).UnixMilli(), lagMS: 1000})
	s.add(sample{at: now.Add(-59 * time.Second).UnixMilli(), lagMS: 10})
	if q := s.lag(now); q != (Quantile{1, 10, 10}) {
		t.Errorf("lag is %+v", q)
	}
	for n := range 3 * keptSamples {
		s.add(sample{at: now.UnixMilli(), lagMS: int64(n)})
	}
	if q := s.lag(now); q.N != keptSamples || q.P99 < 3*keptSamples-keptSamples/50 {
		t.Errorf("of many, the lag is %+v", q)
	}
}

func TestStaleness(t *testing.T) {
	l := lineage{model: "good", asOf: 10_000, commits: []committed{{5, 1000}, {6, 2000}, {7, 3000}}}
	for _, c := range []struct {
		name string
		one  sample
		want int64
		ok   bool
	}{
		{"the newest version", sample{at: 9000, predictedAt: 8999, version: 7}, 0, true},
		{"one behind", sample{at: 9000, predictedAt: 3500, version: 6}, 500, true},
		{"two behind: since the first of them", sample{at: 9000, predictedAt: 3500, version: 5}, 1500, true},
		{"before the next was there", sample{at: 9000, predictedAt: 2500, version: 6}, 0, true},
		{"the version before all that are known", sample{at: 9000, predictedAt: 3500, version: 4}, 2500, true},
		{"older than that", sample{at: 9000, predictedAt: 3500, version: 3}, 0, false},
		{"seen after the lineage was read", sample{at: 10_000, predictedAt: 9999, version: 7}, 0, false},
	} {
		if got, ok := l.staleness(c.one); got != c.want || ok != c.ok {
			t.Errorf("%s: %d, %t, want %d, %t", c.name, got, ok, c.want, c.ok)
		}
	}
	var s samples
	now := time.UnixMilli(9500)
	s.add(sample{at: 9000, predictedAt: 3500, version: 6, champion: "good"})
	s.add(sample{at: 9000, predictedAt: 3500, version: 1, champion: "bad"}) // served before
	if q := s.staleness(now, l); q != (Quantile{1, 500, 500}) {
		t.Errorf("staleness is %+v", q)
	}
	if _, ok := (lineage{model: "new", asOf: 10_000}).staleness(sample{at: 1}); !ok {
		t.Error("nothing is newer than a model that has learned nothing")
	}
}

func TestTripsAsJSON(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{Started{ID: `a"<b`, PickUpLon: -73.1234567, PickUpLat: 40, DropOffLon: 1e-9, DropOffLat: 40.00001, PickedUpAt: 1451908800000, PredictedS: 300.04}, `["a\"\u003cb",-73.12346,40,0,40.00001,1451908800000,300]`},
		{Started{ID: "t", PredictedS: math.NaN()}, `["t",0,0,0,0,0,null]`},
		{Ended{ID: "t", DropOffLon: -73.5, DropOffLat: 40.5, PredictedS: math.Inf(1), ActualS: 1234.56}, `["t",-73.5,40.5,null,1234.6]`},
		{Trips{}.filled(), `{"started":[],"ended":[]}`},
	} {
		got, err := json.Marshal(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v, want %s", got, err, c.want)
		}
	}
}

func TestRingForgetsTheOldest(t *testing.T) {
	r := newRing()
	for n := range keptTrips + 10 {
		if !r.add(start{id: fmt.Sprint(n)}) {
			t.Fatalf("trip %d is not new", n)
		}
	}
	if r.add(start{id: fmt.Sprint(keptTrips)}) {
		t.Error("a trip is new twice")
	}
	if len(r.byID) != keptTrips || len(r.order) != keptTrips || r.find("9") != nil || r.find("10") == nil {
		t.Errorf("%d trips are kept, %d in order", len(r.byID), len(r.order))
	}
	for i := range 3 {
		if got, want := r.back(i).id, fmt.Sprint(keptTrips+9-i); got != want {
			t.Errorf("%d back is %s, want %s", i, got, want)
		}
	}
}

func TestEarlyEndsAreBounded(t *testing.T) {
	e := newEarly()
	lost := 0
	for n := range 3 * keptEarly {
		if e.keep(end{id: fmt.Sprint(n)}) {
			lost++
		}
	}
	if len(e.byID) != keptEarly || lost != 2*keptEarly {
		t.Errorf("%d are kept, %d lost", len(e.byID), lost)
	}
	for n := range 3 * keptEarly {
		e.take(fmt.Sprint(n))
	}
	if len(e.byID) != 0 {
		t.Errorf("%d are left", len(e.byID))
	}
}

func TestGuesses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"good":{"duration_s":12.5,"version":7},"mute":{"duration_s":null,"version":1}}`, "good 12.5 7, mute nil 1"},
		{`{"good":{"duration_s":12.5,"version":7},"text":{"duration_s":"12"},"huge":{"version":1e99},"bare":17}`, "good 12.5 7"},
		{`{}`, ""},
	} {
		var g guesses
		if err := json.Unmarshal([]byte(c.text), &g); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, model := range slices.Sorted(maps.Keys(g)) {
			seconds := "nil"
			if d := g[model].DurationS; d != nil {
				seconds = fmt.Sprint(*d)
			}
			got = append(got, fmt.Sprint(model, " ", seconds, " ", g[model].Version))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %s", c.text, got, c.want)
		}
	}
	var g guesses
	if err := json.Unmarshal([]byte(`[]`), &g); err == nil {
		t.Error("an array is taken")
	}
}

// Who is chosen among those who start is chosen among those who end, in whatever
// order and among whichever others.
func TestChoose(t *testing.T) {
	var first, second []string
	for n := range 1000 {
		first = append(first, fmt.Sprint("trip ", n))
		second = append(second, fmt.Sprint("trip ", n+200))
	}
	rand.Shuffle(len(second), func(i, j int) { second[i], second[j] = second[j], second[i] })
	id := func(s string) string { return s }
	started, left := choose(first, 100, id)
	ended, _ := choose(second, 100, id)
	if len(started) != 100 || left != 900 || len(ended) != 100 {
		t.Fatalf("%d are chosen, %d left out, then %d chosen", len(started), left, len(ended))
	}
	both := 0
	for _, s := range ended {
		if slices.Contains(started, s) {
			both++
		}
	}
	if both < 60 {
		t.Errorf("%d of 100 ends are of trips that were chosen", both)
	}
	at := -1
	for _, s := range ended {
		if next := slices.Index(second, s); next <= at {
			t.Fatal("the order is another")
		} else {
			at = next
		}
	}
	if all, left := choose(first, 1000, id); len(all) != 1000 || left != 0 {
		t.Errorf("of few, %d are chosen", len(all))
	}
}
