package ensemble

import (
	"math"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/libm"
	"tripcast.dev/functions/online/internal/mt19937"
	"tripcast.dev/functions/online/internal/together"
	"tripcast.dev/functions/online/state"
)

const (
	baggingKind   = "BaggingRegressor"
	baggingFormat = 1
)

// BaggingConfig are the parameters of a Bagging, with River's names and defaults.
type BaggingConfig struct {
	NModels int    // copies of the model, at least 1
	Seed    uint64 // of what is drawn
}

// DefaultBaggingConfig returns River's defaults, and the seed 0 where River has none.
func DefaultBaggingConfig() BaggingConfig { return BaggingConfig{NModels: 10} }

// Bagging teaches every event to each of several copies of a model as often as
// a Poisson(1) draw says, about as often as a bootstrap sample would hold it,
// and predicts the mean of their predictions (Oza and Russell, 2001: Online
// bagging and boosting).
//
// It computes what BaggingRegressor in river/ensemble/bagging.py of River
// 0.26.1 computes: draws come from one generator, in the order of the members.
// A member without a finite prediction is left out of the mean.
type Bagging struct {
	members
	random mt19937.Rand
	times  []int // that each member learns the event
	crew   together.Crew
}

var _ online.Regressor = (*Bagging)(nil)

// NewBagging returns a bagging of the models that build builds. Like River's
// clones, all are built with the seed of the configuration.
func NewBagging(config BaggingConfig, build func(seed uint64) online.Regressor) *Bagging {
	b := &Bagging{}
	b.random.Seed(config.Seed)
	for range max(config.NModels, 1) {
		b.members = append(b.members, build(config.Seed))
	}
	b.times = make([]int, len(b.members))
	return b
}

// BaggingKind builds a Bagging from a catalogue. Parameters: model and n_models.
func BaggingKind(p *online.Params) online.Regressor {
	return NewBagging(BaggingConfig{
		NModels: p.Int("n_models", 10, online.AtLeast(1), online.AtMost(100)),
		Seed:    p.Seed(),
	}, p.Model("model"))
}

// Predict returns the mean of the members' predictions.
func (b *Bagging) Predict(x []float64) float64 {
	var sum float64
	n := 0
	for _, m := range b.members {
		if y := m.Predict(x); libm.Finite(y) {
			sum += y
			n++
		}
	}
	if n == 0 || !libm.Finite(sum) {
		return math.NaN()
	}
	return sum / float64(n)
}

// Learn teaches the event to every member as often as is drawn for it.
func (b *Bagging) Learn(x []float64, y float64) {
	if !libm.Finite(y) {
		return
	}
	for i := range b.times {
		b.times[i] = b.random.Poisson(1)
	}
	b.crew.Each(len(b.members), func(i int) {
		for range b.times[i] {
			b.members[i].Learn(x, y)
		}
	})
}

// AppendBinary appends the state of the generator and those of the members.
func (b *Bagging) AppendBinary(data []byte) ([]byte, error) {
	data = state.AppendHeader(data, baggingKind, baggingFormat)
	return b.append(b.random.Append(data))
}

// UnmarshalBinary reads what a Bagging of as many models of the same parameters has written.
func (b *Bagging) UnmarshalBinary(data []byte) error {
	d, _ := state.NewDecoder(data, baggingKind, baggingFormat)
	var random mt19937.Rand
	random.Decode(d)
	parts := b.decode(d)
	if err := d.Close(); err != nil {
		return err
	}
	if err := b.replace(parts); err != nil {
		return err
	}
	b.random = random
	return nil
}
