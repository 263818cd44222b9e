package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/monitor/live"
)

// state is what the dashboard shows right now.
func (r *running) state(t *testing.T) live.Now {
	t.Helper()
	response, err := http.Get(r.monitor + "/api/state")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var now live.Now
	if err := json.NewDecoder(response.Body).Decode(&now); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("/api/state answers %s, %v", response.Status, err)
	}
	return now
}

// visit looks at the dashboard as a browser does, and returns what is closed when
// the dashboard ends the visit.
func (r *running) visit(t *testing.T) <-chan struct{} {
	t.Helper()
	response, err := http.Get(r.monitor + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(response.Body)
	for line := ""; !strings.HasPrefix(line, "event: summary"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("the stream ends before it shows anything: %v", err)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, lines) // until the end, whatever it is
	}()
	return ended
}

// finished waits until the system has ended, visitors or not.
func (r *running) finished(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		t.Fatalf("it does not end:\n%s", r.log)
	}
	if r.err != nil {
		t.Fatalf("it ended with %v:\n%s", r.err, r.log)
	}
}

// quiet: nothing went wrong that a log tells, at the end least of all, where
// whatever reads from a part stops before that part.
func (r *running) quiet(t *testing.T) {
	t.Helper()
	if strings.Contains(r.log.String(), "level=") {
		t.Errorf("something went wrong:\n%s", r.log)
	}
}

// TestDashboard: what the dashboard counts is what the report says in the end.
func TestDashboard(t *testing.T) {
	const trips = 400
	r := launch(t, "--limit", "400", "--speed", "0")
	if first, _, _ := strings.Cut(r.log.String(), "\n"); first != "Dashboard "+r.monitor {
		t.Errorf("it begins with %q, not with the dashboard's URL", first)
	}
	ended := r.visit(t)
	var now live.Now
	r.until(t, "the dashboard shows that all is learned", func() bool {
		now = r.state(t)
		for _, m := range now.Models.Models {
			if m.Labels < trips || m.Trips < trips {
				return false
			}
		}
		return len(now.Models.Models) > 0 && now.Summary.Trips.Labels >= trips
	})
	r.cancel()
	r.finished(t)
	r.quiet(t)
	<-ended
	wantAll(t, *r.report, trips)
	want := live.Counts{PickUps: r.report.PickUps, Predictions: r.report.Predictions, Completed: r.report.DropOffs, Labels: r.report.Labels}
	if now.Summary.Trips != want {
		t.Errorf("the dashboard counts %+v, the report %+v", now.Summary.Trips, want)
	}
	if len(now.Models.Models) != len(r.report.Learned) {
		t.Errorf("the dashboard shows %d models, the report %d", len(now.Models.Models), len(r.report.Learned))
	}
	for _, m := range now.Models.Models {
		if labels, ok := r.report.Learned[m.Name]; !ok || m.Labels != uint64(labels) {
			t.Errorf("the dashboard says that %s has learned %d labels, the report %d", m.Name, m.Labels, labels)
		}
		// In SQL each error is rounded to a millisecond.
		if mae := r.report.MAE[m.Name]; m.MAE < mae-0.001 || m.MAE > mae+0.001 {
			t.Errorf("the dashboard says that %s errs by %v s, the report %v s", m.Name, m.MAE, mae)
		}
	}
	if now.Summary.DeadLetters != r.report.DeadLetters {
		t.Errorf("the dashboard counts %d dead letters, the report %d", now.Summary.DeadLetters, r.report.DeadLetters)
	}
}

// TestVisitorsAreNotWaitedFor: a run that is to end when it is done ends, and
// with it the stream of who looks at it.
func TestVisitorsAreNotWaitedFor(t *testing.T) {
	r := launch(t, "--limit", "300", "--speed", "2000", "--exit-when-done")
	ended := r.visit(t)
	r.finished(t)
	r.quiet(t)
	<-ended
	wantAll(t, *r.report, 300)
}

// TestDashboardIsToldAll: it gets into a Kafka that wants a user and a Materialize
// that is elsewhere, those who know the token may act, and nothing of it is said.
func TestDashboardIsToldAll(t *testing.T) {
	b := secured(t)
	env := users("secret")
	var given []string
	for name, value := range env {
		given = append(given, name+"="+value)
	}
	const token = "0123456789abcdef"
	env["MONITOR_TOKEN"] = token
	stream := local(t, given, "stream", "--kafka", b.Addr(), "--sql-listen", "127.0.0.1:0").says(t, "SQL ")
	r := launchWith(t, env, "--kafka", b.Addr(), "--materialize", "postgres://materialize:hidden@"+stream+"/materialize?sslmode=disable",
		"--limit", "20", "--speed", "0")
	var now live.Now
	r.until(t, "every server answers", func() bool {
		now = r.state(t)
		s := now.Summary
		return s.Database.State == live.Live && s.Redis.State == live.Live && s.Kafka.State == live.Live && s.Trips.Labels == 20
	})
	promote := func(authorization string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.monitor+"/models/nobody/promote", strings.NewReader(`{"by":"test","reason":"test"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", authorization)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if code := promote("Bearer fedcba9876543210"); code != http.StatusUnauthorized {
		t.Errorf("with another token it answers %d", code)
	}
	if code := promote("Bearer " + token); code != http.StatusNotFound {
		t.Errorf("with the token it answers %d of a model that is not there", code)
	}
	var asked output
	if code := run(t.Context(), invoke(&asked, &asked, "health", r.monitor+"/health/readiness")); code != exitOK {
		t.Errorf("local health: %d, %s", code, &asked)
	}
	r.cancel()
	r.finished(t)
	for _, hidden := range []string{token, "hidden", "secret"} {
		if strings.Contains(r.log.String(), hidden) {
			t.Errorf("%q is said:\n%s", hidden, r.log)
		}
	}
}

func TestDashboardOff(t *testing.T) {
	r := launch(t, "--monitor-listen", "off", "--limit", "1")
	if log := r.log.String(); r.monitor != "" || strings.Contains(log, "Dashboard") {
		t.Errorf("there is a dashboard at %q:\n%s", r.monitor, log)
	}
}

func TestShortToken(t *testing.T) {
	var log output
	in := invoke(io.Discard, &log, "--free-ports")
	in.getenv = func(name string) string { return map[string]string{"MONITOR_TOKEN": "secret"}[name] }
	if code := run(t.Context(), in); code != exitUsage || !strings.Contains(log.String(), "MONITOR_TOKEN: ") || strings.Contains(log.String(), "secret") {
		t.Errorf("exit code %d, want %d:\n%s", code, exitUsage, &log)
	}
}

func TestVisitURL(t *testing.T) {
	for at, want := range map[string]string{
		"127.0.0.1:8501": "http://127.0.0.1:8501", "0.0.0.0:8501": "http://localhost:8501", "[::]:8501": "http://localhost:8501", "[::1]:1": "http://[::1]:1",
	} {
		address, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if got := visitURL(address); got != want {
			t.Errorf("%s is found at %s, want %s", at, got, want)
		}
	}
}
