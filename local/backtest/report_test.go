package backtest_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/local/backtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is a report that has something of everything: models that are near and
// one that is far off, one that stopped, a comparison, a warning.
func small(t testing.TB) *backtest.Report {
	t.Helper()
	trips := &backtest.Trips{Names: []string{"says", "distance_km"}, Left: map[string]int{"no label": 3}}
	for i := range 96 {
		says := float64(70 + i*i%61)
		trips.Samples = append(trips.Samples, trip(fmt.Sprint(i), time.Duration(i)*time.Hour, says, float64(i%13)))
	}
	asked := 0
	r, err := backtest.Run(t.Context(), trips, "near", []evaluate.Model{
		scriptedModel(t, "far", "says", func(x float64) float64 { return x * x * x }),
		scriptedModel(t, "near", "says", answers),
		scriptedModel(t, "nearer-by-a-name-that-is-too-long", "says", func(x float64) float64 { return 50 + x/2 }),
		scriptedModel(t, "stopped", "says", func(x float64) float64 {
			if asked++; asked > 50 {
				panic("<no>")
			}
			return 200
		}),
		scriptedModel(t, "silent", "says", func(float64) float64 { return math.NaN() }),
	}, backtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Compare("near", "nearer-by-a-name-that-is-too-long")
	if err != nil {
		t.Fatal(err)
	}
	r.Comparisons = append(r.Comparisons, c)
	r.Origin = backtest.Origin{
		Trips: "<script>alert('trips')</script>.csv", Models: "models.yaml", Catalogue: "0123456789abcdef",
		Command: `go run ./local backtest --trips "a & b"`, Warning: "line 3: the recording is cut short",
	}
	r.Timing = backtest.Timing{Workers: 2, ReadS: 1.5, AskS: 0.25, Models: map[string]backtest.ModelTiming{
		"far": {PredictUS: 0.5, LearnUS: 1}, "near": {PredictUS: 20, LearnUS: 0.25},
	}}
	return r
}

func page(t testing.TB, r *backtest.Report) string {
	t.Helper()
	var out strings.Builder
	if err := r.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	name := "testdata/" + file
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s: line %d is\n%s\nwant\n%s\n-update if that is right", name, i+1, a[i], b[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d; -update if that is right", name, len(a), len(b))
}

func TestPage(t *testing.T) {
	text := page(t, small(t))
	golden(t, "report.html", text)
	outline(t, text)
	for _, foreign := range []string{"http:", "https:", "src=", "url(", "@import", "<script", "<link", "onload"} {
		if strings.Contains(text, foreign) {
			t.Errorf("the page holds %q: it is to ask for nothing", foreign)
		}
	}
}

// element is what is open while a page is read.
type element struct {
	name       string
	attributes map[string]string
}

// outline reads a page as XML, which it is as well, and checks what a reader
// that does not see relies on.
func outline(t *testing.T, text string) {
	t.Helper()
	ids, referred := map[string]int{}, []string{}
	has := map[string]map[string]bool{} // children by element
	var open []element
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{token.Name.Local, map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			if id := e.attributes["id"]; id != "" {
				ids[id]++
			}
			referred = append(referred, strings.Fields(e.attributes["aria-labelledby"])...)
			if len(open) > 0 {
				parent := open[len(open)-1].name
				if has[parent] == nil {
					has[parent] = map[string]bool{}
				}
				has[parent][e.name] = true
			}
			if e.name == "th" && e.attributes["scope"] == "" {
				t.Error("a heading of a table says not of what")
			}
			if e.name == "svg" && e.attributes["aria-hidden"] == "" && (e.attributes["role"] != "img" || e.attributes["aria-labelledby"] == "") {
				t.Errorf("a drawing without a name: %v", e.attributes)
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("the id %s is that of %d elements", id, n)
		}
	}
	for _, id := range referred {
		if ids[id] != 1 {
			t.Errorf("an element is labelled by %s, which is not there", id)
		}
	}
	for parent, child := range map[string]string{"table": "caption", "svg": "desc", "html": "head", "main": "section", "head": "title"} {
		if !has[parent][child] {
			t.Errorf("no %s has a %s", parent, child)
		}
	}
}

// Every report makes a page, however odd.
func TestOddPages(t *testing.T) {
	one := &backtest.Trips{Names: []string{"says"}, Samples: []evaluate.Sample{{ID: "a", At: midnight, LabelAt: midnight.Add(time.Minute), X: []float64{60}, Y: 60}}}
	many := &backtest.Trips{Names: []string{"says"}}
	for i := range 2000 {
		start := midnight.Add(time.Duration(i) * 9 * time.Hour)
		many.Samples = append(many.Samples, evaluate.Sample{ID: fmt.Sprint(i), At: start, LabelAt: start, X: []float64{float64(i)}, Y: 500})
	}
	var crowd []evaluate.Model
	for i := range 40 {
		crowd = append(crowd, scriptedModel(t, fmt.Sprintf("m%02d", i), "says", func(x float64) float64 { return x * float64(i) }))
	}
	for name, r := range map[string]*backtest.Report{
		"one trip, no error": backtested(t, one, backtest.Options{}, scriptedModel(t, "m", "says", answers)),
		"one trip, far off":  backtested(t, one, backtest.Options{}, scriptedModel(t, "m", "says", func(float64) float64 { return 1e60 })),
		"no answer":          backtested(t, one, backtest.Options{}, scriptedModel(t, "m", "says", func(float64) float64 { return math.NaN() })),
		"no models":          backtested(t, one, backtest.Options{}),
		"two years, crowded": backtested(t, many, backtest.Options{}, crowd...),
		"years by the hour":  backtested(t, many, backtest.Options{Period: time.Hour}, crowd[:3]...),
		"odd period":         backtested(t, many, backtest.Options{Period: 7*time.Hour + time.Minute}, crowd[:3]...),
		"one at a time":      backtested(t, one, backtest.Options{Period: time.Nanosecond}, crowd[:2]...),
	} {
		t.Run(name, func(t *testing.T) {
			text := page(t, r)
			if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
				t.Error("the page holds a number that is none")
			}
			if d := xml.NewDecoder(strings.NewReader(text)); true {
				for {
					if _, err := d.Token(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatalf("not well-formed: %v", err)
					}
				}
			}
			if name == "two years, crowded" && (!strings.Contains(text, "The best 12 of 40 models") || !strings.Contains(text, ">m39<")) {
				t.Error("the page does not say that it draws 12 models of 40, or does not list all")
			}
			if n := strings.Count(text, `text-anchor="middle"`); n > 40 {
				t.Errorf("%d marks below the drawings", n)
			}
		})
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := small(t).WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", out.String())
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	r := small(t)
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", out.String())
	var read backtest.Report
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		t.Fatal(err)
	}
	if len(read.Models) != 5 || read.Models[0].MAE != r.Models[0].MAE || !read.From.Equal(r.From) {
		t.Errorf("read again: %+v", read)
	}
}

// full takes so many bytes.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return len(p), nil
}

func TestWritingFails(t *testing.T) {
	r := small(t)
	for name, write := range map[string]func(io.Writer) error{"page": r.WriteHTML, "table": r.WriteTable, "JSON": r.WriteJSON} {
		if err := write(&full{left: 10}); err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
