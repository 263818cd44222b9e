package tree_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/tree"
)

func TestHoeffdingConforms(t *testing.T) {
	config := tree.DefaultConfig()
	config.MaxLeaves, config.MaxKeys = 128, 256 // 50,000 values of 20 bytes at most
	exact := config
	exact.Splitter, exact.LeafPrediction, exact.GracePeriod, exact.MaxDepth = tree.EBST, tree.Mean, 50, 3
	variants := map[string]func(width int) online.Regressor{
		"":       func(width int) online.Regressor { return tree.NewHoeffdingRegressor(width, config) },
		"-exact": func(width int) online.Regressor { return tree.NewHoeffdingRegressor(width, exact) },
		"-whole": func(width int) online.Regressor {
			return whole{tree.NewHoeffdingRegressor(width, config)}
		},
	}
	for name, fresh := range variants {
		t.Run("variant"+name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: 1 << 20, Fixture: "testdata/migrations/HoeffdingTreeRegressor" + name}
			onlinetest.Regressor(t, opts, fresh)
		})
	}
}

// whole is a tree that learns whole labels, which its state holds otherwise.
type whole struct{ *tree.HoeffdingRegressor }

func (w whole) Learn(x []float64, y float64) { w.HoeffdingRegressor.Learn(x, math.Round(y)) }

type walker interface {
	online.Regressor
	Walk(func(tree.Node) bool)
}

func scaled(t *testing.T, s golden.Stream, model online.Regressor) *online.Pipeline {
	t.Helper()
	p, err := online.NewPipeline(s.Features, []online.Transformer{preprocess.NewStandardScaler(len(s.Features))}, model)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// likeRiver holds a tree behind a scaler to River: its predictions and, at the
// end of a stream, its structure.
func likeRiver(t *testing.T, name string, fresh func(width int) walker, after func(*testing.T, golden.Stream, walker)) {
	var model walker
	golden.Run(t, name, 1e-9, 1e-3, func(s golden.Stream) func(golden.Event) float64 {
		model = fresh(len(s.Features))
		p := scaled(t, s, model)
		return func(e golden.Event) float64 {
			y := p.Predict(e.X)
			p.Learn(e.X, e.Y)
			return y
		}
	}, func(t *testing.T, s golden.Stream) {
		sameStructure(t, golden.Lines(t, name, s), s, model)
		b, err := model.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes of state, River's %s", len(b), last(golden.Lines(t, name, s)))
		if after != nil {
			after(t, s, model)
		}
	})
}

func last(lines []string) string { return lines[len(lines)-1] }

// sameStructure compares a tree to the nodes that River has, in order.
func sameStructure(t *testing.T, want []string, s golden.Stream, model walker) {
	t.Helper()
	at := 0
	for n := range model.Walk {
		if n.Alternate {
			if want[at] != "alternate" {
				t.Fatalf("node %d begins an alternate tree, River's is %q", at, want[at])
			}
			at++
		}
		if err := sameNode(n, want[at], s.Features); err != nil {
			t.Fatalf("node %d: %v", at, err)
		}
		at++
	}
	if at == len(want) || !strings.Contains("alternates pickle", strings.Fields(want[at])[0]) {
		t.Fatalf("%d nodes, River goes on with %q", at, want[at:])
	}
}

func sameNode(n tree.Node, want string, features []string) error {
	if n.Leaf {
		if got := fmt.Sprintf("%d leaf %.1f", n.Depth, n.Weight); got != want {
			return fmt.Errorf("%s, River's %s", got, want)
		}
		return nil
	}
	field := strings.Fields(want)
	if len(field) != 4 {
		return fmt.Errorf("a branch, River's %s", want)
	}
	// A threshold of an EBST is a scaled value: the root in it may be off by a bit.
	threshold, err := strconv.ParseFloat(field[2], 64)
	if err != nil || math.Abs(threshold-n.Threshold) > 1e-12*math.Abs(threshold) {
		return fmt.Errorf("the threshold %v, River's %s", n.Threshold, field[2])
	}
	if got := fmt.Sprintf("%d %s %s %.1f", n.Depth, features[n.Feature], field[2], n.Weight); got != want {
		return fmt.Errorf("%s, River's %s", got, want)
	}
	return nil
}

func TestHoeffdingLikeRiver(t *testing.T) {
	shallow, mean := tree.DefaultConfig(), tree.DefaultConfig()
	shallow.MaxDepth, shallow.GracePeriod, shallow.LeafPrediction = 4, 50, tree.Model
	mean.Splitter, mean.LeafPrediction, mean.Tau = tree.EBST, tree.Mean, .1
	for name, config := range map[string]tree.Config{
		"ht-default": tree.DefaultConfig(),
		"ht-shallow": shallow,
		"ht-mean":    mean,
	} {
		likeRiver(t, name, func(width int) walker { return tree.NewHoeffdingRegressor(width, config) }, nil)
	}
}
