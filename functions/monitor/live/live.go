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
	"log/slog"

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

// Feed is the views as they are now, and what is new in them. Its methods may be
// called by many goroutines at once.
type Feed struct {
	config Config
	hub    *hub
}

// New returns a feed. It does not connect yet: Run does.
func New(config Config) *Feed {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Feed{config: config, hub: newHub()}
}

// Run reads everything until ctx ends, and connects again whenever something
// breaks. It returns an error only if the Config cannot be used.
func (f *Feed) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
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
func (f *Feed) Now() Now { return f.hub.edition().now }
