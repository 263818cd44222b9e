package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/local/backtest"
)

// backtestRun runs the command as a user would.
func backtestRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log output
	code = run(t.Context(), invoke(&out, &log, append([]string{"backtest"}, args...)...))
	return code, out.String(), log.String()
}

// backtestReport is what --json - prints.
func backtestReport(t *testing.T, args ...string) (report backtest.Report, stderr string) {
	t.Helper()
	code, out, log := backtestRun(t, append(args, "--json", "-")...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	return decodeReport(t, out), log
}

func decodeReport(t *testing.T, text string) (report backtest.Report) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		t.Fatalf("not a report: %v\n%s", err, text)
	}
	if decoder.More() {
		t.Errorf("more than a report:\n%s", text)
	}
	return report
}

// syntheticRecording writes a recording of synthetic trips.
func syntheticRecording(t *testing.T, name string, trips int) string {
	t.Helper()
	source, err := simulate.NewSynthetic(simulate.SyntheticConfig{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), name)
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range backtest.Records(t.Context(), source, trips) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBacktest(t *testing.T) {
	folder := t.TempDir()
	html, samples := filepath.Join(folder, "report.html"), filepath.Join(folder, "samples.csv.gz")
	code, out, log := backtestRun(t, "--trips", "synthetic", "--limit", "400", "--html", html, "--samples", samples,
		"--compare", "city-grid", "linear-distance", "--json", filepath.Join(folder, "report.json"))
	if code != exitOK || log != "" {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	if lines := strings.Split(out, "\n"); !strings.Contains(lines[0], "MODEL") || len(lines) != 10 || !strings.Contains(lines[8], "linear-distance by ") {
		t.Errorf("printed:\n%s", out)
	}
	text, err := os.ReadFile(filepath.Join(folder, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := decodeReport(t, string(text))
	if len(r.Models) != 6 || r.Trips < 350 || len(r.Comparisons) != 1 || r.Timing.ReadS <= 0 {
		t.Errorf("%d models on %d trips, %d comparisons, read in %v s", len(r.Models), r.Trips, len(r.Comparisons), r.Timing.ReadS)
	}
	for _, m := range r.Models {
		if m.Count != r.Trips || len(m.Spec) != 64 || len(m.StateSHA256) != 64 {
			t.Errorf("%+v", m)
		}
	}
	want := backtest.Origin{
		Trips: "synthetic trips of seed 1", Models: "infra/models.yaml, as built in", Catalogue: r.Origin.Catalogue,
		Command: "go run ./local backtest --trips synthetic --seed 1 --limit 400 --compare city-grid linear-distance",
	}
	if r.Origin != want || len(r.Origin.Catalogue) != 64 {
		t.Errorf("origin %+v, want %+v", r.Origin, want)
	}
	page, err := os.ReadFile(html)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"<!doctype html>", strings.ReplaceAll(r.Comparisons[0].Verdict, "<", "&lt;"), r.Origin.Command, r.Origin.Catalogue, "</html>"} {
		if !bytes.Contains(page, []byte(part)) {
			t.Errorf("the page does not say %q", part)
		}
	}
	readAgain(t, samples, r)
}

// readAgain checks that models evaluate says the same of the samples.
func readAgain(t *testing.T, file string, r backtest.Report) {
	t.Helper()
	samples, err := evaluate.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	_, models, err := (&backtestOptions{}).candidates()
	if err != nil {
		t.Fatal(err)
	}
	results, err := evaluate.Progressive(t.Context(), samples.Features(), samples.Samples(t.Context()), models, evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range evaluate.Best(results) {
		if m := r.Models[i]; m.Name != result.Name || float64(m.MAE) != result.MAE || m.Count != result.Count {
			t.Errorf("evaluate says of the samples %+v, the report %+v", result, m)
		}
	}
}

// Trips are the same however they are recorded.
func TestBacktestOfRecordings(t *testing.T) {
	want, _ := backtestReport(t, "--trips", "synthetic", "--limit", "300")
	for _, name := range []string{"plain.jsonl", "packed.jsonl.gz", "misnamed.csv"} {
		file := syntheticRecording(t, name, 300)
		got, log := backtestReport(t, "--trips", file)
		if got.Origin.Trips != file || log != "" {
			t.Errorf("%s: of %s, said %q", name, got.Origin.Trips, log)
		}
		if !slices.EqualFunc(got.Models, want.Models, func(a, b backtest.Model) bool { return a.StateSHA256 == b.StateSHA256 && a.MAE == b.MAE }) {
			t.Errorf("%s: %+v, want %+v", name, got.Models, want.Models)
		}
	}
	// The first hundred are the same hundred, asked of the same models.
	few, _ := backtestReport(t, "--trips", syntheticRecording(t, "r.jsonl", 300), "--limit", "100")
	if few.Trips != 100 || few.Models[0].Count != 100 {
		t.Errorf("%d trips asked with --limit 100", few.Trips)
	}
}

// What came before the end of a recording that is cut short is reported, and
// where that is.
func TestBacktestOfACutRecording(t *testing.T) {
	whole, err := os.ReadFile(syntheticRecording(t, "r.jsonl", 300))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cut.jsonl")
	half := whole[:bytes.LastIndexByte(whole[:len(whole)/2], '\n')+50]
	if err := os.WriteFile(file, half, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, log := backtestRun(t, "--trips", file, "--json", "-")
	r := decodeReport(t, out)
	if code != exitLost || !regexp.MustCompile(`cut\.jsonl: line \d+: .*unexpected EOF`).MatchString(log) {
		t.Errorf("exit code %d, said\n%s", code, log)
	}
	if r.Trips == 0 || r.Trips > 250 || !strings.Contains(log, r.Origin.Warning) || !strings.Contains(r.Origin.Warning, "line ") {
		t.Errorf("%d trips, warning %q", r.Trips, r.Origin.Warning)
	}
	if !strings.Contains(log, "trips left out: ") {
		t.Errorf("trips that never ended are not told of:\n%s", log)
	}
}

const kaggle = `id,vendor_id,pickup_datetime,dropoff_datetime,passenger_count,pickup_longitude,pickup_latitude,dropoff_longitude,dropoff_latitude
a,1,2016-01-04 08:00:00,2016-01-04 08:10:00,1,-73.98,40.75,-73.96,40.77
b,1,2016-01-04 08:01:00,2016-01-04 08:11:00,1,0,0,-73.96,40.77
c,2,2016-01-04 08:02:00,2016-01-04 08:30:00,2,-73.98,40.75,-73.99,40.70
`

func TestBacktestOfAFileOfTrips(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "trips.csv")
	if err := os.WriteFile(plain, []byte(kaggle), 0o600); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, kaggle); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain+".gz", packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{plain, plain + ".gz"} {
		r, log := backtestReport(t, "--trips", file, "--only", "city-grid,linear-distance")
		if r.Trips != 2 || len(r.Models) != 2 {
			t.Errorf("%s: %d trips, %d models, want 2 and 2", file, r.Trips, len(r.Models))
		}
		if !strings.Contains(log, "1 rows rejected (1 bad coordinates); first: line 3: ") {
			t.Errorf("said of the row that is no trip:\n%s", log)
		}
	}
	if code, _, log := backtestRun(t, "--trips", plain, "--compare", "city-grid,linear-distance"); code != exitOK {
		t.Errorf("exit code %d of a comparison of two trips\n%s", code, log)
	}
}

func TestBacktestUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	some := []string{"--trips", "synthetic", "--limit", "10"}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "--trips is missing"},
		{[]string{"--trips", "synthetic"}, exitUsage, "needs --limit"},
		{[]string{"--trips", "/no/such/file"}, exitUsage, "--trips: stat /no/such/file"},
		{[]string{"--trips", empty}, exitLost, "the file is empty"},
		{append(some, "--limit", "-1"), exitUsage, "--limit -1 is negative"},
		{append(some, "--workers", "-1"), exitUsage, "--workers -1 is negative"},
		{append(some, "--only", "city-grid,forest"), exitUsage, `--only: no model "forest" is asked: there are linear-regression, `},
		{append(some, "--models", "/no/such/file"), exitUsage, "--models: open /no/such/file"},
		{append(some, "--models", empty), exitUsage, "--models: " + empty},
		{append(some, "--compare", "city-grid"), exitUsage, `--compare wants two models, not "city-grid"`},
		{append(some, "--compare", "city-grid", "--only", "city-grid"), exitUsage, `--compare wants two models, not "city-grid"`},
		{append(some, "--compare", "city-grid", "forest"), exitUsage, `--compare: no model "forest" is asked: there are linear-regression, `},
		{append(some, "--compare", "city-grid,city-grid"), exitUsage, "not city-grid twice"},
		{append(some, "--compare", "city-grid", "decision-tree", "--only", "city-grid"), exitUsage, `no model "decision-tree" is asked: there are city-grid`},
		{append(some, "--compare", "a", "b", "c"), exitUsage, `unexpected argument "c"`},
		{append(some, "city-grid"), exitUsage, `unexpected argument "city-grid"`},
		{append(some, "--html", "/no/such/folder/r.html"), exitLost, "--html: "},
	} {
		code, out, log := backtestRun(t, tt.args...)
		if code != tt.code || !strings.Contains(log, tt.says) {
			t.Errorf("%q: exit code %d, want %d; said %q, want %q", tt.args, code, tt.code, log, tt.says)
		}
		if tt.code == exitUsage && out != "" {
			t.Errorf("%q: printed %q", tt.args, out)
		}
	}
}

