package stream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/sql"
)

// Batch evaluates a program once, over records that are all there: what a stream
// comes to tick by tick, without the ticks. It takes the programs that a Stream
// takes. It is for one goroutine.
//
// The clock stands before every record: no temporal filter has let go of a row.
// A stream that is fed faster than its filters forget has sunk the same.
type Batch struct {
	engine  *engine
	duck    *duck
	sources map[string]*batchSource // by topic
	needed  map[string]bool         // the views that a sink stands on
	done    map[*view]string        // the tables of those that have been evaluated
	last    time.Time               // of the records
}

// batchSource is a source and what it has been fed.
type batchSource struct {
	*source
	feed    *feed
	leftOut int
	readBy  *view // the first view that has read it
}

const batchRows = "batch_rows"

// NewBatch plans the program, as New does.
func NewBatch(ctx context.Context, statements []sql.Statement) (*Batch, error) {
	e, err := newEngine(ctx, statements, slog.Default())
	if err != nil {
		return nil, err
	}
	b := &Batch{engine: e, sources: map[string]*batchSource{}, needed: e.needed(), done: map[*view]string{}}
	if b.duck, err = newDuck(ctx, e.db, batchRows); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Batch) prepare(ctx context.Context) error {
	if err := b.exec(ctx, "CREATE OR REPLACE MACRO mz_now() AS TIMESTAMP '-infinity'"); err != nil {
		return fmt.Errorf("stream: stopping the clock: %w", err)
	}
	for _, name := range sortedKeys(b.engine.program.sources) {
		s := &batchSource{source: b.engine.program.sources[name]}
		if other, ok := b.sources[s.topic]; ok {
			return readTwice(s.source, other.source)
		}
		b.sources[s.topic] = s
		n := len(b.duck.feeds)
		s.feed = &feed{columns: s.columns}
		b.duck.feeds = append(b.duck.feeds, s.feed)
		view := fmt.Sprintf("CREATE TEMP VIEW %s AS SELECT * EXCLUDE (%s) FROM (%s)", quoteName(name), partitionColumn, b.duck.feeding(batchRows, n))
		if err := b.exec(ctx, view); err != nil {
			return fmt.Errorf("stream: %s: source %s: %w", s.at, name, err)
		}
	}
	return nil
}

func (b *Batch) exec(ctx context.Context, statement string) error {
	_, err := b.duck.conn.ExecContext(ctx, statement)
	return err
}

// Close lets go of everything.
func (b *Batch) Close() error { return errors.Join(b.duck.conn.Close(), b.engine.close()) }

// Topics are those that the program reads.
func (b *Batch) Topics() []string { return sortedKeys(b.sources) }

// Feed hands over records of a topic. Where the program
// has no order for two of them, the one that was handed over first comes first. A record that a stream
// would leave out, as its value is not JSON, is left out and counted here. It is
// an error to feed what a view has read already.
func (b *Batch) Feed(topic string, records ...*kgo.Record) error {
	s, ok := b.sources[topic]
	switch {
	case !ok:
		return fmt.Errorf("stream: no source of the program reads topic %s: it reads %s", topic, strings.Join(b.Topics(), ", "))
	case s.readBy != nil:
		return fmt.Errorf("stream: topic %s was fed after view %s has read it", topic, s.readBy.name)
	}
	for _, r := range records {
		row, err := rowOf(s.source, r)
		if err != nil {
			s.leftOut++
			continue
		}
		s.feed.rows = append(s.feed.rows, fed{data: row.data})
		if r.Timestamp.After(b.last) {
			b.last = r.Timestamp
		}
	}
	return nil
}

// LeftOut counts the records of a topic that were left out.
func (b *Batch) LeftOut(topic string) int {
	if s, ok := b.sources[topic]; ok {
		return s.leftOut
	}
	return 0
}

