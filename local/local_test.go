package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/evaluate"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
)

// output collects what a run prints, for the test's log.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// invoke is a command line with an empty environment.
func invoke(stdout, stderr io.Writer, args ...string) invocation {
	return invocation{args: args, getenv: func(string) string { return "" }, stdout: stdout, stderr: stderr}
}

// start runs the command as a user would and returns its report when it ends.
func start(ctx context.Context, t *testing.T, args ...string) (code int, report Report, stderr string) {
	t.Helper()
	var out, log output
	code = run(ctx, invoke(&out, &log, append([]string{"--free-ports", "--report", "-"}, args...)...))
	if out.String() != "" {
		decoder := json.NewDecoder(strings.NewReader(out.String()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&report); err != nil {
			t.Fatalf("standard output is not one report: %v\n%s", err, out.String())
		}
		if decoder.More() {
			t.Errorf("standard output holds more than the report:\n%s", out.String())
		}
	}
	return code, report, log.String()
}

// wantAll checks that every trip went all the way, once.
func wantAll(t *testing.T, r Report, trips int64) {
	t.Helper()
	for name, got := range map[string]int64{
		"trips": r.Trips, "pick_ups": r.PickUps, "drop_offs": r.DropOffs, "features": r.Features,
		"predictions": r.Predictions, "labels": r.Labels,
	} {
		if got != trips {
			t.Errorf("%s is %d, want %d", name, got, trips)
		}
	}
	if len(r.Learned) == 0 || len(r.MAE) != len(r.Learned) || len(r.RMSE) != len(r.Learned) {
		t.Errorf("learned %v, mae %v, rmse %v: want one entry a model in each", r.Learned, r.MAE, r.RMSE)
	}
	for model, n := range r.Learned {
		if n != trips {
			t.Errorf("%s has learned %d labels, want %d", model, n, trips)
		}
	}
}

// TestMainJob goes through the whole system over real sockets: every part that
// go run ./local starts, none of them replaced.
func TestMainJob(t *testing.T) {
	code, r, log := start(t.Context(), t, "--limit", "1500", "--speed", "0", "--exit-when-done")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	wantAll(t, r, 1500)
	if r.Duplicates != 0 || r.DeadLetters != 0 || r.Rejected == nil || *r.Rejected != 0 {
		t.Errorf("duplicates %d, dead letters %d, rejected %v: want none", r.Duplicates, r.DeadLetters, r.Rejected)
	}
	if r.Lag.P50 <= 0 || r.Lag.P99 < r.Lag.P50 || r.WallS <= 0 || r.TripsPerS <= 0 {
		t.Errorf("lag %v, wall %v s, %v trips/s: want them measured", r.Lag, r.WallS, r.TripsPerS)
	}
}

// sharedTrips is the file of real trips that development has at hand.
func sharedTrips(t *testing.T) string {
	t.Helper()
	file, err := recordedTrips()
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	return file
}

func recordedTrips() (string, error) {
	file := os.Getenv("TRIPCAST_TRIPS")
	if file == "" {
		file = filepath.Join("..", "..", "shared", "data", "yellow_2016-01.csv.gz")
	}
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("no recorded trips: set TRIPCAST_TRIPS to yellow_2016-01.csv.gz (%w)", err)
	}
	return file, nil
}

// TestRecordedTrips plays the whole shared file.
func TestRecordedTrips(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: a minute of work, left out by -short")
	}
	file := sharedTrips(t)
	samples := filepath.Join(t.TempDir(), "samples.csv")
	args, trips := []string{"--trips", file, "--speed", "0", "--exit-when-done", "--samples", samples}, int64(58894)
	if raceEnabled {
		args, trips = append(args, "--limit", "5000"), 5000
	}
	code, r, log := start(t.Context(), t, args...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	wantAll(t, r, trips)
	if r.Duplicates != 0 || r.DeadLetters != 0 || r.Rejected == nil || *r.Rejected != 0 {
		t.Errorf("duplicates %d, dead letters %d, rejected %v: want none", r.Duplicates, r.DeadLetters, r.Rejected)
	}
	// It takes many times as long as predict may keep models, so that predictions
	// know labels of the same run; a short run may be over before.
	if r.Staleness.P99 <= 0 || r.Staleness.P99 < r.Staleness.P50 {
		t.Errorf("staleness %v: want it measured", r.Staleness)
	}
	if !raceEnabled {
		judgeModels(t, samples)
	}
}

