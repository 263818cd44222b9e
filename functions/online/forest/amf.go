package forest

import (
	"cmp"
	"math"
	"runtime"
	"slices"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/internal/together"
)

// AMFConfig are the parameters of an AMFRegressor, with River's names and
// defaults but for MaxNodes, which River leaves open. A value out of bounds is
// taken as the nearest within.
type AMFConfig struct {
	NEstimators    int     // trees, 1 to 100
	Step           float64 // of the aggregation, per squared unit of the label, 0 to 1e6
	UseAggregation bool    // predict with all nodes on the way to the leaf, not the leaf alone
	// MaxNodes is the number of nodes of a tree from which on it is not split
	// any more, 1 to a million.
	MaxNodes int
	// Names are those of the features. River draws the feature of a split from
	// them in their order; nil draws in that of the vector, which is as good but
	// not the same.
	Names []string
	Seed  uint64
}

// DefaultAMFConfig returns the defaults.
func DefaultAMFConfig() AMFConfig {
	return AMFConfig{NEstimators: 10, Step: 1, UseAggregation: true, MaxNodes: 2_000}
}

const (
	maxTrees = 100
	maxStep  = 1e6
	maxNodes = 1_000_000
)

// beyond is what no feature and no label that is learned may exceed, so that
// the sum of ranges, the square of an error and a sum of these stay finite.
const beyond = 1e100

// AMFRegressor is an aggregated Mondrian forest (Mourtada, Gaïffas and Scornet:
// AMF: Aggregated Mondrian forests for online learning, JRSS B 83(3), 2021).
//
// A tree splits at random, where an event lies outside the box around a node's
// earlier ones, the sooner the farther outside and never with regard to labels.
// A prediction mixes the means of all nodes on the way to a leaf, by how well
// each has predicted so far. Trees are averaged.
//
// It computes what river/forest/aggregated_mondrian_forest.py of River 0.26.1
// computes, and draws what that draws. Features should be scaled to [0, 1], or
// at least alike: where an event lies outside is measured over all of them. Step
// times the squared error should be of the order of 1: a step of 1 with labels
// in seconds soon lets the best node alone decide.
//
// Missing features are as in River: they do not extend a box, and where a split
// asks for one, the way goes to the child that has predicted better so far.
// An event with a feature or a label beyond ±1e100 is not learned.
//
// An event that repeats no other adds two nodes to every tree, so that trees
// grow until they have MaxNodes. From then on they are not split any more, as in
// River: nodes go on learning their means and their weights and their boxes
// grow, but what comes later is told apart no finer than the first MaxNodes/2
// events were, so that a concept that moves elsewhere meets coarse leaves.
//
// With w features a node takes about 21 + 4w bytes of the state while the tree
// grows, up to 26 + 8.5w once it is full and its leaves are of many events, and
// 64 + 16w of memory; a tree takes 2.5 kB besides. With six features, ten trees
// of 2,000 nodes are at most 1.6 MB. More nodes are better forests: set MaxNodes to
// what the state may cost.
//
// Learn learns with several trees at once where there are processors for it.
type AMFRegressor struct {
	config AMFConfig
	order  []int // of the features, by name
	trees  []mondrian
	x      []float64 // of the event that is being learned
}

var _ online.Regressor = (*AMFRegressor)(nil)

// NewAMFRegressor returns a forest on vectors of this width.
func NewAMFRegressor(width int, config AMFConfig) *AMFRegressor {
	config.NEstimators = min(max(config.NEstimators, 1), maxTrees)
	config.Step = min(max(config.Step, 0), maxStep)
	config.MaxNodes = min(max(config.MaxNodes, 1), maxNodes)
	f := &AMFRegressor{config: config, x: make([]float64, width), trees: make([]mondrian, config.NEstimators)}
	f.order = make([]int, width)
	for i := range f.order {
		f.order[i] = i
	}
	if len(config.Names) == width {
		slices.SortStableFunc(f.order, func(a, b int) int { return cmp.Compare(config.Names[a], config.Names[b]) })
	}
	seeds := mt19937.New(config.Seed)
	for i := range f.trees {
		f.trees[i].rng.Seed(uint64(seeds.Below(10_000_000)))
	}
	return f
}

// AMFRegressorKind builds an AMFRegressor from a catalogue. Parameters:
// n_estimators, step, use_aggregation and max_nodes.
func AMFRegressorKind(p *online.Params) online.Regressor {
	c := DefaultAMFConfig()
	c.NEstimators = p.Int("n_estimators", c.NEstimators, online.AtLeast(1), online.AtMost(maxTrees))
	c.Step = p.Float("step", c.Step, online.Above(0), online.AtMost(maxStep))
	c.UseAggregation = p.Bool("use_aggregation", c.UseAggregation)
	c.MaxNodes = p.Int("max_nodes", c.MaxNodes, online.AtLeast(1), online.AtMost(maxNodes))
	c.Names, c.Seed = p.Features(), p.Seed()
	return NewAMFRegressor(p.Width(), c)
}

// Width is the number of features.
func (f *AMFRegressor) Width() int { return len(f.x) }

// Nodes returns the number of nodes of every tree.
func (f *AMFRegressor) Nodes() []int {
	nodes := make([]int, len(f.trees))
	for i := range f.trees {
		nodes[i] = len(f.trees[i].nodes)
	}
	return nodes
}

// Predict returns the mean of the trees' predictions, 0 before anything was learned.
func (f *AMFRegressor) Predict(x []float64) float64 {
	var sum float64
	for i := range f.trees {
		if t := &f.trees[i]; len(t.nodes) > 0 {
			sum += t.predict(x, f.config.UseAggregation)
		}
	}
	return sum / float64(len(f.trees))
}

// Learn updates every tree.
func (f *AMFRegressor) Learn(x []float64, y float64) {
	if !(math.Abs(y) <= beyond) {
		return
	}
	for i, xi := range x {
		switch {
		case !libm.Finite(xi):
			xi = math.NaN()
		case math.Abs(xi) > beyond:
			return
		}
		f.x[i] = xi
	}
	workers := 1
	if f.shared() {
		workers = runtime.GOMAXPROCS(0)
	}
	// Each tree has its own generator, so that it does not matter who comes first.
	together.Each(workers, len(f.trees), func(i int) { f.trees[i].learn(f.x, y, &f.config, f.order) })
}

// shared reports whether the trees are so large that the work is worth sharing
// out, which takes a microsecond or two: ten trees of 1,000 nodes take ten, and
// from there on two processors are almost twice as fast as one.
func (f *AMFRegressor) shared() bool {
	const enough = 8_000
	return len(f.trees) > 1 && len(f.trees)*len(f.trees[0].nodes) > enough && runtime.GOMAXPROCS(0) > 1
}
