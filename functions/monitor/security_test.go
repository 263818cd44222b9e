package monitor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func wantSecured(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, value := range secured {
		if h.Get(name) != value {
			t.Errorf("%s: %s is %q", what, name, h.Get(name))
		}
	}
}

// Whatever is answered, the browser is told what it may do with it.
func TestSecurityHeaders(t *testing.T) {
	d := newDashboard(t, token)
	for _, tt := range []struct{ method, path string }{
		{"GET", "/"},
		{"GET", "/trips/x"},
		{"GET", "/models"},
		{"GET", "/models/trees"},
		{"GET", "/models/nobody"},
		{"GET", "/dead-letters"},
		{"GET", "/audit"},
		{"HEAD", "/"},
		{"HEAD", "/stream"},
		{"GET", "/static/icon.svg"},
		{"GET", "/static/nowhere"},
		{"GET", "/api/state"},
		{"GET", "/api/trips/x"},
		{"GET", "/api/nowhere"},
		{"GET", "/healthz"},
		{"GET", "/health/readiness"},
		{"GET", "/nowhere"},
		{"GET", "//models"},
		{"POST", "/"},
		{"POST", "/models/trees/promote"},
		{"POST", "/models/trees/rollback"},
		{"PUT", "/models/trees/rollback"},
		{"OPTIONS", "/"},
	} {
		w := d.ask(t, tt.method, tt.path, "")
		wantSecured(t, tt.method+" "+tt.path, w.Header())
	}
	for _, directive := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		wantIn(t, secured["Content-Security-Policy"], directive)
	}
	if strings.Contains(secured["Content-Security-Policy"], "unsafe") {
		t.Error("the policy lets pages run what stands in them")
	}
}

func TestMethods(t *testing.T) {
	d := newDashboard(t, token)
	for _, tt := range []struct{ method, path, allow string }{
		{"POST", "/", "GET, HEAD"},
		{"DELETE", "/models/trees", "GET, HEAD"},
		{"POST", "/stream", "GET, HEAD"},
		{"PUT", "/static/app.js", "GET, HEAD"},
		{"POST", "/api/state", "GET, HEAD"},
		{"GET", "/models/trees/promote", "POST"},
		{"PUT", "/models/trees/rollback", "POST"},
	} {
		w := d.ask(t, tt.method, tt.path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q", tt.method, tt.path, w.Code, w.Header().Get("Allow"))
		}
	}
	// A browser that is sent there gets a page.
	wantIn(t, d.get(t, "/models/trees/promote").Body.String(), "<!doctype html>", "It takes POST")
}

func TestPanics(t *testing.T) {
	d := newDashboard(t, "")
	d.routes.HandleFunc("/boom", func(http.ResponseWriter, *http.Request) { panic("boom") })
	d.routes.HandleFunc("/begun", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("boom")
	})
	w := d.get(t, "/boom")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	lines := d.logs.lines(t, "panic")
	if len(lines) != 1 || lines[0]["cause"] != "boom" || !strings.Contains(lines[0]["stack"].(string), "security_test.go") {
		t.Errorf("the log says %v", lines)
	}
	// Over a network, the connection of a response that has begun is broken off.
	server := httptest.NewServer(d)
	defer server.Close()
	if response, err := http.Get(server.URL + "/begun"); err == nil {
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Error("a response that broke off looks whole")
		}
		response.Body.Close()
	}
	if response, err := http.Get(server.URL + "/healthz"); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("it is dead: %v", err)
	}
}

// Nobody is led elsewhere by what a request says its host is.
func TestHostIsNotTrusted(t *testing.T) {
	d := newDashboard(t, "")
	for _, path := range []string{"/", "/nowhere", "/models", "//models"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "evil.example"
		r.Header.Set("X-Forwarded-Host", "evil.example")
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "evil") || strings.Contains(w.Header().Get("Location"), "evil") {
			t.Errorf("%s: %v %s", path, w.Header(), w.Body)
		}
	}
}