// judgeModels asks the shipped models about the trips that were played, each
// label learned when its trip had ended. The features do not depend on the run,
// so that neither do the errors.
func judgeModels(t *testing.T, file string) {
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	models, err := evaluate.Models(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := evaluate.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	results, err := evaluate.Progressive(t.Context(), samples.Features(), samples.Samples(t.Context()), models, evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mae := map[string]float64{}
	for _, r := range results {
		if r.Err != nil || r.Unanswered != 0 {
			t.Errorf("%s: %d unanswered, error %v", r.Name, r.Unanswered, r.Err)
		}
		mae[r.Name] = r.MAE
	}
	// The demo's pipelines have the errors of River 0.13.0: `task prequential`.
	for name, river := range map[string]float64{"linear-regression": 87542151, "decision-tree": 434.97363, "nearest-neighbors": 531.27776} {
		if math.Abs(mae[name]-river) > 1e-6*river {
			t.Errorf("%s has a mean absolute error of %v, River's %v", name, mae[name], river)
		}
	}
	if champion, most := mae[catalogue.Champion], 0.8*mae["decision-tree"]; !(champion < most) {
		t.Errorf("the champion has a mean absolute error of %v, want less than %v, a fifth below the best of the demo's", champion, most)
	}
}

// running is a system that a test looks into while it runs.
type running struct {
	*system
	log    *output
	done   chan struct{}
	report *Report
	err    error
	cancel context.CancelFunc
}

// launch starts a system and waits until it plays trips.
func launch(t *testing.T, args ...string) *running {
	t.Helper()
	return launchWith(t, nil, args...)
}

// launchWith is launch in an environment.
func launchWith(t *testing.T, env map[string]string, args ...string) *running {
	t.Helper()
	log := &output{}
	in := invoke(io.Discard, log, append([]string{"--free-ports"}, args...)...)
	in.getenv = func(name string) string { return env[name] }
	o, err := parse(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{system: newSystem(o, log), log: log, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(r.done)
		r.report, r.err = r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	r.until(t, "it has started", func() bool { return strings.Contains(log.String(), "trips:") })
	return r
}

func (r *running) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-r.done:
			t.Fatalf("waiting until %s: the system has ended: %v\n%s", what, r.err, r.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting until %s: a minute is over\n%s", what, r.log)
		}
	}
}

func (r *running) counted(topic string) int64 { return r.tally.moment().counts[topic] }

// TestOutside looks at a running system with the tools of its users: a Kafka
// client sees CloudEvents, a Postgres client the views.
func TestOutside(t *testing.T) {
	r := launch(t, "--limit", "400", "--speed", "3000")
	r.until(t, "50 labels are learned", func() bool { return r.counted(events.TopicLabels) >= 50 })

	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Brokers...), kgo.ConsumeTopics(events.TopicPredictions), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	record := client.PollFetches(t.Context()).Records()[0]
	converted := events.Record{Key: record.Key, Value: record.Value}
	for _, h := range record.Headers {
		converted.Headers = append(converted.Headers, events.Header{Key: h.Key, Value: h.Value})
	}
	e, err := events.FromRecord(converted)
	if err != nil {
		t.Fatalf("a record of predictions is no CloudEvent: %v", err)
	}
	prediction, err := events.DecodePrediction(e)
	if err != nil {
		t.Fatal(err)
	}
	if prediction.TripID != string(record.Key) || prediction.Champion == "" || len(prediction.Features) < 7 {
		t.Errorf("the prediction of %s is %+v", record.Key, prediction)
	}

	conn, err := pgx.Connect(t.Context(), "postgres://materialize@"+r.sqlAt+"/materialize?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var picked, predicted, completed, inProgress int64
	err = conn.QueryRow(t.Context(), "SELECT pick_ups, predictions, completed, in_progress FROM trip_counts").Scan(&picked, &predicted, &completed, &inProgress)
	if err != nil {
		t.Fatal(err)
	}
	if picked == 0 || predicted == 0 || completed < 50 || picked-completed != inProgress {
		t.Errorf("%d picked up, %d predicted, %d completed, %d in progress", picked, predicted, completed, inProgress)
	}
	var models int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM model_errors WHERE mae_s > 0").Scan(&models); err != nil {
		t.Fatal(err)
	}
	if want := len(prediction.Predictions); models != want {
		t.Errorf("model_errors has %d models, want %d", models, want)
	}

	for _, url := range []string{r.urls["predict"], r.urls["learn"]} {
		for _, path := range []string{"/health/liveness", "/health/readiness"} {
			response, err := http.Get(url + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s%s answers %s", url, path, response.Status)
			}
		}
	}
}

// TestInterrupted ends a run in the middle, as ctrl-C does: no error, and
// nothing that was acknowledged is unfinished.
func TestInterrupted(t *testing.T) {
	r := launch(t, "--speed", "0")
	r.until(t, "300 labels are learned", func() bool { return r.counted(events.TopicLabels) >= 300 })
	r.cancel()
	<-r.done
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.log)
	}
	if r.report == nil || r.report.Labels < 300 || r.report.DeadLetters != 0 {
		t.Errorf("the report is %+v", r.report)
	}
	if log := r.log.String(); strings.Contains(log, "cleanly") {
		t.Errorf("a part did not end cleanly:\n%s", log)
	}
}

