package ensemble

import (
	"bytes"
	"runtime"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/internal/together"
	"tripcast.dev/functions/online/tree"
)

// Members learn at once and it does not show.
func TestMembersLearnAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	member := func(seed uint64) online.Regressor {
		c := tree.DefaultAdaptiveConfig()
		c.Seed = seed
		return tree.NewAdaptiveRegressor(10, c)
	}
	crews := map[string]func() (online.Regressor, *together.Crew){
		"bagging": func() (online.Regressor, *together.Crew) {
			b := NewBagging(BaggingConfig{NModels: 5}, member)
			return b, &b.crew
		},
		"hedge": func() (online.Regressor, *together.Crew) {
			h, err := NewHedge(DefaultHedgeConfig(), member(1), member(2), member(3))
			if err != nil {
				t.Fatal(err)
			}
			return h, &h.crew
		},
	}
	for name, fresh := range crews {
		var states [][]byte
		for _, atOnce := range []bool{false, true} {
			m, crew := fresh()
			crew.Always = atOnce
			for _, e := range golden.Streams()[1].Events[:3000] {
				m.Learn(e.X, e.Y)
			}
			b, err := m.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, b)
		}
		if !bytes.Equal(states[0], states[1]) {
			t.Errorf("%s: models whose members learned one by one and at once differ", name)
		}
	}
}
