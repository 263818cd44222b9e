package tree_test

import (
	"fmt"
	"math"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/tree"
)

func TestAdaptiveConforms(t *testing.T) {
	for _, compat := range []bool{false, true} {
		t.Run(fmt.Sprintf("compat %t", compat), func(t *testing.T) {
			fixture := "testdata/migrations/HoeffdingAdaptiveTreeRegressor"
			if compat {
				fixture += "-compat"
			}
			opts := onlinetest.Options{MaxStateBytes: 1 << 20, Fixture: fixture}
			onlinetest.Regressor(t, opts, func(width int) online.Regressor {
				c := tree.DefaultAdaptiveConfig()
				c.Compat = compat
				c.GracePeriod, c.DriftWindowThreshold = 50, 50
				c.MaxLeaves, c.MaxKeys = 128, 256
				return tree.NewAdaptiveRegressor(width, c)
			})
		})
	}
}

func TestAdaptiveLikeRiver(t *testing.T) {
	demo, fixed, plain := tree.DefaultAdaptiveConfig(), tree.DefaultAdaptiveConfig(), tree.DefaultAdaptiveConfig()
	demo.MaxDepth, demo.Seed, demo.Compat = 20, 1, true
	fixed.Seed = 1
	plain.BootstrapSampling, plain.Compat = false, true
	first := demo
	first.Before022 = true
	nested := tree.DefaultAdaptiveConfig()
	nested.GracePeriod, nested.DriftWindowThreshold, nested.SwitchSignificance, nested.Seed = 50, 40, .5, 2
	eager := nested
	eager.Compat = true
	for name, config := range map[string]tree.AdaptiveConfig{
		"hat-demo":        demo,
		"hat-0.13":        first,
		"hat-fixed":       fixed,
		"hat-nobootstrap": plain,
		"hat-eager":       eager,
		"hat-nested":      nested,
	} {
		likeRiver(t, name, func(width int) walker { return tree.NewAdaptiveRegressor(width, config) },
			func(t *testing.T, s golden.Stream, model walker) {
				c := model.(*tree.AdaptiveRegressor).Counts()
				lines := golden.Lines(t, name, s)
				want := lines[len(lines)-2]
				if got := fmt.Sprintf("alternates %d switched %d pruned %d", c.Alternates, c.Switched, c.Pruned); got != want {
					t.Errorf("%s, River's %s", got, want)
				}
				if !config.Compat && c.Unchecked > 0 || config.Compat && c.Unchecked == 0 {
					t.Errorf("%d alternate trees took a place without a test", c.Unchecked)
				}
				t.Logf("%+v", c)
			})
	}
}

// What the places that alternate trees take without a test cost: in Compat
// errors are larger on every stream.
func TestCompatAgainstFixed(t *testing.T) {
	for _, s := range golden.Streams() {
		t.Run(s.Name, func(t *testing.T) {
			run := func(compat bool) (float64, tree.Counts) {
				c := tree.DefaultAdaptiveConfig()
				c.MaxDepth, c.Seed, c.Compat = 20, 1, compat
				m := tree.NewAdaptiveRegressor(len(s.Features), c)
				p := scaled(t, s, m)
				var sum float64
				for _, e := range s.Events {
					sum += math.Abs(p.Predict(e.X) - e.Y)
					p.Learn(e.X, e.Y)
				}
				return sum / float64(len(s.Events)), m.Counts()
			}
			compat, compatCounts := run(true)
			fixed, fixedCounts := run(false)
			t.Logf("compat: mean absolute error %.4g, %+v", compat, compatCounts)
			t.Logf("fixed:  mean absolute error %.4g, %+v", fixed, fixedCounts)
			if !(fixed < compat) {
				t.Errorf("the error is %v, and %v in Compat", fixed, compat)
			}
		})
	}
}
