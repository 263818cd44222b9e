package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

var errEnded = errors.New("the feed has ended")

// lookups ask the database for single trips, on few connections of their own.
type lookups struct {
	feed  *Feed
	slots chan *pgx.Conn // nil where there is no connection yet
	ended chan struct{}

	mu      sync.Mutex
	answers map[string]*answer
}

// answer is what the database says of a trip, once done is closed.
type answer struct {
	done chan struct{}
	at   time.Time // when it was asked
	trip Trip
	err  error
}

const (
	// lookupSlots bound how much of the database visitors can have.
	lookupSlots = 2
	// sharedFor is how long an answer is given to others.
	sharedFor = 500 * time.Millisecond
	// keptAnswers are looked through for old ones.
	keptAnswers = 256
)

func newLookups(f *Feed) *lookups {
	l := &lookups{feed: f, slots: make(chan *pgx.Conn, lookupSlots), ended: make(chan struct{}), answers: map[string]*answer{}}
	for range lookupSlots {
		l.slots <- nil
	}
	return l
}

// close ends all lookups and closes their connections.
func (l *lookups) close(ctx context.Context) {
	close(l.ended)
	for range lookupSlots {
		if conn := <-l.slots; conn != nil {
			closeConn(ctx, conn)
		}
	}
}

// trip returns the answer that there is, or asks.
func (l *lookups) trip(ctx context.Context, id string) (Trip, error) {
	l.mu.Lock()
	a := l.answers[id]
	if a == nil || time.Since(a.at) > sharedFor && a.isDone() {
		l.forget()
		a = &answer{done: make(chan struct{}), at: time.Now()}
		l.answers[id] = a
		go l.answer(context.WithoutCancel(ctx), id, a) // others wait for it as well
	}
	l.mu.Unlock()
	select {
	case <-ctx.Done():
		return Trip{}, ctx.Err()
	case <-a.done:
		return a.trip, a.err
	}
}

func (a *answer) isDone() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// forget drops old answers where there are many. l.mu is held.
func (l *lookups) forget() {
	if len(l.answers) < keptAnswers {
		return
	}
	for id, a := range l.answers {
		if time.Since(a.at) > sharedFor && a.isDone() {
			delete(l.answers, id)
		}
	}
}

func (l *lookups) answer(ctx context.Context, id string, a *answer) {
	defer close(a.done)
	ctx, cancel := context.WithTimeout(ctx, l.feed.timing.look)
	defer cancel()
	found, err := l.query(ctx, id)
	switch {
	case err != nil:
		a.err = fmt.Errorf("%w: %s", ErrUnavailable, databaseProblem(err).text)
	case found == nil:
		a.err = ErrNotFound
	default:
		a.trip = *found
	}
}

// query asks on a connection that nobody else uses. One that was opened for an
// earlier question may be broken without anybody knowing: then on a new one.
func (l *lookups) query(ctx context.Context, id string) (found *Trip, err error) {
	if l.feed.database.err != nil {
		return nil, l.feed.database.err
	}
	var conn *pgx.Conn
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ended:
		return nil, errEnded
	case conn = <-l.slots:
	}
	defer func() { l.slots <- conn }()
	if conn != nil {
		if found, err = ask(ctx, conn, id); err == nil || !conn.IsClosed() || ctx.Err() != nil {
			return found, err
		}
	}
	if conn, err = l.feed.connect(ctx); err != nil {
		return nil, err
	}
	return ask(ctx, conn, id)
}

// ask prepares nothing: it would be lost where the server is another by now.
func ask(ctx context.Context, conn *pgx.Conn, id string) (*Trip, error) {
	var t Trip
	for _, from := range []struct {
		view, query string
		read        func(*row)
	}{
		{"pick_ups", pickUpQuery, t.readPickUp},
		{viewEnds, endQuery, t.readEnd},
		{"predictions", predictionQuery, t.readPrediction},
	} {
		rows, err := conn.Query(ctx, from.query, pgx.QueryExecModeExec, id)
		if err != nil {
			return nil, err
		}
		if err := eachRow(conn, rows, from.view, func(r *row) error {
			from.read(r)
			return nil
		}); err != nil {
			return nil, err
		}
		if t.ID == "" {
			return nil, nil // no pick-up, no trip
		}
	}
	return &t, nil
}
