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

	"tripcast.dev/functions/cmd/internal/function"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

const catalogue = `
champion: m
models:
  - {name: m, features: [a], transformers: [StandardScaler], model: LinearRegression}
  - {name: n, features: [a], transformers: [StandardScaler], model: LinearRegression}
`

// nobody is an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the command until the test ends and returns its URL.
func start(t *testing.T, env map[string]string) (url string, stop func() int) {
	t.Helper()
	registry.Silence()
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

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// nowhere is an environment in which every server is away.
func nowhere(t *testing.T) map[string]string {
	return map[string]string{
		"LISTEN_ADDRESS":  "127.0.0.1:0",
		"REDIS_URL":       "redis://" + nobody(t),
		"KAFKA_BROKERS":   nobody(t),
		"MATERIALIZE_URL": "postgres://materialize@" + nobody(t) + "/materialize?sslmode=disable",
	}
}

// It starts whatever is away, and shows that.
func TestMonitorOnNothing(t *testing.T) {
	url, stop := start(t, nowhere(t))
	if status, page := get(t, url+"/"); status != http.StatusOK || !strings.Contains(page, "tripcast") {
		t.Errorf("the live page: %d %s", status, page)
	}
	if status, said := get(t, url+"/audit"); status != http.StatusServiceUnavailable || !strings.Contains(said, "Redis") {
		t.Errorf("the audit page: %d %s", status, said)
	}
	if code, said := askReady(t, strings.TrimPrefix(url, "http://")); code != function.ExitOK {
		t.Errorf("-ready ends with %d and says %q", code, said)
	}
	if got := stop(); got != function.ExitOK {
		t.Errorf("exit code %d", got)
	}
}

func TestMonitorActs(t *testing.T) {
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
	env := nowhere(t)
	env["REDIS_URL"], env["MONITOR_TOKEN"] = "redis://"+m.Addr(), "0123456789abcdef"
	url, _ := start(t, env)
	promote := func(token string) int {
		request, err := http.NewRequest(http.MethodPost, url+"/models/n/promote", strings.NewReader(`{"expect":"m","by":"ada"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if status := promote("0123456789abcdeF"); status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", status)
	}
	if status := promote(env["MONITOR_TOKEN"]); status != http.StatusOK {
		t.Errorf("with the token: %d", status)
	}
	if champion, err := m.Get("tripcast:champion"); err != nil || champion != "n" {
		t.Errorf("the champion is %q, %v", champion, err)
	}
}

// askReady is what a health check runs beside a monitor at this address.
func askReady(t *testing.T, address string) (code int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	code = command().Run(t.Context(), []string{"-ready"}, func(name string) string {
		return map[string]string{"LISTEN_ADDRESS": address}[name]
	}, &stderr)
	return code, stderr.String()
}

func TestNobodyIsReady(t *testing.T) {
	if code, said := askReady(t, nobody(t)); code != function.ExitFail || !strings.Contains(said, "monitor is not ready: ") {
		t.Errorf("-ready ends with %d and says %q where nobody listens", code, said)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := nowhere(t)
	env["LISTEN_ADDRESS"] = l.Addr().String()
	var stderr bytes.Buffer
	code := command().Run(t.Context(), nil, func(name string) string { return env[name] }, &stderr)
	said := stderr.String()
	if code != function.ExitFail || strings.Count(said, "\n") != 1 {
		t.Errorf("exit code %d and %q, want one line", code, said)
	}
	for _, want := range []string{l.Addr().String(), "address already in use", "LISTEN_ADDRESS or PORT"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
}

func TestUsage(t *testing.T) {
	const secret = "s3cret"
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		code int
		want string
	}{
		{"help", []string{"-h"}, nil, function.ExitOK, "MONITOR_TOKEN"},
		{"flag", []string{"-x"}, nil, function.ExitUsage, "-x"},
		{"argument", []string{"x"}, nil, function.ExitUsage, `"x"`},
		{"token", nil, map[string]string{"MONITOR_TOKEN": secret}, function.ExitUsage, "MONITOR_TOKEN: monitor: the token has 6 characters"},
		{"redis", nil, map[string]string{"REDIS_URL": "http://x"}, function.ExitUsage, "REDIS_URL"},
		{"kafka", nil, map[string]string{"KAFKA_BROKERS": "x"}, function.ExitUsage, "KAFKA_BROKERS"},
		{"database", nil, map[string]string{"MATERIALIZE_URL": "postgres://app:" + secret + "@x/y?sslmode=maybe"}, function.ExitUsage, "MATERIALIZE_URL"},
		{"database, no URL", nil, map[string]string{"MATERIALIZE_URL": "postgres://app:" + secret + "%zz@x"}, function.ExitUsage, "MATERIALIZE_URL"},
		{"level", nil, map[string]string{"LOG_LEVEL": "loud"}, function.ExitUsage, "LOG_LEVEL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := command().Run(t.Context(), tt.args, func(name string) string { return tt.env[name] }, &stderr)
			said := stderr.String()
			if code != tt.code || !strings.Contains(said, tt.want) || strings.Contains(said, secret) {
				t.Errorf("exit code %d and %q, want %d and %q in it, and no secret", code, said, tt.code, tt.want)
			}
			if tt.env != nil && strings.Count(said, "\n") != 1 {
				t.Errorf("%q is not one line", said)
			}
		})
	}
}
