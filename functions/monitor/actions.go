package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"tripcast.dev/functions/registry"
)

// maxActionBytes is the largest body that says what to do.
const maxActionBytes = 64 << 10

// author is who does it, and why: both are only what they say.
type author struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// promotion is what POST /models/{name}/promote takes.
type promotion struct {
	Expect string `json:"expect"` // the champion that is to be replaced; "" any
	author
}

// rollback is what POST /models/{name}/rollback takes.
type rollback struct {
	Version uint64 `json:"version"`
	Expect  uint64 `json:"expect"` // the version that is to be replaced; 0 any
	author
}

func (m *Monitor) promote(w http.ResponseWriter, r *http.Request) {
	var p promotion
	m.act(w, r, &p, &p.author, func(model string, by registry.Actor) (registry.Action, error) {
		return m.models.Promote(r.Context(), model, p.Expect, by)
	})
}

func (m *Monitor) rollBack(w http.ResponseWriter, r *http.Request) {
	var b rollback
	m.act(w, r, &b, &b.author, func(model string, by registry.Actor) (registry.Action, error) {
		if b.Version == 0 {
			return registry.Action{}, errNoVersion
		}
		return m.models.Rollback(r.Context(), model, b.Version, b.Expect, by)
	})
}

var errNoVersion = problem{
	status: http.StatusBadRequest,
	text:   "version is missing: to which one?",
	wayOut: "The page of the model lists those that are kept.",
}

// act checks who asks, reads what is asked for into body, does it, and says so
// in the log.
func (m *Monitor) act(w http.ResponseWriter, r *http.Request, body any, who *author, do func(model string, by registry.Actor) (registry.Action, error)) {
	model := r.PathValue("name")
	err := m.allowed(w, r)
	if err == nil {
		err = read(w, r, body)
	}
	var done registry.Action
	if err == nil {
		by := registry.Actor{Name: strings.TrimSpace(who.By), Reason: strings.TrimSpace(who.Reason)}
		done, err = do(model, by)
	}
	if err != nil {
		m.refuse(w, r, model, who.By, err)
		return
	}
	m.log.InfoContext(r.Context(), "action", "kind", done.Kind, "model", model, "from", done.From, "to", done.To,
		"by", done.By, "reason", done.Reason, "address", addressOf(r))
	writeJSON(w, http.StatusOK, done)
}

// allowed reports who may not act, as a problem.
func (m *Monitor) allowed(w http.ResponseWriter, r *http.Request) error {
	if err := m.origins.Check(r); err != nil {
		return problem{
			status: http.StatusForbidden,
			text:   "This was asked for by the page of another site.",
			wayOut: "Models are promoted and rolled back from the pages of this monitor.",
		}
	}
	if m.tokens == nil {
		return problem{
			status: http.StatusForbidden,
			text:   "This monitor is read-only: it was started without a token.",
			wayOut: "MONITOR_TOKEN sets one.",
		}
	}
	switch verdict, wait := m.tokens.judge(r); verdict {
	case known:
		return nil
	case blocked:
		return problem{
			status: http.StatusTooManyRequests, retry: wait.Round(time.Second) + time.Second,
			text: "There were too many wrong tokens from this address.",
		}
	case missing:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tripcast"`)
		return problem{status: http.StatusUnauthorized, text: "This needs the token.", wayOut: "It is sent as Authorization: Bearer TOKEN."}
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tripcast", error="invalid_token"`)
		return problem{status: http.StatusUnauthorized, text: "This is not the token.", wayOut: "It is what MONITOR_TOKEN was when the monitor started."}
	}
}

// read reads one JSON object and nothing else.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem{status: http.StatusUnsupportedMediaType, text: "The body is no JSON by its Content-Type.", wayOut: "It has to be application/json."}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxActionBytes))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("something follows the object")
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem{status: http.StatusRequestEntityTooLarge, text: "The body is too large.", wayOut: "64 KB are enough."}
	}
	return problem{status: http.StatusBadRequest, text: "The body is not what this takes: " + err.Error() + "."}
}

// refuse answers with why an action was not done.
func (m *Monitor) refuse(w http.ResponseWriter, r *http.Request, model, by string, err error) {
	p := m.problemOf(r, err)
	if p.status != http.StatusTooManyRequests { // the log would be theirs to fill
		m.log.WarnContext(r.Context(), "action refused", "path", clip(r.URL.Path), "model", clip(model), "by", clip(by),
			"status", p.status, "why", p.text, "address", addressOf(r))
	}
	m.fail(w, r, p)
}

// clip bounds what others may have in the log.
func clip(text string) string { return fmt.Sprintf("%.100s", text) }
