package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/monitor/trail"
	"tripcast.dev/functions/online"
)

// Options say where everything is that the dashboard shows.
type Options struct {
	Database     string                // DSN of Materialize
	Redis        redis.UniversalClient // not closed
	Kinds        online.Kinds
	Brokers      []string  // of Kafka; none: no events are shown
	KafkaOptions []kgo.Opt // what Kafka wants besides, if anything
	Token        string    // who knows it may promote and roll back; empty: nobody
	Log          *slog.Logger
}

// CheckDatabase reports whether a DSN can be read, without connecting. The error
// does not have its password.
func CheckDatabase(dsn string) error {
	if _, err := pgx.ParseConfig(dsn); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	return nil
}

// shutdownWithin is how long requests in flight may take once it is time to stop.
const shutdownWithin = 5 * time.Second

// Run serves the dashboard on l until ctx ends, and closes l. What it shows may be
// away, now or later: the pages say so, and go on when it is back.
func Run(ctx context.Context, l net.Listener, o Options) error {
	defer l.Close()
	if err := errors.Join(CheckDatabase(o.Database), CheckToken(o.Token)); err != nil {
		return err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	config := live.Config{Database: o.Database, Redis: o.Redis, Kinds: o.Kinds, Log: o.Log}
	var events *trail.Trail
	if len(o.Brokers) > 0 {
		var err error
		if events, err = trail.New(trail.Config{Brokers: o.Brokers, Options: o.KafkaOptions, Log: o.Log}); err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
		defer events.Close()
		config.DeadLetters = events.CountDeadLetters
	}
	feed := live.New(config)
	m := New(Config{Feed: feed, Trail: events, Redis: o.Redis, Kinds: o.Kinds, Token: o.Token, Log: o.Log})

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fed := make(chan error, 1)
	go func() {
		defer cancel() // what feeds it never ends but for an error
		fed <- feed.Run(ctx)
	}()
	err := m.serve(ctx, l)
	cancel()
	if errFed := <-fed; errFed != nil {
		err = errors.Join(err, fmt.Errorf("monitor: %w", errFed))
	}
	return err
}

// serve serves on l until ctx ends. Streams end then, other requests are finished.
func (m *Monitor) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           m,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // a stream sets its own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	m.log.Info("serving", "address", l.Addr().String(), "actions", m.tokens != nil)
	select {
	case err := <-failed:
		m.stop()
		return fmt.Errorf("monitor: serve: %w", err)
	case <-ctx.Done():
	}
	m.stop()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	if server.Shutdown(deadline) != nil {
		server.Close() //nolint:errcheck // they have had their time
	}
	m.log.Info("stopped")
	return nil
}