func TestJoinCompared(t *testing.T) {
	for args, want := range map[string]string{
		"--compare a b":                  "--compare a,b",
		"-compare a b --html x":          "-compare a,b --html x",
		"--html x --compare a b --limit": "--html x --compare a,b --limit",
		"--compare a,b":                  "--compare a,b",
		"--compare a,b c":                "--compare a,b c",
		"--compare=a b":                  "--compare=a b",
		"--compare a --html x":           "--compare a --html x",
		"--compare a":                    "--compare a",
		"--compare":                      "--compare",
	} {
		if got := strings.Join(joinCompared(strings.Fields(args)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", args, got, want)
		}
	}
	if got := joinCompared([]string{"--compare", "a b", "--html"}); got[1] != "a b" {
		t.Errorf("one argument of two names becomes %q", got)
	}
}

// A command says how to make the same report again.
func TestBacktestCommand(t *testing.T) {
	first := syntheticRecording(t, "it's a file.jsonl", 60)
	r, _ := backtestReport(t, "--trips", first, "--only", "city-grid,linear-distance", "--limit", "50", "--period", "30m", "--workers", "2",
		"--compare", "city-grid", "linear-distance", "--samples", filepath.Join(t.TempDir(), "s.csv"))
	want := "go run ./local backtest --trips '" + strings.ReplaceAll(first, "'", `'\''`) +
		"' --limit 50 --only city-grid,linear-distance --period 30m0s --compare city-grid linear-distance"
	if r.Origin.Command != want {
		t.Errorf("command\n%s, want\n%s", r.Origin.Command, want)
	}
}

func TestBacktestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log output
	if code := run(ctx, invoke(&out, &log, "backtest", "--trips", "synthetic", "--limit", "1000000")); code != exitLost || out.String() != "" {
		t.Errorf("exit code %d, printed %q, said %q", code, out.String(), log.String())
	}
}

