package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/internal/golden"
	"tripcast.dev/functions/online/kinds"
)

func TestContenders(t *testing.T) {
	stream := golden.Streams()[0]
	for _, c := range contenders {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(benchScript, `"`+c.theirs()+`"`) {
				t.Error("bench.py does not know it")
			}
			fresh, err := c.fresh(stream.Features)
			if err != nil {
				t.Fatal(err)
			}
			s, err := fresh()
			if err != nil {
				t.Fatal(err)
			}
			nothing, err := s.encode()
			if err != nil {
				t.Fatal(err)
			}
			learn, predict := s.run(stream.Events[:3*block])
			if learn <= 0 || predict < 0 || predict > 0 && s.predict == nil {
				t.Errorf("learn %v us, predict %v us", learn, predict)
			}
			if learned, err := s.encode(); err != nil || bytes.Equal(nothing, learned) {
				t.Errorf("nothing was learned, error %v", err)
			}
		})
	}
}

func TestUnknownKind(t *testing.T) {
	_, err := timeOurs(t.Context(), contender{name: "x", model: "Oracle", events: 1}, golden.Streams()[0])
	var unknown *online.SpecError
	if !errors.As(err, &unknown) {
		t.Errorf("error %v, want a *SpecError, for which the model is left out", err)
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(contenders) {
		t.Errorf("%d models, error %v", len(all), err)
	}
	two, err := choose("ADWIN,KNNRegressor")
	if err != nil || len(two) != 2 || two[0].name != "ADWIN" || two[1].name != "KNNRegressor" {
		t.Errorf("models %v, error %v", two, err)
	}
	if _, err := choose("ADWIN,Oracle"); err == nil || !strings.Contains(err.Error(), `"Oracle"`) {
		t.Errorf("error %v", err)
	}
}

func TestDemo(t *testing.T) {
	for file, catalogue := range map[string][]byte{"demo.yaml": demo, "trees.yaml": trees} {
		c, err := online.ParseCatalogue(catalogue, kinds.All())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.Models {
			name := strings.TrimSuffix(m.Name, "-0.26")
			if name != "decision-tree-fixed" && !strings.Contains(prequentialScript, `"`+name+`"`) {
				t.Errorf("prequential.py does not know %s of %s", m.Name, file)
			}
		}
		results, err := judge(t.Context(), "../../evaluate/testdata/samples.csv", catalogue)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Count != 40 || r.Err != nil {
				t.Errorf("%s: %+v", r.Name, r)
			}
		}
	}
}

