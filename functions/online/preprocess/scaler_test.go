package preprocess_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
)

func TestStandardScalerConforms(t *testing.T) {
	onlinetest.Transformer(t, onlinetest.Options{MaxStateBytes: 256, Fixture: "testdata/migrations/StandardScaler"}, func(width int) online.Transformer {
		return preprocess.NewStandardScaler(width)
	})
}

func TestMissingStaysMissing(t *testing.T) {
	s := preprocess.NewStandardScaler(2)
	nan := math.NaN()
	for _, x := range [][]float64{{1, nan}, {3, nan}, {nan, nan}} {
		s.Learn(x)
	}
	got := s.Transform(nil, []float64{3, nan})
	if got[0] != 1 || !math.IsNaN(got[1]) {
		t.Errorf("3 and a missing feature become %v, want 1 and NaN", got)
	}
	if got := s.Transform(nil, []float64{3, 7}); got[1] != 0 {
		t.Errorf("a feature that was never seen becomes %v, want 0 as in River", got[1])
	}
}

func FuzzStandardScalerState(f *testing.F) {
	s := preprocess.NewStandardScaler(2)
	s.Learn([]float64{1, 2})
	seed, err := s.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := preprocess.NewStandardScaler(2)
		var format *state.FormatError
		if err := s.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		s.Learn([]float64{1, 2})
		if again, err := s.AppendBinary(nil); err != nil || preprocess.NewStandardScaler(2).UnmarshalBinary(again) != nil {
			t.Errorf("%x is read but cannot be written and read again", data)
		}
	})
}

func Example() {
	s := preprocess.NewStandardScaler(2)
	for _, x := range [][]float64{{1, 100}, {2, 200}, {3, 300}} {
		s.Learn(x)
	}
	fmt.Printf("%.3f", s.Transform(nil, []float64{3, 200}))
	// Output: [1.225 0.000]
}
