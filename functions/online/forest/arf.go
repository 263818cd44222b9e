// Package forest holds forests of trees that learn online, as river.forest does.
package forest

import (
	"math"
	"slices"
	"strings"
	"sync"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/drift"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/internal/together"
	"tripcast.dev/functions/online/stats"
	"tripcast.dev/functions/online/tree"
)

// ARFConfig are the parameters of an ARFRegressor, with River's names and
// defaults but for those that say so. A value outside its bounds is taken as
// the nearest within.
type ARFConfig struct {
	NModels     int // trees, from 1 to 100
	MaxFeatures int // that a leaf watches, at most as many as there are; 0 is the square root of that
	LambdaValue int // how often a tree learns an event on average, from 1 to 100

	// Median predicts the median of the trees, River's aggregation_method. With
	// false it is the mean.
	Median bool
	// DisableWeightedVote gives all trees the same weight in a mean. With false
	// those have more whose mean squared error is smaller.
	DisableWeightedVote bool

	// DriftDelta and WarningDelta are the significance at which a tree is replaced
	// and at which another begins to grow in its background; 0 is never.
	DriftDelta, WarningDelta float64

	Tree tree.Config

	// Seed is of everything that is drawn. Trees share a generator, as in River,
	// and learn one after the other. With Generators, which River does not have,
	// tree i has one of its own with the seed Seed+i, and trees learn at once if
	// that takes them long enough to be worth it.
	Seed       uint64
	Generators bool
	// Names are those of the features. River draws features from them in their
	// order; nil draws in that of the vector, which is as good but not the same.
	Names []string
}

// maxMiss is what no label that is learned and no error that is counted may
// exceed, so that squares of it and their sums stay finite.
const maxMiss = 1e70

// DefaultARFConfig returns the defaults.
func DefaultARFConfig() ARFConfig {
	c := ARFConfig{
		NModels: 10, LambdaValue: 6, Median: true, DisableWeightedVote: true,
		DriftDelta: 0.001, WarningDelta: 0.01, Tree: tree.DefaultConfig(),
	}
	c.Tree.GracePeriod, c.Tree.Delta = 50, 0.01
	return c
}

// bounded takes values outside their bounds as the nearest within.
func (c ARFConfig) bounded(width int) ARFConfig {
	c.NModels = min(max(c.NModels, 1), 100)
	c.LambdaValue = min(max(c.LambdaValue, 1), 100)
	if c.MaxFeatures == 0 {
		c.MaxFeatures = int(math.RoundToEven(math.Sqrt(float64(width))))
	}
	c.MaxFeatures = max(min(c.MaxFeatures, width), 1)
	return c
}

// ARFRegressor is an adaptive random forest (Gomes et al., 2018: Adaptive
// random forests for data stream regression). Its trees differ because each
// learns an event as often as a Poisson draw says and each leaf looks at a few
// features only, drawn for it. Two ADWINs watch the errors of a tree: at the
// warning of one, another tree begins to grow in the background; at the alarm
// of the other, that takes its place.
//
// It computes what ARFRegressor in river/forest/adaptive_random_forest.py of
// River 0.26.1 computes, and draws what that draws, but for two mistakes there:
// a weighted mean is not divided by the number of trees twice, and
// min_samples_split counts. Features should be scaled, as for a tree.
//
// A tree without a finite prediction is left out, and its detectors pass over
// the event. A label above 1e70 or below -1e70 is not learned. Trees are
// bounded by the MaxLeaves and the MaxKeys of their configuration; with their
// backgrounds they are twice as many as NModels.
type ARFRegressor struct {
	width   int
	config  ARFConfig
	sorted  []int // the features, by name
	members []arfMember
	crew    together.Crew
	scratch sync.Pool // *[]float64
}

var _ online.Regressor = (*ARFRegressor)(nil)

// arfMember is a tree and what is known of it.
type arfMember struct {
	random     *mt19937.Rand // may be that of all
	tree       *tree.HoeffdingRegressor
	background *tree.HoeffdingRegressor // nil where there is none
	warning    *drift.ADWIN
	alarm      *drift.ADWIN
	squared    stats.Mean // of its errors' squares
	errors     stats.Var
	warnings   int
	drifts     int
}

// NewARFRegressor returns a forest on vectors of this width.
func NewARFRegressor(width int, config ARFConfig) *ARFRegressor {
	f := &ARFRegressor{width: width, config: config.bounded(width), sorted: byName(width, config.Names)}
	f.scratch.New = func() any { return new([]float64) }
	f.members = f.newMembers()
	return f
}

// byName returns the features in the order of their names.
func byName(width int, names []string) []int {
	order := make([]int, width)
	for i := range order {
		order[i] = i
	}
	if len(names) == width {
		slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	}
	return order
}

func (f *ARFRegressor) newMembers() []arfMember {
	members := make([]arfMember, f.config.NModels)
	shared := mt19937.New(f.config.Seed)
	for i := range members {
		m := &members[i]
		m.random, m.errors.DDOF = shared, 1
		if f.config.Generators {
			m.random = mt19937.New(f.config.Seed + uint64(i))
		}
		m.tree, m.warning, m.alarm = f.newTree(m), f.newDetector(f.config.WarningDelta), f.newDetector(f.config.DriftDelta)
	}
	return members
}

func (f *ARFRegressor) newTree(m *arfMember) *tree.HoeffdingRegressor {
	return tree.NewRandomHoeffdingRegressor(f.width, f.config.Tree, tree.Subset{
		Size: f.config.MaxFeatures, Rand: m.random, Sorted: f.sorted,
	})
}

