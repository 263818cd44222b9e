package online_test

import (
	"reflect"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/preprocess"
)

// A model that is no Explainer is what its state says, and one whose state has
// no header is what its type is.
func TestUnexplained(t *testing.T) {
	type hidden struct{ online.Regressor } // has no Explain
	m := hidden{linear.NewRegression(2, linear.DefaultConfig())}
	data, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := online.Explanation{
		Kind: "LinearRegression", Unexplained: true, Counts: map[string]int{"features": 2, "state_bytes": len(data)},
	}
	if got := online.Explain(m, []string{"a", "b"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := online.Explain(silent{}, []string{"a"}); got.Kind != "online_test.silent" || !got.Unexplained || got.Counts["features"] != 3 {
		t.Errorf("a model without a state is %+v", got)
	}
}

// silent has a state of no bytes.
type silent struct{ online.Regressor }

func (silent) Width() int                            { return 3 }
func (silent) AppendBinary(b []byte) ([]byte, error) { return b, nil }

// Coefficients have the names that features have once they are transformed.
func TestExplainedNames(t *testing.T) {
	extend := preprocess.NewPolynomialExtender(2, preprocess.PolynomialConfig{Degree: 2, IncludeBias: true})
	p, err := online.NewPipeline([]string{"speed", "distance"}, []online.Transformer{preprocess.NewStandardScaler(2), extend},
		linear.NewRegression(6, linear.DefaultConfig()))
	if err != nil {
		t.Fatal(err)
	}
	p.Learn([]float64{1, 2}, 3)
	e := p.Explain(nil)
	var got []string
	for _, c := range e.Parts[2].Explanation.Coefficients {
		got = append(got, c.Feature)
	}
	want := []string{"speed", "distance", "speed*speed", "distance*speed", "distance*distance", "bias"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("coefficients of %q, want %q", got, want)
	}
	if e.Parts[0].Role != "transformer 1" || e.Parts[2].Role != "model" || e.Parts[0].Explanation.Scales[1].Mean != 2 {
		t.Errorf("the parts are %+v", e.Parts)
	}
}
