package online_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/onlinetest"
	"tripcast.dev/functions/online/preprocess"
	"tripcast.dev/functions/online/state"
)

var update = flag.Bool("update", false, "write the state fixture of the present format version")

// demoFeatures are those of the taxi demo, and of the golden stream.
var demoFeatures = golden.Streams()[0].Features

func features(width int) []string {
	names := make([]string, width)
	for i := range names {
		names[i] = fmt.Sprintf("f%d", i)
	}
	return names
}

// pipeline builds a scaled model from its YAML.
func pipeline(t testing.TB, features []string, model string) *online.Pipeline {
	t.Helper()
	c, err := online.ParseCatalogue([]byte(fmt.Sprintf(`
champion: m
models:
  - name: m
    features: [%s]
    transformers: [StandardScaler]
    model: {%s}
`, strings.Join(features, ", "), model)), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPipelineConforms(t *testing.T) {
	onlinetest.Regressor(t, onlinetest.Options{MaxStateBytes: 512}, func(width int) online.Regressor {
		return pipeline(t, features(width), "LinearRegression: {}")
	})
}

func TestPipelineOfTwoTransformers(t *testing.T) {
	scaler := func() online.Transformer { return preprocess.NewStandardScaler(2) }
	p, err := online.NewPipeline(features(2), []online.Transformer{scaler(), scaler()}, linear.NewRegression(2, linear.DefaultConfig()))
	if err != nil {
		t.Fatal(err)
	}
	first, second, model := scaler(), scaler(), linear.NewRegression(2, linear.DefaultConfig())
	for i := range 50 {
		x, y := []float64{float64(i % 7), float64(i % 3)}, float64(i)
		p.Learn(x, y)
		first.Learn(x)
		a := first.Transform(nil, x)
		second.Learn(a)
		b := second.Transform(nil, a)
		model.Learn(b, y)
		if got, want := p.Predict(x), model.Predict(b); got != want {
			t.Fatalf("event %d: predicts %v, want %v", i, got, want)
		}
	}
}

func TestVector(t *testing.T) {
	p := pipeline(t, []string{"b", "a", "c", "d"}, "LinearRegression: {}")
	got := p.Vector([]float64{9}, map[string]float64{"a": 1, "b": 2, "d": math.Inf(1), "unknown": 3})
	if len(got) != 5 || got[0] != 9 || got[1] != 2 || got[2] != 1 || !math.IsNaN(got[3]) || !math.IsNaN(got[4]) {
		t.Errorf("vector %v, want [9 2 1 NaN NaN]", got)
	}
}

func TestWidthsMustAgree(t *testing.T) {
	scaler := preprocess.NewStandardScaler(3)
	model := linear.NewRegression(2, linear.DefaultConfig())
	if _, err := online.NewPipeline(features(2), []online.Transformer{scaler}, model); err == nil {
		t.Error("a transformer of another width was accepted")
	}
	if _, err := online.NewPipeline(features(3), []online.Transformer{scaler}, model); err == nil {
		t.Error("a model of another width was accepted")
	}
	if _, err := online.NewPipeline(nil, nil, linear.NewRegression(0, linear.DefaultConfig())); err == nil {
		t.Error("a pipeline without features was accepted")
	}
}

// A state knows its features: in another order it is another model's.
func TestStateOfOtherFeatures(t *testing.T) {
	data, err := pipeline(t, []string{"a", "b"}, "LinearRegression: {}").AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var format *state.FormatError
	if err := pipeline(t, []string{"b", "a"}, "LinearRegression: {}").UnmarshalBinary(data); !errors.As(err, &format) {
		t.Errorf("error %v, want a *state.FormatError", err)
	}
}

// Fixtures of every format that was ever written stay readable. They hold a
// linear regression after 100 trips of the golden stream.
func TestMigrations(t *testing.T) {
	const newest = "testdata/migrations/v1-linear-regression.hex"
	taxi := golden.Streams()[0]
	taught := pipeline(t, taxi.Features, "LinearRegression: {}")
	for _, e := range taxi.Events[:100] {
		taught.Learn(e.X, e.Y)
	}
	x := taxi.Events[100].X
	if *update {
		data, err := taught.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(newest, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fixtures, err := filepath.Glob("testdata/migrations/*-linear-regression.hex")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures (%v)", err)
	}
	for _, name := range fixtures {
		p := pipeline(t, taxi.Features, "LinearRegression: {}")
		if err := p.UnmarshalBinary(readHex(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := p.Predict(x), taught.Predict(x); got != want {
			t.Errorf("%s: predicts %v, want %v", name, got, want)
		}
	}
}

func readHex(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzPipelineState(f *testing.F) {
	f.Add(readHex(f, "testdata/migrations/v1-linear-regression.hex"))
	f.Add([]byte{})
	taxi := golden.Streams()[0]
	p := pipeline(f, taxi.Features, "LinearRegression: {}")
	x := make([]float64, p.Width())
	f.Fuzz(func(t *testing.T, data []byte) {
		var format *state.FormatError
		if err := p.UnmarshalBinary(data); err != nil && !errors.As(err, &format) {
			t.Errorf("error %v, want a *state.FormatError", err)
		}
		p.Learn(x, 1)
		if y := p.Predict(x); math.IsInf(y, 0) {
			t.Errorf("predicts %v", y)
		}
	})
}

func BenchmarkPipelinePredict(b *testing.B) {
	taxi := golden.Streams()[0]
	p := pipeline(b, taxi.Features, "LinearRegression: {}")
	for _, e := range taxi.Events[:1000] {
		p.Learn(e.X, e.Y)
	}
	x := taxi.Events[0].X
	b.ReportAllocs()
	for b.Loop() {
		p.Predict(x)
	}
}

func BenchmarkPipelineLearn(b *testing.B) {
	taxi := golden.Streams()[0]
	p := pipeline(b, taxi.Features, "LinearRegression: {}")
	x := taxi.Events[0].X
	b.ReportAllocs()
	for b.Loop() {
		p.Learn(x, 600)
	}
}
