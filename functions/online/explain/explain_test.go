package explain_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/explain"
	"tripcast.dev/functions/online/kinds"
)

var update = flag.Bool("update", false, "write the golden files")

const catalogue = `
champion: tree
models:
  - name: tree
    features: [distance, speed, hour]
    transformers: [StandardScaler]
    model:
      HoeffdingTreeRegressor: {grace_period: 50, delta: 0.01}
  - name: adaptive
    features: [distance, speed]
    model:
      HoeffdingAdaptiveTreeRegressor: {grace_period: 40, delta: 0.01, drift_window_threshold: 40}
  - name: city
    features: [distance, speed, hour]
    transformers:
      - FunctionTransformer: {function: log1p, features: [distance, speed]}
      - FixedScaler: {offset: {hour: 12}, scale: {hour: 6}}
    model:
      ClampRegressor:
        model:
          TargetTransformRegressor:
            transform: log1p
            model:
              transformers:
                - PolynomialExtender: {degree: 2, include_bias: true}
              model:
                BayesianLinearRegression: {}
  - name: experts
    features: [distance, speed, hour]
    model:
      HedgeRegressor:
        models:
          - LinearRegression: {lr: 0.001, optimizer: Adam}
          - KNNRegressor: {window_size: 100}
          - AMFRegressor: {n_estimators: 2, max_nodes: 9}
`

// learned is a model of the catalogue after so many trips.
func learned(t testing.TB, name string, trips int) online.Explanation {
	t.Helper()
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	spec, ok := c.Find(name)
	if !ok {
		t.Fatalf("there is no model %s", name)
	}
	p, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 0))
	for i := range trips {
		distance, speed, hour := r.Float64()*10, 10+r.Float64()*20, float64(r.IntN(24))
		y := math.Round(3600*distance/speed) + 60
		if i > 1000 { // and then it snows
			y *= 3
		}
		p.Learn(p.Vector(nil, map[string]float64{"distance": distance, "speed": speed, "hour": hour}), y)
	}
	return online.Explain(p, nil)
}

// odd has what the models above have not.
func odd() online.Explanation {
	leaf := func(samples, mean float64, linear bool) *online.Node {
		return &online.Node{Samples: samples, Mean: mean, Model: linear}
	}
	return online.Explanation{
		Kind:   "Odd",
		Counts: map[string]int{"features": 2},
		Tree: &online.Node{
			Feature: "<a&b>", Threshold: -0.25, Samples: 12345678, Mean: 1e-7,
			Left: leaf(1, -math.MaxFloat64, true),
			Right: &online.Node{
				Feature: "c", Threshold: 1e20, Samples: 2, Mean: 3, Left: leaf(0, 0, false), Right: leaf(2, math.MaxFloat64, false),
				Alternate: &online.Node{Feature: "d", Threshold: 4, Samples: 9, Mean: 7, Left: leaf(4, 5, false), Right: leaf(5, 6, true)},
			},
		},
		Parts: []online.Part{{Role: "model", Values: map[string]float64{"weight": 0.5}, Explanation: online.Explanation{Kind: "Other", Unexplained: true}}},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("it is not what is in %s (-update writes it):\n%s", file, got)
	}
}

func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		name    string
		e       online.Explanation
		options explain.Options
		trees   int
	}{
		{"nothing", learned(t, "tree", 0), explain.Options{}, 0},
		{"tree", learned(t, "tree", 1000), explain.Options{}, 1},
		{"shallow", learned(t, "tree", 1000), explain.Options{Depth: 1, Rows: 1}, 1},
		{"adaptive", learned(t, "adaptive", 1300), explain.Options{}, 1},
		{"city", learned(t, "city", 1000), explain.Options{Rows: 4}, 0},
		{"experts", learned(t, "experts", 300), explain.Options{}, 2},
		{"odd", odd(), explain.Options{}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text, svg bytes.Buffer
			if err := explain.Text(&text, tt.e, tt.options); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".txt", text.Bytes())
			err := explain.SVG(&svg, tt.e, tt.options)
			if tt.trees == 0 {
				if !errors.Is(err, explain.ErrNoTree) || svg.Len() > 0 {
					t.Errorf("error %v and %d bytes where there is no tree", err, svg.Len())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".svg", svg.Bytes())
			wellFormed(t, svg.Bytes())
			if n := strings.Count(svg.String(), `font-weight="bold"`); n != tt.trees {
				t.Errorf("%d trees are drawn, want %d", n, tt.trees)
			}
		})
	}
}

// wellFormed reads all of an XML, and refuses what a browser would have to fetch.
func wellFormed(t *testing.T, data []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "://") && a.Name.Local != "xmlns" || a.Name.Local == "href" {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
				if a.Value == "NaN" || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s lies at %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// failing is a disk that is full.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteErrors(t *testing.T) {
	e := learned(t, "tree", 1000)
	for name, write := range map[string]func() error{
		"text": func() error { return explain.Text(failing{}, e, explain.Options{}) },
		"svg":  func() error { return explain.SVG(failing{}, e, explain.Options{}) },
		"diff": func() error { return explain.WriteDiff(failing{}, nil, explain.Options{}) },
	} {
		if err := write(); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func ExampleText() {
	weight := 0.5
	e := online.Explanation{
		Kind: "LinearRegression", Counts: map[string]int{"features": 2}, Intercept: &weight,
		Coefficients: []online.Coefficient{{Feature: "speed", Weight: 1.5}, {Feature: "distance", Weight: -310}},
	}
	var b strings.Builder
	if err := explain.Text(&b, e, explain.Options{}); err != nil {
		fmt.Println(err)
	}
	fmt.Print(b.String())
	// Output:
	// LinearRegression
	//   counts      features 2
	//   intercept   0.5
	//   FEATURE   WEIGHT
	//   distance  -310
	//   speed     1.5
}