func (f *ARFRegressor) newDetector(delta float64) *drift.ADWIN {
	c := drift.DefaultADWINConfig()
	c.Delta = delta
	return drift.NewADWIN(c)
}

// Width is the number of features.
func (f *ARFRegressor) Width() int { return f.width }

// ARFTree is a tree of a forest.
type ARFTree struct {
	Tree     *tree.HoeffdingRegressor // to look at, not to change
	Drifts   int                      // how often it has been replaced
	Warnings int                      // how often another has begun to grow in its background
}

// Trees returns the trees. They learn when the forest does.
func (f *ARFRegressor) Trees() []ARFTree {
	trees := make([]ARFTree, len(f.members))
	for i, m := range f.members {
		trees[i] = ARFTree{m.tree, m.drifts, m.warnings}
	}
	return trees
}

// Drifts is how often a tree has been replaced so far.
func (f *ARFRegressor) Drifts() (n int) {
	for _, m := range f.members {
		n += m.drifts
	}
	return n
}

// Warnings is how often another tree has begun to grow in the background.
func (f *ARFRegressor) Warnings() (n int) {
	for _, m := range f.members {
		n += m.warnings
	}
	return n
}

// Predict returns the median or the mean of the trees' predictions, 0 with
// nothing learned.
func (f *ARFRegressor) Predict(x []float64) float64 {
	scratch := f.scratch.Get().(*[]float64)
	defer f.scratch.Put(scratch)
	*scratch = (*scratch)[:0]
	for i := range f.members {
		if y := f.members[i].tree.Predict(x); libm.Finite(y) || f.weighted() {
			*scratch = append(*scratch, y)
		}
	}
	var y float64
	switch {
	case len(*scratch) == 0:
		return math.NaN()
	case f.weighted():
		y = f.weightedMean(*scratch)
	case f.config.Median:
		y = median(*scratch)
	default:
		y = mean(*scratch)
	}
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

func (f *ARFRegressor) weighted() bool { return !f.config.Median && !f.config.DisableWeightedVote }

// weightedMean weighs a tree by the squared errors of all others.
func (f *ARFRegressor) weightedMean(ys []float64) float64 {
	var all float64
	answers := 0
	for i := range ys {
		if libm.Finite(ys[i]) {
			all += f.members[i].squared.Get()
			answers++
		}
	}
	var sum, weights float64
	for i, y := range ys {
		if !libm.Finite(y) {
			continue
		}
		weight := all - f.members[i].squared.Get()
		if answers == 1 || all == 0 { // nothing to weigh
			weight = 1
		}
		sum += float64(weight * y)
		weights += weight
	}
	return sum / weights
}

func mean(ys []float64) float64 {
	var sum float64
	for _, y := range ys {
		sum += y
	}
	return sum / float64(len(ys))
}

func median(ys []float64) float64 {
	slices.Sort(ys)
	half := len(ys) / 2
	if len(ys)%2 == 1 {
		return ys[half]
	}
	return (ys[half-1] + ys[half]) / 2
}

// Learn teaches the event to every tree as often as is drawn for it.
func (f *ARFRegressor) Learn(x []float64, y float64) {
	if !(math.Abs(y) <= maxMiss) {
		return
	}
	if f.config.Generators {
		f.crew.Each(len(f.members), func(i int) { f.learn(&f.members[i], x, y) })
		return
	}
	for i := range f.members {
		f.learn(&f.members[i], x, y)
	}
}

func (f *ARFRegressor) learn(m *arfMember, x []float64, y float64) {
	e := y - m.tree.Predict(x)
	m.squared.Update(float64(e * e))
	k := m.random.Poisson(float64(f.config.LambdaValue))
	if k == 0 {
		return
	}
	if m.background != nil {
		m.background.LearnWeighted(x, y, k)
	}
	m.tree.LearnWeighted(x, y, k)
	f.watch(m, normalised(&m.errors, e))
}

// watch shows a tree's error to its detectors, and replaces it at an alarm.
func (f *ARFRegressor) watch(m *arfMember, e float64) {
	if f.config.WarningDelta > 0 {
		if m.warning.Update(e); m.warning.DriftDetected() {
			m.background, m.warning = f.newTree(m), f.newDetector(f.config.WarningDelta)
			m.warnings++
		}
	}
	if f.config.DriftDelta > 0 {
		if m.alarm.Update(e); m.alarm.DriftDetected() {
			f.replace(m)
		}
	}
}

func (f *ARFRegressor) replace(m *arfMember) {
	m.tree = f.newTree(m)
	if m.background != nil {
		m.tree, m.background = m.background, nil
		m.warning = f.newDetector(f.config.WarningDelta)
	}
	m.alarm = f.newDetector(f.config.DriftDelta)
	m.squared.Reset()
	m.drifts++
}

// normalised takes an error into those of a tree and returns it as a detector
// sees it: from 0 to 1 between three standard deviations below and above the
// mean, if errors are not biased. It is NaN for an error that is not finite.
func normalised(errors *stats.Var, e float64) float64 {
	if !(math.Abs(e) <= maxMiss) {
		return math.NaN()
	}
	errors.Update(e)
	deviation := math.Sqrt(errors.Get())
	if !(deviation > 0) { // also of one error
		return 0.5
	}
	return (e + float64(3*deviation)) / float64(6*deviation)
}
