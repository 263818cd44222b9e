// Package stream stands in for Materialize: it reads the very files of sql/,
// keeps their views up to date as records arrive, writes the sinks, and answers
// on the Postgres protocol.
//
// # How
//
// Time is cut into ticks. A tick takes the records that arrived (the comment of
// reader says which belong together), works out for every view which of its
// partitions they can have changed, lets DuckDB evaluate the view's own body
// over the rows of those partitions alone, and compares. What a sunk view
// gained is produced as upserts, what it lost as tombstones, one Kafka
// transaction a tick. State is kept in Go, and so is what it can tell without
// evaluating anything: which rows are joined, which of them DISTINCT ON takes, and
// the sums of a group. DuckDB only evaluates. A view that no sink needs is brought
// up to date when somebody asks, and let go of when nobody has for a minute.
//
// # What it supports
//
// CREATE SOURCE and TABLE FROM SOURCE over Kafka (VALUE FORMAT JSON, ENVELOPE
// NONE), views, materialized views, and Kafka sinks (JSON, ENVELOPE UPSERT,
// HEADERS). A view is incremental if it is a filter or projection, DISTINCT ON
// columns, a join by equal columns, or an aggregate of one relation; whatever
// else a sink stands on, or is a MATERIALIZED VIEW, is computed as a whole at every
// change, which is correct and slow. mz_now() <= expression bounds a view that is a filter. What
// is not supported is refused at start-up with file, line and statement.
//
// On the Postgres protocol it answers SELECT and, in a transaction, SUBSCRIBE:
// DECLARE c CURSOR FOR SUBSCRIBE [TO] view, or (SELECT …), with ENVELOPE UPSERT
// (KEY (…)) and WITH (SNAPSHOT, PROGRESS); FETCH [n | ALL] c [WITH (TIMEOUT)];
// CLOSE. As in Materialize, a FETCH with a timeout gathers until it is over or
// the number is reached, one without waits for the first rows; a transaction has
// one cursor, which starts with its first FETCH (without a snapshot: where it is
// declared), and a FETCH that was prepared for other columns is an error. A
// maintained view tells its own changes. Any other, and a query, is asked again
// once something that it reads has changed, and compared. A SELECT that names the
// key of the one view it reads is given the rows of that key. A bare SUBSCRIBE,
// COPY, AS OF, UP TO and cursors for SELECT are not supported. Serve says what else
// is answered, and what is not.
//
// A Batch evaluates the same files once, over records that are all there. For
// topics that were written within the grace of each other it sinks what a Stream
// has sunk, byte for byte.
//
// # What it does not promise
//
// A value that is not JSON puts a source of Materialize into an error state;
// A value that is not JSON puts a source of Materialize into an error state;
// here it is logged and left out. So is what a view cannot compute, for a cast that
// fails. Integers are all int8, jsonb is equal where its text is and keeps the order
// of its keys, round takes halves away from zero, and a sum of int8 divides as an
// integer where Materialize has a numeric: cast it first. Sources are read once
// each and their records are not kept: select from the views. A subscription is
// told the net change since it was last fetched from, up to half a second late,
// not every change between.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/sql"
)

// Config is what a Stream needs.
type Config struct {
	Brokers    []string        // bootstrap addresses
	Options    []kgo.Opt       // TLS, SASL
	Statements []sql.Statement // as sql.Load gives them
	Log        *slog.Logger    // nil means slog.Default
	// Tick is the least time from one tick to the next: a longer one makes
	// larger, cheaper ticks. 0 means 5 ms. A tick is a transaction: on Apache
	// Kafka about a millisecond, but 20 for one that begins right after another,
	// which waits for that one's markers (add.partitions.to.txn.retry.backoff.ms).
	Tick time.Duration
}

// Stream keeps the views of a program. Its methods may be called from any
// goroutine.
type Stream struct {
	config Config
	engine *engine
	query  *queries
	reader *reader
	writer *writer
	// progress is what Sync waits for.
	progress *progress
	stats    struct {
		ticks, rows, sunk, busy atomic.Int64
		caughtUp                atomic.Bool
	}

	// ticked, if a test has set it before Run, is told what each tick took in, once
	// that is sunk: the next tick waits until it has looked at the views.
	ticked func(ctx context.Context, now time.Time, in map[string][]row) error
}

// Stats is what a stream has done so far.
type Stats struct {
	Ticks int64         // ticks with at least one record
	Rows  int64         // records taken in
	Sunk  int64         // rows and tombstones of sunk views
	Busy  time.Duration // spent in ticks
	// CaughtUp says that all records that were there at the start are taken in:
	// from here on, every change of a view is news.
	CaughtUp bool
}

