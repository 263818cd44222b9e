package monitor

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/registry"
)

// problem is why a request is not answered as it was meant to be: a page for a
// browser, JSON for a program.
type problem struct {
	status int
	title  string // of the page; the status if empty
	text   string // what is wrong
	wayOut string // what helps
	// retry is set where the same request may be answered later: the page asks
	// again by itself.
	retry time.Duration
}

// Error makes a problem the error of whatever found it.
func (p problem) Error() string { return strings.TrimSpace(p.text + " " + p.wayOut) }

func (p problem) heading() string {
	if p.title != "" {
		return p.title
	}
	return http.StatusText(p.status)
}

type problemPage struct {
	base
	Status  int
	Problem string
	WayOut  string
}

// fail answers with a problem.
func (m *Monitor) fail(w http.ResponseWriter, r *http.Request, p problem) {
	if p.retry > 0 {
		seconds := strconv.Itoa(int(p.retry.Seconds()))
		w.Header().Set("Retry-After", seconds)
		if !wantsJSON(r) && !isFragment(r) {
			w.Header().Set("Refresh", seconds) // browsers do, also without JavaScript
		}
	}
	if wantsJSON(r) {
		writeJSON(w, p.status, struct {
			Error  string `json:"error"`
			WayOut string `json:"way_out,omitempty"`
		}{p.text, p.wayOut})
		return
	}
	m.render(w, r, p.status, "error", problemPage{m.base("error", p.heading()), p.status, p.text, p.wayOut})
}

func (m *Monitor) notFound(w http.ResponseWriter, r *http.Request) {
	m.fail(w, r, problem{
		status: http.StatusNotFound,
		text:   "Nothing is at " + clip(r.URL.Path) + ".",
		wayOut: "The pages are /, /models, /dead-letters and /audit; a trip is at /trips/ and its id.",
	})
}

// wantsJSON reports whether it is a program that asks: whoever posts, and
// whoever asks below /api or for a probe.
func wantsJSON(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return true
	}
	return r.URL.Path == "/stream" || strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/health")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be said in JSON"}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	w.Write(append(data, '\n')) //nolint:errcheck // whoever asked has gone
}

// problemOf says what an error means to whoever asked, and keeps to itself what
// is only for the log.
func (m *Monitor) problemOf(r *http.Request, err error) problem {
	var p problem
	var broken *registry.StateError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, live.ErrNotFound):
		return problem{
			status: http.StatusNotFound, title: "No such trip",
			text:   "No trip with the id " + clip(r.PathValue("id")) + " is known.",
			wayOut: "Trips are kept for " + tripRetention + " after they were heard of, unless trip_retention in sql/ says otherwise.",
		}
	case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrNoModels):
		return problem{
			status: http.StatusNotFound, title: "Not found", text: sentence(err),
			wayOut: "/models lists the models, and the page of each its versions.",
		}
	case errors.Is(err, registry.ErrConflict), errors.Is(err, registry.ErrWarming):
		return problem{status: http.StatusConflict, text: sentence(err), wayOut: "Look at the page again, and decide again."}
	case errors.Is(err, registry.ErrActor):
		return problem{status: http.StatusBadRequest, text: sentence(err), wayOut: "The audit trail says who did what, and why."}
	case errors.As(err, &broken):
		return problem{status: http.StatusConflict, text: sentence(err), wayOut: "Choose a version that can be read."}
	}
	return m.unavailable(r, err)
}

// sentence is an error of another package as a page says it.
func sentence(err error) string {
	text := strings.ReplaceAll(err.Error(), "registry: ", "")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// unavailable is a server that does not answer, or something unforeseen.
func (m *Monitor) unavailable(r *http.Request, err error) problem {
	summary := m.feed.Now().Summary
	var server string
	var source live.Source
	switch {
	case errors.Is(err, live.ErrUnavailable):
		server, source = "The database", summary.Database
		if source.State == live.Live && strings.Contains(source.Missing, "trip_starts") {
			return problem{
				status: http.StatusNotFound, text: "The SQL of this stream has no " + source.Missing + ".",
				wayOut: "Trips are found where it has them.",
			}
		}
	case errors.Is(err, registry.ErrUnavailable):
		server, source = "Redis", summary.Redis
	case errors.Is(err, trail.ErrUnavailable):
		server, source = "Kafka", summary.Kafka
	default:
		m.log.ErrorContext(r.Context(), "unforeseen", "path", r.URL.Path, "error", err)
		return problem{status: http.StatusInternalServerError, text: "This went wrong inside of the monitor.", wayOut: "Its log says more."}
	}
	// Whoever finds out that it is away warns of it once; here it is each request.
	m.log.DebugContext(r.Context(), "a page needs what is away", "path", r.URL.Path, "error", err)
	text := server + " does not answer."
	if source.State != live.Live && source.Since > 0 {
		text = server + " is away since " + time.UnixMilli(source.Since).UTC().Format("15:04:05 UTC on 2 January 2006") + "."
	}
	if source.State != live.Live && source.Error != "" {
		text += " It was last heard of with: " + source.Error + "."
	}
	return problem{
		status: http.StatusServiceUnavailable, title: server + " is away", retry: 3 * time.Second,
		text: text, wayOut: "This page tries again by itself.",
	}
}
