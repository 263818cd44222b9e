package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/simulate"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
	"tripcast.dev/sql"
)

// TestParts is what compose runs, without containers: every part a process of
// its own, told by flags and environment where the others are. Knative's
// stand-in is run both as a part and as the whole system with all else replaced.
func TestParts(t *testing.T) {
	commands := build(t, "predict", "learn", "promote", "simulate")
	for name, emulator := range map[string]func(c *composed) []string{
		"eventing": func(c *composed) []string { return []string{"eventing", "--kafka", c.kafka} },
		"whole": func(c *composed) []string {
			return []string{"--trips", "none", "--kafka", c.kafka, "--redis", c.redis, "--materialize", c.dsn, "--monitor-listen", "127.0.0.1:0"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			c := compose(t)
			predict, learn, promote := freeAddress(t), freeAddress(t), freeAddress(t)
			knative := local(t, nil, append(emulator(c), "--ingress-listen", "127.0.0.1:0", "--predict", "http://"+predict, "--learn", "http://"+learn, "--promote", "http://"+promote)...)
			sink := knative.says(t, "has to be given K_SINK=")
			spawn(t, "predict", filepath.Join(commands, "predict"), []string{"REDIS_URL=" + c.redis, "LISTEN_ADDRESS=" + predict, "K_SINK=" + sink})
			spawn(t, "learn", filepath.Join(commands, "learn"), []string{"REDIS_URL=" + c.redis, "LISTEN_ADDRESS=" + learn})
			spawn(t, "promote", filepath.Join(commands, "promote"), []string{"REDIS_URL=" + c.redis, "LISTEN_ADDRESS=" + promote})
			spawn(t, "simulate", filepath.Join(commands, "simulate"), []string{"KAFKA_BROKERS=" + c.kafka}, "--limit", "500", "--speed", "0")

			watch := local(t, []string{"KAFKA_BROKERS=" + c.kafka}, "watch", "--redis", c.redis, "--expect", "500", "--report", "-")
			if err := watch.wait(t); err != nil {
				t.Fatalf("watch: %v\n%s", err, &watch.log)
			}
			var r Report
			if err := json.Unmarshal([]byte(watch.out.String()), &r); err != nil {
				t.Fatalf("watch prints no report: %v\n%s", err, &watch.out)
			}
			wantAll(t, r, 500)
			if r.Duplicates != 0 || r.DeadLetters != 0 || r.Lag.P99 <= 0 || r.WallS <= 0 || r.Rejected != nil {
				t.Errorf("the report is %s", &watch.out)
			}
		})
	}
}

// composed is what the functions stand on.
type composed struct{ kafka, redis, dsn string }