// TestRealParts points the flags at a broker and a Redis that are not its own,
// twice: the second run finds what the first has left, and counts only its own.
func TestRealParts(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	redis := miniredis.RunT(t)
	for _, seed := range []string{"1", "2"} {
		code, r, log := start(t.Context(), t, "--kafka", b.Addr(), "--redis", "redis://"+redis.Addr(), "--seed", seed, "--limit", "300", "--speed", "0", "--exit-when-done")
		if code != exitOK {
			t.Fatalf("seed %s: exit code %d\n%s", seed, code, log)
		}
		wantAll(t, r, 300)
		if r.Duplicates != 0 || r.DeadLetters != 0 {
			t.Errorf("seed %s: duplicates %d, dead letters %d: want none", seed, r.Duplicates, r.DeadLetters)
		}
	}
}

// TestPoison puts events that no function can take into the topics: they land in
// dead_letters, and the run goes on and ends well.
func TestPoison(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 3, -1, nil, events.TopicFeatures, events.TopicPickUps); err != nil {
		t.Fatal(err)
	}
	poison := func(topic, key, typ, value string) {
		t.Helper()
		record := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
		for k, v := range map[string]string{"ce_specversion": "1.0", "ce_id": key, "ce_type": typ, "ce_source": "/test", "content-type": "application/json"} {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	poison(events.TopicFeatures, "bad-1", events.TypeFeatures, `{"trip_id":"bad-1","features":{}}`)
	poison(events.TopicFeatures, "bad-2", "com.example.other", `{}`)
	poison(events.TopicPickUps, "bad-3", events.TypePickedUp, `{"trip_id":"bad-3","picked_up_at":"2016-02-31T00:00:00Z"}`)
	poison(events.TopicPickUps, "bad-4", events.TypePickedUp, `not json`)
	code, r, log := start(t.Context(), t, "--kafka", b.Addr(), "--limit", "300", "--speed", "0", "--exit-when-done")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log)
	}
	if r.DeadLetters != 2 {
		t.Errorf("%d dead letters, want the 2 features that predict cannot take\n%s", r.DeadLetters, log)
	}
	if r.Labels != 300 {
		t.Errorf("%d labels, want 300", r.Labels)
	}
	if !strings.Contains(log, "topic pick_ups, partition") {
		t.Errorf("nothing says which record was no JSON:\n%s", log)
	}
}

