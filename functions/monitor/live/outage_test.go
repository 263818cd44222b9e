package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

// count is how often the log has a line with this text.
func (l *logged) count(text string) int { return strings.Count(l.all(), text) }

func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	w := newWorld(t)
	db := w.db
	db.commit(
		db.add(viewErrors, "good", int64(4), 100.0, 150.0, 0.0), db.add(viewErrors, "bad", int64(4), 1.0, 2.0, 0.0),
		db.add(viewStarts, started(1, 300)...),
	)
	w.live()
	w.await("the errors", func(n Now) bool { return len(n.Models.Models) == 2 && n.Models.Models[1].MAE == 1 })
	visitor := w.visitor()
	visitor.awaitTrips("the trip", func(seen map[string]bool) bool { return seen["t1"] })

	db.stop()
	n := w.await("away", func(n Now) bool { return n.Summary.Database.State == Away })
	if n.Models.Models[0].MAE != 100 || n.Summary.Database.Error == "" || n.Summary.Redis.State != Live {
		t.Errorf("without the database: %+v, %+v", n.Summary, n.Models)
	}
	// What happens meanwhile is in nobody's news: it has to be read anew.
	db.commit(
		db.remove(viewErrors, "good", int64(4), 100.0, 150.0, 0.0), db.add(viewErrors, "good", int64(5), 90.0, 140.0, 0.0),
		db.remove(viewErrors, "bad", int64(4), 1.0, 2.0, 0.0),
		db.add(viewStarts, started(2, 300)...), db.add(viewEnds, ended(1, 250)...),
	)
	db.start()
	n = w.await("live again", func(n Now) bool { return n.Summary.Database.State == Live && n.Models.Models[0].MAE == 90 })
	if n.Models.Models[1].Trips != 0 || n.Summary.Database.Error != "" {
		t.Errorf("back again: %+v, %+v", n.Summary, n.Models)
	}
	resets := visitor.resets
	visitor.awaitTrips("both trips", func(seen map[string]bool) bool { return seen["t1"] && seen["t2"] && seen["t1 ended"] })
	if visitor.resets == resets {
		t.Error("the trips of a new session came without a reset")
	}
	if n := w.log.count("the database is away"); n != 1 {
		t.Errorf("%d lines about one outage:\n%s", n, w.log.all())
	}
	if n := w.log.count("the database is live"); n != 2 {
		t.Errorf("%d lines about becoming live:\n%s", n, w.log.all())
	}
}

func TestDatabaseHangsUp(t *testing.T) {
	w := newWorld(t)
	w.live()
	for n := range 3 {
		since := w.feed.Now().Summary.Database.Since
		w.db.hangUp()
		w.await("another session", func(n Now) bool { return n.Summary.Database.State == Live && n.Summary.Database.Since > since })
		w.db.commit(w.db.add(viewErrors, fmt.Sprintf("model %d", n), int64(n+1), 1.0, 1.0, 1.0))
	}
	w.db.commit(w.db.add(viewErrors, "good", int64(7), 1.0, 1.0, 1.0))
	w.await("what is new", func(n Now) bool { return n.Models.Models[0].Trips == 7 })
}

func TestDatabaseIsAwayAtFirst(t *testing.T) {
	w := newWorld(t)
	w.db.stop()
	w.run()
	n := w.await("a reason", func(n Now) bool { return n.Summary.Database.Error != "" && n.Summary.Redis.State == Live })
	if s := n.Summary.Database; s.State != Connecting || s.Error != "the database does not answer: connection refused" {
		t.Errorf("the database is %+v", s)
	}
	w.db.start()
	w.await("the database", func(n Now) bool { return n.Summary.Database.State == Live })
}

