package evaluate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
)

// The versions of River that testdata/river has the numbers of, each with the
// catalogue of the models that compute the same, and what they are called there.
var rivers = []struct {
	version string
	files   []string
	ours    map[string]string // by River's name, where it is not the same
}{
	{version: "0.13.0", files: []string{"demo.yaml"}},
	{version: "0.26.1", files: []string{"demo.yaml", "trees.yaml"}, ours: map[string]string{"decision-tree": "decision-tree-0.26"}},
}

// riversOwn is what a version of River made of testdata/river/trips.csv.gz:
// riverbench golden progressive writes it.
type riversOwn struct {
	Models map[string]struct {
		Count         int
		MAE, RMSE, R2 float64
		Predictions   []float64 // every hundredth
	}
	Rows  [][2]int // moment and delay
	Order string   // of Rows
}

func readRivers(t *testing.T, version string) riversOwn {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "river", "river-"+version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var own riversOwn
	if err := json.Unmarshal(data, &own); err != nil {
		t.Fatal(err)
	}
	return own
}

// Progressive is River's evaluate.progressive_val_score with the same delays.
func TestProgressiveIsRivers(t *testing.T) {
	for _, river := range rivers {
		own := readRivers(t, river.version)
		for name, want := range own.Models {
			t.Run(river.version+"/"+name, func(t *testing.T) {
				ours := name
				if other, ok := river.ours[name]; ok {
					ours = other
				}
				got, predicted := progress(t, ours, river.files)
				if got.Count != want.Count || got.Unanswered != 0 {
					t.Errorf("%d are judged and %d are not, River judges %d", got.Count, got.Unanswered, want.Count)
				}
				for what, both := range map[string][2]float64{"MAE": {got.MAE, want.MAE}, "RMSE": {got.RMSE, want.RMSE}, "R2": {got.R2, want.R2}} {
					equalsRiver(t, what, both[0], both[1])
				}
				if len(want.Predictions) != len(predicted)/100 {
					t.Fatalf("River has %d predictions of %d", len(want.Predictions), len(predicted))
				}
				for i, y := range want.Predictions {
					equalsRiver(t, fmt.Sprintf("prediction %d", 100*i), predicted[100*i], y)
				}
			})
		}
	}
}

// progress judges one model of the catalogues, and returns every prediction in the
// order of the questions.
func progress(t *testing.T, name string, files []string) (evaluate.Result, []float64) {
	t.Helper()
	model := build(t, name, files)
	samples, err := evaluate.Open(filepath.Join("testdata", "river", "trips.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	var predicted []float64
	results, err := evaluate.Progressive(t.Context(), samples.Features(), samples.Samples(t.Context()), []evaluate.Model{model}, evaluate.Options{
		Answered: func(_ int, turn evaluate.Turn, y float64) {
			for len(predicted) <= turn.N {
				predicted = append(predicted, math.NaN())
			}
			predicted[turn.N] = y
		},
	})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
	return results[0], predicted
}

func build(t *testing.T, name string, files []string) evaluate.Model {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("..", "internal", "riverbench", file))
		if err != nil {
			t.Fatal(err)
		}
		catalogue, err := online.ParseCatalogue(text, kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		models, err := evaluate.Models(catalogue)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(models, func(m evaluate.Model) bool { return m.Name == name }); i >= 0 {
			return models[i]
		}
	}
	t.Fatalf("no catalogue has a model %s", name)
	return evaluate.Model{}
}

// equalsRiver allows the last bits: Python's x**2 is not always x*x, which shows in
// the tree. All else is equal to the last bit here. The linear model diverges, so
// relatively.
func equalsRiver(t *testing.T, what string, got, want float64) {
	t.Helper()
	const tolerance = 1e-14
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s is %v, River's %v: %.2g off", what, got, want, got/want-1)
	}
}

// Turns is River's stream.simulate_qa, where rows are asked and answered at the
// same moment as well.
func TestTiesAreRivers(t *testing.T) {
	for _, river := range rivers {
		own := readRivers(t, river.version)
		samples := make([]evaluate.Sample, len(own.Rows))
		for i, row := range own.Rows {
			samples[i] = trip(fmt.Sprint(i), row[0], row[0]+row[1], 1)
		}
		var order []string
		for turn, err := range evaluate.Turns(stream(samples...)) {
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, turn.ID+map[bool]string{true: "!", false: "?"}[turn.Answer])
		}
		if got := strings.Join(order, " "); got != own.Order || len(order) != 100 {
			t.Errorf("%d turns, in the order\n%s, that of River %s is\n%s", len(order), got, river.version, own.Order)
		}
	}
}