// compose starts a broker, a Redis and the stream, and applies the models and
// the SQL as a deployment does.
func compose(t *testing.T) *composed {
	t.Helper()
	c := &composed{redis: "redis://" + miniredis.RunT(t).Addr()}
	c.kafka = local(t, nil, "broker", "--listen", "127.0.0.1:0").says(t, "Kafka ")
	stream := local(t, []string{"KAFKA_BROKERS=" + c.kafka}, "stream", "--sql-listen", "127.0.0.1:0")
	c.dsn = "postgres://materialize@" + stream.says(t, "SQL ") + "/materialize?sslmode=disable"

	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open(c.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(t.Context(), client, catalogue); err != nil {
		t.Fatal(err)
	}
	statements, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), c.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := (sql.Deployment{Statements: statements}).Apply(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTripsNone has somebody else play the trips.
func TestTripsNone(t *testing.T) {
	r := launch(t, "--trips", "none")
	source, err := simulate.OpenSource(simulate.TripsSynthetic, simulate.SyntheticConfig{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	producer, err := simulate.NewProducer(t.Context(), simulate.ProducerConfig{Brokers: r.kafka.Brokers})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	sim, err := simulate.New(simulate.Config{Source: source, Producer: producer, Limit: 60, Log: r.system.log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until(t, "60 labels are there", func() bool { return r.counted(events.TopicLabels) == 60 })
	if m := r.moment(); m.time() == "-" || m.clock.Year() != 2016 {
		t.Errorf("the city's clock is %s", m.time())
	}
	// It goes on: with trips of others, nobody knows when they end.
	select {
	case <-r.done:
		t.Fatalf("it has ended: %v\n%s", r.err, r.log)
	default:
	}
	r.until(t, "all are learned", func() bool {
		done, err := r.books().settled(t.Context(), 60, 0)
		return done && err == nil
	})
	r.cancel()
	<-r.done
	if r.err != nil || r.report == nil {
		t.Fatalf("%v\n%s", r.err, r.log)
	}
	wantAll(t, *r.report, 60)
	if r.report.Rejected != nil || !strings.Contains(r.log.String(), "trips: none\n") {
		t.Errorf("the report is %+v, the log\n%s", *r.report, r.log)
	}
}

// TestWatchLost watches a system that no learn runs in, and one without models.
func TestWatchLost(t *testing.T) {
	redis := miniredis.RunT(t)
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	watching := func(args ...string) (int, string, string) {
		var out, log output
		code := run(t.Context(), invoke(&out, &log, append([]string{"watch", "--kafka", b.Addr(), "--expect", "5", "--patience", "1s"}, args...)...))
		return code, out.String(), log.String()
	}
	if code, _, log := watching("--redis", "redis://"+redis.Addr()); code != exitLost || !strings.Contains(log, "topic") || !strings.Contains(log, "not exist") {
		t.Errorf("without topics: exit code %d\n%s", code, log)
	}
	code, _, _ := start(t.Context(), t, "--kafka", b.Addr(), "--redis", "redis://"+redis.Addr(), "--learn", "http://"+freeAddress(t),
		"--limit", "5", "--speed", "0", "--exit-when-done", "--patience", "1s")
	if code != exitLost {
		t.Fatalf("the run itself: exit code %d, want %d", code, exitLost)
	}
	if code, _, log := watching("--redis", "redis://"+miniredis.RunT(t).Addr()); code != exitLost || !strings.Contains(log, "no catalogue has been applied") {
		t.Errorf("without models: exit code %d\n%s", code, log)
	}
	code, out, log := watching("--redis", "redis://"+redis.Addr(), "--report", "-")
	var r Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Labels != 5 || r.Trips != 5 {
		t.Errorf("%v: the report is %s", err, out)
	}
	if code != exitLost || !strings.Contains(log, "has not learned 5 labels") {
		t.Errorf("exit code %d\n%s", code, log)
	}
}

func TestCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, exitOK, "local eventing "},
		{[]string{"broker", "-h"}, exitOK, "-advertise"},
		{[]string{"stream", "-h"}, exitOK, "-sql-listen"},
		{[]string{"eventing", "-h"}, exitOK, "-sinks-url"},
		{[]string{"watch", "-h"}, exitOK, "-expect"},
		{[]string{"health", "-h"}, exitOK, "kafka://"},
		{[]string{"brocker"}, exitUsage, `"brocker"`},
		{[]string{"broker", "now"}, exitUsage, `"now"`},
		{[]string{"health"}, exitUsage, "what to ask is missing"},
		{[]string{"watch"}, exitUsage, "--expect"},
		{[]string{"eventing", "--learn", "http://127.0.0.1:1"}, exitUsage, "--predict"},
		{[]string{"eventing", "--predict", "http://127.0.0.1:1", "--learn", "localhost:8082"}, exitUsage, `--learn: "localhost:8082" is not a URL`},
		{[]string{"eventing", "--predict", "http://127.0.0.1:1", "--learn", "http://127.0.0.1:1"}, exitUsage, `--promote: "" is not a URL`},
		{[]string{"--predict", "localhost:8081"}, exitUsage, `--predict: "localhost:8081" is not a URL`},
		{[]string{"--trips", "none", "--exit-when-done"}, exitUsage, "local watch"},
		{[]string{"broker", "--listen", "127.0.0.1"}, exitLost, "127.0.0.1"},
	} {
		var log output
		code := run(t.Context(), invoke(&log, &log, c.args...))
		if code != c.code || !strings.Contains(log.String(), c.says) || c.code == exitOK == strings.Contains(log.String(), "local: ") {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.says, &log)
		}
	}
}

// TestBinding is where a predict that runs elsewhere is told to post.
func TestBinding(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	p := newParts(slog.New(slog.DiscardHandler))
	t.Cleanup(p.stop)
	k, err := p.startSinks(t.Context(), kafka.Connection{Brokers: []string{b.Addr()}}, "0.0.0.0:0", nil, eventing.Observer{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.binding("http://emulator:8083"); err != nil || got != "K_SINK=http://emulator:8083/tripcast/predictions" {
		t.Errorf("with --sinks-url: %s, %v", got, err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.binding(""); err != nil || !strings.HasPrefix(got, "K_SINK=http://"+host+":") {
		t.Errorf("on every address: %s, %v: want the name of the host", got, err)
	}
}

// TestOthersOnTheirWay waits for 3 trips where others are played without end.
func TestOthersOnTheirWay(t *testing.T) {
	count := func(learned int64, seen ...uint8) []string {
		a := &tally{trips: map[string]*trip{}, distinct: map[string]int64{}}
		for i, bits := range seen {
			a.trips[fmt.Sprint(i)] = &trip{seen: bits}
			for topic, bit := range topicBits {
				if bits&bit != 0 {
					a.distinct[topic]++
				}
			}
		}
		return a.missing(3, max(0, a.started()-3), map[string]int64{"m": learned})
	}
	const started, predicted, labelled = seenPickUp, seenPickUp | seenPrediction, seenPickUp | seenPrediction | seenLabel
	for _, c := range []struct {
		what    string
		missing []string
		want    int
	}{
		{"all learned", count(3, labelled, labelled, labelled), 0},
		{"one not learned", count(2, labelled, labelled, labelled), 1},
		{"one not labelled", count(2, labelled, labelled, predicted), 1},
		{"one not predicted", count(2, labelled, labelled, started), 2},
		{"two not started", count(1, labelled), 1},
		{"others are on their way", count(3, labelled, labelled, labelled, predicted, started), 0},
		{"another is not learned yet", count(3, labelled, labelled, labelled, labelled, started), 0},
		{"others are learned, but too few", count(2, labelled, labelled, labelled, labelled, started), 1},
		{"others are on their way, one of ours as well", count(2, labelled, labelled, predicted, predicted, started), 1},
	} {
		if len(c.missing) != c.want {
			t.Errorf("%s: missing %q, want %d lines", c.what, c.missing, c.want)
		}
	}
}
