// Package neighbors predicts from the most similar of the latest events, as
// river.neighbors does: it keeps a window of them and searches it exactly.
package neighbors

import (
	"math"
	"slices"
	"sync"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/state"
)

const (
	regressorKind   = "KNNRegressor"
	regressorFormat = 1
)

// The largest window and number of neighbours.
const (
	MaxWindow    = 100_000
	MaxNeighbors = 1_000
)

// Aggregation is how the labels of the neighbours become a prediction.
type Aggregation string

// The aggregations. WeightedMedian is not in River.
const (
	Mean           Aggregation = "mean"
	Median         Aggregation = "median"
	WeightedMean   Aggregation = "weighted_mean"
	WeightedMedian Aggregation = "weighted_median"
)

// Config are the parameters of a Regressor, with River's names and defaults. A
// value out of bounds is taken as the nearest within.
type Config struct {
	NNeighbors        int         // neighbours that a prediction is made of, 1 to MaxNeighbors
	WindowSize        int         // events that are kept, the latest ones, 1 to MaxWindow
	AggregationMethod Aggregation // of the neighbours' labels
	P                 int         // of the distance: 1 Manhattan, 2 squared Euclidean
	// MinDistanceKeep is the distance from its nearest neighbour at which an
	// event is kept. River 0.13.0 keeps those that are nearer, against its own
	// documentation. At 0 all are kept, without a search.
	MinDistanceKeep float64

	// What follows is not in River, and off by default.

	// Smoothing is added to every distance before it becomes a weight. Above 0,
	// a neighbour at distance 0 is one of several and no longer the answer.
	Smoothing float64
	// Weights multiply the features before they are compared; those that are
	// not there are 1.
	Weights []float64
	// Float32 rounds features and labels to float32 when they come in, which
	// leaves them seven significant digits and halves the state.
	Float32 bool
}

// DefaultConfig returns River's defaults.
func DefaultConfig() Config {
	return Config{NNeighbors: 5, WindowSize: 1000, AggregationMethod: Mean, P: 2}
}

// Regressor predicts a label from those of the nearest of the latest events.
//
// It computes what river/neighbors/knn_regressor.py of River 0.13.0 computes.
// The distance is the sum of |a-b|**p over the features, without the root, and
// a missing feature counts as 0 (river/utils/math.py). Of neighbours at the same
// distance the older one is nearer. The neighbours' labels are averaged, or
// their median is taken, or they are weighted by 1/distance; one at distance 0
// is the answer itself, whatever the aggregation. River sums over a set, in an
// order that differs from run to run; here it is that of the vector.
//
// Features should be scaled first. An event is not learned whose features or
// label would be infinite once weighted and rounded.
//
// The state holds the window and takes 8 bytes, or 4 with Float32, for every
// feature and label: a window of 1,000 with six features is 56 kB, one of
// 20,000 with seven is 1.28 MB, or 640 kB with Float32. In memory every value
// takes eight bytes, twice that in large windows, which are indexed.
type Regressor struct {
	config Config
	width  int
	window window
	pool   sync.Pool // *search
}

var _ online.Regressor = (*Regressor)(nil)

// NewRegressor returns a regressor on vectors of this width.
func NewRegressor(width int, config Config) *Regressor {
	config.NNeighbors = min(max(config.NNeighbors, 1), MaxNeighbors)
	config.WindowSize = min(max(config.WindowSize, 1), MaxWindow)
	config.P = min(max(config.P, int(manhattan)), int(euclidean))
	config.Weights = slices.Clone(config.Weights[:min(len(config.Weights), width)])
	r := &Regressor{config: config, width: width}
	r.window = newWindow(width, config.WindowSize, config.P)
	r.pool.New = func() any { return newSearch(width, config.NNeighbors) }
	return r
}

// RegressorKind builds a Regressor from a catalogue. Parameters: n_neighbors,
// window_size, aggregation_method, p, min_distance_keep, smoothing, weights (a
// mapping of features to weights) and precision (float64 or float32).
func RegressorKind(p *online.Params) online.Regressor {
	c := DefaultConfig()
	c.NNeighbors = p.Int("n_neighbors", c.NNeighbors, online.AtLeast(1), online.AtMost(MaxNeighbors))
	c.WindowSize = p.Int("window_size", c.WindowSize, online.AtLeast(1), online.AtMost(MaxWindow))
	c.AggregationMethod = Aggregation(p.Choice("aggregation_method",
		string(Mean), string(Median), string(WeightedMean), string(WeightedMedian)))
	c.P = p.Int("p", c.P, online.AtLeast(1), online.AtMost(2))
	c.MinDistanceKeep = p.Float("min_distance_keep", c.MinDistanceKeep, online.AtLeast(0))
	c.Smoothing = p.Float("smoothing", c.Smoothing, online.AtLeast(0))
	if c.Smoothing > 0 && (c.AggregationMethod == Mean || c.AggregationMethod == Median) {
		p.Fail("smoothing", "is of the weights, and %s has none", c.AggregationMethod)
	}
	weights := p.FloatMap("weights", p.Features(), 1, online.AtLeast(0))
	for _, name := range p.Features() {
		c.Weights = append(c.Weights, weights[name])
	}
	c.Float32 = p.Choice("precision", "float64", "float32") == "float32"
	return NewRegressor(p.Width(), c)
}

