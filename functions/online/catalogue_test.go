package online_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
)

const shipped = "../../infra/models.yaml"

func readShipped(t testing.TB) *online.Catalogue {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(shipped))
	if err != nil {
		t.Fatal(err)
	}
	c, err := online.ParseCatalogue(data, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestShippedCatalogue(t *testing.T) {
	c := readShipped(t)
	if c.Models[0].Name != "linear-regression" {
		t.Errorf("the first model is %q, want the demo's linear-regression", c.Models[0].Name)
	}
	if _, ok := c.Find(c.Champion); !ok {
		t.Errorf("the champion %q is no model of the catalogue", c.Champion)
	}
	if got, want := fmt.Sprint(c.Models[0].Features), fmt.Sprint(demoFeatures); got != want {
		t.Errorf("the demo's model has the features %s, want %s", got, want)
	}
	for _, s := range c.Models {
		p, err := s.New()
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		if got := p.Predict(p.Vector(nil, nil)); got != 0 {
			t.Errorf("%s predicts %v before it has learned anything", s.Name, got)
		}
	}
}

// What the README and docs/ show are models.
func TestDocumentedCatalogues(t *testing.T) {
	readme, err := os.ReadFile(filepath.FromSlash("../../README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	if _, err := online.ParseCatalogue([]byte("champion: bagged-trees\nmodels:\n"+block), kinds.All()); err != nil {
		t.Errorf("README.md: %v", err)
	}
	tried, err := os.ReadFile(filepath.FromSlash("../../docs/tried.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := online.ParseCatalogue(tried, kinds.All())
	if err != nil {
		t.Fatalf("docs/tried.yaml: %v", err)
	}
	text, err := os.ReadFile(filepath.FromSlash("../../docs/models.md"))
	if err != nil {
		t.Fatal(err)
	}
	shipped := readShipped(t)
	_, figures, _ := strings.Cut(string(text), "What was tried")
	rows := regexp.MustCompile("(?m)^\\| .*?`([a-z0-9-]+)`").FindAllStringSubmatch(figures, -1)
	if len(rows) < 10 {
		t.Errorf("docs/models.md has figures of %d models: the test looks in the wrong place", len(rows))
	}
	for _, quoted := range rows {
		_, isTried := c.Find(quoted[1])
		if _, isShipped := shipped.Find(quoted[1]); !isTried && !isShipped {
			t.Errorf("docs/models.md has a figure of %s, which is in no catalogue", quoted[1])
		}
	}
	for name := range kinds.All().Regressors {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/models.md does not name %s", name)
		}
	}
	for name := range kinds.All().Transformers {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/models.md does not name %s", name)
		}
	}
}

// The canonical JSON is what Redis holds: reading it back changes nothing.
func TestCanonicalFormRoundTrips(t *testing.T) {
	c := readShipped(t)
	first, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := online.ParseCatalogue(first, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("read back:\n%s\nwant\n%s", second, first)
	}
	for i := range c.Models {
		if c.Models[i].Hash() != again.Models[i].Hash() {
			t.Errorf("%s: the hash changed", c.Models[i].Name)
		}
	}
}

func one(fields string) string {
	return "champion: m\nmodels:\n  - name: m\n" + fields
}

// The hashes stand in every Redis: a change of one of these disowns states.
func TestHash(t *testing.T) {
	const plain = "    features: [a, b]\n    transformers: [StandardScaler]\n    model: {LinearRegression: {}}\n"
	hash := func(fields string) string {
		t.Helper()
		c, err := online.ParseCatalogue([]byte(one(fields)), kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		return c.Models[0].Hash()
	}
	if got, want := hash(plain), "5424641bb2d25dea970ae1fe3e68bf346f1dd2e491e4496fbf21ebfcbde52367"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	for name, same := range map[string]string{
		"defaults spelled out": "    features: [a, b]\n    transformers: [{StandardScaler: {}}]\n    model: {LinearRegression: {lr: 0.01, intercept_lr: 1e-2}}\n    seed: 0\n",
		"another layout":       "    model: LinearRegression\n    features:\n      - a\n      - b\n    transformers:\n      - StandardScaler:\n",
	} {
		if hash(same) != hash(plain) {
			t.Errorf("%s: another hash", name)
		}
	}
	seen := map[string]string{hash(plain): "plain"}
	for name, other := range map[string]string{
		"order":       strings.Replace(plain, "a, b", "b, a", 1),
		"feature":     strings.Replace(plain, "a, b", "a, c", 1),
		"transformer": strings.Replace(plain, "[StandardScaler]", "[]", 1),
		"parameter":   strings.Replace(plain, "{}", "{lr: 0.02}", 1),
		"seed":        plain + "    seed: 1\n",
	} {
		h := hash(other)
		if seen[h] != "" {
			t.Errorf("%s and %s have the same hash", name, seen[h])
		}
		seen[h] = name
	}
}

// A mapping of numbers is in the canonical form without what is the default.
func TestFloatMap(t *testing.T) {
	const knn = "    features: [a, b]\n    model: {KNNRegressor: {weights: {a: 1, b: 2.5}}}\n"
	c, err := online.ParseCatalogue([]byte(one(knn)), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(c.Models[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"m","features":["a","b"],"model":{"KNNRegressor":{"weights":{"b":2.5}}}}`; string(got) != want {
		t.Errorf("canonical form %s, want %s", got, want)
	}
	m, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // as many as make a prediction
		m.Learn([]float64{2, 0}, 1)
		m.Learn([]float64{0, 1}, 2)
	}
	if got := m.Predict([]float64{0.1, 0.1}); got != 1 {
		t.Errorf("predicts %v, want 1, as b counts for more", got)
	}
}

func TestMistakes(t *testing.T) {
	const good = "    features: [a]\n    model: {LinearRegression: {}}\n"
	tests := []struct {
		name, yaml string
		want       []string // one for each mistake, in order
	}{
		{"empty", "", []string{"catalogue: is empty"}},
		{"not a mapping", "[1]", []string{"line 1: catalogue: is not a mapping"}},
		{"no models", "champion: m\n", []string{"line 1: models: is not a list"}},
		{"no champion", "models:\n  - name: m\n" + good, []string{"champion: is missing"}},
		{"unknown champion", "champion: x\nmodels:\n  - name: m\n" + good, []string{`line 1: champion: "x" is not the name of a model`}},
		{"unknown promotion", "champion: m\npromotion: never\nmodels:\n  - name: m\n" + good, []string{`line 2: promotion: "never" is neither manual nor automatic`}},
		{"no promotion", "champion: m\npromotion:\nmodels:\n  - name: m\n" + good, []string{"line 2: promotion: is not a name"}},
		{"unknown key", one(good + "    color: red\n"), []string{"line 6: models[0].color: is unknown"}},
		{"key twice", one(good + "    seed: 1\n    seed: 2\n"), []string{`line 7: models[0]: has "seed" twice`}},
		{"duplicate name", one(good + "  - name: m\n" + good), []string{`line 6: models[1].name: "m" is the name of the model in line 3`}},
		{"bad name", "champion: M{\nmodels:\n  - name: 'M{'\n" + good, []string{`line 3: models[0].name: "M{" is not`}},
		{"no features", one("    features: []\n    model: LinearRegression\n"), []string{"line 4: models[0].features: is not a list of at least one"}},
		{"feature twice", one("    features: [a, a]\n    model: LinearRegression\n"), []string{`line 4: models[0].features[1]: "a" is there twice`}},
		{"bad feature", one("    features: ['1 a']\n    model: LinearRegression\n"), []string{"line 4: models[0].features[0]:"}},
		{"no model", one("    features: [a]\n"), []string{"line 3: models[0].model: is missing"}},
		{"unknown model", one("    features: [a]\n    model: Oracle\n"), []string{`line 5: models[0].model: "Oracle" is not a known model`}},
		{"unknown transformer", one("    features: [a]\n    transformers: [Oracle]\n    model: LinearRegression\n"), []string{`line 5: models[0].transformers[0]: "Oracle" is not a known transformer`}},
		{"parameter of none", one("    features: [a]\n    transformers: [{StandardScaler: {x: 1}}]\n    model: LinearRegression\n"), []string{"line 5: models[0].transformers[0].StandardScaler.x: is unknown"}},
		{"unknown parameter", one("    features: [a]\n    model:\n      LinearRegression:\n        rate: 1\n"), []string{"line 7: models[0].model.LinearRegression.rate: is unknown: LinearRegression has optimizer, lr,"}},
		{"bad range", one("    features: [a]\n    model: {LinearRegression: {lr: -1}}\n"), []string{"line 5: models[0].model.LinearRegression.lr: -1 is not above 0"}},
		{"not a number", one("    features: [a]\n    model: {LinearRegression: {lr: fast}}\n"), []string{`lr: "fast" is not a finite number`}},
		{"not finite", one("    features: [a]\n    model: {LinearRegression: {lr: .nan}}\n"), []string{`lr: ".nan" is not a finite number`}},
		{"bad seed", one(good + "    seed: -1\n"), []string{`line 6: models[0].seed: "-1" is not a whole number`}},
		{"three at once", one("    features: [a]\n    model: {LinearRegression: {lr: 2, rate: 1}}\n    x: 1\n"), []string{"lr: 2 is not at most 1", "rate: is unknown", "line 6: models[0].x: is unknown"}},
		{"two parameters", one("    features: [a]\n    model: {LinearRegression: {rate: 1,\n      lr: 2}}\n"), []string{"line 5: models[0].model.LinearRegression.rate", "line 6: models[0].model.LinearRegression.lr"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := online.ParseCatalogue([]byte(tt.yaml), kinds.All())
			var spec *online.SpecError
			if !errors.As(err, &spec) {
				t.Fatalf("error %v, want a *SpecError", err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("mistake %q, want %q in it", lines[i], want)
				}
			}
		})
	}
}

func FuzzParseCatalogue(f *testing.F) {
	data, err := os.ReadFile(filepath.FromSlash(shipped))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("&a [*a]"))
	f.Add([]byte("champion: m\nmodels: &m\n  - name: m\n    features: *m\n    model: *m\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := online.ParseCatalogue(data, kinds.All())
		if err != nil {
			return
		}
		canonical, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := online.ParseCatalogue(canonical, kinds.All()); err != nil {
			t.Errorf("%s\nwas written for\n%s\nbut cannot be read: %v", canonical, data, err)
		}
	})
}

// A catalogue that leaves promotion to people is what it was before there was a
// choice.
func TestPromotion(t *testing.T) {
	const models = "models: [{name: m, features: [a], model: LinearRegression}]\n"
	for _, c := range []struct {
		given string
		want  online.Promotion
		json  bool // holds it
	}{
		{"", online.PromotionManual, false},
		{"promotion: manual\n", online.PromotionManual, false},
		{"promotion: automatic\n", online.PromotionAutomatic, true},
	} {
		catalogue, err := online.ParseCatalogue([]byte("champion: m\n"+c.given+models), kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(catalogue)
		if err != nil {
			t.Fatal(err)
		}
		again, err := online.ParseCatalogue(encoded, kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		if catalogue.Promotion != c.want || again.Promotion != c.want || strings.Contains(string(encoded), "promotion") != c.json {
			t.Errorf("%q is %s, and %s as %s", c.given, catalogue.Promotion, again.Promotion, encoded)
		}
	}
}

func ExampleParseCatalogue() {
	catalogue, err := online.ParseCatalogue([]byte(`
champion: tips
models:
  - name: tips
    features: [fare, distance_km]
    transformers: [StandardScaler]
    model:
      LinearRegression: {lr: 0.02}
`), kinds.All())
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err := catalogue.Models[0].New()
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 500 {
		fare := float64(i % 20)
		model.Learn(model.Vector(nil, map[string]float64{"fare": fare, "distance_km": fare / 3}), fare/5)
	}
	fmt.Printf("%.1f", model.Predict(model.Vector(nil, map[string]float64{"fare": 10, "distance_km": 3.3})))
	// Output: 2.0
}
