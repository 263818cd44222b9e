package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// asLearn makes the test binary the command, so that a test can kill it.
const asLearn = "TRIPCAST_TEST_AS_LEARN"

func TestMain(m *testing.M) {
	if os.Getenv(asLearn) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a learn in a process of its own.
type process struct {
	*exec.Cmd
	url string
}

func start(t *testing.T, redisURL string) process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asLearn+"=1", "REDIS_URL="+redisURL, "LISTEN_ADDRESS=127.0.0.1:0")
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	decoder := json.NewDecoder(logs)
	for {
		var line struct{ Msg, Address string }
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "serving" {
			go io.Copy(io.Discard, logs)
			return process{cmd, "http://" + line.Address}
		}
	}
}

// post returns the versions that have learned a label, and an error where it is
// not acknowledged.
func post(ctx context.Context, url string, n int) (events.Learned, error) {
	data := fmt.Sprintf(`{"trip_id":"trip-%d","features":{"a":%d},"duration_s":%d}`, n, n%7, 60+n)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(data))
	if err != nil {
		return events.Learned{}, err
	}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": fmt.Sprint("trip-", n), "ce-source": events.SourceLabels, "ce-type": events.TypeLabel,
		"content-type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return events.Learned{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return events.Learned{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return events.Learned{}, fmt.Errorf("%s: %s", resp.Status, body)
	}
	var learned events.Learned
	return learned, json.Unmarshal(body, &learned)
}

func applied(t *testing.T) (redisURL string, client redis.UniversalClient) {
	t.Helper()
	redisURL = "redis://" + miniredis.RunT(t).Addr()
	client, err := registry.Open(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := online.ParseCatalogue([]byte(`
champion: one
models:
  - {name: one, features: [a], transformers: [StandardScaler], model: LinearRegression}
  - {name: two, features: [a], model: LinearRegression}
`), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
	return redisURL, client
}

func checkCounts(t *testing.T, client redis.UniversalClient, want uint64) {
	t.Helper()
	infos, err := registry.List(t.Context(), client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if i.Count != want || i.Broken != "" {
			t.Errorf("%s has learned %d labels, want %d (%s)", i.Name, i.Count, want, i.Broken)
		}
	}
}

// Learn is killed with SIGKILL while labels come in, again and again, and
// everything that was sent is sent once more afterwards: each model has learned
// every label once.
func TestKilled(t *testing.T) {
	const kills, labels = 3, 100
	redisURL, client := applied(t)
	for round := range kills {
		p := start(t, redisURL)
		var acknowledged atomic.Int32
		var senders sync.WaitGroup
		for s := range 8 {
			senders.Go(func() {
				for n := round*labels + s; n < (round+1)*labels; n += 8 {
					if _, err := post(t.Context(), p.url, n); err != nil {
						return
					}
					if acknowledged.Add(1) == labels/2 {
						p.Process.Kill()
					}
				}
			})
		}
		senders.Wait()
		p.Wait()
		if n := acknowledged.Load(); n < labels/2 || n == labels {
			t.Fatalf("%d labels were acknowledged before the kill, want some but not all", n)
		}
	}
	p := start(t, redisURL)
	duplicates := 0
	for n := range kills * labels {
		learned, err := post(t.Context(), p.url, n)
		if err != nil {
			t.Fatal(err)
		}
		if learned.Duplicate["one"] {
			duplicates++
		}
	}
	if duplicates < kills*labels/2 {
		t.Errorf("%d duplicates, want at least the %d labels that were acknowledged", duplicates, kills*labels/2)
	}
	checkCounts(t, client, kills*labels)
}

// SIGTERM ends it with everything answered that had been accepted.
func TestTerminated(t *testing.T) {
	redisURL, client := applied(t)
	p := start(t, redisURL)
	for n := range 20 {
		if _, err := post(t.Context(), p.url, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("learn ended with %v", err)
	}
	checkCounts(t, client, 20)
}

// A signal that is sent twice, as timeout(1) does, is one request to finish: what
// was accepted still gets its answer.
func TestTerminatedTwice(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a Redis that takes calls and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("MAX_WAIT", "1s")
	p := start(t, "redis://"+silent.Addr().String())
	answered := make(chan error, 1)
	go func() {
		_, err := post(t.Context(), p.url, 1)
		answered <- err
	}()
	time.Sleep(300 * time.Millisecond) // the label waits for its commit
	for range 2 {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := <-answered; err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("the label is answered with %v, want 503", err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("learn ended with %v", err)
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		code int
		want string
	}{
		{"help", []string{"-h"}, nil, function.ExitOK, "ID_WINDOW"},
		{"flag", []string{"-x"}, nil, function.ExitUsage, "-x"},
		{"argument", []string{"x"}, nil, function.ExitUsage, `"x"`},
		{"redis", nil, map[string]string{"REDIS_URL": "http://x"}, function.ExitUsage, "REDIS_URL"},
		{"wait", nil, map[string]string{"MAX_WAIT": "0s"}, function.ExitUsage, "MAX_WAIT"},
		{"batch", nil, map[string]string{"MAX_BATCH": "many"}, function.ExitUsage, "MAX_BATCH"},
		{"window", nil, map[string]string{"ID_WINDOW": "-1"}, function.ExitUsage, "ID_WINDOW"},
		{"snapshots", nil, map[string]string{"SNAPSHOT_EVERY": "often"}, function.ExitUsage, "SNAPSHOT_EVERY"},
		{"snapshot count", nil, map[string]string{"SNAPSHOT_COUNT": "0"}, function.ExitUsage, "SNAPSHOT_COUNT"},
		{"snapshot age", nil, map[string]string{"SNAPSHOT_AGE": "old"}, function.ExitUsage, "SNAPSHOT_AGE"},
		{"lineage", nil, map[string]string{"LINEAGE_LENGTH": "-1"}, function.ExitUsage, "LINEAGE_LENGTH"},
		{"level", nil, map[string]string{"LOG_LEVEL": "loud"}, function.ExitUsage, "LOG_LEVEL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := command().Run(t.Context(), tt.args, func(name string) string { return tt.env[name] }, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("exit code %d and %q, want %d and %q in it", code, &stderr, tt.code, tt.want)
			}
		})
	}
}
