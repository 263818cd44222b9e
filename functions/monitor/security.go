package monitor

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// secured is on every response. A page may load what this server serves, talk to
// it, and nothing else; nobody may frame it, and no other origin may read it.
var secured = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// ServeHTTP serves one request.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range secured {
		w.Header().Set(name, value)
	}
	response := &response{ResponseWriter: w}
	defer m.recovered(response, r)
	m.routes.ServeHTTP(response, r)
}

// recovered turns a panic of a handler into a 500, or into a broken connection
// where the response has begun. The process goes on.
func (m *Monitor) recovered(w *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	m.log.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	m.fail(w, r, problem{
		status: http.StatusInternalServerError,
		text:   "This went wrong inside of the monitor.",
		wayOut: "Its log says more.",
	})
}

// response knows whether it has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

func (w *response) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(data []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// only answers other methods with 405.
func (m *Monitor) only(h http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			allowed := strings.Join(methods, ", ")
			w.Header().Set("Allow", allowed)
			m.fail(w, r, problem{
				status: http.StatusMethodNotAllowed,
				text:   r.URL.Path + " is not for " + r.Method + ".",
				wayOut: "It takes " + allowed + ".",
			})
			return
		}
		h(w, r)
	}
}
