package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/replay"
)

// synthetic is a recording of made-up trips, in the order in which they happened.
func synthetic(t *testing.T, trips int) iter.Seq2[recordings.Record, error] {
	t.Helper()
	source, err := simulate.OpenSource(simulate.TripsSynthetic, simulate.SyntheticConfig{Seed: 1, TripsPerHour: 60})
	if err != nil {
		t.Fatal(err)
	}
	var all []recordings.Record
	sim, err := simulate.New(simulate.Config{Source: source, Producer: taker{&all}, Limit: trips, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return yielding(all)
}

func yielding(records []recordings.Record) iter.Seq2[recordings.Record, error] {
	return func(yield func(recordings.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// taker takes the events of trips as records.
type taker struct{ records *[]recordings.Record }

func (t taker) PickUp(_ context.Context, trip simulate.Trip) error {
	return t.take(events.TopicPickUps, trip.PickedUpAt, trip.PickUp())
}

func (t taker) DropOff(_ context.Context, trip simulate.Trip) error {
	return t.take(events.TopicDropOffs, trip.DroppedOffAt, trip.DropOff())
}

func (t taker) Flush(context.Context) error { return nil }
func (t taker) Acked(string) int64          { return 0 }

func (t taker) take(topic string, at time.Time, payload events.Payload) error {
	e, err := events.Encode(payload)
	if err != nil {
		return err
	}
	record, err := events.ToRecord(e)
	*t.records = append(*t.records, recordings.Record{Topic: topic, At: at, Offset: int64(len(*t.records)), Record: record})
	return err
}

// written is the outcome as its file has it.
func written(t *testing.T, o *replay.Outcome) string {
	t.Helper()
	var b strings.Builder
	if err := o.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestReplayStepByStep plays the same three times: what comes out is the same to
// the last byte, and each prediction is by models that have learned what had ended
// by then, a version a label.
func TestReplayStepByStep(t *testing.T) {
	const trips = 60
	records := synthetic(t, trips)
	var first string
	var before *replay.Outcome
	for n := range 3 {
		outcome, err := replaying{records: records, step: true}.run(t.Context(), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			if written(t, outcome) != first {
				t.Errorf("run %d came out otherwise: %v", n+1, replay.Compare(before, outcome, replay.Rules{}))
			}
			continue
		}
		before = outcome
		first = written(t, outcome)
		if len(outcome.Events) != 3*trips {
			t.Errorf("%d events came out of %d trips, want three each", len(outcome.Events), trips)
		}
		wantVersions(t, records, outcome)
	}
}

// TestReplayCausesAll plays a drop-off before its pick-up: then it is the prediction
// that causes the label, and the replay is not over before it is there.
func TestReplayCausesAll(t *testing.T) {
	for _, step := range []bool{true, false} {
		var records []recordings.Record
		for r := range synthetic(t, 3) {
			records = append(records, r)
		}
		slices.SortStableFunc(records, func(a, b recordings.Record) int {
			return cmp.Compare(a.Topic, b.Topic) // drop_offs, pick_ups
		})
		outcome, err := replaying{records: yielding(records), step: step}.run(t.Context(), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{events.TopicFeatures, events.TopicPredictions, events.TopicLabels} {
			n := 0
			for _, e := range outcome.Events {
				if e.Topic == topic {
					n++
				}
			}
			if n < 3 {
				t.Errorf("step by step %t: %d events came out in %s, want one of each trip", step, n, topic)
			}
		}
	}
}

// TestReplayOfRewrittenFeatures plays drop-offs so late that they change what other
// trips were told, at the very moment at which they are learned: what is asked
// first is the same every time.
func TestReplayOfRewrittenFeatures(t *testing.T) {
	const name = "late-and-missing.jsonl.gz"
	var first string
	for n := range 2 {
		f, err := recordings.Files().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		reader, err := recordings.NewReader(f, name)
		if err != nil {
			t.Fatal(err)
		}
		outcome, err := replaying{records: reader.Records(), step: true}.run(t.Context(), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = written(t, outcome)
		} else if again := written(t, outcome); again != first {
			t.Errorf("it came out otherwise the second time, in %d and %d bytes", len(first), len(again))
		}
	}
}

// wantVersions holds that all models have learned of all trips that had ended
// before another one began, and of no other.
func wantVersions(t *testing.T, records iter.Seq2[recordings.Record, error], outcome *replay.Outcome) {
	t.Helper()
	want, ended := map[string]uint64{}, uint64(0)
	for r := range records {
		if r.Topic == events.TopicDropOffs {
			ended++
		} else {
			want[string(r.Key)] = ended
		}
	}
	for _, e := range outcome.Events {
		if e.Topic != events.TopicPredictions {
			continue
		}
		p, err := events.DecodePrediction(e.Event)
		if err != nil {
			t.Fatal(err)
		}
		for model, answer := range p.Predictions {
			if answer.Version != want[p.TripID] {
				t.Errorf("%s is predicted by version %d of %s, and %d trips had ended", p.TripID, answer.Version, model, want[p.TripID])
			}
		}
	}
}

// tripsFile is a recording of made-up trips as a file.
func tripsFile(t *testing.T, trips int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "trips.jsonl")
	w, err := recordings.Create(name, recordings.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for r := range synthetic(t, trips) {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// replayed runs the command.
func replayed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log output
	code = run(t.Context(), invoke(&out, &log, append([]string{"replay"}, args...)...))
	return code, out.String(), log.String()
}

// says checks for texts, in what was printed and said.
func says(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, s := range wanted {
		if !strings.Contains(text, s) {
			t.Errorf("it does not say %q:\n%s", s, text)
		}
	}
}

// TestReplayCommand makes a golden file and compares with it: step by step, as
// fast as it goes, and with a system that runs elsewhere.
func TestReplayCommand(t *testing.T) {
	file := tripsFile(t, 8)
	folder := t.TempDir()
	golden, out := filepath.Join(folder, "golden.jsonl"), filepath.Join(folder, "out.jsonl.gz")
	code, stdout, stderr := replayed(t, file, "--step", "--golden", golden, "--update", "--out", out)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	says(t, stdout, "8 pick_ups, 8 drop_offs", "came out   8 features, 8 predictions, 8 labels\n",
		"trips      8, of them 0 without a prediction, 0 without a label\n", "MAE        city-grid-neighbors ", "golden     "+golden)
	want, err := replay.ReadOutcome(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := replay.ReadOutcome(out); err != nil || written(t, got) != written(t, want) {
		t.Errorf("--out is not what is golden (%v)", err)
	}

	r := launch(t, "--trips", "none", "--monitor-listen", "off")
	for _, how := range [][]string{
		{"--step"},
		{"--speed", "0"},
		{"--clock", "event", "--speed", "36000"},
		{"--kafka", r.kafka.Brokers[0], "--speed", "0", "--quiet-for", "3s"},
	} {
		code, stdout, stderr := replayed(t, append([]string{file, "--golden", golden}, how...)...)
		if code != exitOK {
			t.Errorf("%v: exit code %d\n%s\n%s", how, code, stdout, stderr)
		}
		says(t, stdout, "golden     as in "+golden)
	}
}

// TestReplayDiffers compares with golden files that are changed by hand.
func TestReplayDiffers(t *testing.T) {
	file := tripsFile(t, 8)
	golden := filepath.Join(t.TempDir(), "golden.jsonl")
	if code, _, stderr := replayed(t, file, "--speed", "0", "--golden", golden); code != exitLost || !strings.Contains(stderr, "--update makes it") {
		t.Errorf("without a golden file the exit code is %d: %s", code, stderr)
	}
	if code, _, stderr := replayed(t, file, "--step", "--golden", golden, "--update"); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	whole, err := replay.ReadOutcome(golden)
	if err != nil {
		t.Fatal(err)
	}
	change := func(pattern, by string) {
		t.Helper()
		text := written(t, whole)
		changed := regexp.MustCompile(pattern).ReplaceAllString(text, by)
		if changed == text {
			t.Fatalf("there is no %s to change", pattern)
		}
		if err := os.WriteFile(golden, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change(`"passenger_count":\d`, `"passenger_count":9`) // in features, predictions and labels
	code, stdout, stderr := replayed(t, file, "--step", "--golden", golden)
	if code != exitLost {
		t.Errorf("exit code %d", code)
	}
	says(t, stdout, "data.features.passenger_count is ", ", was 9\n", "and 4 differences more\n")
	says(t, stderr, "24 differences from "+golden)
	if lines := strings.Count(stdout, "was 9"); lines != mostDifferences {
		t.Errorf("%d differences are listed, want %d", lines, mostDifferences)
	}

	// What depends on when a label was learned counts step by step alone.
	change(`"version":0`, `"version":7`)
	if code, stdout, _ := replayed(t, file, "--step", "--golden", golden); code != exitLost {
		t.Errorf("step by step, another version is the same:\n%s", stdout)
	} else {
		says(t, stdout, ".version is 0, was 7")
	}
	if code, stdout, stderr := replayed(t, file, "--speed", "0", "--golden", golden); code != exitOK {
		t.Errorf("as fast as it goes, another version is another:\n%s\n%s", stdout, stderr)
	}
}

// TestReplayPart plays some of a recording: by time and by topic, and into one
// function.
func TestReplayPart(t *testing.T) {
	file := tripsFile(t, 8)
	// The first trip begins at eight. By either clock these are two minutes of it.
	for _, clock := range []string{"arrival", "event"} {
		code, stdout, stderr := replayed(t, "--speed", "0", "--clock", clock, "--from", "2016-01-04T08:00", "--to", "2016-01-04T08:02:00Z", "--topics", "pick_ups", file)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		n := 0
		for r := range synthetic(t, 8) {
			if r.Topic == events.TopicPickUps && r.At.Before(time.Date(2016, 1, 4, 8, 2, 0, 0, time.UTC)) {
				n++
			}
		}
		says(t, stdout, fmt.Sprintf("played     %d pick_ups; %d records of the recording left out\n", n, 16-n),
			fmt.Sprintf("came out   %d features, %d predictions\n", n, n), fmt.Sprintf("0 without a prediction, %d without a label", n))
	}

	r := launch(t, "--trips", "none", "--monitor-listen", "off")
	code, stdout, stderr := replayed(t, file, "--function", r.urls["predict"], "--speed", "0")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	says(t, stdout, "played     nothing; 16 records of the recording left out\n")
	code, stdout, stderr = replayed(t, file, "--function", r.urls["predict"], "--speed", "0", "--topics", "pick_ups")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	says(t, stdout, "played     8 pick_ups; 8 records", "came out   8 answers\n", "not taken  8: 400 ", "is not one that predict takes")
}

// TestReplayOfABrokenRecording: what came before the damage is played and told,
// and does not become golden.
func TestReplayOfABrokenRecording(t *testing.T) {
	file := tripsFile(t, 8)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for name, broken := range map[string][]byte{
		"cut short": text[:len(text)-len(lines[15])-7],
		"damaged":   bytes.Join([][]byte{bytes.Join(lines[:14], nil), []byte("}{\n"), lines[15]}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "broken.jsonl")
			golden := file + ".golden"
			if err := errors.Join(os.WriteFile(file, broken, 0o600), os.WriteFile(golden, []byte("what was there\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
			line := 1 + bytes.Count(broken[:len(text)-len(lines[15])-len(lines[14])], []byte("\n"))
			code, stdout, stderr := replayed(t, file, "--step", "--golden", golden, "--update")
			if code != exitLost {
				t.Errorf("exit code %d", code)
			}
			says(t, stderr, fmt.Sprintf("line %d", line), file, "--update")
			says(t, stdout, "8 pick_ups, ", "came out   8 features, 8 predictions, ")
			if left, err := os.ReadFile(golden); err != nil || string(left) != "what was there\n" {
				t.Errorf("the golden file is %q (%v)", left, err)
			}
		})
	}
}

// TestReplayRefusals: nothing is started for what cannot be done.
func TestReplayRefusals(t *testing.T) {
	file := tripsFile(t, 1)
	csv := filepath.Join(t.TempDir(), "trips.csv")
	if err := os.WriteFile(csv, []byte("id,vendor_id\nid1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := freeAddress(t)
	empty, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no file", nil, exitUsage, []string{"the recording is missing"}},
		{"two files", []string{file, file}, exitUsage, []string{"unexpected argument"}},
		{"missing file", []string{"nowhere.jsonl"}, exitLost, []string{"nowhere.jsonl"}},
		{"a CSV", []string{csv}, exitLost, []string{csv, "line 1"}},
		{"two places", []string{file, "--kafka", nobody, "--function", "http://" + nobody}, exitUsage, []string{"--kafka", "--function"}},
		{"step elsewhere", []string{file, "--step", "--kafka", nobody}, exitUsage, []string{"--step", "--kafka"}},
		{"step of a function", []string{file, "--step", "--function", "http://" + nobody}, exitUsage, []string{"--step", "--function"}},
		{"step by speed", []string{file, "--step", "--speed", "2"}, exitUsage, []string{"--speed"}},
		{"speed", []string{file, "--speed", "-1"}, exitUsage, []string{"--speed"}},
		{"speed that is no number", []string{file, "--speed", "NaN"}, exitUsage, []string{"--speed"}},
		{"tolerance", []string{file, "--tolerance", "0"}, exitUsage, []string{"--tolerance"}},
		{"quiet", []string{file, "--quiet-for", "0s"}, exitUsage, []string{"--quiet-for"}},
		{"models elsewhere", []string{file, "--models", csv, "--kafka", nobody}, exitUsage, []string{"--models"}},
		{"no models", []string{file, "--models", "nowhere.yaml"}, exitLost, []string{"--models", "nowhere.yaml"}},
		{"update of nothing", []string{file, "--update"}, exitUsage, []string{"--golden"}},
		{"clock", []string{file, "--clock", "wall"}, exitUsage, []string{"--clock", `"wall"`}},
		{"from", []string{file, "--from", "noon"}, exitUsage, []string{"--from", `"noon"`}},
		{"to before from", []string{file, "--from", "2016-01-04T08:00", "--to", "2016-01-04T08:00:00Z"}, exitUsage, []string{"--to"}},
		{"topic", []string{file, "--topics", "pick_ups,pickups"}, exitUsage, []string{`"pickups"`, "pick_ups, features"}},
		{"function", []string{file, "--function", "localhost:8081"}, exitUsage, []string{"--function"}},
		{"nobody there", []string{file, "--kafka", nobody}, exitLost, []string{nobody}},
		{"no function there", []string{file, "--function", "http://" + nobody}, exitLost, []string{nobody}},
		{"no system there", []string{file, "--kafka", empty.Addr()}, exitLost, []string{"features"}},
		{"SQL elsewhere", []string{file, "--sql", "bikes/sql", "--kafka", nobody}, exitUsage, []string{"--sql", "Materialize"}},
		{"no SQL", []string{file, "--sql", "nowhere"}, exitUsage, []string{"--sql", "nowhere"}},
		{"a folder without SQL", []string{file, "--sql", "bikes"}, exitUsage, []string{"--sql bikes", "no *.sql files"}},
		{"SQL without models", []string{file, "--sql", "bikes/sql"}, exitUsage, []string{"bikes/sql is not about trips", "--models FILE"}},
		{"unknown variable", []string{file, "--set", "gracee=1 hour"}, exitUsage, []string{"no file has a variable gracee: there are best_margin, "}},
		{"topics of others", []string{file, "--sql", "bikes/sql", "--models", "bikes/models.yaml", "--topics", "pick_ups"}, exitUsage, []string{`"pick_ups"`, "emptied, refilled, features"}},
		{"no golden file", []string{file, "--golden", "nowhere.jsonl"}, exitLost, []string{"nowhere.jsonl", "--update"}},
		{"no golden file, but a CSV", []string{file, "--golden", csv}, exitLost, []string{csv, "line 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := replayed(t, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			says(t, stderr, test.says...)
			if strings.Contains(stdout, "came out") && test.name != "no function there" {
				t.Errorf("something was played:\n%s", stdout)
			}
		})
	}
}