// New plans the program and connects. Every statement that is not supported is
// an error that names its file and line.
func New(ctx context.Context, config Config) (*Stream, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Tick == 0 {
		config.Tick = 5 * time.Millisecond
	}
	e, err := newEngine(ctx, config.Statements, config.Log)
	if err != nil {
		return nil, err
	}
	s := &Stream{config: config, engine: e, progress: newProgress()}
	if s.query, err = newQueries(ctx, e); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if s.reader, err = newReader(config.Brokers, config.Options, e.program.sources, config.Log); err != nil {
		return nil, errors.Join(err, s.query.close(), e.close())
	}
	sinks := map[string][]*sink{}
	for _, def := range e.program.sinks {
		sinks[def.from] = append(sinks[def.from], newSink(def, e.byName[def.from].columns))
	}
	if s.writer, err = newWriter(config.Brokers, config.Options, sinks, config.Log); err != nil {
		s.reader.client.Close()
		return nil, errors.Join(err, s.query.close(), e.close())
	}
	for _, v := range e.views {
		if v.strategy == whole && !v.deferred {
			config.Log.Warn("a view is computed as a whole at every change", "view", v.name, "at", v.at.String(), "why", v.reason)
		}
	}
	return s, nil
}

// Run ticks until ctx ends, which is no error. It may be called once. Records
// that were read but not sunk when it ends are read again by the next run,
// which recognises in the sinks' topics what this one has written.
func (s *Stream) Run(ctx context.Context) error {
	defer s.progress.end()
	err := s.run(ctx)
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// Close lets go of everything. Run must have returned.
func (s *Stream) Close() error {
	s.reader.client.Close()
	s.writer.client.Close()
	return errors.Join(s.query.close(), s.engine.close())
}

// Stats says what the stream has done so far.
func (s *Stream) Stats() Stats {
	return Stats{
		Ticks: s.stats.ticks.Load(), Rows: s.stats.rows.Load(), Sunk: s.stats.sunk.Load(),
		Busy: time.Duration(s.stats.busy.Load()), CaughtUp: s.stats.caughtUp.Load(),
	}
}

// CreateTopics makes the topics of the sinks where they are missing. Run does so
// too; this is for who needs them before.
func (s *Stream) CreateTopics(ctx context.Context) error { return s.writer.createTopics(ctx) }

func (s *Stream) run(ctx context.Context) error {
	if err := s.writer.createTopics(ctx); err != nil {
		return err
	}
	if err := s.writer.recall(ctx, s.config.Brokers, s.config.Options); err != nil {
		return err
	}
	const idle = 250 * time.Millisecond // rows expire even if nothing arrives
	var looked, expired, ticked time.Time
	for {
		if time.Since(looked) > time.Second {
			if err := s.look(ctx, looked.IsZero()); err != nil {
				return err
			}
			looked = time.Now()
		}
		if err := sleep(ctx, s.config.Tick-time.Since(ticked)); err != nil {
			return err
		}
		in, err := s.reader.next(ctx, idle)
		if err != nil {
			return err
		}
		ticked = time.Now()
		if len(in) == 0 && ticked.Sub(expired) < idle {
			s.progress.publish(s.reader.taken()) // records that are none have passed
			continue
		}
		expired = ticked
		if err := s.tick(ctx, ticked, in); err != nil {
			return err
		}
		s.progress.publish(s.reader.taken())
		if !s.stats.caughtUp.Load() && s.reader.caughtUp() {
			s.writer.caughtUp()
			s.stats.caughtUp.Store(true)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// look finds topics that have come into being.
func (s *Stream) look(ctx context.Context, first bool) error {
	absent, err := s.reader.assign(ctx)
	if err != nil && !first && ctx.Err() == nil {
		s.config.Log.Warn("looking for topics failed, trying again", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	if first {
		for _, source := range absent {
			s.config.Log.Error("a source's topic does not exist yet; waiting for it", "source", source.name, "topic", source.topic, "at", source.at.String())
		}
	}
	return nil
}

func (s *Stream) tick(ctx context.Context, now time.Time, in map[string][]row) error {
	sunk, err := s.engine.advance(ctx, now, in)
	if err != nil {
		return err
	}
	if err := s.writer.write(ctx, now, sunk); err != nil {
		return fmt.Errorf("stream: writing the sinks: %w", err)
	}
	for _, d := range sunk {
		s.stats.sunk.Add(int64(len(d.added) + len(d.removed)))
	}
	for _, rows := range in {
		s.stats.rows.Add(int64(len(rows)))
	}
	if len(in) > 0 {
		s.stats.ticks.Add(1)
		s.stats.busy.Add(int64(time.Since(now)))
	}
	if s.ticked != nil {
		return s.ticked(ctx, now, in)
	}
	return nil
}
