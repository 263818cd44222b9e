package online_test

import (
	"errors"
	"math"
	"testing"

	"tripcast.dev/functions/online"
)

// moody does what it is told.
type moody struct {
	online.Regressor
	predict func() float64
	learn   func()
}

func (m moody) Width() int                { return 1 }
func (m moody) Predict([]float64) float64 { return m.predict() }
func (m moody) Learn([]float64, float64)  { m.learn() }

func TestAnswerAndTeach(t *testing.T) {
	var learned int
	tests := []struct {
		name     string
		predict  func() float64
		learn    func()
		answer   float64 // NaN where it is an error
		says     string
		panicked bool
	}{
		{"well", func() float64 { return -3 }, func() { learned++ }, -3, "", false},
		{"not a number", math.NaN, func() { learned++ }, math.NaN(), "it answers NaN", false},
		{"infinite", func() float64 { return math.Inf(-1) }, func() { learned++ }, math.NaN(), "it answers -Inf", false},
		{"panics", func() float64 { panic("no") }, func() { panic("no") }, math.NaN(), "it panicked: no", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := online.NewPipeline([]string{"a"}, nil, moody{predict: tt.predict, learn: tt.learn})
			if err != nil {
				t.Fatal(err)
			}
			y, err := p.Answer([]float64{1})
			if math.IsNaN(tt.answer) != math.IsNaN(y) || !math.IsNaN(y) && y != tt.answer {
				t.Errorf("answers %v, want %v", y, tt.answer)
			}
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || err.Error() != tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			before := learned
			err = p.Teach([]float64{1}, 2)
			if _, panicked := errors.AsType[*online.PanicError](err); panicked != tt.panicked || !panicked && learned != before+1 {
				t.Errorf("taught %d labels with error %v", learned-before, err)
			}
		})
	}
}
