package forest

import (
	"math"
	"strconv"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/tree"
)

// ARFRegressorKind builds an ARFRegressor from a catalogue. Parameters:
// n_models, lambda_value, disable_weighted_vote, aggregation_method (median or
// mean), max_features (sqrt, log2, all or a number), drift_delta and
// warning_delta (0 is never, River's NoDrift), generator (shared, or member for
// one for every tree), and those of a tree, whose grace_period is 50 and delta
// 0.01 here.
func ARFRegressorKind(p *online.Params) online.Regressor {
	c := DefaultARFConfig()
	c.NModels = p.Int("n_models", c.NModels, online.AtLeast(1), online.AtMost(100))
	c.MaxFeatures = readMaxFeatures(p)
	c.LambdaValue = p.Int("lambda_value", c.LambdaValue, online.AtLeast(1), online.AtMost(100))
	c.Median = p.Choice("aggregation_method", "median", "mean") == "median"
	c.DisableWeightedVote = p.Bool("disable_weighted_vote", c.DisableWeightedVote)
	c.DriftDelta = p.Float("drift_delta", c.DriftDelta, online.AtLeast(0), online.AtMost(0.5))
	c.WarningDelta = p.Float("warning_delta", c.WarningDelta, online.AtLeast(0), online.AtMost(0.5))
	c.Generators = p.Choice("generator", "shared", "member") == "member"
	c.Tree = tree.ReadConfigFrom(p, c.Tree)
	c.Seed, c.Names = p.Seed(), p.Features()
	return NewARFRegressor(p.Width(), c)
}

func readMaxFeatures(p *online.Params) int {
	words := []string{"log2", "all"}
	for n := 1; n <= p.Width(); n++ {
		words = append(words, strconv.Itoa(n))
	}
	switch word := p.Choice("max_features", "sqrt", words...); word {
	case "sqrt":
		return 0
	case "log2":
		return max(int(math.RoundToEven(math.Log2(float64(p.Width())))), 1)
	case "all":
		return p.Width()
	default:
		n, _ := strconv.Atoi(word) // it is one of the words
		return n
	}
}
