package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/learn"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
)

// rebuilt is what models rebuild says.
type rebuilt struct {
	From, Version, Count uint64
	Taught               int
	Checked              []uint64
	SHA256               string
}

// traveller runs models rebuild as an operator would.
type traveller struct {
	models       string // the command
	redis, kafka string
}

func (m traveller) rebuild(t *testing.T, args ...string) rebuilt {
	t.Helper()
	cmd := exec.Command(m.models, append([]string{"rebuild", "--json"}, args...)...)
	cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+m.redis, "KAFKA_BROKERS="+m.kafka)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("models rebuild %v: %v\n%s", args, err, &stderr)
	}
	var r rebuilt
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// livesThrough lets the whole system learn, with learn killed in the middle and
// the champion rolled back, and returns when every model has learned every trip.
func livesThrough(t *testing.T, trips int, learn, redis, kafka string) *online.Catalogue {
	t.Helper()
	address := freeAddress(t)
	spawn := func() *exec.Cmd {
		cmd := exec.Command(learn)
		cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+redis, "LISTEN_ADDRESS="+address, "SNAPSHOT_EVERY=50ms", "SNAPSHOT_COUNT=6")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
	}
	learner := spawn()
	defer func() { kill(learner) }()

	r := launch(t, "--kafka", kafka, "--redis", "redis://"+redis, "--learn", "http://"+address, "--limit", fmt.Sprint(trips), "--speed", "0")
	catalogue, err := registry.Catalogue(t.Context(), r.client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	champion := catalogue.Champion
	for n := range 2 {
		r.until(t, "it has learned more", func() bool { return committed(t, r.client, champion) >= trips*(n+1)/3 })
		kill(learner)
		learner = spawn()
	}
	snapshots, err := registry.Snapshots(t.Context(), r.client, champion)
	if err != nil {
		t.Fatal(err)
	}
	oldest := snapshots[len(snapshots)-1].Version
	_, err = registry.Rollback(t.Context(), r.client, kinds.All(), champion, oldest, 0, registry.Actor{Name: "a test"})
	if err != nil && !errors.Is(err, registry.ErrNotFound) { // dropped by a learner just then
		t.Fatal(err)
	}
	for _, spec := range catalogue.Models {
		r.until(t, spec.Name+" has learned all", func() bool { return committed(t, r.client, spec.Name) == trips })
	}
	return catalogue
}

// TestTimeTravel makes each model of a system that has lived through something
// again, from nothing and from the nearest snapshot, from the labels in Kafka
// and from a recording of them: the one that learned and the one that is rebuilt
// are the same, bit for bit.
func TestTimeTravel(t *testing.T) {
	const trips = 800
	redis := miniredis.RunT(t)
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"}) // its topics outlive the system
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	folder := build(t, "learn", "models")
	travel := traveller{filepath.Join(folder, "models"), redis.Addr(), b.Addr()}
	catalogue := livesThrough(t, trips, filepath.Join(folder, "learn"), redis.Addr(), b.Addr())

	file := filepath.Join(t.TempDir(), "labels.jsonl.gz")
	var out, log output
	if code := run(t.Context(), invoke(&out, &log, "record", "--kafka", b.Addr(), "--topics", events.TopicLabels, "--out", file)); code != exitOK {
		t.Fatalf("record: exit code %d\n%s", code, &log)
	}
	for _, spec := range catalogue.Models {
		want := fmt.Sprintf("%x", sha256.Sum256([]byte(redis.HGet("tripcast:{"+spec.Name+"}:head", "state"))))
		whole, near := travel.rebuild(t, spec.Name, "--from-nothing"), travel.rebuild(t, spec.Name, "--labels", file)
		for _, got := range []rebuilt{whole, near} {
			if got.SHA256 != want || len(got.Checked) == 0 || got.Checked[len(got.Checked)-1] != got.Version {
				t.Errorf("%s is %+v, want the state of SHA-256 %s", spec.Name, got, want)
			}
		}
		if whole.From != 0 || near.From == 0 || whole.Taught <= near.Taught || whole.Count != near.Count {
			t.Errorf("%s: from nothing %+v, from a snapshot %+v", spec.Name, whole, near)
		}
		t.Logf("%s: version %d of %d labels, equal at %v", spec.Name, whole.Version, whole.Count, whole.Checked)
	}
	t.Run("from one ordered partition", func(t *testing.T) { travelInOrder(t, travel.models, file, trips) })
}

// committed is how many labels a model has learned, those included that were
// rolled back.
func committed(t *testing.T, client redis.UniversalClient, model string) int {
	t.Helper()
	commits, err := registry.Lineage(t.Context(), client, model, 0)
	if err != nil {
		t.Fatal(err)
	}
	labels := 0
	for _, c := range commits {
		labels += c.Labels
	}
	return labels
}

// travelInOrder lets a learn of its own take a recording's labels one after
// another, as from one partition in order: then whoever teaches a model by the
// recording alone has, bit for bit, the one that its lineage leads to.
func travelInOrder(t *testing.T, models, file string, trips int) {
	redis := miniredis.RunT(t)
	client, err := registry.Open("redis://" + redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	catalogue, err := online.ParseCatalogue(infra.Models(), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(t.Context(), client, catalogue); err != nil {
		t.Fatal(err)
	}
	committer := registry.NewCommitter(client, kinds.All(), registry.CommitterOptions{SnapshotEvery: time.Millisecond, SnapshotCount: 3})
	handler := learn.New(committer)
	labels := recordedLabels(t, file)
	for _, e := range labels {
		if _, err := handler.Handle(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := committer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	travel := traveller{models: models, redis: redis.Addr()}
	for _, spec := range catalogue.Models {
		p, err := spec.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range labels {
			label, err := events.DecodeLabel(e)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Teach(p.Vector(nil, label.Features), label.DurationS); err != nil {
				t.Fatal(err)
			}
		}
		state, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%x", sha256.Sum256(state))
		if got := travel.rebuild(t, spec.Name, "--from-nothing", "--labels", file); got.SHA256 != want || got.Taught != trips || got.Version != uint64(trips) {
			t.Errorf("%s is %+v, by the recording alone the state has SHA-256 %s", spec.Name, got, want)
		}
	}
}

// recordedLabels are the labels of a recording, in its order.
func recordedLabels(t *testing.T, file string) []event.Event {
	t.Helper()
	reader, err := recordings.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var labels []event.Event
	for record, err := range reader.Records() {
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.FromRecord(record.Record)
		if err != nil {
			t.Fatal(err)
		}
		if !events.IsRetraction(e) {
			labels = append(labels, e)
		}
	}
	return labels
}
