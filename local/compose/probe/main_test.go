package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/health/readiness?verbose" {
			http.Error(w, "no models", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ target, want string }{
		{server.URL + "/health/readiness?verbose", ""},
		{server.URL, "503 Service Unavailable: no models"},
		{gone.URL, "connection refused"},
		{"http://localhost/health", "is not like http://HOST:PORT/PATH"},
		{"tcp://localhost:8080", "is not like http://HOST:PORT/PATH"},
	} {
		err := ask(c.target)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.target, err, c.want)
		}
	}
}