// Whatever is wrong: the page says it in one line that gives nothing away, and
// once it is right, nobody has to do anything.
func TestDatabaseRefuses(t *testing.T) {
	refusing := func(statement string, err error) func(*fakeDatabase) {
		return func(d *fakeDatabase) {
			d.refuse = func(s string) error {
				if strings.HasPrefix(s, statement) {
					return err
				}
				return nil
			}
		}
	}
	for _, c := range []struct {
		name         string
		break_, mend func(*fakeDatabase)
		state        string
		want         string
	}{
		{
			name:   "no view is there",
			break_: func(d *fakeDatabase) { clear(d.views) },
			mend: func(d *fakeDatabase) {
				for name, of := range viewColumns {
					d.views[name] = &fakeView{columns: columns(of)}
				}
			},
			want: "view best_models does not exist: run setup",
		},
		{
			name: "a column is missing",
			break_: func(d *fakeDatabase) {
				d.views[viewCounts] = &fakeView{columns: columns("pick_ups int8"), changes: []fakeChange{{1, 1, []any{int64(1)}}}}
			},
			mend: func(d *fakeDatabase) { d.views[viewCounts] = &fakeView{columns: columns(viewColumns[viewCounts])} },
			want: "column predictions of view trip_counts does not exist: run setup of this version",
		},
		{
			name: "a column is of another type",
			break_: func(d *fakeDatabase) {
				d.views[viewErrors] = &fakeView{
					columns: columns("model text, trips text, mae_s float8, rmse_s float8, bias_s float8"),
					changes: []fakeChange{{1, 1, []any{"good", "many", 1.0, 1.0, 1.0}}},
				}
			},
			mend: func(d *fakeDatabase) { d.views[viewErrors] = &fakeView{columns: columns(viewColumns[viewErrors])} },
			want: "column trips of view model_errors is not an integer: run setup of this version",
		},
		{
			name: "a column is NULL",
			break_: func(d *fakeDatabase) {
				d.views[viewErrors].changes = []fakeChange{{1, 1, []any{nil, int64(1), 1.0, 1.0, 1.0}}}
			},
			mend: func(d *fakeDatabase) { d.views[viewErrors].changes = nil },
			want: "column model of view model_errors is NULL: run setup of this version",
		},
		{
			name:   "the password is another",
			break_: func(d *fakeDatabase) { d.password = "other" },
			mend:   func(d *fakeDatabase) { d.password = "s3cret" },
			want:   "the database refuses the user or the password",
		},
		{
			name:   "a view is in an error state",
			break_: refusing("FETCH", psqlerr.WithCode(errors.New("Evaluation error:\n division by zero"), codes.DivisionByZero)),
			mend:   func(d *fakeDatabase) { d.refuse = nil },
			want:   "view best_models: Evaluation error: division by zero",
		},
		{
			name:   "the newest trips cannot be read",
			break_: refusing("SELECT s.*", psqlerr.WithCode(errors.New("out of memory"), codes.OutOfMemory)),
			mend:   func(d *fakeDatabase) { d.refuse = nil },
			want:   "view trip_starts: out of memory",
		},
		{
			name:   "it is going down",
			break_: refusing("BEGIN", psqlerr.WithCode(errors.New("terminating connection"), codes.AdminShutdown)),
			mend:   func(d *fakeDatabase) { d.refuse = nil },
			want:   "the database is not ready: terminating connection",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			// Passwords are asked for by a server that was started with one.
			w.db.stop()
			w.db.with(func() { c.break_(w.db) })
			w.db.start()
			w.run()
			n := w.await("the reason", func(n Now) bool { return n.Summary.Database.Error == c.want })
			if n.Summary.Database.State != Away {
				t.Errorf("it is %s", n.Summary.Database.State)
			}
			w.db.stop()
			w.db.with(func() { c.mend(w.db) })
			w.db.start()
			w.await("the database", func(n Now) bool { return n.Summary.Database.State == Live && n.Summary.Database.Error == "" })
			if strings.Contains(w.log.all(), "s3cret") {
				t.Errorf("the password is in the log:\n%s", w.log.all())
			}
		})
	}
}

// A program of somebody's own need not have every view: what is there is shown, and
// what is not is named. One that comes later is taken up.
func TestDatabaseHasNotEveryView(t *testing.T) {
	w := newWorld(t)
	w.db.with(func() {
		delete(w.db.views, viewBest)
		delete(w.db.views, viewEnds)
	})
	w.run()
	w.await("what is missing", func(n Now) bool {
		s := n.Summary.Database
		return s.State == Live && s.Error == "" && s.Missing == "best_models, trip_starts, trip_ends"
	})
	w.db.commit(w.db.add(viewErrors, "good", int64(7), 1.0, 1.0, 1.0))
	w.await("what is there", func(n Now) bool { return len(n.Models.Models) > 0 && n.Models.Models[0].Trips == 7 })
	w.db.with(func() { w.db.views[viewBest] = &fakeView{columns: columns(viewColumns[viewBest])} })
	w.await("what has come", func(n Now) bool { return n.Summary.Database.Missing == "trip_starts, trip_ends" })
	w.db.stop()
	w.await("that it is away", func(n Now) bool { return n.Summary.Database.State == Away })
}

