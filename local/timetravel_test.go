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

// TestTimeTravel lets the whole system learn, with learn killed in the middle
// and a model rolled back, and makes each of its models again, from nothing and
// from the nearest snapshot, from the labels in Kafka and from a recording of
// them: the one that lived through it and the one that is rebuilt are the same,
// bit for bit.
func TestTimeTravel(t *testing.T) {
	const trips = 800
	redis := miniredis.RunT(t)
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"}) // its topics outlive the system
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	address := freeAddress(t)
	folder := build(t, "learn", "models")
	spawn := func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(folder, "learn"))
		cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+redis.Addr(), "LISTEN_ADDRESS="+address, "SNAPSHOT_EVERY=50ms", "SNAPSHOT_COUNT=6")
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

	r := launch(t, "--kafka", b.Addr(), "--redis", "redis://"+redis.Addr(), "--learn", "http://"+address, "--limit", fmt.Sprint(trips), "--speed", "0")
	catalogue, err := registry.Catalogue(t.Context(), r.client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(2) {
		r.until(t, "it has learned more", func() bool { return committed(t, r.client, catalogue.Champion) >= int(250*(n+1)) })
		kill(learner)
		learner = spawn()
	}
	snapshots, err := registry.Snapshots(t.Context(), r.client, catalogue.Champion)
	if err != nil {
		t.Fatal(err)
	}
	_, err = registry.Rollback(t.Context(), r.client, kinds.All(), catalogue.Champion, snapshots[len(snapshots)-1].Version, 0, registry.Actor{Name: "a test"})
	if err != nil && !errors.Is(err, registry.ErrNotFound) { // dropped by a learner just then
		t.Fatal(err)
	}
	for _, spec := range catalogue.Models {
		r.until(t, spec.Name+" has learned all", func() bool { return committed(t, r.client, spec.Name) == trips })
	}

	file := filepath.Join(t.TempDir(), "labels.jsonl.gz")
	var out, log output
	if code := run(t.Context(), invoke(&out, &log, "record", "--kafka", b.Addr(), "--topics", events.TopicLabels, "--out", file)); code != exitOK {
		t.Fatalf("record: exit code %d\n%s", code, &log)
	}
	travel := traveller{filepath.Join(folder, "models"), redis.Addr(), b.Addr()}
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
