package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

const catalogue = `
champion: m
models:
  - {name: m, features: [a], transformers: [StandardScaler], model: LinearRegression}
`

// start runs the command until the test ends and returns its URL.
func start(t *testing.T, env map[string]string) (url string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logs, stderr := io.Pipe()
	code := make(chan int, 1)
	go func() { code <- command().Run(ctx, nil, func(name string) string { return env[name] }, stderr) }()
	decoder := json.NewDecoder(logs)
	for url == "" {
		var line struct{ Msg, Address string }
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "serving" {
			url = "http://" + line.Address
		}
	}
	go io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), logs))
	t.Cleanup(cancel)
	return url, func() int {
		cancel()
		return <-code
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestPredict(t *testing.T) {
	m := miniredis.RunT(t)
	url, stop := start(t, map[string]string{"REDIS_URL": "redis://" + m.Addr(), "LISTEN_ADDRESS": "127.0.0.1:0", "MAX_AGE": "1ms"})
	if got := get(t, url+"/health/liveness"); got != http.StatusOK {
		t.Errorf("liveness %d without a catalogue", got)
	}
	if got := get(t, url+"/health/readiness"); got != http.StatusServiceUnavailable {
		t.Errorf("readiness %d without a catalogue, want 503", got)
	}
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open("redis://" + m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
	if got := get(t, url+"/health/readiness"); got != http.StatusOK {
		t.Errorf("readiness %d with a catalogue", got)
	}

	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"trip_id":"t1","picked_up_at":"2016-01-01T00:00:00Z","features":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "t1", "ce-source": events.SourceFeatures, "ce-type": events.TypeFeatures,
		"content-type": "application/json",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"trip_id":"t1","features":{"a":1},"predictions":{"m":{"duration_s":0,"version":0}},"champion":"m"}`; string(body) != want {
		t.Errorf("%d %s, want %s", resp.StatusCode, body, want)
	}
	if got := stop(); got != function.ExitOK {
		t.Errorf("exit code %d", got)
	}
}

// askReady is what a health check runs beside a function at this address.
func askReady(t *testing.T, address string) (code int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	code = command().Run(t.Context(), []string{"-ready"}, func(name string) string {
		return map[string]string{"LISTEN_ADDRESS": address}[name]
	}, &stderr)
	return code, stderr.String()
}

func TestNobodyIsReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if code, said := askReady(t, l.Addr().String()); code != function.ExitFail || !strings.Contains(said, "predict is not ready: ") || !strings.Contains(said, "connection refused") {
		t.Errorf("-ready ends with %d and says %q where nobody listens", code, said)
	}
}

// On Knative nobody but the sink takes predictions: without one predict is not
// ready, and says why.
func TestNotReadyWithoutSinkOnKnative(t *testing.T) {
	m := miniredis.RunT(t)
	client, err := registry.Open("redis://" + m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		service, sink string
		status        int
		says          string
	}{
		{"predict", "", http.StatusServiceUnavailable, "K_SINK is not set"},
		{"predict", "http://sink.example", http.StatusOK, "ok"},
		{"", "", http.StatusOK, "ok"},
	} {
		url, stop := start(t, map[string]string{
			"REDIS_URL": "redis://" + m.Addr(), "LISTEN_ADDRESS": "127.0.0.1:0", "K_SERVICE": tt.service, "K_SINK": tt.sink,
		})
		resp, err := http.Get(url + "/health/readiness")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(body), tt.says) {
			t.Errorf("K_SERVICE %q, K_SINK %q: readiness %d %s, error %v", tt.service, tt.sink, resp.StatusCode, body, err)
		}
		code, said := askReady(t, strings.TrimPrefix(url, "http://"))
		if ready := tt.status == http.StatusOK; ready != (code == function.ExitOK) || !ready && !strings.Contains(said, tt.says) {
			t.Errorf("K_SERVICE %q, K_SINK %q: -ready ends with %d and says %q", tt.service, tt.sink, code, said)
		}
		stop()
	}
}

// Redis is away when the function starts: it lives, is not ready, and is
// once Redis comes.
func TestStartsWithoutRedis(t *testing.T) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	addr := m.Addr()
	m.Close()
	url, stop := start(t, map[string]string{"REDIS_URL": "redis://" + addr, "LISTEN_ADDRESS": "127.0.0.1:0"})
	if got := get(t, url+"/health/liveness"); got != http.StatusOK {
		t.Errorf("liveness %d without Redis", got)
	}
	if got := get(t, url+"/health/readiness"); got != http.StatusServiceUnavailable {
		t.Errorf("readiness %d without Redis, want 503", got)
	}
	if err := m.StartAddr(addr); err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	defer m.Close()
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open("redis://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
	if got := get(t, url+"/health/readiness"); got != http.StatusOK {
		t.Errorf("readiness %d once Redis is there", got)
	}
	if got := stop(); got != function.ExitOK {
		t.Errorf("exit code %d", got)
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
		{"help", []string{"-h"}, nil, function.ExitOK, "REDIS_URL"},
		{"flag", []string{"-x"}, nil, function.ExitUsage, "-x"},
		{"argument", []string{"x"}, nil, function.ExitUsage, `"x"`},
		{"redis", nil, map[string]string{"REDIS_URL": "http://x"}, function.ExitUsage, "REDIS_URL"},
		{"age", nil, map[string]string{"MAX_AGE": "-1s"}, function.ExitUsage, "MAX_AGE"},
		{"stale", nil, map[string]string{"MAX_STALE": "long"}, function.ExitUsage, "MAX_STALE"},
		{"level", nil, map[string]string{"LOG_LEVEL": "loud"}, function.ExitUsage, "LOG_LEVEL"},
		{"sink", nil, map[string]string{"K_SINK": "nowhere"}, function.ExitUsage, "K_SINK"},
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