// A server that takes connections and says nothing is away like any other.
func TestDatabaseStalls(t *testing.T) {
	w := newWorld(t)
	w.feed.timing.answer = 200_000_000
	stall := make(chan struct{})
	w.live()
	w.db.with(func() { w.db.stall = stall })
	n := w.await("away", func(n Now) bool { return n.Summary.Database.State == Away })
	if n.Summary.Database.Error != "the database does not answer: it takes too long" {
		t.Errorf("the reason is %q", n.Summary.Database.Error)
	}
	w.db.with(func() { w.db.stall = nil })
	close(stall)
	w.await("the database", func(n Now) bool { return n.Summary.Database.State == Live })
}

func TestRedisGoesAwayAndComesBack(t *testing.T) {
	w := newWorld(t)
	w.live()
	w.redis.Close()
	n := w.await("away", func(n Now) bool { return n.Summary.Redis.State == Away })
	if n.Summary.Redis.Error != "Redis does not answer: connection refused" && n.Summary.Redis.Error != "Redis does not answer: the connection broke" {
		t.Errorf("the reason is %q", n.Summary.Redis.Error)
	}
	if len(n.Models.Models) != 2 || n.Summary.Database.State != Live {
		t.Errorf("without Redis: %+v, %+v", n.Summary, n.Models)
	}
	if err := w.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	w.await("Redis", func(n Now) bool { return n.Summary.Redis.State == Live })
	if n := w.log.count("Redis is away"); n != 1 {
		t.Errorf("%d lines about one outage:\n%s", n, w.log.all())
	}
}

func TestRedisRefuses(t *testing.T) {
	w := newWorld(t)
	w.redis.RequireAuth("other")
	w.run()
	n := w.await("the reason", func(n Now) bool { return n.Summary.Redis.State == Away })
	if n.Summary.Redis.Error != "Redis refuses the user or the password" {
		t.Errorf("the reason is %q", n.Summary.Redis.Error)
	}
}

func TestNoCatalogue(t *testing.T) {
	w := newWorld(t)
	w.redis.FlushAll()
	w.db.commit(w.db.add(viewErrors, "good", int64(4), 100.0, 150.0, 0.0))
	w.run()
	n := w.await("the reason", func(n Now) bool {
		return n.Summary.Redis.State == Away && n.Summary.Database.State == Live && len(n.Models.Models) == 1
	})
	if n.Summary.Redis.Error != "no catalogue of models has been applied: run setup" {
		t.Errorf("the reason is %q", n.Summary.Redis.Error)
	}
	if n.Models.Models[0].MAE != 100 {
		t.Errorf("models are %+v", n.Models)
	}
	w.apply(catalogue)
	w.await("the models", func(n Now) bool { return n.Summary.Redis.State == Live && len(n.Models.Models) == 2 })
}

func TestBadDSN(t *testing.T) {
	w := newWorld(t)
	for _, dsn := range []string{"postgres://u:s3cret@host:port/x", "host=x password=s3cret port=y", "://s3cret"} {
		w.make(dsn)
		err := w.feed.Run(t.Context())
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", dsn, err)
		}
		if _, err := w.feed.Trip(t.Context(), "t1"); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// Without Kafka the dead letters stay what they were, and the page says since when.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	var away atomic.Bool
	w.make(w.db.dsn(), func(c *Config) {
		c.DeadLetters = func(context.Context) (int64, error) {
			if away.Load() {
				return 0, fmt.Errorf("ask user:s3cret@host: %w", syscall.ECONNREFUSED)
			}
			return 3, nil
		}
	})
	w.live()
	w.await("the letters", func(n Now) bool { return n.Summary.DeadLetters == 3 && n.Summary.Kafka.State == Live })
	away.Store(true)
	n := w.await("away", func(n Now) bool { return n.Summary.Kafka.State == Away })
	if n.Summary.DeadLetters != 3 || n.Summary.Kafka.Error != "Kafka does not answer: connection refused" {
		t.Errorf("without Kafka: %+v", n.Summary)
	}
	away.Store(false)
	w.await("Kafka", func(n Now) bool { return n.Summary.Kafka.State == Live })
}
