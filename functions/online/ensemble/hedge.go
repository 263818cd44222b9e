package ensemble

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/together"
	"tripcast.dev/functions/online/state"
)

const (
	hedgeKind   = "HedgeRegressor"
	hedgeFormat = 1
)

// reach is how many times the scale a loss can count, and how far from the
// weighted median an expert can pull the mean.
const reach = 10

// Aggregation is how the predictions of experts become one.
type Aggregation int

const (
	// Mean is the weighted mean. An expert further from the weighted median
	// than ten times the error of the best expert is taken to be there.
	Mean Aggregation = iota
	// Median is the weighted median.
	Median
)

// HedgeConfig are the parameters of a Hedge. A value outside its bounds is
// taken as the nearest within.
type HedgeConfig struct {
	LearningRate float64 // how fast weights follow losses, in (0, 10]
	Share        float64 // of the weights that is handed round at every event, from 1e-12 to 1
	Window       int     // events that an expert's error is averaged over, at least 1
	Aggregation  Aggregation
}

// DefaultHedgeConfig returns the defaults.
func DefaultHedgeConfig() HedgeConfig {
	return HedgeConfig{LearningRate: 0.3, Share: 1e-3, Window: 1000, Aggregation: Mean}
}

// Hedge is an average of experts, weighted by what they have been worth. The
// weight of an expert falls exponentially with its losses (Vovk, 1990:
// Aggregating strategies; Cesa-Bianchi and Lugosi, 2006: Prediction, Learning,
// and Games, chapter 2), and at every event a share of all weight is handed
// round equally, so that the best expert is found again after a change
// (Herbster and Warmuth, 1998: Tracking the best expert; in the form of
// Cesa-Bianchi et al., 2012: Mirror descent meets fixed share).
//
// The loss of an expert is its absolute error over the running mean absolute
// error of the best expert, and at most 10. So it has no unit: weights are the
// same whether labels are seconds or days. River's EWARegressor takes the
// squared error as it is: in seconds, e to its negative is 0 for every expert,
// and from then on so is every prediction.
//
// An expert without a finite prediction is left out, and its weight stays what
// it is (Freund et al., 1997: Using and combining predictors that specialize).
type Hedge struct {
	members
	config  HedgeConfig
	experts []expert
	misses  []float64 // of an event that is being learned
	crew    together.Crew
	scratch sync.Pool // *[]vote
}

// expert is what is known of a member.
type expert struct {
	weight float64 // above 0; all weights sum to 1
	err    float64 // running mean absolute error, in the label's unit
	n      int     // events it is of, at most Window
}

// vote is a prediction of an expert.
type vote struct {
	y, weight float64
	expert    int
}

var _ online.Regressor = (*Hedge)(nil)

// NewHedge returns an average of these experts. There is at least one, and all
// take vectors of the same width.
func NewHedge(config HedgeConfig, experts ...online.Regressor) (*Hedge, error) {
	m, err := newMembers(experts)
	if err != nil {
		return nil, err
	}
	config.LearningRate = max(min(config.LearningRate, 10), 1e-12)
	config.Share = max(min(config.Share, 1), 1e-12)
	config.Window = max(config.Window, 1)
	h := &Hedge{members: m, config: config, experts: make([]expert, len(m)), misses: make([]float64, len(m))}
	for i := range h.experts {
		h.experts[i].weight = 1 / float64(len(m))
	}
	h.scratch.New = func() any { return new([]vote) }
	return h, nil
}

// HedgeKind builds a Hedge from a catalogue. Parameters: models, a list,
// learning_rate, share, window, and aggregation, which is mean or median.
func HedgeKind(p *online.Params) online.Regressor {
	c := DefaultHedgeConfig()
	c.LearningRate = p.Float("learning_rate", c.LearningRate, online.Above(0), online.AtMost(10))
	c.Share = p.Float("share", c.Share, online.AtLeast(1e-12), online.AtMost(1))
	c.Window = p.Int("window", c.Window, online.AtLeast(1), online.AtMost(1e9))
	if p.Choice("aggregation", "mean", "median") == "median" {
		c.Aggregation = Median
	}
	h, err := NewHedge(c, build(p, "models")...)
	if err != nil { // it has been reported, and what is returned is not used
		return &Hedge{}
	}
	return h
}

// Weights returns the weight of every expert. They sum to 1.
func (h *Hedge) Weights() []float64 {
	weights := make([]float64, len(h.experts))
	for i, e := range h.experts {
		weights[i] = e.weight
	}
	return weights
}

