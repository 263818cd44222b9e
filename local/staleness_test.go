package main

import (
	"slices"
	"testing"
	"time"

	"tripcast.dev/events"
)

// That another model becomes the champion, of other versions, is not that labels are
// learned and served at once.
func TestStalenessOfOneModel(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	s := staleness{champion: "a"}
	versions := func(a, b uint64) map[string]events.ModelPrediction {
		return map[string]events.ModelPrediction{"a": {Version: a}, "b": {Version: b}}
	}
	s.predicted(versions(1, 900), at(0))
	s.learned(map[string]uint64{"a": 2, "b": 901}, at(10))
	s.predicted(map[string]events.ModelPrediction{"b": {Version: 901}}, at(20)) // a is broken for once
	s.predicted(versions(2, 901), at(110))
	s.learned(map[string]uint64{"a": 3, "b": 902}, at(120))
	s.predicted(versions(3, 902), at(150))
	if want := []int32{100, 30}; !slices.Equal(s.ms, want) {
		t.Errorf("staleness %v ms, want %v", s.ms, want)
	}
}