// Sink returns the records that the sinks into a topic write of all that has been
// fed, in the order of their keys. Every view is evaluated once, by the first call
// that needs it. Where a stream gives the time of the tick, these have that of
// the latest record.
func (b *Batch) Sink(ctx context.Context, topic string) ([]*kgo.Record, error) {
	var records []*kgo.Record
	found := false
	for _, def := range b.engine.program.sinks {
		if def.topic != topic {
			continue
		}
		found = true
		of, err := b.sink(ctx, def)
		if err != nil {
			return nil, err
		}
		records = append(records, of...)
	}
	if !found {
		return nil, fmt.Errorf("stream: no sink of the program writes topic %s", topic)
	}
	slices.SortStableFunc(records, func(a, b *kgo.Record) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value))
	})
	return records, nil
}

func (b *Batch) sink(ctx context.Context, def *sinkDefinition) ([]*kgo.Record, error) {
	of := b.engine.byName[def.from]
	below := b.engine.below(of)
	for _, v := range b.engine.views { // in the order of dependence
		if !below[v] {
			continue
		}
		if err := b.evaluate(ctx, v); err != nil {
			return nil, fmt.Errorf("stream: %s: view %s: %w", v.at, v.name, err)
		}
	}
	rows, err := b.rows(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("stream: %s: sink %s: %w", def.at, def.name, err)
	}
	return newSink(def, of.columns).records(delta{added: rows}, b.last)
}

// evaluate puts the rows of a view into a table, and shows them to the views
// above as the engine would hand them on: see returning and feeding.
func (b *Batch) evaluate(ctx context.Context, v *view) error {
	if _, ok := b.done[v]; ok {
		return nil
	}
	body, err := duckSQL(v.body)
	if err != nil {
		return err
	}
	for _, s := range b.sources {
		if s.readBy == nil && v.reads(s.source) {
			s.readBy = v
		}
	}
	table := fmt.Sprintf("__rows_%d", len(b.done))
	if err := b.exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s AS %s", table, body)); err != nil {
		return err
	}
	b.done[v] = table
	b.forget()
	return b.exec(ctx, fmt.Sprintf("CREATE TEMP VIEW %s AS SELECT %s FROM %s", quoteName(v.name), handedOn(v.columns), table))
}

// forget lets go of the records that no sink needs any more.
func (b *Batch) forget() {
	for _, s := range b.sources {
		waits := func(v *view) bool { return b.needed[v.name] && b.done[v] == "" && v.reads(s.source) }
		if s.readBy != nil && !slices.ContainsFunc(b.engine.views, waits) {
			s.feed.rows = nil
		}
	}
}

func (v *view) reads(s *source) bool {
	return slices.ContainsFunc(v.inputs, func(in *input) bool { return in.relation.name == s.name })
}

// handedOn are the columns of a view as the views above see them in the engine:
// with the type that stands for all of the column's kind.
func handedOn(columns []column) string {
	var items []string
	for _, c := range columns {
		name := quoteName(c.name)
		item := name
		switch c.kind {
		case kindInt:
			item = name + "::BIGINT"
		case kindFloat:
			item = name + "::DOUBLE"
		case kindTime:
			item = "make_timestamp(epoch_us(" + name + "))"
		case kindNumeric:
			item = name + "::VARCHAR::DECIMAL(38, 12)"
		}
		items = append(items, item+" AS "+name)
	}
	return strings.Join(items, ", ")
}

// rows are those of a view that has been evaluated.
func (b *Batch) rows(ctx context.Context, v *view) ([]row, error) {
	query, err := b.duck.prepare(ctx, "SELECT * FROM "+b.done[v], v.columns)
	if err != nil {
		return nil, err
	}
	defer query.statement.Close()
	var rows []row
	var scratch []byte
	err = query.run(ctx, nil, func(values []value) error {
		scratch = appendRow(scratch[:0], v.columns, values)
		rows = append(rows, row{data: string(scratch)})
		return nil
	})
	return rows, err
}
