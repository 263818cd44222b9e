package tree

import "tripcast.dev/functions/online"

// LeafPrediction is what a leaf predicts with.
type LeafPrediction string

// What a leaf predicts with.
const (
	Mean     LeafPrediction = "mean"     // the mean of its labels
	Model    LeafPrediction = "model"    // a linear regression, handed down from leaf to leaf
	Adaptive LeafPrediction = "adaptive" // whichever of the two has lately been closer
)

// Splitter is what finds splits.
type Splitter string

// What finds splits.
const (
	TEBST Splitter = "TEBSTSplitter" // values rounded to a number of decimals
	EBST  Splitter = "EBSTSplitter"  // every value by itself
)

// deepest is the depth that River's max_depth of None comes to: Python's
// recursion limit of 1,000 less 20.
const deepest = 980

// Config are the parameters of a tree, with River's names and defaults but for
// MaxLeaves and MaxKeys, which are ours. River's max_size cannot be had: it
// measures Python objects.
type Config struct {
	GracePeriod        int            // weight a leaf sees between attempts to split, at least 1
	MaxDepth           int            // of a leaf, from 1 to 980; the root has depth 0
	Delta              float64        // one minus the confidence in a split, in (0, 1)
	Tau                float64        // a Hoeffding bound below which equals are split between, at least 0
	LeafPrediction     LeafPrediction // Adaptive where it is none of those above
	ModelSelectorDecay float64        // by which past squared errors count in Adaptive, in [0, 1]
	Splitter           Splitter       // TEBST where it is none of those above
	Digits             int            // decimals of a TEBST, from 0 to 15
	MinSamplesSplit    int            // weight on either side of a split, at least 1

	// MaxLeaves bounds the leaves, those of alternate trees among them. A tree
	// that has as many splits no more, and begins no alternate tree. Its leaves
	// go on learning; those of a HoeffdingRegressor, where no room will come,
	// keep no values to split at.
	MaxLeaves int
	// MaxKeys bounds the values of one feature that a leaf tells apart, from 1
	// to 65,536. Besides, all leaves together keep 64 values for every feature
	// and leaf that the tree may have, and MaxKeys for every feature. A new value
	// beyond either counts as the nearest of those it is compared with.
	MaxKeys int
}

// DefaultConfig returns River's defaults, 1,024 leaves and 4,096 values.
func DefaultConfig() Config {
	return Config{
		GracePeriod: 200, MaxDepth: deepest, Delta: 1e-7, Tau: 0.05, LeafPrediction: Adaptive, ModelSelectorDecay: 0.95,
		Splitter: TEBST, Digits: 1, MinSamplesSplit: 5, MaxLeaves: 1024, MaxKeys: 4096,
	}
}

const maxMaxKeys = 1 << 16 // as deep as a walk through a degenerate ebst gets

// bounded takes values outside their bounds as the nearest within.
func (c Config) bounded() Config {
	c.GracePeriod = max(c.GracePeriod, 1)
	c.MaxDepth = min(max(c.MaxDepth, 1), deepest)
	c.Delta = min(max(c.Delta, 1e-300), 1)
	c.ModelSelectorDecay = min(max(c.ModelSelectorDecay, 0), 1)
	if c.LeafPrediction != Mean && c.LeafPrediction != Model {
		c.LeafPrediction = Adaptive
	}
	if c.Splitter != EBST {
		c.Splitter = TEBST
	}
	c.Digits = min(max(c.Digits, 0), maxPlaces)
	c.MinSamplesSplit = max(c.MinSamplesSplit, 1)
	c.MaxLeaves = max(c.MaxLeaves, 1)
	c.MaxKeys = min(max(c.MaxKeys, 1), maxMaxKeys)
	return c
}

// ReadConfig reads the parameters of a tree from a catalogue.
func ReadConfig(p *online.Params) Config { return ReadConfigFrom(p, DefaultConfig()) }

// ReadConfigFrom reads them where those that are not given are c's: the trees of
// a forest have other defaults.
func ReadConfigFrom(p *online.Params, c Config) Config {
	above, least, most := online.Above, online.AtLeast, online.AtMost
	c.GracePeriod = p.Int("grace_period", c.GracePeriod, least(1), most(1e9))
	c.MaxDepth = p.Int("max_depth", c.MaxDepth, least(1), most(deepest))
	c.Delta = p.Float("delta", c.Delta, least(1e-300), most(1))
	c.Tau = p.Float("tau", c.Tau, least(0))
	c.LeafPrediction = LeafPrediction(p.Choice("leaf_prediction", string(Adaptive), string(Mean), string(Model)))
	c.ModelSelectorDecay = p.Float("model_selector_decay", c.ModelSelectorDecay, above(0), most(1))
	c.Splitter = Splitter(p.Choice("splitter", string(TEBST), string(EBST)))
	c.Digits = p.Int("digits", c.Digits, least(0), most(maxPlaces))
	c.MinSamplesSplit = p.Int("min_samples_split", c.MinSamplesSplit, least(1), most(1e9))
	c.MaxLeaves = p.Int("max_leaves", c.MaxLeaves, least(1), most(1<<20))
	c.MaxKeys = p.Int("max_keys", c.MaxKeys, least(1), most(maxMaxKeys))
	return c
}
