package monitor

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// running is a whole dashboard until the test ends.
type running struct {
	url  string
	logs *logs
	stop func() error
}

func run(t *testing.T, o Options) running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := running{url: "http://" + l.Addr().String(), logs: &logs{}}
	o.Kinds, o.Log = kinds.All(), slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, l, o) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r running) ask(t *testing.T, method, path, body string) (status int, said string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantSecured(t, path, response.Header)
	return response.StatusCode, string(data)
}

// Whatever is away, there are pages, and none of them, nor the log, has what is
// secret.
func TestRunOnNothing(t *testing.T) {
	registry.Silence()
	const secret = "s3cret-of-a-server"
	client, err := registry.Open("redis://app:" + secret + "@" + nobody(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := run(t, Options{
		Database: "postgres://app:" + secret + "@" + nobody(t) + "/materialize?sslmode=disable",
		Redis:    client, Brokers: []string{nobody(t)}, Token: token,
	})
	b := visit(t, r.url)
	for _, tt := range []struct {
		path   string
		status int
	}{
		{"/", 200},
		{"/models", 200},
		{"/api/state", 200},
		{"/health/readiness", 200},
		{"/trips/x", 503},
		{"/api/trips/x", 503},
		{"/models/x", 503},
		{"/audit", 503},
		{"/dead-letters", 503},
	} {
		status, said := r.ask(t, http.MethodGet, tt.path, "")
		if status != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.path, status, tt.status, said)
		}
		wantNoSecret(t, tt.path, said, secret)
	}
	status, said := r.ask(t, http.MethodPost, "/models/x/promote", `{"by":"ada"}`)
	if status != http.StatusServiceUnavailable {
		t.Errorf("an action without Redis: %d %s", status, said)
	}
	wantNoSecret(t, "action", said, secret)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(b)
	if err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	wantIn(t, string(rest), "event: summary\n")
	wantNoSecret(t, "stream", string(rest), secret)
	wantNoSecret(t, "log", r.logs.String(), secret)
	if len(r.logs.lines(t, "serving")) != 1 || len(r.logs.lines(t, "stopped")) != 1 {
		t.Errorf("the log says %s", r.logs)
	}
}

func wantNoSecret(t *testing.T, what, text, secret string) {
	t.Helper()
	if strings.Contains(text, secret) || strings.Contains(text, token) {
		t.Errorf("the %s has what is secret: %s", what, text)
	}
}

// What is done on the page is done in Redis, and told by the audit page.
func TestRunActs(t *testing.T) {
	client := newRedis(t)
	learn(t, client, "label1")
	r := run(t, Options{Database: "postgres://app@" + nobody(t) + "/x", Redis: client, Token: token})
	snapshots, err := registry.Snapshots(t.Context(), client, "city-grid")
	if err != nil || len(snapshots) == 0 {
		t.Fatalf("%d snapshots, %v", len(snapshots), err)
	}
	learn(t, client, "label2")

	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/models/trees/promote", `{"expect":"trees","by":"ada"}`, 409, "city-grid"},
		{"/models/trees/promote", `{"expect":"city-grid","by":"ada","reason":"to see it"}`, 200, `"to":"trees"`},
		{"/models/trees/promote", `{"by":""}`, 400, "no name"},
		{"/models/nobody/promote", `{"by":"ada"}`, 404, "trees"},
		{"/models/city-grid/rollback", `{"version":1,"expect":1,"by":"ada"}`, 409, "2"},
		{"/models/city-grid/rollback", `{"version":77,"by":"ada"}`, 404, "77"},
		{"/models/city-grid/rollback", `{"version":1,"expect":2,"by":"ada","reason":"label2 was wrong"}`, 200, `"kind":"rollback"`},
	} {
		status, said := r.ask(t, http.MethodPost, tt.path, tt.body)
		if status != tt.status || !strings.Contains(said, tt.says) || !json.Valid([]byte(said)) {
			t.Errorf("%s %s: %d %s, want %d and %q", tt.path, tt.body, status, said, tt.status, tt.says)
		}
	}
	if champion := client.Get(t.Context(), "tripcast:champion").Val(); champion != "trees" {
		t.Errorf("the champion is %q", champion)
	}
	_, audit := r.ask(t, http.MethodGet, "/audit", "")
	wantIn(t, audit, "promote", "rollback", "to see it", "label2 was wrong", "ada")
	_, model := r.ask(t, http.MethodGet, "/models/city-grid", "")
	wantIn(t, model, "rollback", "label1", "LinearRegression")
	if n := len(r.logs.lines(t, "action")); n != 2 {
		t.Errorf("the log has %d actions: %s", n, r.logs)
	}
}

func TestRunRefuses(t *testing.T) {
	client := newRedis(t)
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Database: "postgres://app:s3cret%zz@x/db"}, "cannot parse"},
		{Options{Database: "postgres://app:s3cret@x/db?sslmode=maybe"}, "sslmode"},
		{Options{Database: "host=x password=s3cret sslmode=maybe"}, "sslmode"},
		{Options{Database: "postgres://app@x/db", Token: "s3cret"}, "at least 16"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tt.o.Redis, tt.o.Kinds = client, kinds.All()
		if err := Run(t.Context(), l, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v, want %q and no secret", err, tt.want)
		}
		if _, err := l.Accept(); err == nil {
			t.Error("the listener is left open")
		}
	}
}

func TestRunSaysWhyItFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	o := Options{Database: "postgres://app@" + nobody(t) + "/x", Redis: newRedis(t), Kinds: kinds.All(), Log: slog.New(slog.DiscardHandler)}
	if err := Run(t.Context(), l, o); err == nil || !strings.Contains(err.Error(), "use of closed network connection") {
		t.Errorf("got %v", err)
	}
}