// Width is the number of features.
func (r *Regressor) Width() int { return r.width }

// Len is the number of events in the window.
func (r *Regressor) Len() int { return r.window.len() }

// Predict aggregates the labels of the nearest neighbours. It takes time in
// proportion to the window, less in large ones, and does not allocate once warm.
func (r *Regressor) Predict(x []float64) float64 {
	if r.window.len() == 0 {
		return 0
	}
	s := r.pool.Get().(*search)
	r.point(s.x, x)
	r.window.nearest(s)
	y := r.aggregate(s)
	r.pool.Put(s)
	if !libm.Finite(y) {
		return math.NaN()
	}
	return y
}

// Learn puts an event into the window, in place of the oldest if that is full.
func (r *Regressor) Learn(x []float64, y float64) {
	y = r.rounded(y)
	s := r.pool.Get().(*search)
	defer r.pool.Put(s)
	if !r.point(s.x, x) || !libm.Finite(y) {
		return
	}
	if r.config.MinDistanceKeep > 0 && r.window.len() > 0 {
		r.window.nearest(s)
		if s.dist[0] < r.config.MinDistanceKeep {
			return
		}
	}
	r.window.add(s.x, y)
}

// point makes x what the window holds, and reports whether all of it is finite.
func (r *Regressor) point(dst, x []float64) (ok bool) {
	ok = true
	for i, xi := range x {
		if !libm.Finite(xi) {
			dst[i] = 0
			continue
		}
		if i < len(r.config.Weights) {
			xi *= r.config.Weights[i]
		}
		dst[i] = r.rounded(xi)
		ok = ok && libm.Finite(dst[i])
	}
	return ok
}

func (r *Regressor) rounded(v float64) float64 {
	if r.config.Float32 {
		return float64(float32(v))
	}
	return v
}

// AppendBinary appends the window, from the oldest event to the latest.
func (r *Regressor) AppendBinary(b []byte) ([]byte, error) {
	b = state.AppendHeader(b, regressorKind, regressorFormat)
	b = state.AppendUint(b, uint64(r.width))
	b = state.AppendUint(b, uint64(r.bytes()))
	b = state.AppendUint(b, uint64(r.window.len()))
	for x, y := range r.window.all {
		for _, v := range x {
			b = r.appendValue(b, v)
		}
		b = r.appendValue(b, y)
	}
	return b, nil
}

// UnmarshalBinary reads what a regressor of the same width and precision has
// written, whose window was not larger.
func (r *Regressor) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, regressorKind, regressorFormat)
	d.Width(r.width)
	if n := d.Uint(); d.Err() == nil && n != uint64(r.bytes()) {
		d.Fail("has values of %d bytes, want %d", n, r.bytes())
	}
	n := d.Len((r.width + 1) * r.bytes())
	if n > r.config.WindowSize {
		d.Fail("holds %d events where %d is the most", n, r.config.WindowSize)
	}
	if err := d.Err(); err != nil {
		return err
	}
	w := newWindow(r.width, r.config.WindowSize, r.config.P)
	w.points = make([]float64, 0, n*r.width)
	w.labels = make([]float64, 0, n)
	for range n {
		for range r.width {
			w.points = append(w.points, r.value(d))
		}
		w.labels = append(w.labels, r.value(d))
	}
	w.next = n
	if err := d.Close(); err != nil {
		return err
	}
	w.index()
	r.window = w
	return nil
}

// bytes is the size of a value in the state.
func (r *Regressor) bytes() int {
	if r.config.Float32 {
		return 4
	}
	return 8
}

func (r *Regressor) appendValue(b []byte, v float64) []byte {
	if r.config.Float32 {
		return state.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return state.AppendFloat(b, v)
}

func (r *Regressor) value(d *state.Decoder) float64 {
	if !r.config.Float32 {
		return d.Float()
	}
	v := float64(math.Float32frombits(d.Uint32()))
	if !libm.Finite(v) {
		d.Fail("holds %v", v)
	}
	return v
}
