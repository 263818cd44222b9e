// Package onlinetest is the suite that every model and transformer of package
// online passes. Run it on a model of your own:
//
//	func TestConformance(t *testing.T) {
//		onlinetest.Regressor(t, onlinetest.Options{MaxStateBytes: 1 << 10}, func(width int) online.Regressor {
//			return mymodel.New(width)
//		})
//	}
package onlinetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/state"
)

// Options say what a model promises beyond the interface.
type Options struct {
	// MaxStateBytes bounds the state of a model of six features, however much it
	// learns. The suite lets it learn -onlinetest.events events, 20,000 if not
	// given, fewer with -short.
	MaxStateBytes int
	// Fixture, such as testdata/migrations/KNNRegressor, begins the names of the
	// files that hold a state in every format the model has ever written:
	// KNNRegressor.v1.bin and so on. The suite reads all of them. To write one
	// of the present format, run the test with -onlinetest.update; that of an
	// older format is never written again.
	Fixture string
	// Allocates is set by models whose predictions may allocate.
	Allocates bool
}

const (
	width  = 6
	events = 2000
)

var (
	bounded = flag.Int("onlinetest.events", 0, "learn so many events before the size of the state is judged")
	update  = flag.Bool("onlinetest.update", false, "write fixtures of the present state format")
)

// Regressor runs the suite on models that new returns, each with nothing
// learned and built with the same parameters.
func Regressor(t *testing.T, opts Options, new func(width int) online.Regressor) {
	fresh := func() online.Regressor { return new(width) }
	learned := func(n int) online.Regressor {
		m := fresh()
		learn(m, stream(1, n))
		return m
	}
	t.Run("first event", func(t *testing.T) { firstEvent(t, fresh()) })
	t.Run("predict is pure", func(t *testing.T) { predictIsPure(t, learned(events)) })
	t.Run("predict does not allocate", func(t *testing.T) {
		if opts.Allocates || raceEnabled {
			t.Skip("the model allocates, or the race detector does")
		}
		m, x := learned(events), stream(2, 1)[0].x
		if n := testing.AllocsPerRun(1000, func() { m.Predict(x) }); n != 0 {
			t.Errorf("%v allocations a prediction, want none", n)
		}
	})
	t.Run("determinism", func(t *testing.T) {
		if !bytes.Equal(encode(t, learned(events)), encode(t, learned(events))) {
			t.Error("two models that learned the same differ")
		}
	})
	t.Run("decoded equals encoded", func(t *testing.T) {
		for _, n := range []int{0, 1, 2, events} {
			decodedEqualsEncoded(t, learned(n), fresh())
		}
	})
	t.Run("decoding replaces", func(t *testing.T) {
		m, other := learned(events), fresh()
		learn(other, stream(3, 10))
		want := encode(t, other)
		if err := m.UnmarshalBinary(want); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encode(t, m), want) {
			t.Error("a model that had learned before is not what it decoded")
		}
	})
	t.Run("hostile state", func(t *testing.T) { HostileState(t, learned(events), encode(t, learned(10))) })
	t.Run("another width", func(t *testing.T) {
		if err := new(width + 1).UnmarshalBinary(encode(t, learned(10))); err == nil {
			t.Error("a state of another width was read")
		}
	})
	t.Run("absurd features and labels", func(t *testing.T) { absurd(t, fresh) })
	t.Run("explanation", func(t *testing.T) {
		for _, n := range []int{0, 1, events} {
			explanation(t, learned(n), fresh())
		}
	})
	t.Run("constant target", func(t *testing.T) { constantTarget(t, fresh()) })
	t.Run("a feature that comes later", func(t *testing.T) { laterFeature(t, fresh()) })
	t.Run("bounded state", func(t *testing.T) { boundedState(t, fresh(), opts.MaxStateBytes) })
	if opts.Fixture != "" {
		t.Run("fixtures", func(t *testing.T) { fixtures(t, opts.Fixture, fresh) })
	}
}

// Transformer runs the suite on transformers that new returns, each with
// nothing learned and built with the same parameters.
func Transformer(t *testing.T, opts Options, new func(width int) online.Transformer) {
	_, out := new(width).Width()
	t.Run("transform does not allocate", func(t *testing.T) {
		if opts.Allocates || raceEnabled {
			t.Skip("the transformer allocates, or the race detector does")
		}
		tr, x, dst := new(width), stream(2, 1)[0].x, make([]float64, 0, out)
		tr.Learn(x)
		if n := testing.AllocsPerRun(1000, func() { tr.Transform(dst, x) }); n != 0 {
			t.Errorf("%v allocations a vector, want none", n)
		}
	})
	// The suite looks at a transformer through a model that only adds up.
	opts.Allocates = true
	Regressor(t, opts, func(width int) online.Regressor { return &summed{new(width)} })
	t.Run("appends", func(t *testing.T) {
		tr := new(width)
		got := tr.Transform([]float64{7}, stream(1, 1)[0].x)
		if len(got) != 1+out || got[0] != 7 {
			t.Errorf("Transform appended to [7] gives %v, want 7 and %d more", got, out)
		}
	})
}

