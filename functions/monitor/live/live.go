// Package live keeps what the dashboard shows up to date: it subscribes to the
// views of sql/, once each however many are looking, follows the models in
// Redis, and hands out what has changed.
//
// Everything is in memory and can be read again: a Feed that loses the database
// keeps the last good values, says so, and reads all of it anew when the
// database is back.
package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
)

// Config is where a Feed reads.
type Config struct {
	Database string // DSN of Materialize, or of its stand-in
	Redis    redis.UniversalClient
	Kinds    online.Kinds
	// DeadLetters counts them, and is called about once a second. It may be nil:
	// then Kafka has no state and none are counted.
	DeadLetters func(context.Context) (int64, error)
	Log         *slog.Logger // nil: discarded
}

// timing is how long and how often.
type timing struct {
	connect  time.Duration // to open a connection
	answer   time.Duration // of the database, to one statement
	fetch    time.Duration // that a FETCH waits for changes
	load     time.Duration // of the newest trips
	look     time.Duration // of one trip, all in all
	poll     time.Duration // between two looks at Redis and Kafka
	polled   time.Duration // that a look may take
	publish  time.Duration // between two messages of a kind
	slowly   time.Duration // the same of errors and segments
	retryMin time.Duration
	retryMax time.Duration
}

var defaultTiming = timing{
	connect: 5 * time.Second, answer: 10 * time.Second, fetch: 250 * time.Millisecond, load: 30 * time.Second,
	look: 2 * time.Second, poll: time.Second, polled: 2 * time.Second, publish: 250 * time.Millisecond, slowly: time.Second,
	retryMin: 100 * time.Millisecond, retryMax: 3 * time.Second,
}

// Feed is the views as they are now, and what is new in them. Its methods may be
// called by many goroutines at once.
type Feed struct {
	config   Config
	timing   timing
	database database
	hub      *hub
	lookups  *lookups

	mu    sync.Mutex
	state state
}

// database is where to connect to.
type database struct {
	config *pgx.ConnConfig
	err    error // of the DSN
}

// New returns a feed. It does not connect yet: Run does.
func New(config Config) *Feed {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	f := &Feed{config: config, timing: defaultTiming, database: parseDSN(config.Database)}
	f.lookups = newLookups(f)
	f.state = newState(config, f.database)
	f.hub = newHub()
	f.publish(time.Now())
	return f
}

func parseDSN(dsn string) database {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Whatever else pgx says may hold the DSN, and that a password.
		return database{err: errors.New("live: the database's URL is none: postgres://user:password@host:port/name is")}
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tripcast-monitor"
	}
	return database{config: config}
}

func (d database) address() string {
	if d.config == nil {
		return ""
	}
	return net.JoinHostPort(d.config.Host, strconv.Itoa(int(d.config.Port)))
}

// Run reads everything until ctx ends, and connects again whenever something
// breaks. It returns an error only if the Config cannot be used.
func (f *Feed) Run(ctx context.Context) error {
	if f.database.err != nil {
		return f.database.err
	}
	if f.config.Redis == nil {
		return fmt.Errorf("live: no Redis client is configured")
	}
	var all sync.WaitGroup
	defer f.lookups.close(ctx)
	defer all.Wait()
	for _, v := range f.views() {
		all.Go(func() { f.keep(ctx, v.name, v.follow) })
	}
	all.Go(func() { f.keep(ctx, tripsPart, f.followTrips) })
	all.Go(func() { f.pollModels(ctx) })
	if f.config.DeadLetters != nil {
		all.Go(func() { f.pollDeadLetters(ctx) })
	}
	f.publishAll(ctx)
	return nil
}

// keep runs a session with the database again and again. The session calls live
// when it has read all that there was.
func (f *Feed) keep(ctx context.Context, name string, session func(ctx context.Context, live func()) error) {
	wait := f.timing.retryMin
	for {
		err := session(ctx, func() {
			wait = f.timing.retryMin
			f.change(changedSummary, func(s *state) { s.database.live(name) })
		})
		if ctx.Err() != nil {
			return
		}
		f.change(changedSummary, func(s *state) { s.database.failed(name, databaseProblem(err)) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, f.timing.retryMax)
	}
}

// Now is the views at one moment, as pages show them.
type Now struct {
	Summary  Summary  `json:"summary"`
	Models   Models   `json:"models"`
	Errors   Errors   `json:"errors"`
	Segments Segments `json:"segments"`
}

// Now returns the views as they are. It does not block, and what it returns does
// not change.
func (f *Feed) Now() Now { return f.hub.current.Load().now }

// databaseAnswers notes that a connection could be opened.
func (f *Feed) databaseAnswers() {
	f.change(0, func(s *state) { s.database.answered = true })
}

// change changes the state, and remembers which messages it may have changed.
func (f *Feed) change(what changed, how func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.changed |= what
	how(&f.state)
}
