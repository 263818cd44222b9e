package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/local/broker"
)

// recordAs runs local record as a user would.
func recordAs(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, log output
	code = run(ctx, invoke(&out, &log, append([]string{"record"}, args...)...))
	return code, out.String(), log.String()
}

// place is where a record is in Kafka.
type place struct {
	recordings.Partition
	offset int64
}

// recordedIn reads a recording, in which each record is once.
func recordedIn(t *testing.T, name string) map[place]events.Record {
	t.Helper()
	r, err := recordings.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all := map[place]events.Record{}
	for record, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		at := place{recordings.Partition{Topic: record.Topic, Number: record.Partition}, record.Offset}
		if _, twice := all[at]; twice {
			t.Errorf("%v is recorded twice", at)
		}
		all[at] = record.Record
	}
	return all
}

// heldBy reads all that topics hold.
func heldBy(t *testing.T, k kafka.Connection, topics ...string) map[place]events.Record {
	t.Helper()
	all := map[place]events.Record{}
	err := k.ReadAll(t.Context(), func(r *kgo.Record) bool {
		converted := events.Record{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			converted.Headers = append(converted.Headers, events.Header{Key: h.Key, Value: h.Value})
		}
		all[place{recordings.Partition{Topic: r.Topic, Number: r.Partition}, r.Offset}] = converted
		return true
	}, topics...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantHeld checks that a recording has what the topics have, byte for byte.
func wantHeld(t *testing.T, recorded, held map[place]events.Record) {
	t.Helper()
	if len(recorded) != len(held) || len(held) == 0 {
		t.Errorf("%d records, want %d", len(recorded), len(held))
	}
	for at, want := range held {
		got, ok := recorded[at]
		if !ok {
			t.Fatalf("%v is not recorded", at)
		}
		if !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || headerSet(got) != headerSet(want) {
			t.Fatalf("%v is\n%s, want\n%s", at, got, want)
		}
	}
}

func headerSet(r events.Record) string {
	set := map[string]int{}
	for _, h := range r.Headers {
		set[fmt.Sprintf("%s=%q", h.Key, h.Value)]++
	}
	return fmt.Sprint(set) // in order
}

// TestRecordSystem records a system at work: while it works and then the rest,
// and all of it afterwards.
func TestRecordSystem(t *testing.T) {
	const trips = 300
	r := launch(t, "--limit", "300", "--speed", "0")
	at := []string{"--kafka", r.kafka.Brokers[0], "--topics", "all"}
	live := filepath.Join(t.TempDir(), "live.jsonl.gz")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	followed := make(chan string, 1)
	go func() {
		code, stdout, stderr := recordAs(ctx, append(at, "--follow", "--out", live)...)
		followed <- fmt.Sprint(code, stdout, stderr)
	}()
	r.until(t, "all labels are there", func() bool { return r.counted(events.TopicLabels) == trips })
	stop()
	if told := <-followed; !strings.HasPrefix(told, "0"+live+": ") {
		t.Fatalf("stopped, it tells %s", told)
	}
	if code, _, stderr := recordAs(t.Context(), append(at, "--resume", "--out", live)...); code != exitOK {
		t.Fatalf("resumed, exit code %d\n%s", code, stderr)
	}

	whole := filepath.Join(t.TempDir(), "whole.jsonl.gz")
	code, stdout, stderr := recordAs(t.Context(), append(at, "--out", whole)...)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, says := range []string{whole + ": ", "pick_ups           300 records", "labels             300 records", "dead_letters         0 records", "arrived from "} {
		if !strings.Contains(stdout, says) {
			t.Errorf("it does not say %q:\n%s", says, stdout)
		}
	}
	held := heldBy(t, r.kafka, events.Topics()...)
	wantHeld(t, recordedIn(t, live), held)
	wantHeld(t, recordedIn(t, whole), held)
	if wrapped := wrappedIn(t, whole); wrapped > 0 {
		t.Errorf("%d records are not written as the events that they are", wrapped)
	}
}

// wrappedIn counts the records that no event stands for.
func wrappedIn(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), `"type":"`+recordings.TypeRecord+`"`)
}

// recordable is a Kafka with some records in pick_ups.
func recordable(t *testing.T) (address string, admin *kadm.Client) {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin = kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, events.TopicPickUps); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		record := &kgo.Record{Topic: events.TopicPickUps, Value: fmt.Append(nil, "record ", i)}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Addr(), admin
}

