package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
)

const extra = `
  - name: extra
    features: [distance_km]
    transformers: [StandardScaler]
    model: LinearRegression
`

// warmedUp is warm-up with --json.
func (c *city) warmedUp(t *testing.T, args ...string) warmedUp {
	t.Helper()
	var m warmedUp
	out := c.run(t, exitOK, append([]string{"warm-up", "--json"}, args...)...)
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&m); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return m
}

// A model that is new is taught what Kafka has, one that changes begins anew, and
// each of them can be rebuilt from the same topic.
func TestWarmUp(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	file := filepath.Join(t.TempDir(), "models.yaml")
	writeFile(t, file, string(infra.Models())+extra)
	if got := c.run(t, exitOK, "apply", file, "--warm-up", "--by", "ann"); !strings.Contains(got, "extra waits: models warm-up extra") {
		t.Errorf("apply: %s", got)
	}
	if got := c.run(t, exitOK, "list"); strings.Count(got, "warming up") != 1 {
		t.Errorf("list: %s", got)
	}
	const waysToLive = ": models warm-up extra teaches it what it lacks, with --abandon"
	if got := c.run(t, exitFail, "promote", "extra"); !strings.Contains(got, waysToLive) {
		t.Errorf("promote: %s", got)
	}
	var s shown
	if err := json.Unmarshal([]byte(c.run(t, exitOK, "show", "extra", "--json")), &struct{ Role *string }{&s.Role}); err != nil {
		t.Fatal(err)
	}
	if got := c.run(t, exitOK, "show", "extra"); s.Role != "warming up" || !strings.HasPrefix(got, "extra, warming up\n") {
		t.Errorf("show: %q, %s", s.Role, got)
	}
	const labels = trips + 1 // one is of another city
	m := c.warmedUp(t, "extra", "--batch", "50", "--by", "ann")
	if !m.Live || m.Taught != labels || m.Count != labels || m.Undecoded != 1 || m.Version != 6 || m.Duplicates == 0 {
		t.Errorf("%+v", m)
	}
	if got := c.rebuilt(t, "extra", "--from-nothing"); got.Taught != labels || got.Version != 6 || len(got.Checked) == 0 {
		t.Errorf("rebuilt %+v", got)
	}
	if got := c.run(t, exitOK, "history", "extra"); !strings.Contains(got, "restart") || strings.Count(got, "warm-up") != 5 {
		t.Errorf("history: %s", got)
	}
	if got := c.run(t, exitFail, "warm-up", "extra"); !strings.Contains(got, "from nothing only") {
		t.Errorf("warm-up of what is live: %s", got)
	}
	if got := c.run(t, exitOK, "warm-up", "extra", "--from-nothing"); !strings.Contains(got, "extra is live: version 8, 121 labels learned, 121 of them now") ||
		!strings.Contains(got, "models: left out: partition ") || !strings.Contains(got, "left out: 1 that are no labels, 0 on which") {
		t.Errorf("warm-up from nothing: %s", got)
	}

	writeFile(t, file, string(infra.Models())+strings.Replace(extra, "distance_km", "recent_speed", 1))
	if got := c.run(t, exitFail, "apply", file); !strings.Contains(got, "--restart extra") {
		t.Errorf("apply of a change: %s", got)
	}
	var applied appliedCatalogue
	if err := json.Unmarshal([]byte(c.run(t, exitOK, "apply", file, "--restart", "extra", "--by", "ann", "--json")), &applied); err != nil {
		t.Fatal(err)
	}
	if len(applied.Restarted) != 1 || applied.Restarted[0].From != "8" || len(applied.Warming) != 1 {
		t.Errorf("applied %+v", applied)
	}
	if m := c.warmedUp(t, "extra"); m.Taught != labels || m.Version != 10 || m.Restarted {
		t.Errorf("%+v", m)
	}
	c.rebuilt(t, "extra")
	c.run(t, exitOK, "apply", file, "--restart", "extra")
	if got := c.run(t, exitFail, "rollback", "extra", "10"); !strings.Contains(got, waysToLive) {
		t.Errorf("rollback: %s", got)
	}
	if got := c.run(t, exitOK, "warm-up", "extra", "--abandon"); !strings.Contains(got, "extra goes on with live labels from version 11") {
		t.Errorf("abandon: %s", got)
	}
	if got := c.run(t, exitOK, "audit"); strings.Count(got, "restart") != 4 || strings.Count(got, "abandon") != 1 {
		t.Errorf("audit: %s", got)
	}
}

