package linear_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/state"
)

// robust is how a catalogue would have it: it forgets, and outliers count less.
func robust() linear.BayesianConfig {
	c := linear.DefaultBayesianConfig()
	c.Alpha, c.Smoothing, c.Huber = 0.01, 0.999, 0.3
	return c
}

func TestBayesianConforms(t *testing.T) {
	for name, config := range map[string]linear.BayesianConfig{
		"BayesianLinearRegression":        linear.DefaultBayesianConfig(),
		"BayesianLinearRegression-robust": robust(),
	} {
		t.Run(name, func(t *testing.T) {
			opts := onlinetest.Options{MaxStateBytes: 256, Fixture: "testdata/migrations/" + name}
			onlinetest.Regressor(t, opts, func(width int) online.Regressor { return linear.NewBayesianRegression(width, config) })
		})
	}
}

// The weights are those of the ridge regression, whatever the order of events.
func TestBayesianIsRidge(t *testing.T) {
	c := linear.DefaultBayesianConfig()
	c.Alpha, c.Beta = 3, 2
	m := linear.NewBayesianRegression(1, c)
	var xx, xy float64
	for i := range 100 {
		x, y := float64(i%7), float64(i%5)
		m.Learn([]float64{x}, y)
		xx, xy = xx+x*x, xy+x*y
	}
	if got, want := m.Weights()[0], 2*xy/(3+2*xx); math.Abs(got-want) > 1e-12 {
		t.Errorf("weight %v, want %v", got, want)
	}
	if got, want := m.Variance([]float64{4}), 0.5+16/(3+2*xx); math.Abs(got-want) > 1e-12 {
		t.Errorf("variance %v, want %v", got, want)
	}
}

// One label in ten is absurd: with Huber's weights the line is found all the same.
func TestBayesianHuber(t *testing.T) {
	off := func(huber float64) float64 {
		c := linear.DefaultBayesianConfig()
		c.Huber = huber
		m, r := linear.NewBayesianRegression(2, c), rand.New(rand.NewPCG(1, 0))
		for i := range 5000 {
			x := r.NormFloat64()
			y := 1 + 2*x + 0.1*r.NormFloat64()
			if i%10 == 0 {
				y = 100
			}
			m.Learn([]float64{1, x}, y)
		}
		return math.Abs(m.Predict([]float64{1, 1}) - 3)
	}
	if plain, huber := off(0), off(0.2); plain < 5 || huber > 0.1 {
		t.Errorf("off by %v without Huber's weights and by %v with them, want above 5 and below 0.1", plain, huber)
	}
}

// What is not seen for a million events keeps a variance, and what is seen
// again afterwards is learned from and does no harm.
func TestBayesianWindup(t *testing.T) {
	c := robust()
	c.MaxWindup = 100
	m, r := linear.NewBayesianRegression(3, c), rand.New(rand.NewPCG(2, 0))
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	x := []float64{1, 0, 0}
	for range n {
		x[1] = r.NormFloat64()
		m.Learn(x, 5+3*x[1]+0.1*r.NormFloat64())
	}
	unseen := m.Variance([]float64{0, 0, 1}) - m.Variance([]float64{0, 0, 0})
	if want := c.MaxWindup / c.Alpha; math.Abs(unseen-want) > 1e-6*want {
		t.Errorf("the variance of what was never seen is %v, want %v", unseen, want)
	}
	for _, v := range [][]float64{{1, 0, 0}, {1, 1, 1}, {-1, 1, 0}, {1, -3, 2}} {
		if got := m.Variance(v); !(got > 1/c.Beta) || math.IsInf(got, 0) {
			t.Errorf("the variance of %v is %v", v, got)
		}
	}
	m.Learn([]float64{1, 0, 1}, 6)
	if got := m.Predict([]float64{1, 1, 0}); math.Abs(got-8) > 0.2 {
		t.Errorf("predicts %v after a feature that was new, want about 8", got)
	}
}