// summed predicts the sum of a transformed vector.
type summed struct{ online.Transformer }

func (s *summed) Width() int { in, _ := s.Transformer.Width(); return in }

func (s *summed) Predict(x []float64) float64 {
	var sum float64
	for _, v := range s.Transform(nil, x) {
		if !math.IsNaN(v) {
			sum += v / 1e9 // the sum of the largest floats would be infinite
		}
	}
	return sum
}

func (s *summed) Explain(features []string) online.Explanation {
	return online.Explain(s.Transformer, features)
}

func (s *summed) Learn(x []float64, _ float64) { s.Transformer.Learn(x) }

type sample struct {
	x []float64
	y float64
}

// stream returns n events that look like trips: features of very different
// scales, some of them missing, and a label that depends on them.
func stream(seed uint64, n int) []sample {
	r := rand.New(rand.NewPCG(seed, 0))
	samples := make([]sample, n)
	for i := range samples {
		hour := r.Float64() * 2 * math.Pi
		x := []float64{
			float64(r.IntN(6)), float64(r.IntN(2)), r.ExpFloat64() * .03,
			1e-5 * (1 + r.Float64()), math.Cos(hour), math.Sin(hour),
		}
		y := 300 + x[2]*2e4 + 60*x[4] + 30*r.NormFloat64()
		if r.IntN(20) == 0 {
			x[r.IntN(len(x))] = math.NaN()
		}
		samples[i] = sample{x, y}
	}
	return samples
}

func learn(m online.Regressor, samples []sample) {
	for _, s := range samples {
		m.Learn(s.x, s.y)
	}
}

func encode(t *testing.T, s online.State) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstEvent(t *testing.T, m online.Regressor) {
	first := stream(1, 1)[0]
	if y := m.Predict(first.x); math.IsNaN(y) || math.IsInf(y, 0) {
		t.Errorf("a model with nothing learned predicts %v", y)
	}
	m.Learn(first.x, first.y)
	if y := m.Predict(first.x); math.IsNaN(y) || math.IsInf(y, 0) {
		t.Errorf("after one event the model predicts %v", y)
	}
}

func predictIsPure(t *testing.T, m online.Regressor) {
	before := encode(t, m)
	done := make(chan []float64)
	for range 4 { // at once, so that the race detector sees a write
		go func() {
			var ys []float64
			for _, s := range stream(2, 200) {
				ys = append(ys, m.Predict(s.x))
			}
			done <- ys
		}()
	}
	first := <-done
	for range 3 {
		for i, y := range <-done {
			if math.Float64bits(y) != math.Float64bits(first[i]) {
				t.Fatalf("event %d is predicted as %v and as %v", i, y, first[i])
			}
		}
	}
	if !bytes.Equal(before, encode(t, m)) {
		t.Error("predicting changed the state")
	}
}

func decodedEqualsEncoded(t *testing.T, m, copied online.Regressor) {
	t.Helper()
	if err := copied.UnmarshalBinary(encode(t, m)); err != nil {
		t.Fatal(err)
	}
	for i, s := range stream(4, 500) {
		if a, b := m.Predict(s.x), copied.Predict(s.x); math.Float64bits(a) != math.Float64bits(b) {
			t.Fatalf("%d events after decoding: predicts %v, the original %v", i, b, a)
		}
		m.Learn(s.x, s.y)
		copied.Learn(s.x, s.y)
	}
	if !bytes.Equal(encode(t, m), encode(t, copied)) {
		t.Error("states differ 500 events after decoding")
	}
}

// HostileState gives m what is not its state, made from one that is: it must
// refuse with a *state.FormatError and stay what it was. Models need not call it,
// it is part of their suite.
func HostileState(t *testing.T, m online.State, good []byte) {
	t.Helper()
	before := encode(t, m)
	refuse := func(what string, data []byte) {
		t.Helper()
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); !errors.As(err, &format) {
			t.Fatalf("%s: error %v, want a *state.FormatError", what, err)
		}
		if !bytes.Equal(before, encode(t, m)) {
			t.Fatalf("%s: refused, but the state has changed", what)
		}
	}
	for n := range good {
		refuse("truncated", good[:n])
	}
	refuse("with a byte too many", append(bytes.Clone(good), 0))

	r := rand.New(rand.NewPCG(5, 0))
	for range 1000 { // any outcome but a panic, or a half-read state
		data := bytes.Clone(good)
		for range 1 + r.IntN(8) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		if m.UnmarshalBinary(data) != nil && !bytes.Equal(before, encode(t, m)) {
			t.Fatalf("%x: refused, but the state has changed", data)
		}
		if err := m.UnmarshalBinary(before); err != nil {
			t.Fatal(err)
		}
	}
}

