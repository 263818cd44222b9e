package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// Server serves a Handler over HTTP. POST / takes a CloudEvent in binary or
// structured mode and answers
//
//   - 200 and the event that the handler returned, in binary mode, once the
//     sink has taken it; 204 where it returned none;
//   - 400 to what is no CloudEvent and to an *events.InvalidError, 413 to data
//     above events.MaxDataBytes and 415 to a batch: a retry would be in vain;
//   - 503 to any other error, 502 where the sink did not take the event and
//     500 where the handler panicked: a KafkaSource retries.
//
// Errors are JSON: {"error": text} and, where one is to blame, the "field". The
// answer to an event is itself an event, of TypeError, with the id of that one
// and the status as an extension.
// GET /health/liveness (or /healthz) and GET /health/readiness are for probes.
type Server struct {
	handler Handler
	options Options
	sink    *sink
	log     *slog.Logger

	stopping atomic.Bool
	inFlight atomic.Int64
}

// New returns a server for h, which does not listen yet: it is an http.Handler
// for use in process, and Serve runs it on a listener.
func New(h Handler, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{handler: h, options: o, log: o.Logger}
	if s.sink, err = newSink(o); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve serves on l until ctx is done. Then it closes l, so that no new
// connection is accepted, and lets the requests in flight finish: the response
// to each is still written. Those that are not done within ShutdownTimeout have
// their context cancelled, so that a handler that heeds it answers 503; after
// that their connections are closed, which acknowledges nothing either, and
// Serve returns an error that counts them. It returns nil after a clean stop.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	work, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	server := &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return work },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute, // longer than clients keep theirs, so that it is they who close
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	s.log.Info("serving", "address", l.Addr().String(), "sink", s.options.Sink)

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	unfinished := s.shutdown(server, cancelWork)
	if s.sink != nil {
		s.sink.transport.CloseIdleConnections()
	}
	s.log.Info("stopped", "unfinished", unfinished)
	if unfinished > 0 {
		return fmt.Errorf("serve: %d requests were not finished within %v and are not acknowledged", unfinished, s.options.ShutdownTimeout)
	}
	return nil
}

// lastWords is how long a handler has to return once its context is cancelled.
const lastWords = time.Second

// shutdown returns how many requests had not finished when it was time.
func (s *Server) shutdown(server *http.Server, cancelWork context.CancelFunc) int64 {
	deadline, cancel := context.WithTimeout(context.Background(), s.options.ShutdownTimeout)
	defer cancel()
	if server.Shutdown(deadline) == nil {
		return 0
	}
	unfinished := s.inFlight.Load()
	cancelWork()
	grace, cancelGrace := context.WithTimeout(context.Background(), lastWords)
	defer cancelGrace()
	if server.Shutdown(grace) != nil {
		server.Close() //nolint:errcheck // what is left has had its time
	}
	return unfinished
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/", "":
		if r.Method != http.MethodPost {
			s.refuseMethod(w, r, "POST")
			return
		}
		s.inFlight.Add(1)
		defer s.inFlight.Add(-1)
		s.serveEvent(w, r)
	case "/health/liveness", "/healthz":
		s.serveHealth(w, r, nil)
	case "/health/readiness":
		s.serveHealth(w, r, s.ready)
	default:
		s.writeError(w, eventID(r, event.Event{}), http.StatusNotFound, fmt.Errorf("serve: nothing is at %s", r.URL.Path))
	}
}

func (s *Server) refuseMethod(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	s.writeError(w, eventID(r, event.Event{}), http.StatusMethodNotAllowed, fmt.Errorf("serve: %s is not for %s", r.URL.Path, r.Method))
}

func (s *Server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errors.New("serve: shutting down")
	}
	if s.options.Ready == nil {
		return nil
	}
	return s.options.Ready(ctx)
}

func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request, check func(context.Context) error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.refuseMethod(w, r, "GET, HEAD")
		return
	}
	if check != nil {
		if err := check(r.Context()); err != nil {
			s.log.Warn("not ready", "error", err)
			s.writeError(w, "", http.StatusServiceUnavailable, err)
			return
		}
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Write([]byte(`{"status":"ok"}` + "\n")) //nolint:errcheck // the prober has gone
}

// serveEvent takes an event, has it handled, passes the answer on, and only
// then acknowledges.
func (s *Server) serveEvent(w http.ResponseWriter, r *http.Request) {
	e, err := readEvent(r)
	if err != nil {
		s.fail(w, r, e, err)
		return
	}
	answer, err := s.handle(r.Context(), e)
	if err != nil {
		s.fail(w, r, e, err)
		return
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		s.acknowledged(r, e, http.StatusNoContent)
		return
	}
	attributes, err := events.Attributes(*answer)
	if err != nil {
		// The handler's fault and not the input's: %v, so that it is no InvalidError.
		s.fail(w, r, e, fmt.Errorf("serve: the handler returned an event that cannot be sent: %v", err))
		return
	}
	if s.sink != nil {
		if err := s.sink.post(r.Context(), attributes, answer.Data()); err != nil {
			s.fail(w, r, e, err)
			return
		}
	}
	header := w.Header()
	header["Content-Type"] = nil // or net/http guesses one
	setAttributes(header, attributes)
	header["Content-Length"] = []string{strconv.Itoa(len(answer.Data()))}
	w.WriteHeader(http.StatusOK)
	w.Write(answer.Data()) //nolint:errcheck // the source has gone and will redeliver
	s.acknowledged(r, e, http.StatusOK)
}

// handle calls the handler and turns a panic into a *panicError.
func (s *Server) handle(ctx context.Context, e event.Event) (answer *event.Event, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			answer, err = nil, &panicError{cause, debug.Stack()}
		}
	}()
	return s.handler.Handle(ctx, e)
}

type panicError struct {
	cause any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("serve: the handler panicked: %v", p.cause) }

func (s *Server) acknowledged(r *http.Request, e event.Event, status int) {
	if s.log.Enabled(r.Context(), slog.LevelDebug) { // its arguments would be allocated all the same
		s.log.DebugContext(r.Context(), "event", "type", e.Type(), "id", e.ID(), "status", status)
	}
}

// fail answers an error with the status that says whether to retry, and logs it.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, e event.Event, err error) {
	status := statusOf(err)
	attrs := []slog.Attr{slog.Int("status", status), slog.String("error", err.Error())}
	if e.Context != nil {
		attrs = append(attrs, slog.String("type", e.Type()), slog.String("id", e.ID()))
	}
	var panicked *panicError
	if errors.As(err, &panicked) {
		attrs = append(attrs, slog.String("stack", string(panicked.stack)))
	}
	s.log.LogAttrs(r.Context(), slog.LevelWarn, "event failed", attrs...)
	s.writeError(w, eventID(r, e), status, err)
}

func statusOf(err error) int {
	var (
		refused  *refusedError
		invalid  *events.InvalidError
		sunk     *sinkError
		panicked *panicError
	)
	switch {
	case errors.As(err, &refused):
		return refused.status
	case errors.As(err, &sunk):
		return http.StatusBadGateway
	case errors.As(err, &panicked):
		return http.StatusInternalServerError
	case errors.As(err, &invalid):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