// Two large features that are all but equal are where a covariance that is not
// factored loses its sign, with the second event.
func TestBayesianCollinear(t *testing.T) {
	m := linear.NewBayesianRegression(3, linear.DefaultBayesianConfig())
	r := rand.New(rand.NewPCG(3, 0))
	for range 20_000 {
		x := 1e8 * r.NormFloat64()
		event := []float64{x, x * (1 + 1e-3*r.NormFloat64()), 1}
		m.Learn(event, x)
		if v := m.Variance(event); !(v >= 1 && v <= 2) {
			t.Fatalf("a variance of %v where it was just observed with 1", v)
		}
	}
	if got := m.Weights(); math.Abs(got[0]-1) > 1e-6 || math.Abs(got[1]) > 1e-6 {
		t.Errorf("weights %v, want 1 and 0", got)
	}
}

// A step that would leave anything that is not finite is not taken, and a
// variance that is negative is not read.
func TestBayesianState(t *testing.T) {
	encoded := func(d0, d1 float64) []byte {
		b := state.AppendUint(state.AppendHeader(nil, "BayesianLinearRegression", 1), 2)
		for _, v := range []float64{0, 0, d0, d1, 0} { // weights, variances, factor
			b = state.AppendFloat(b, v)
		}
		return b
	}
	m := linear.NewBayesianRegression(2, linear.DefaultBayesianConfig())
	if err := m.UnmarshalBinary(encoded(1e6, 0)); err != nil {
		t.Fatal(err)
	}
	m.Learn([]float64{1e-3, 1e308}, 1) // would overflow the factor alone
	if got, err := m.AppendBinary(nil); err != nil || !bytes.Equal(got, encoded(1e6, 0)) {
		t.Errorf("a step that is not finite left the state %x", got)
	}
	if err := m.UnmarshalBinary(encoded(1, -1)); err == nil {
		t.Error("a negative variance was read")
	}
}

func TestBayesianParameters(t *testing.T) {
	wide := make([]string, 129)
	for i := range wide {
		wide[i] = fmt.Sprintf("f%d", i)
	}
	for _, tt := range []struct {
		features         []string
		parameters, want string
	}{
		{wide, "", "takes 129 features, 128 are the most"},
		{wide[:2], "smoothing: 1", "smoothing: 1 is not at most"},
		{wide[:2], "alpha: 0", "alpha: 0 is not at least"},
		{wide[:2], "max_windup: 0.5", "max_windup: 0.5 is not at least 1"},
	} {
		_, err := parse(tt.features, "[]", "BayesianLinearRegression: {"+tt.parameters+"}")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("{%s}: error %v, want %q in it", tt.parameters, err, tt.want)
		}
	}
}

func FuzzBayesianState(f *testing.F) {
	m := linear.NewBayesianRegression(3, robust())
	m.Learn([]float64{1, 2, 3}, 4)
	seed, err := m.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := linear.NewBayesianRegression(3, robust())
		var format *state.FormatError
		if err := m.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		m.Learn([]float64{1, 2, 3}, 4)
		if y := m.Predict([]float64{1, 2, 3}); math.IsInf(y, 0) {
			t.Errorf("predicts %v", y)
		}
		if v := m.Variance([]float64{1, 2, 3}); !(v >= 1) {
			t.Errorf("a variance of %v", v)
		}
		if again, err := m.AppendBinary(nil); err != nil || linear.NewBayesianRegression(3, robust()).UnmarshalBinary(again) != nil {
			t.Errorf("%x is read but cannot be written and read again", data)
		}
	})
}

func ExampleBayesianRegression() {
	m := linear.NewBayesianRegression(2, linear.DefaultBayesianConfig())
	for x := range 20 {
		m.Learn([]float64{1, float64(x)}, 2*float64(x)+1)
	}
	x := []float64{1, 30}
	fmt.Printf("%.1f ± %.1f", m.Predict(x), math.Sqrt(m.Variance(x)))
	// Output: 61.1 ± 1.3
}

func BenchmarkBayesian(b *testing.B) {
	for _, width := range []int{6, 55, 128} {
		m := linear.NewBayesianRegression(width, robust())
		r := rand.New(rand.NewPCG(4, 0))
		x := make([]float64, width)
		for range 100 {
			for i := range x {
				x[i] = r.NormFloat64()
			}
			m.Learn(x, x[0])
		}
		b.Run(fmt.Sprintf("Learn/%d", width), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Learn(x, x[0])
			}
		})
		b.Run(fmt.Sprintf("Predict/%d", width), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Predict(x)
			}
		})
	}
}