func TestRecordEnds(t *testing.T) {
	address, admin := recordable(t)
	name := filepath.Join(t.TempDir(), "day.jsonl")
	record := func(args ...string) (int, string, string) {
		return recordAs(t.Context(), append([]string{"--kafka", address, "--topics", "pick_ups", "--out", name}, args...)...)
	}
	code, stdout, stderr := record("--max-bytes", "2kB", "--resume") // there is nothing to resume: it begins
	if code != exitOK || !strings.Contains(stdout, "The recording is full (--max-bytes 2 kB)") {
		t.Fatalf("full, exit code %d\n%s%s", code, stdout, stderr)
	}
	had := len(recordedIn(t, name))
	if had == 0 || had == 40 {
		t.Fatalf("full, it has %d records", had)
	}

	if code, _, stderr = record(); code != exitLost || !strings.Contains(stderr, "--resume goes on with it") {
		t.Errorf("a second recording of the name, exit code %d\n%s", code, stderr)
	}

	offsets := kadm.Offsets{}
	offsets.AddOffset(events.TopicPickUps, 0, 30, -1)
	if _, err := admin.DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = record("--resume")
	gap := fmt.Sprintf("the recording has gaps: pick_ups/0: the offsets from %d to 29 are gone", had)
	if code != exitLost || !strings.Contains(stderr, gap) || !strings.Contains(stdout, "pick_ups            10 records") {
		t.Errorf("after a gap, exit code %d\n%s%s", code, stdout, stderr)
	}
	if all := recordedIn(t, name); len(all) != had+10 {
		t.Errorf("%d records, want the %d it had and the last 10", len(all), had)
	}

	// --for is a ctrl-C to come, and what is there is left out.
	code, stdout, stderr = recordAs(t.Context(), "--kafka", address, "--topics", "pick_ups, later", "--out", name+".gz", "--for", "300ms", "--from-now")
	if code != exitOK || !strings.Contains(stdout, "pick_ups             0 records") || !strings.Contains(stderr, "topic=later") {
		t.Errorf("for a while, exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestRecordRefusals(t *testing.T) {
	address, _ := recordable(t)
	here := []string{"--kafka", address}
	damaged := filepath.Join(t.TempDir(), "damaged.jsonl")
	if err := os.WriteFile(damaged, []byte("what?\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no file", here, exitUsage, "--out says which file to write"},
		{"no topic", append(here, "--out", "day.jsonl", "--topics", ","), exitUsage, "--topics names no topic"},
		{"no time", append(here, "--out", "day.jsonl", "--for", "-1s"), exitUsage, "--for -1s is negative"},
		{"nothing", append(here, "--out", "day.jsonl", "--from-now"), exitUsage, "--from-now needs --follow or --for"},
		{"size", append(here, "--out", "day.jsonl", "--max-bytes", "much"), exitUsage, "it is no size, such as 500MB or 1GiB"},
		{"argument", append(here, "day.jsonl"), exitUsage, `unexpected argument "day.jsonl"`},
		{"broker", []string{"--kafka", "nowhere", "--out", "day.jsonl"}, exitUsage, `--kafka: "nowhere" is not host:port`},
		{"nobody there", []string{"--kafka", "127.0.0.1:1", "--out", "day.jsonl"}, exitLost, "127.0.0.1:1"},
		{"no such topic", append(here, "--out", "day.jsonl"), exitLost, "topic drop_offs does not exist"},
		{"no such folder", append(here, "--out", "nowhere/day.jsonl", "--topics", "pick_ups"), exitLost, "nowhere/day.jsonl"},
		{"damaged", append(here, "--out", damaged, "--topics", "pick_ups", "--resume"), exitLost, "damaged.jsonl: line 1: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			code, stdout, stderr := recordAs(ctx, test.args...)
			if code != test.code || !strings.Contains(stderr, test.says) || stdout != "" {
				t.Errorf("exit code %d, want %d, saying %q:\n%s%s", code, test.code, test.says, stdout, stderr)
			}
			if _, err := os.Stat("day.jsonl"); err == nil {
				t.Error("a file is left that is in the way of the next try")
			}
		})
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := recordAs(ctx, append(here, "--out", filepath.Join(t.TempDir(), "day.jsonl"), "--topics", "pick_ups")...); code != exitLost {
		t.Errorf("stopped before its end, exit code %d\n%s", code, stderr)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]struct {
		bytes size
		shown string
	}{
		"0": {0, "0"}, "17": {17, "17 B"}, "1GiB": {1 << 30, "1 GiB"}, "500MB": {500e6, "500 MB"}, "1.5 kB": {1500, "1500 B"},
		"64kib": {64 << 10, "64 KiB"}, "2gb": {2e9, "2 GB"}, "1536KiB": {1536 << 10, "1536 KiB"}, "3b": {3, "3 B"}, "123456789": {123456789, "117.7 MiB"},
	} {
		var s size
		if err := s.Set(text); err != nil || s != want.bytes || s.String() != want.shown {
			t.Errorf("%q is %d, shown as %s, error %v: want %d, %s", text, s, &s, err, want.bytes, want.shown)
		}
	}
	for _, text := range []string{"", "B", "-1", "NaN", "1e30", "1TB", "much", "1 2"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
}