func TestTable(t *testing.T) {
	c := contender{name: "KNNRegressor", events: 5000, notes: map[string]string{newestRiver: "SWINN"}}
	table := speeds()
	table.add(c, timing{LearnUS: 2, PredictUS: 3, StateBytes: 12345}, map[string]map[string]timing{
		demoRiver:   {c.name: {LearnUS: 100, PredictUS: 900, StateBytes: 1234}},
		newestRiver: {c.name: {LearnUS: 0.5, PredictUS: 0.75, StateBytes: 123450}},
	})
	table.add(contender{name: "New", events: 10}, timing{LearnUS: 1}, nil)
	table.notes = []string{"one", "two"}
	const want = `| model | events | library | learn us | predict us | learn+predict /s | state bytes | ours is | our state is |
| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | --- |
| KNNRegressor | 5000 | River 0.13.0 | 100 | 900 | 1,000 | 1,234 | 200x faster | 10.0x larger |
|  |  | River 0.26.1 (SWINN) | 0.500 | 0.750 | 800,000 | 123,450 | 4.00x slower | 10.0x smaller |
|  |  | tripcast | 2.00 | 3.00 | 200,000 | 12,345 |  |  |
| New | 10 | tripcast | 1.00 | - | 1,000,000 | 0 |  |  |

one

two
`
	if got := table.markdown(); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
	var text bytes.Buffer
	if err := table.print(&text); err != nil || !strings.Contains(text.String(), "KNNRegressor  5000    River 0.13.0") {
		t.Errorf("error %v, printed\n%s", err, &text)
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "-", 0.0123: "0.012", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567"} {
		if got := digits(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

// bench.py reads the same numbers.
func TestWriteEvents(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events.csv")
	if err := writeEvents(name, golden.Streams()[0]); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != golden.Events+2 || lines[0] != "passenger_count,is_weekend,l1_distance,avg_speed_by_hour,hour_cos,hour_sin,y" ||
		!strings.HasPrefix(lines[1], "3,0,0.15353535925509035,") || !strings.HasSuffix(lines[1], ",1899.5966819118603") {
		t.Errorf("%d lines, of which the first are %q", len(lines), lines[:2])
	}
}

func TestFamilies(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
			t.Fatal("there is no python3")
		}
		t.Skip("SKIPPED: there is no python3")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{
		"a": "CASES = {}", "b": "import river.forest\nRIVER = '0.13.0'", "c": "RIVER = {'x': '0.13.0'}", "d": "RIVER = dict(x='0.13.0')",
	} {
		if err := os.WriteFile(filepath.Join(folder, "cases_"+name+".py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range map[string]string{demoRiver: "b c d", newestRiver: "a c d"} {
		out, err := exec.Command(python, "-c", familiesScript, folder, version).CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("families of %s: %q, want %q (%v)", version, got, want, err)
		}
	}
	if out, err := exec.Command(python, "-c", familiesScript, folder, newestRiver, "e").CombinedOutput(); err == nil || !strings.Contains(string(out), "no family e: a, b, c, d") {
		t.Errorf("an unknown family: %q, error %v", out, err)
	}
}

func TestCommands(t *testing.T) {
	for want, args := range map[string][]string{
		`"nothing" is not a command`:            {"nothing"},
		"venv wants a version":                  {"venv"},
		"there is no recipe for River 9":        {"venv", "9"},
		"prequential wants --samples":           {"prequential"},
		"backtest wants --tripcast":             {"backtest", "--trips", "x"},
		"and one run at least":                  {"backtest", "--tripcast", "x", "--trips", "x", "--runs", "0"},
		`--only: there is no model "Oracle"`:    {"--only", "Oracle"},
		"flag provided but not defined: -speed": {"bench", "--speed"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

func TestParity(t *testing.T) {
	var out bytes.Buffer
	b := bench{stdout: &out}
	best, err := b.printParity(
		[]evaluate.Result{{Name: "a", Count: 9, StateBytes: 50, Scores: evaluate.Scores{MAE: 100.1, RMSE: 200}}, {Name: "new", Count: 9, Scores: evaluate.Scores{MAE: 50}}},
		map[string]map[string]judged{demoRiver: {"a": {Count: 9, MAE: 100, RMSE: 200, StateBytes: 1000}}, newestRiver: {"a": {Count: 9, MAE: 99, RMSE: 250, StateBytes: 25}}},
	)
	if err != nil || best != 99 {
		t.Errorf("the best of River's has %v, want 99 (%v)", best, err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"a River 0.13.0 9 100 200 0 1,000 +0.001 +0 20.0x smaller River 0.26.1 9 99 250 0 25 +0.011 -0.2 2.00x larger tripcast 9 100.1 200 0 50", "new tripcast 9 50"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	out.Reset()
	err = b.printCatalogue([]evaluate.Result{{Name: "worse", Scores: evaluate.Scores{MAE: 120}}, {Name: "better", Scores: evaluate.Scores{MAE: 80}}}, 100)
	text = strings.Join(strings.Fields(out.String()), " ")
	if err != nil || !strings.Contains(text, "better 80 0 0.0000 0 -20.0 % worse 120 0 0.0000 0 +20.0 %") {
		t.Errorf("error %v, printed\n%s", err, &out)
	}
}

func TestWhatIsMissing(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("PATH", empty)
	e := environments{folder: t.TempDir(), log: io.Discard}
	if _, err := e.python(t.Context(), demoRiver); err == nil || !strings.Contains(err.Error(), "no python3.11 in the PATH") {
		t.Errorf("error %v without Python", err)
	}
	for _, tool := range []string{"cargo", "cc"} {
		err := buildDemoRiver(t.Context(), func(...string) error { t.Error("pip was run"); return nil })
		if err == nil || !strings.Contains(err.Error(), tool) {
			t.Errorf("error %v without %s", err, tool)
		}
		if err := os.WriteFile(filepath.Join(empty, tool), []byte("#!/bin/sh"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	failed := errors.New("no network")
	runs := 0
	err := buildDemoRiver(t.Context(), func(...string) error { runs++; return failed })
	if !errors.Is(err, failed) || runs != 1 {
		t.Errorf("error %v after %d runs of a pip that fails", err, runs)
	}
}