func TestWarmUpMisuse(t *testing.T) {
	c := newCity(t)
	champion := func() string {
		var infos []registry.Info
		if err := json.Unmarshal([]byte(c.run(t, exitOK, "list", "--json")), &infos); err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if i.Champion {
				return i.Name
			}
		}
		return ""
	}()
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"warm-up"}, exitUsage, "warm-up wants a model"},
		{[]string{"warm-up", "a", "b"}, exitUsage, `does not want "b"`},
		{[]string{"warm-up", "a", "--batch", "0"}, exitUsage, "one label at least"},
		{[]string{"warm-up", "a", "--abandon", "--from-nothing"}, exitUsage, "given up or begun"},
		{[]string{"warm-up", champion, "--abandon"}, exitFail, "it is not being warmed up"},
		{[]string{"apply", "--restart", champion, "../../../infra/models.yaml"}, exitFail, "promote another one first"},
		{[]string{"warm-up", champion}, exitFail, "kafka"}, // there is none
	}
	for _, tt := range tests {
		if got := c.run(t, tt.code, tt.args...); !strings.Contains(got, tt.says) {
			t.Errorf("%v: %q, want %q in it", tt.args, got, tt.says)
		}
	}
	c.produce(t, nil)
	if got := c.run(t, exitFail, "warm-up", champion); !strings.Contains(got, "promote another one first") {
		t.Errorf("warm-up of the champion: %q", got)
	}
	if got := c.run(t, exitFail, "warm-up", "nobody"); !strings.Contains(got, "its models are") {
		t.Errorf("warm-up of nobody: %q", got)
	}
}

// A warm-up commits as learn is told to in the same environment.
func TestCommitsAsLearn(t *testing.T) {
	env := map[string]string{"ID_WINDOW": "5", "SNAPSHOT_EVERY": "2s", "SNAPSHOT_COUNT": "3", "SNAPSHOT_AGE": "1h", "LINEAGE_LENGTH": "7"}
	w, err := parseWarmUp([]string{"extra"}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	want := registry.CommitterOptions{MaxBatch: 256, Window: 5, SnapshotEvery: 2e9, SnapshotCount: 3, SnapshotAge: 36e11, LineageLength: 7}
	if w.commits != want {
		t.Errorf("%+v, want %+v", w.commits, want)
	}
	for name, text := range map[string]string{"ID_WINDOW": "0", "SNAPSHOT_EVERY": "1", "LINEAGE_LENGTH": "x"} {
		_, err := parseWarmUp([]string{"extra"}, func(n string) string { return map[string]string{name: text}[n] })
		var misused usageError
		if !errors.As(err, &misused) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: error %v", name, text, err)
		}
	}
}

// Whoever is interrupted hears how to go on.
func TestUnfinished(t *testing.T) {
	w := warmingUp{model: "extra"}
	other := fmt.Errorf("kafka: reading: %w", kafka.ErrOtherTopic)
	for _, tt := range []struct {
		done registry.WarmedUp
		err  error
		says string
	}{
		{registry.WarmedUp{Version: 3, Count: 20, Taught: 5}, errors.New("cut"), "cut\nextra has learned 20 labels, 5 of them now: the same command goes on"},
		{registry.WarmedUp{Version: 3}, &registry.StateError{Model: "extra", Reason: "broken"}, "--from-nothing is a way out"},
		{registry.WarmedUp{Version: 3, Count: 20}, other, "extra has learned 20 labels of that one: models warm-up extra --from-nothing begins with this one, --abandon lets it go on"},
		{registry.WarmedUp{}, os.ErrClosed, os.ErrClosed.Error()},
	} {
		got := w.unfinished(t.Context(), tt.done, tt.err).Error()
		if !strings.Contains(got, tt.says) || errors.Is(tt.err, kafka.ErrOtherTopic) && strings.Contains(got, "goes on from there") {
			t.Errorf("%q, want %q in it", got, tt.says)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	var short cutShort
	if err := w.unfinished(cancelled, registry.WarmedUp{Version: 3, Count: 20, Taught: 5}, other); !errors.As(err, &short) ||
		!strings.Contains(short.stands, "the same command goes on from there") {
		t.Errorf("interrupted, it says %v and %q", err, short.stands)
	}
}

// A topic that was made again is not gone on with.
func TestWarmUpOtherTopic(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	file := filepath.Join(t.TempDir(), "models.yaml")
	writeFile(t, file, string(infra.Models())+extra)
	c.run(t, exitOK, "apply", file, "--warm-up")
	// Interrupted by what it is told of, which is the first commit.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client, err := registry.Open(c.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	connection, err := kafka.FromEnv(c.getenv)
	if err != nil {
		t.Fatal(err)
	}
	log := &labelLog{merged: connection.Merged(events.TopicLabels), skipped: skips{progress: &progress{}, stderr: io.Discard}}
	defer log.merged.Close()
	done, err := registry.WarmUp(ctx, client, kinds.All(), "extra", log, registry.WarmUpOptions{
		By: registry.Actor{Name: "ann"}, Commits: registry.CommitterOptions{MaxBatch: 50}, Progress: func(registry.WarmedUp) { cancel() },
	})
	if err == nil || done.Count == 0 {
		t.Fatalf("%+v, error %v, want one that was interrupted", done, err)
	}
	c.produceTo(t, 2, topicOf(t))
	if got := c.run(t, exitFail, "warm-up", "extra"); !strings.Contains(got, "it is another topic than it was\nextra has learned") || !strings.Contains(got, "--abandon") {
		t.Errorf("of another topic: %s", got)
	}
	c.produce(t, topicOf(t))
	if m := c.warmedUp(t, "extra", "--from-nothing"); !m.Live || m.Count != trips+1 {
		t.Errorf("%+v", m)
	}
}