// TestBacktestOfRecordedTrips judges the demo's models on the shared file.
func TestBacktestOfRecordedTrips(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: nothing here is new to the race detector, and it takes a minute with it")
	}
	file := sharedTrips(t)
	r, log := backtestReport(t, "--trips", file, "--compare", "city-grid-neighbors", "city-grid")
	if r.Trips != 58894 || log != "" {
		t.Errorf("%d trips, want 58894\n%s", r.Trips, log)
	}
	// River 0.13.0's, of the same trips and delays: see judgeModels.
	river := map[string]float64{"linear-regression": 87542151, "decision-tree": 434.97363, "nearest-neighbors": 531.27776}
	for _, m := range r.Models {
		if want, ok := river[m.Name]; ok && math.Abs(float64(m.MAE)-want) > 1e-6*want {
			t.Errorf("%s has a mean absolute error of %v, River's has %v", m.Name, m.MAE, want)
		}
		delete(river, m.Name)
		if m.Count != r.Trips || m.Unanswered != 0 || m.Error != "" {
			t.Errorf("%s: %d judged, %d unanswered, error %q", m.Name, m.Count, m.Unanswered, m.Error)
		}
	}
	if len(river) > 0 {
		t.Errorf("these were not judged: %v", river)
	}
	if c := r.Comparisons[0]; !(c.P < 1e-4) || !strings.HasPrefix(c.Verdict, "city-grid-neighbors is better than city-grid by 13.1 s a trip") {
		t.Errorf("compared: %s", c.Verdict)
	}
}

// A stream of one's own is judged about as it is when it is played, where labels are
// learned in the order in which their events arrive.
func TestBacktestOfOwnStream(t *testing.T) {
	args := []string{"--trips", bikesFolder + "events.jsonl.gz", "--sql", bikesFolder + "sql", "--models", bikesFolder + "models.yaml"}
	r, log := backtestReport(t, args...)
	if r.Trips != spellsEnded || len(r.Models) != 3 || !strings.Contains(log, strconv.Itoa(spellsBegun-spellsEnded)) {
		t.Errorf("%d spells, %d models, said %q", r.Trips, len(r.Models), log)
	}
	played := map[string]float64{"factors": 1088.6, "mean": 1667.1, "nearest": 1241.0} // as README has it
	for _, m := range r.Models {
		if by := float64(m.MAE) / played[m.Name]; m.Count != spellsEnded || !(by > 0.99 && by < 1.01) {
			t.Errorf("%s is off by %v s in %d spells, played by %v", m.Name, m.MAE, m.Count, played[m.Name])
		}
	}
	if want := "go run ./local backtest --trips " + args[1] + " --sql " + args[3] + " --models " + args[5]; r.Origin.Command != want {
		t.Errorf("made by %s, want %s", r.Origin.Command, want)
	}
	for _, c := range []struct{ args, want []string }{
		{[]string{"--sql", bikesFolder + "sql", "--trips", args[1]}, []string{"--models FILE"}},
		{[]string{"--sql", bikesFolder + "sql", "--models", args[5], "--trips", "synthetic", "--limit", "10"}, []string{"--trips synthetic", "emptied, refilled"}},
		{[]string{"--sql", "nowhere", "--trips", args[1]}, []string{"--sql", "nowhere"}},
		{[]string{"--set", "no_such=1", "--trips", args[1]}, []string{"no_such"}},
	} {
		code, _, log := backtestRun(t, c.args...)
		if code != exitUsage {
			t.Errorf("%q: exit code %d", c.args, code)
		}
		for _, part := range c.want {
			if !strings.Contains(log, part) {
				t.Errorf("%q does not say %q:\n%s", c.args, part, log)
			}
		}
	}
}