// TestLost has no learn to deliver to: the run gives up and says what is missing.
func TestLost(t *testing.T) {
	code, r, log := start(t.Context(), t, "--learn", "http://"+freeAddress(t), "--limit", "5", "--speed", "0", "--exit-when-done", "--patience", "1s")
	if code != exitLost {
		t.Errorf("exit code %d, want %d", code, exitLost)
	}
	if r.Trips != 5 || r.Predictions != 5 || r.Labels != 5 {
		t.Errorf("the report is %+v, want 5 trips as far as their labels", r)
	}
	for model, n := range r.Learned {
		if n != 0 {
			t.Errorf("%s has learned %d labels of nobody", model, n)
		}
	}
	if !strings.Contains(log, "has not learned 5 labels") {
		t.Errorf("nothing says what is missing:\n%s", log)
	}
}

func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	bad := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(bad, []byte("champion: a\nmodels:\n- name: a\n  features: [x]\n  model: {Linear: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"unknown flag", []string{"--sped", "1"}, exitUsage, []string{"sped"}},
		{"argument", []string{"trips.csv"}, exitUsage, []string{`"trips.csv"`}},
		{"negative speed", []string{"--speed", "-1"}, exitUsage, []string{"--speed", "negative"}},
		{"endless", []string{"--exit-when-done"}, exitUsage, []string{"--limit"}},
		{"no such file", []string{"--trips", "nowhere.csv"}, exitUsage, []string{"nowhere.csv"}},
		{"materialize alone", []string{"--materialize", "postgres://x"}, exitUsage, []string{"--kafka"}},
		{"snow", []string{"--snow", "soon"}, exitUsage, []string{"soon"}},
		{"start", []string{"--start", "noon"}, exitUsage, []string{"--start", `"noon"`}},
		{"no SQL", []string{"--sql", "nowhere"}, exitUsage, []string{"--sql", "nowhere"}},
		{"SQL without models", []string{"--sql", "bikes/sql"}, exitUsage, []string{"bikes/sql", "--models FILE"}},
		{"trips for SQL about others", []string{"--sql", "bikes/sql", "--trips", "synthetic"}, exitUsage, []string{"--trips synthetic", "it reads emptied, refilled"}},
		{"no variable", []string{"--set", "gracee=1 hour"}, exitUsage, []string{`no file has a variable gracee: there are best_margin, `}},
		{"no assignment", []string{"--set", "grace"}, exitUsage, []string{`"grace"`, "grace=10 minutes"}},
		{"nothing to end with", []string{"--sql", "bikes/sql", "--models", "bikes/models.yaml", "--exit-when-done"}, exitUsage, []string{"local watch"}},
		{"kafka port", []string{"--kafka-listen", address}, exitLost, []string{address, "kafka"}},
		{"redis port", []string{"--redis-listen", address}, exitLost, []string{address, "--redis-listen", "--free-ports"}},
		{"sql port", []string{"--sql-listen", address}, exitLost, []string{address, "--sql-listen"}},
		{"predict port", []string{"--predict-listen", address}, exitLost, []string{address, "--predict-listen"}},
		{"learn port", []string{"--learn-listen", address}, exitLost, []string{address, "--learn-listen"}},
		{"monitor port", []string{"--monitor-listen", address}, exitLost, []string{address, "--monitor-listen", "--free-ports", "--monitor-listen off"}},
		{"no redis there", []string{"--redis", "redis://" + freeAddress(t)}, exitLost, []string{"--redis"}},
		{"bad catalogue", []string{"--models", bad}, exitLost, []string{"models.yaml", "line 5", "Linear"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var out, log output
			code := run(ctx, invoke(&out, &log, append([]string{"--free-ports"}, test.args...)...))
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, s := range test.says {
				if !strings.Contains(log.String(), s) {
					t.Errorf("the message does not say %q:\n%s", s, log.String())
				}
			}
			if out.String() != "" {
				t.Errorf("standard output is not empty: %s", out.String())
			}
		})
	}
}
