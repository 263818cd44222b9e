package stream

import (
	"testing"
	"time"
)

// A view that nobody asks about must not gather changes for ever.
func TestChangesThatWaitAreBounded(t *testing.T) {
	h := newHarness(t, script(t, aSource+aView+"CREATE VIEW counted AS SELECT count(*) AS n FROM v;"+sunk("v")))
	h.engine.maxWaiting, h.engine.drowsy = maxWaiting, drowsy
	counted := h.engine.byName["counted"]
	counted.asked = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	if !counted.deferred {
		t.Fatal("the view does not wait for questions: nothing is tested")
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	most := 0
	for range 4 {
		var rows []row
		for range maxWaiting/2 + 1 {
			rows = append(rows, h.record("a", now, "k", `{"id":"x"}`))
		}
		if _, err := h.engine.advance(t.Context(), now, map[string][]row{"a": rows}); err != nil {
			t.Fatal(err)
		}
		most = max(most, counted.waiting())
	}
	if most == 0 || most >= maxWaiting {
		t.Errorf("up to %d changes wait, at most %d should", most, maxWaiting)
	}
}

// Two programs never share state, and an engine closes without a tick.
func TestEnginesAreApart(t *testing.T) {
	a := newHarness(t, script(t, aSource+aView+sunk("v")))
	b := newHarness(t, script(t, aSource+aView+sunk("v")))
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	if _, err := a.tick(now, map[string][]row{"a": {a.record("a", now, "k", `{"id":"x","n":1}`)}}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tick(now, nil, true); err != nil {
		t.Error(err)
	}
}
