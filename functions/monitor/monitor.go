// Package monitor is the dashboard: a web server that shows what the system does
// and what its models learn, as it happens.
//
// Every page is rendered here, useful without JavaScript, and brought up to date
// in the browser by one stream of server-sent events. What is shown is kept once,
// however many are looking, and can all be read again: the server holds no state
// of its own. It changes nothing but with a token: then models can be promoted
// and rolled back.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/monitor/assets"
	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry"
)

// Config is what a Monitor shows and with what it acts.
type Config struct {
	Feed  *live.Feed   // somebody runs it
	Trail *trail.Trail // nil: no events are shown
	Redis redis.UniversalClient
	Kinds online.Kinds
	// Token is what those who may promote and roll back know, see CheckToken.
	// Empty: nobody may.
	Token string
	Log   *slog.Logger // nil is slog.Default()
}

// Monitor is the dashboard as an http.Handler.
type Monitor struct {
	feed   feed
	trails trails // nil: none are shown
	models models
	log    *slog.Logger

	pages   *pages
	static  *static
	tokens  *tokens // nil: nobody may act
	origins *http.CrossOriginProtection
	routes  *http.ServeMux

	heartbeat time.Duration // how often a silent stream says that it is alive
	stalled   time.Duration // how long a browser may take to take in what it is sent
	streams   atomic.Int64  // that are open
	// running ends the streams when it is cancelled: they would never end otherwise.
	running context.Context
	stop    context.CancelFunc
}

// feed is what the pages show of the whole: a *live.Feed.
type feed interface {
	Now() live.Now
	Trip(ctx context.Context, id string) (live.Trip, error)
	visit(ctx context.Context, events []string) visitor
}

// visitor is told what is new: a *live.Visitor.
type visitor interface {
	Next(ctx context.Context) ([]live.Message, error)
}

// trails lead to the events that a trip has caused, and to those that failed: a
// *trail.Trail.
type trails interface {
	Of(ctx context.Context, trip string, stretches ...trail.Stretch) (trail.Found, error)
	DeadLetters(ctx context.Context, limit int) ([]trail.Letter, int64, error)
}

// models are those in Redis, by package registry.
type models interface {
	Catalogue(ctx context.Context) (*online.Catalogue, error)
	Lineage(ctx context.Context, model string, limit int) ([]registry.Commit, error)
	Snapshots(ctx context.Context, model string) ([]registry.Snapshot, error)
	Audit(ctx context.Context, limit int) ([]registry.Action, error)
	Promote(ctx context.Context, model, expect string, by registry.Actor) (registry.Action, error)
	Rollback(ctx context.Context, model string, to, expect uint64, by registry.Actor) (registry.Action, error)
}

// New returns the dashboard. It panics if c has no feed or no Redis, or if a
// template cannot be read: that is a program that is wrong.
func New(c Config) *Monitor {
	m := newMonitor(fed{c.Feed}, nil, store{c.Redis, c.Kinds}, c.Token, c.Log)
	if c.Trail != nil {
		m.trails = c.Trail
	}
	return m
}

func newMonitor(f feed, t trails, s models, token string, log *slog.Logger) *Monitor {
	if log == nil {
		log = slog.Default()
	}
	files := newStatic(assets.Static())
	m := &Monitor{
		feed: f, trails: t, models: s, log: log,
		static: files, pages: newPages(assets.Templates(), files),
		origins:   http.NewCrossOriginProtection(),
		heartbeat: 15 * time.Second, stalled: 10 * time.Second,
	}
	if token != "" {
		m.tokens = newTokens(token)
	}
	m.running, m.stop = context.WithCancel(context.Background())
	m.routes = m.newRoutes()
	return m
}

func (m *Monitor) newRoutes() *http.ServeMux {
	routes := http.NewServeMux()
	for pattern, page := range map[string]http.HandlerFunc{
		"/{$}":              m.showLive,
		"/trips/{id}":       m.showTrip,
		"/models":           m.showModels,
		"/models/{name}":    m.showModel,
		"/dead-letters":     m.showDeadLetters,
		"/audit":            m.showAudit,
		"/stream":           m.serveStream,
		"/static/{name...}": m.serveStatic,
		"/api/state":        m.serveState,
		"/api/trips/{id}":   m.serveTrip,
		"/health/liveness":  m.serveHealth, "/healthz": m.serveHealth, "/health/readiness": m.serveHealth,
	} {
		routes.HandleFunc(pattern, m.only(page, http.MethodGet, http.MethodHead))
	}
	routes.HandleFunc("/models/{name}/promote", m.only(m.promote, http.MethodPost))
	routes.HandleFunc("/models/{name}/rollback", m.only(m.rollBack, http.MethodPost))
	routes.HandleFunc("/", m.notFound)
	return routes
}

// Ready reports whether a page can be served. It can always be: what is away is
// shown as away.
func (m *Monitor) Ready(context.Context) error {
	if m.running.Err() != nil {
		return errors.New("monitor: shutting down")
	}
	return nil
}

func (m *Monitor) serveHealth(w http.ResponseWriter, r *http.Request) {
	if err := m.Ready(r.Context()); err != nil && r.URL.Path == "/health/readiness" {
		m.fail(w, r, problem{status: http.StatusServiceUnavailable, text: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// fed is a *live.Feed.
type fed struct{ *live.Feed }

func (f fed) visit(ctx context.Context, events []string) visitor {
	return f.Subscribe(ctx, events...)
}

// store is a Redis.
type store struct {
	client redis.UniversalClient
	kinds  online.Kinds
}

func (s store) Catalogue(ctx context.Context) (*online.Catalogue, error) {
	return registry.Catalogue(ctx, s.client, s.kinds)
}

func (s store) Lineage(ctx context.Context, model string, limit int) ([]registry.Commit, error) {
	return registry.Lineage(ctx, s.client, model, limit)
}

func (s store) Snapshots(ctx context.Context, model string) ([]registry.Snapshot, error) {
	return registry.Snapshots(ctx, s.client, model)
}

func (s store) Audit(ctx context.Context, limit int) ([]registry.Action, error) {
	return registry.Audit(ctx, s.client, limit)
}

func (s store) Promote(ctx context.Context, model, expect string, by registry.Actor) (registry.Action, error) {
	return registry.Promote(ctx, s.client, s.kinds, model, expect, by)
}

func (s store) Rollback(ctx context.Context, model string, to, expect uint64, by registry.Actor) (registry.Action, error) {
	return registry.Rollback(ctx, s.client, s.kinds, model, to, expect, by)
}

// MinTokenLength is that of a token, in characters.
const MinTokenLength = 16

// CheckToken reports whether a token is one that is hard to guess, and can be
// sent. Empty is no token, and fine.
func CheckToken(token string) error {
	if token == "" {
		return nil
	}
	if len(token) < MinTokenLength {
		return fmt.Errorf("monitor: the token has %d characters and needs at least %d: `openssl rand -hex 16` makes one", len(token), MinTokenLength)
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return errors.New("monitor: the token has a space, or a character that is not ASCII: `openssl rand -hex 16` makes one that can be sent")
		}
	}
	return nil
}