// absurd learns what no feed should send among what it does: the model answers
// with a number or NaN, its state stays readable, and a vector without anything
// finite is as good as any other.
func absurd(t *testing.T, fresh func() online.Regressor) {
	nan, inf, huge := math.NaN(), math.Inf(1), math.MaxFloat64
	vectors := [][]float64{
		{nan, nan, nan, nan, nan, nan},
		{inf, -inf, inf, -inf, inf, -inf},
		{huge, -huge, huge, -huge, huge, -huge},
		{-huge, huge, -huge, huge, -huge, huge},
		{5e-324, -5e-324, 5e-324, 0, math.Copysign(0, -1), 1},
	}
	m := fresh()
	for i, s := range stream(6, 500) {
		x := vectors[i%len(vectors)]
		for _, y := range []float64{nan, inf, -inf, huge, s.y} {
			if got := m.Predict(x); math.IsInf(got, 0) {
				t.Fatalf("predicts %v for %v", got, x)
			}
			m.Learn(x, y)
		}
		m.Learn(s.x, s.y)
	}
	if err := fresh().UnmarshalBinary(encode(t, m)); err != nil {
		t.Errorf("the state is poisoned: %v", err)
	}

	// Infinite features and labels are missing ones, so these leave no trace at all.
	plain, salted := fresh(), fresh()
	for _, s := range stream(7, 500) {
		plain.Learn(s.x, s.y)
		x := slices.Clone(s.x)
		for i := range x {
			if math.IsNaN(x[i]) {
				x[i] = inf
			}
		}
		salted.Learn(x, s.y)
	}
	if !bytes.Equal(encode(t, plain), encode(t, salted)) {
		t.Error("an infinite feature is not learned as a missing one")
	}
}

// laterFeature hides a feature for a while, as a program of SQL does that gains one.
func laterFeature(t *testing.T, m online.Regressor) {
	for i, s := range stream(9, events) {
		x := slices.Clone(s.x)
		if i < events/2 {
			x[2] = math.NaN()
		}
		if y := m.Predict(x); math.IsNaN(y) || math.IsInf(y, 0) {
			t.Fatalf("event %d: predicts %v", i, y)
		}
		m.Learn(x, s.y)
	}
}

// boundedState learns for long what never repeats itself: every value is new,
// scales wander, and the label's dependence on them turns.
func boundedState(t *testing.T, m online.Regressor, limit int) {
	n := *bounded
	if n == 0 {
		n = 10 * events
	}
	if (testing.Short() || raceEnabled) && *bounded == 0 {
		n = events
	}
	r := rand.New(rand.NewPCG(10, 0))
	x := make([]float64, width)
	for i := range n {
		drift := float64(i) / 10_000
		for j := range x {
			x[j] = r.NormFloat64()*(1+drift) + 3*math.Sin(drift+float64(j))
		}
		m.Learn(x, 600+100*x[i/50_000%width]+10*r.NormFloat64())
		if i%(n/10) == n/10-1 {
			if got := len(encode(t, m)); got > limit {
				t.Fatalf("%d bytes of state after %d events, want at most %d", got, i+1, limit)
			}
		}
	}
}

// fixtures reads states of every format. They are of the model after the same
// events, so whichever format it is read from, it predicts and learns the same.
func fixtures(t *testing.T, prefix string, fresh func() online.Regressor) {
	taught := fresh()
	learn(taught, stream(11, 300))
	Fixtures(t, prefix, taught, func(name string, data []byte) {
		m, reference := fresh(), fresh()
		if err := m.UnmarshalBinary(data); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		learn(reference, stream(11, 300))
		for i, s := range stream(12, 200) {
			a, b := reference.Predict(s.x), m.Predict(s.x)
			if math.Abs(a-b) > 1e-9*math.Abs(a) || math.IsNaN(a) != math.IsNaN(b) {
				t.Errorf("%s: predicts %v %d events after it was read, want %v", name, b, i, a)
				break
			}
			reference.Learn(s.x, s.y)
			m.Learn(s.x, s.y)
		}
	})
}

// Fixtures calls check with the fixtures of a state, which are as Options.Fixture
// says, for what is no model. taught is what the one of the present format is
// written from.
func Fixtures(t *testing.T, prefix string, taught online.State, check func(name string, data []byte)) {
	t.Helper()
	if *update {
		writeFixture(t, prefix, encode(t, taught))
	}
	files, err := filepath.Glob(prefix + ".v*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures %s.v*.bin (%v): -onlinetest.update writes one", prefix, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		check(name, data)
	}
}

// writeFixture names a state by the format version in its header.
func writeFixture(t *testing.T, prefix string, data []byte) {
	version, n := binary.Uvarint(data[1+int(data[0]):])
	if n <= 0 {
		t.Fatal("the state has no header of package state")
	}
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("%s.v%d.bin", prefix, version), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func constantTarget(t *testing.T, m online.Regressor) {
	samples := stream(8, events)
	for i := range samples {
		samples[i].y = 600
	}
	learn(m, samples)
	if y := m.Predict(samples[0].x); math.IsNaN(y) || math.IsInf(y, 0) {
		t.Errorf("predicts %v where every label was 600", y)
	}
}
