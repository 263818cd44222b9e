package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/local/broker"
)

// build builds commands that are deployed, and returns the folder they are in.
func build(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	arguments := []string{"build", "-o", folder}
	for _, name := range names {
		arguments = append(arguments, "../functions/cmd/"+name)
	}
	if out, err := exec.Command("go", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("building %v: %v\n%s", names, err, out)
	}
	return folder
}

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestLearnKilled kills learn, a process of its own, with SIGKILL again and again
// in the middle of a run, and in the end delivers every label once more: each
// model has learned each label once.
func TestLearnKilled(t *testing.T) {
	redis := miniredis.RunT(t)
	// Its topics are read when the run is over.
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	address := freeAddress(t)
	binary := filepath.Join(build(t, "learn"), "learn")
	spawn := func() *exec.Cmd {
		learn := exec.Command(binary)
		learn.Env = append(os.Environ(), "REDIS_URL=redis://"+redis.Addr(), "LISTEN_ADDRESS="+address)
		if err := learn.Start(); err != nil {
			t.Fatal(err)
		}
		return learn
	}
	kill := func(learn *exec.Cmd) {
		if err := learn.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = learn.Wait() // "signal: killed"
	}
	learn := spawn()
	defer func() { kill(learn) }()

	const trips = 3000
	r := launch(t, "--kafka", b.Addr(), "--redis", "redis://"+redis.Addr(), "--learn", "http://"+address, "--limit", fmt.Sprint(trips), "--speed", "0", "--exit-when-done")
	for n := range int64(4) {
		r.until(t, "it has learned more", func() bool { return r.counted(events.TopicLabels) >= 400*(n+1) })
		kill(learn)
		time.Sleep(50 * time.Millisecond) // deliveries run into the closed port
		learn = spawn()
	}
	<-r.done
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.log)
	}
	wantAll(t, *r.report, trips)

	before := learnedCounts(t, redis)
	for i, record := range readAll(t, r.kafka.Brokers, events.TopicLabels, trips) {
		post(t, "http://"+address, record, i)
	}
	after := learnedCounts(t, redis)
	for model, n := range after {
		if n != fmt.Sprint(trips) || before[model] != n {
			t.Errorf("%s had learned %s labels and after their redelivery %s, want %d", model, before[model], n, trips)
		}
	}
	if len(after) == 0 {
		t.Error("no model found in Redis")
	}
}

func learnedCounts(t *testing.T, redis *miniredis.Miniredis) map[string]string {
	t.Helper()
	counts := map[string]string{}
	for _, key := range redis.Keys() {
		if strings.HasSuffix(key, ":head") {
			counts[key] = redis.HGet(key, "count")
		}
	}
	return counts
}

func readAll(t *testing.T, brokers []string, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("reading %s: %v after %d of %d records", topic, err, len(all), n)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// post delivers a record as a KafkaSource does.
func post(t *testing.T, url string, record *kgo.Record, i int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(record.Value))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range record.Headers {
		request.Header.Set(strings.Replace(h.Key, "ce_", "ce-", 1), string(h.Value))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("label %d: %v", i, err)
	}
	response.Body.Close()
	if response.StatusCode/100 != 2 {
		t.Fatalf("label %d is answered with %s", i, response.Status)
	}
}