// Predict returns the weighted average of the experts' predictions.
func (h *Hedge) Predict(x []float64) float64 {
	scratch := h.scratch.Get().(*[]vote)
	defer h.scratch.Put(scratch)
	*scratch = h.votes((*scratch)[:0], x)
	votes := *scratch
	if len(votes) == 0 {
		return math.NaN()
	}
	slices.SortFunc(votes, func(a, b vote) int {
		return cmp.Or(cmp.Compare(a.y, b.y), cmp.Compare(a.expert, b.expert))
	})
	var all float64
	for _, v := range votes {
		all += v.weight
	}
	y := median(votes, all)
	if h.config.Aggregation == Mean {
		y += h.pull(votes, all, y)
	}
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

// votes appends what the experts predict, those that do.
func (h *Hedge) votes(dst []vote, x []float64) []vote {
	for i, m := range h.members {
		if y := m.Predict(x); libm.Finite(y) {
			dst = append(dst, vote{y, h.experts[i].weight, i})
		}
	}
	return dst
}

// median returns the weighted median of sorted votes of this weight in all.
// Between two that are as good it is that of the expert named first, and not
// their middle, as one of them may be far from anywhere.
func median(votes []vote, all float64) float64 {
	var below float64
	for i, v := range votes[:len(votes)-1] {
		below += v.weight
		if below > all/2 || below == all/2 && v.expert < votes[i+1].expert {
			return v.y
		}
	}
	return votes[len(votes)-1].y
}

// pull is how far the weighted mean is from the weighted median.
func (h *Hedge) pull(votes []vote, all, median float64) float64 {
	furthest := reach * h.scale()
	var sum float64
	for _, v := range votes {
		sum += float64(v.weight * max(min(v.y-median, furthest), -furthest))
	}
	return sum / all
}

// scale is the mean absolute error of the best expert, in the label's unit, 0
// where none is known.
func (h *Hedge) scale() float64 {
	best, known := math.MaxFloat64, false
	for _, e := range h.experts {
		if e.n > 0 {
			best, known = min(best, e.err), true
		}
	}
	if !known {
		return 0
	}
	return best
}

// Learn moves weights by what the experts predict for the event, and teaches it
// to them.
func (h *Hedge) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	h.crew.Each(len(h.members), func(i int) {
		h.misses[i] = miss(h.members[i].Predict(x), y)
		h.members[i].Learn(x, y)
	})
	h.judge()
	h.share()
}

// miss is by how much a prediction misses a label, NaN where there is no prediction.
func miss(predicted, y float64) float64 {
	if !libm.Finite(predicted) {
		return math.NaN()
	}
	return min(math.Abs(y-predicted), math.MaxFloat64)
}

// judge moves the weights of the experts that had an answer. Together they keep
// the weight they had.
func (h *Hedge) judge() {
	for i, m := range h.misses {
		h.experts[i].observe(m, h.config.Window)
	}
	scale, least := h.scale(), float64(reach)
	for _, m := range h.misses {
		if !math.IsNaN(m) {
			least = min(least, loss(m, scale))
		}
	}
	var before, after float64
	for i, m := range h.misses {
		if e := &h.experts[i]; !math.IsNaN(m) {
			before += e.weight
			e.weight = float64(e.weight * libm.Exp(-h.config.LearningRate*(loss(m, scale)-least)))
			after += e.weight
		}
	}
	for i, m := range h.misses {
		if e := &h.experts[i]; !math.IsNaN(m) {
			e.weight = float64(e.weight * (before / after))
		}
	}
}

// observe takes by how much an expert has missed into its mean error.
func (e *expert) observe(miss float64, window int) {
	if !math.IsNaN(miss) {
		e.n = min(e.n+1, window)
		e.err += (miss - e.err) / float64(e.n)
	}
}

// loss is a miss on a scale.
func loss(miss, scale float64) float64 {
	if miss == 0 { // also on the scale 0
		return 0
	}
	return min(miss/scale, reach)
}

// share hands a share of all weight round.
func (h *Hedge) share() {
	var all float64
	for _, e := range h.experts {
		all += e.weight
	}
	each := h.config.Share / float64(len(h.experts))
	for i := range h.experts {
		e := &h.experts[i]
		e.weight = float64((1-h.config.Share)*(e.weight/all)) + each
	}
}

// AppendBinary appends weights, errors and the states of the experts.
func (h *Hedge) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, hedgeKind, hedgeFormat)
	b = state.AppendUint(b, uint64(len(h.experts)))
	for _, e := range h.experts {
		b = state.AppendFloat(b, e.weight)
		b = state.AppendFloat(b, e.err)
		b = state.AppendUint(b, uint64(e.n))
	}
	return h.append(b)
}

// UnmarshalBinary reads what a Hedge of the same parameters has written.
func (h *Hedge) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, hedgeKind, hedgeFormat)
	if n := d.Uint(); n != uint64(len(h.experts)) {
		d.Fail("has %d experts, want %d", n, len(h.experts))
	}
	experts := make([]expert, len(h.experts))
	var all float64
	for i := range experts {
		e := expert{weight: d.Float(), err: d.Float(), n: int(d.UintUpTo(uint64(h.config.Window)))}
		if !(e.weight > 0) || !(e.err >= 0) {
			d.Fail("holds an expert of weight %v and error %v", e.weight, e.err)
		}
		experts[i] = e
		all += e.weight
	}
	if !(math.Abs(all-1) <= 1e-6) {
		d.Fail("holds weights that sum to %v", all)
	}
	parts := h.decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	if err := h.replace(parts); err != nil {
		return err
	}
	h.experts = experts
	return nil
}
