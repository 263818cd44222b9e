package stream

import (
	"testing"
	"time"
)

// What nobody asks about is let go of, and is all there when somebody does.
func TestViewsFallAsleep(t *testing.T) {
	h := newHarness(t, tripcast(t))
	c := newCity(h, 11)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tick := func(ask bool) {
		t.Helper()
		now = now.Add(time.Second)
		if _, err := h.tick(now, c.events(now, 60), ask); err != nil {
			t.Fatal(err)
		}
	}
	asleep := func(names ...string) (held int) {
		t.Helper()
		for _, name := range names {
			v := h.engine.byName[name]
			if !v.asleep {
				t.Errorf("%s is awake", name)
			}
			held += v.out.count + v.waiting()
		}
		return held
	}
	for range 6 {
		tick(false)
	}
	above := []string{"outcomes", "outcome_errors", "model_error_sums", "model_errors", "model_errors_5m", "best_models", "served_errors"}
	if held := asleep(above...); held > 0 {
		t.Errorf("asleep, they hold %d rows and changes", held)
	}
	tick(true) // compares every view with the oracle's
	for _, name := range above[:5] {
		if v := h.engine.byName[name]; v.asleep || v.out.count == 0 {
			t.Errorf("asked about, %s has %d rows (asleep: %t)", name, v.out.count, v.asleep)
		}
	}
	// A cursor keeps what it stands on awake, and nothing else.
	errors := h.engine.byName["model_errors"]
	w := &watchedView{engine: h.engine, view: errors, below: h.engine.below(errors)}
	var told changes
	snapshot, err := w.subscribe(t.Context(), &told, true)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]int64{}
	for _, f := range snapshot {
		have[f.data]++
	}
	for range 6 {
		tick(false)
	}
	asleep("model_errors_5m", "best_models", "trip_ends")
	for _, name := range []string{"outcomes", "outcome_errors", "model_error_sums", "model_errors"} {
		if h.engine.byName[name].asleep {
			t.Errorf("%s fell asleep under a cursor", name)
		}
	}
	tick(true)
	for _, change := range told.take() {
		have[change.row] += change.diff
	}
	errors.out.each(func(_, data string) { have[data]-- })
	for data, n := range have {
		if n != 0 {
			t.Errorf("the cursor was told %+d of %s", n, shown(errors.columns, []string{data}, nil))
		}
	}
	w.unsubscribe(&told)
	for range 6 {
		tick(false)
	}
	asleep("model_errors", "outcomes")
	if n := len(h.engine.wanted); n != 0 {
		t.Errorf("%d views are wanted by nobody", n)
	}
}
