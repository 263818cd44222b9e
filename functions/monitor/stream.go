package monitor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"tripcast.dev/functions/monitor/live"
)

// maxStreams is how many pages may be followed at once. Each costs some memory
// for as long as its browser likes.
const maxStreams = 1000

// serveStream tells a page what is new, for as long as it listens, as
// server-sent events: event is the name of a view, data its JSON. The query may
// name some of them, as ?views=summary,models.
func (m *Monitor) serveStream(w http.ResponseWriter, r *http.Request) {
	views, err := viewsOf(r)
	if err != nil {
		m.fail(w, r, m.problemOf(r, err))
		return
	}
	if r.Method == http.MethodHead {
		eventStream(w.Header())
		return
	}
	defer m.streams.Add(-1)
	if m.streams.Add(1) > maxStreams {
		m.fail(w, r, problem{
			status: http.StatusServiceUnavailable, retry: 5 * time.Second,
			text: "As many pages are followed as this monitor has memory for.",
		})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(m.running, cancel)()

	eventStream(w.Header())
	s := stream{w, http.NewResponseController(w), m.stalled}
	if s.send("retry: 1000\n\n") != nil {
		return
	}
	for visitor := m.feed.visit(ctx, views); ; {
		messages, err := m.next(ctx, visitor)
		switch {
		case ctx.Err() != nil:
			return // it is the browser, or the monitor, that has gone
		case errors.Is(err, context.DeadlineExceeded):
			err = s.send(": still here\n\n")
		case err != nil:
			m.log.WarnContext(ctx, "a stream ends: the browser opens another", "error", err)
			return
		default:
			err = s.sendAll(messages)
		}
		if err != nil {
			m.log.DebugContext(ctx, "a browser has gone", "error", err)
			return
		}
	}
}

// viewsOf are the views that are asked for; none are all.
func viewsOf(r *http.Request) ([]string, error) {
	named := r.URL.Query().Get("views")
	if named == "" {
		return nil, nil
	}
	views := strings.Split(named, ",")
	for _, view := range views {
		if !slices.Contains(live.Events(), view) {
			return nil, problem{
				status: http.StatusBadRequest,
				text:   "There is no view " + clip(view) + ".",
				wayOut: "They are " + strings.Join(live.Events(), ", ") + ".",
			}
		}
	}
	return views, nil
}

func eventStream(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it to itself
}

// next returns what is new, or context.DeadlineExceeded when it is time to say
// that the stream is alive.
func (m *Monitor) next(ctx context.Context, v visitor) ([]live.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, m.heartbeat)
	defer cancel()
	return v.Next(ctx)
}

// stream is one response. A browser that does not take what it is sent is given
// up: its connection would be kept, with all that waits in it, for as long as TCP
// hopes.
type stream struct {
	w          io.Writer
	controller *http.ResponseController
	stalled    time.Duration
}

func (s stream) send(text string) error {
	s.expect()
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.controller.Flush()
}

func (s stream) sendAll(messages []live.Message) error {
	s.expect()
	for _, message := range messages {
		if err := s.write(message); err != nil {
			return err
		}
	}
	return s.controller.Flush()
}

// expect starts the time within which what follows has to be taken.
func (s stream) expect() {
	s.controller.SetWriteDeadline(time.Now().Add(s.stalled)) //nolint:errcheck // not every ResponseWriter has one
}

// write does not copy what all visitors are sent.
func (s stream) write(message live.Message) error {
	if _, err := io.WriteString(s.w, "event: "+message.Event+"\n"); err != nil {
		return err
	}
	for line := range bytes.SplitSeq(message.Data, []byte("\n")) {
		for _, part := range [][]byte{[]byte("data: "), line, []byte("\n")} {
			if _, err := s.w.Write(part); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(s.w, "\n")
	return err
}
