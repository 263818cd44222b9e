package stream

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tripcast.dev/events"
)

// letters is a program with a view of every kind over topic a.
const letters = aSource + `
	CREATE VIEW v AS SELECT data->>'id' AS id, (data->>'n')::int8 AS n FROM a WHERE data->>'id' IS NOT NULL;
	CREATE MATERIALIZED VIEW kept AS SELECT DISTINCT ON (id) id, n FROM v ORDER BY id, n DESC;
	CREATE VIEW counted AS SELECT count(*)::int8 AS n FROM v;
	CREATE VIEW joined AS SELECT v.id, v.n, kept.n AS most FROM v JOIN kept ON kept.id = v.id;
	CREATE VIEW largest AS SELECT max(n) AS n FROM v;
	CREATE SINK s FROM kept INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;`

// subscriber is a client with a cursor c.
type subscriber struct {
	*running
	conn     *pgx.Conn
	protocol pgx.QueryExecMode
}

func (r *running) subscribe(protocol pgx.QueryExecMode, what string) *subscriber {
	r.t.Helper()
	s := &subscriber{running: r, conn: r.connect(r.t.Context()), protocol: protocol}
	s.exec("BEGIN")
	s.exec("DECLARE c CURSOR FOR SUBSCRIBE " + what)
	return s
}

func (s *subscriber) exec(statement string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), statement, s.protocol); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *subscriber) query(statement string) ([][]any, error) {
	rows, err := s.conn.Query(s.t.Context(), statement, s.protocol)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
}

// fetch gives the rows without their timestamps.
func (s *subscriber) fetch(statement string) []string {
	s.t.Helper()
	rows, err := s.query(statement)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = strings.TrimSuffix(fmt.Sprintln(row[1:]...), "\n")
	}
	return lines
}

// await fetches until these rows have come, in whatever order and pieces.
func (s *subscriber) await(want ...string) {
	s.t.Helper()
	var got []string
	s.waitFor(fmt.Sprintf("%q", want), func() bool {
		got = append(got, s.fetch("FETCH ALL c WITH (timeout = '20ms')")...)
		return len(got) >= len(want)
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("fetched %q, want %q", got, want)
	}
}

// lettersWith is a running stream over letters and how to feed it.
func lettersWith(t *testing.T, values ...string) (*running, func(values ...string)) {
	t.Helper()
	k := startKafka(t, "a")
	r := k.stream(script(t, letters))
	fed := int64(0)
	feed := func(values ...string) {
		t.Helper()
		for _, v := range values {
			k.produce("a", "x", v)
		}
		fed += int64(len(values))
		r.waitFor("the rows", func() bool { return r.Stats().Rows == fed })
	}
	feed(values...)
	return r, feed
}

func TestSubscribe(t *testing.T) {
	for _, c := range []struct {
		name, what string
		snapshot   []string
		then       []string // after another row, x 2
	}{
		{"view that a sink needs", "kept", []string{"1 x 1", "1 y 5"}, []string{"-1 x 1", "1 x 2"}},
		{"view that waits for questions", "counted", []string{"1 2"}, []string{"-1 2", "1 3"}},
		{"join", "TO joined", []string{"1 x 1 1", "1 y 5 5"}, []string{"-1 x 1 1", "1 x 1 2", "1 x 2 2"}},
		{"view that is not kept", "largest", []string{"1 5"}, nil},
		{"all of a view", "(SELECT * FROM kept)", []string{"1 x 1", "1 y 5"}, []string{"-1 x 1", "1 x 2"}},
		{"query", "(SELECT n % 5 AS rest, count(*) AS n FROM v GROUP BY 1)", []string{"1 0 1", "1 1 1"}, []string{"1 2 1"}},
		{"query with the same row twice", "(SELECT 'v' FROM v)", []string{"1 v", "1 v"}, []string{"1 v"}},
		{"without a snapshot", "kept WITH (SNAPSHOT = false)", nil, []string{"-1 x 1", "1 x 2"}},
		{"without a snapshot, deferred", "counted WITH (SNAPSHOT false)", nil, []string{"-1 2", "1 3"}},
		{"without a snapshot, not kept", "(SELECT sum(n)::int8 FROM kept) WITH (SNAPSHOT = false, PROGRESS = false)", nil, []string{"-1 6", "1 7"}},
		{"upserts", "kept ENVELOPE UPSERT (KEY (id))", []string{"upsert x 1", "upsert y 5"}, []string{"upsert x 2"}},
		{"upserts with the key behind", "(SELECT n, id FROM kept) ENVELOPE UPSERT (KEY (id))", []string{"upsert x 1", "upsert y 5"}, []string{"upsert x 2"}},
		{"deletes", "(SELECT id, n FROM kept WHERE n <> 2) ENVELOPE UPSERT (KEY (id))", []string{"upsert x 1", "upsert y 5"}, []string{"delete x <nil>"}},
		{"keys that are none", "(SELECT 1 AS one, id FROM kept) ENVELOPE UPSERT (KEY (one))", []string{"key_violation 1 <nil>"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, protocol := range protocols {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r, feed := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":5}`)
					s := r.subscribe(protocol, c.what)
					s.await(c.snapshot...)
					feed(`{"id":"x","n":2}`)
					s.await(c.then...)
				})
			}
		})
	}
}

// A row that comes between two ticks and goes again is no news, however long
// nobody asks.
func TestSubscriptionsAreNetted(t *testing.T) {
	r, feed := lettersWith(t)
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "kept")
	s.await()
	for n := range 20 {
		feed(fmt.Sprintf(`{"id":"x","n":%d}`, n))
	}
	s.await("1 x 19")
}

func TestFetchInPieces(t *testing.T) {
	r, feed := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":2}`, `{"id":"z","n":3}`)
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "kept")
	got := slices.Concat(s.fetch("FETCH c"), s.fetch("FETCH FORWARD 1 FROM c"), s.fetch("FETCH ALL IN c"))
	slices.Sort(got)
	if want := []string{"1 x 1", "1 y 2", "1 z 3"}; !slices.Equal(got, want) {
		t.Errorf("fetched %q, want %q", got, want)
	}
	if got := s.fetch("FETCH 0 c"); len(got) > 0 {
		t.Errorf("no rows are %q", got)
	}
	if got := s.fetch("FETCH ALL c WITH (TIMEOUT '0s')"); len(got) > 0 {
		t.Errorf("nothing has changed, but for %q", got)
	}
	// A number of rows is reached before the time is over.
	feed(`{"id":"x","n":4}`)
	if got := s.fetch("FETCH 2 c WITH (timeout = '1 hour')"); !slices.Equal(got, []string{"-1 x 1", "1 x 4"}) {
		t.Errorf("fetched %q", got)
	}
}

// Without a timeout, FETCH waits for the first row that comes.
func TestFetchWaits(t *testing.T) {
	r, feed := lettersWith(t)
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "kept")
	fetched := make(chan []string)
	go func() { fetched <- s.fetch("FETCH ALL c") }()
	r.waitFor("the subscription", func() bool { return r.subscriptions() == 1 })
	feed(`{"id":"x","n":1}`)
	if got := <-fetched; !slices.Equal(got, []string{"1 x 1"}) {
		t.Errorf("fetched %q", got)
	}
}

// Time goes up, the rows of a moment have one time, and progress says when they
// are complete.
func TestProgress(t *testing.T) {
	r, feed := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":2}`)
	before := time.Now().UnixMilli()
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "kept WITH (PROGRESS)")
	var got []string
	var times []int64
	fetch := func(statement string) {
		t.Helper()
		var at []int64
		rows, err := s.conn.Query(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var now int64
			var progressed bool
			var diff, n *int64
			var id *string
			if err := rows.Scan(&now, &progressed, &diff, &id, &n); err != nil {
				t.Fatal(err)
			}
			if progressed != (diff == nil) || progressed != (id == nil) || progressed != (n == nil) {
				t.Errorf("progressed %t with %v %v %v", progressed, diff, id, n)
			}
			at = append(at, now)
			if progressed {
				got = append(got, "progress")
			} else {
				got = append(got, *id)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		times = append(times, at...)
	}
	fetch("FETCH ALL c WITH (timeout = '0s')")
	slices.Sort(got[1 : len(got)-1])
	if want := []string{"progress", "x", "y", "progress"}; !slices.Equal(got, want) {
		t.Fatalf("the snapshot is %q, want %q", got, want)
	}
	if times[0] < before || times[1] != times[2] || times[1] <= times[0] || times[3] <= times[2] {
		t.Errorf("times %d, from %d on", times, before)
	}
	r.waitFor("progress without a change", func() bool { fetch("FETCH ALL c WITH (timeout = '0s')"); return len(got) > 4 })
	feed(`{"id":"z","n":3}`)
	r.waitFor("the change", func() bool { fetch("FETCH ALL c WITH (timeout = '50ms')"); return slices.Contains(got, "z") })
	if got[len(got)-1] != "progress" || !slices.IsSorted(times) {
		t.Errorf("got %q at %d", got, times)
	}
}

// What retention takes away is told.
func TestRetractions(t *testing.T) {
	k := startKafka(t, "a")
	r := k.stream(script(t, aSource+`
		CREATE VIEW v AS SELECT data->>'id' AS id FROM a WHERE mz_now() <= ts + INTERVAL '1 second';
		CREATE VIEW counted AS SELECT count(*)::int8 AS n FROM v;`+sunk("v")))
	view, count := r.subscribe(pgx.QueryExecModeCacheStatement, "v"), r.subscribe(pgx.QueryExecModeSimpleProtocol, "counted")
	k.produce("a", "x", `{"id":"x"}`)
	view.await("1 x")
	view.await("-1 x")
	var told []string
	r.waitFor("the count", func() bool {
		told = append(told, count.fetch("FETCH ALL c WITH (timeout = '20ms')")...)
		return len(told) > 0 && told[len(told)-1] == "1 0"
	})
	if len(told) != 1 && !slices.Equal(told, []string{"1 0", "-1 0", "1 1", "-1 1", "1 0"}) {
		t.Errorf("the count is told as %q", told)
	}
}

// A query that reads the clock changes by itself.
func TestClockedQueries(t *testing.T) {
	r, _ := lettersWith(t, `{"id":"x","n":1}`)
	until := time.Now().Add(time.Second).UTC().Format("2006-01-02 15:04:05.000")
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "(SELECT id FROM kept WHERE mz_now() <= TIMESTAMP '"+until+"')")
	s.await("1 x")
	s.await("-1 x")
}

// trip_starts joins what was predicted with what was asked, in the program of
// sql/.
func TestSubscribeToTrips(t *testing.T) {
	k := startKafka(t, events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions)
	r := k.stream(tripcast(t))
	all := trips(5, 10)
	k.drive(all)
	starts := r.subscribe(pgx.QueryExecModeCacheStatement, "(SELECT trip_id, champion FROM trip_starts)")
	whole := r.subscribe(pgx.QueryExecModeCacheStatement, "trip_starts")
	counts := r.subscribe(pgx.QueryExecModeCacheStatement, "(SELECT predictions FROM trip_counts)")
	counts.await("1 0")
	var want []string
	for _, trip := range all {
		k.produce(events.TopicPredictions, trip.id, `{"trip_id":"`+trip.id+`","features":{"l1_distance":0.1},"predictions":{"linear":{"duration_s":1,"version":0}},"champion":"linear"}`)
		want = append(want, "1 "+trip.id+" linear")
	}
	starts.await(want...)
	var got []string
	r.waitFor("ten trips", func() bool {
		got = append(got, whole.fetch("FETCH ALL c WITH (timeout = '20ms')")...)
		return len(got) >= len(all)
	})
	if len(got) != len(all) || !strings.Contains(got[0], "linear") {
		t.Errorf("fetched %q", got)
	}
	last := ""
	r.waitFor("ten predictions", func() bool {
		for _, line := range counts.fetch("FETCH ALL c WITH (timeout = '20ms')") {
			if strings.HasPrefix(line, "1 ") {
				last = line
			}
		}
		return last == "1 10"
	})
}

// One statement that was prepared serves every cursor that has its columns, and
// says so where one has others.
func TestFetchIsPreparedOnce(t *testing.T) {
	r, _ := lettersWith(t, `{"id":"x","n":1}`)
	s := r.subscribe(pgx.QueryExecModeCacheStatement, "kept")
	s.await("1 x 1")
	again := func(what string) {
		t.Helper()
		s.exec("ROLLBACK")
		s.exec("BEGIN")
		s.exec("DECLARE c CURSOR FOR SUBSCRIBE " + what)
	}
	again("(SELECT id, n FROM kept WHERE n > 1)")
	s.await()
	again("counted")
	_, err := s.query("FETCH ALL c WITH (timeout = '20ms')")
	wantError(t, err, "0A000", "cached plan must not change result type")
	again("counted") // pgx forgets a statement that failed
	s.await("1 1")
}

func wantError(t *testing.T, err error, code, message string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || code != "" && pg.Code != code || !strings.Contains(pg.Message, message) {
		t.Errorf("%v, want %s %s", err, code, message)
	}
}

// Many clients on one view, while it changes: what each has been told adds up to
// what is there.
func TestManySubscribers(t *testing.T) {
	r, feed := lettersWith(t)
	const last = 200
	var group sync.WaitGroup
	for i := range 24 {
		s := r.subscribe(pgx.QueryExecModeCacheStatement, []string{"kept", "joined", "(SELECT id, n FROM joined)"}[i%3])
		group.Go(func() {
			rows := map[string]int64{}
			for rows["x 199"] == 0 {
				told, err := s.query("FETCH ALL c WITH (timeout = '50ms')")
				if err != nil {
					t.Error(err)
					return
				}
				for _, row := range told {
					line := fmt.Sprint(row[2], " ", row[3])
					if rows[line] += row[1].(int64); rows[line] < 0 {
						t.Errorf("%s is taken away before it was there", line)
					}
				}
			}
			want := 1 // of kept; joined has a row each
			if i%3 > 0 {
				want = last
			}
			for line, n := range rows {
				if n == 0 {
					delete(rows, line)
				}
			}
			if len(rows) != want {
				t.Errorf("%d rows are left, want %d", len(rows), want)
			}
		})
	}
	for n := range last {
		feed(fmt.Sprintf(`{"id":"x","n":%d}`, n))
	}
	group.Wait()
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "1s": time.Second, "1.5 seconds": 1500 * time.Millisecond, "2": 2 * time.Second, "0s": 0,
		"1 minute 30 sec": 90 * time.Second, "100 MILLISECONDS": 100 * time.Millisecond, "2 mins": 2 * time.Minute, "1h": time.Hour, "1 day": 24 * time.Hour,
		"10 us": 10 * time.Microsecond, "10 microseconds": 10 * time.Microsecond,
	} {
		if got, err := interval(text); err != nil || got != want {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "1 fortnight", "-1s", "1..5s", "s"} {
		if got, err := interval(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestPsqlSubscribes(t *testing.T) {
	psql := thePsql(t)
	r, _ := lettersWith(t, `{"id":"x","n":1}`, `{"id":"y","n":2}`)
	run := func(arguments ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		output, err := exec.CommandContext(ctx, psql, append([]string{r.dsn, "--no-psqlrc", "-At"}, arguments...)...).CombinedOutput()
		return string(output), err
	}
	const declare = "DECLARE c CURSOR FOR SUBSCRIBE (SELECT id, n FROM kept) WITH (SNAPSHOT)"
	for name, arguments := range map[string][]string{
		"one by one": {"-c", "BEGIN", "-c", declare, "-c", "FETCH ALL c WITH (timeout = '20ms')", "-c", "COMMIT"},
		"at once":    {"-c", "BEGIN; " + declare + "; FETCH ALL c WITH (timeout = '20ms'); COMMIT"},
	} {
		output, err := run(arguments...)
		if err != nil || !strings.Contains(output, "|1|x|1\n") || !strings.Contains(output, "|1|y|2\n") || !strings.HasSuffix(output, "COMMIT\n") {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}
	output, err := run("-c", "FETCH ALL c")
	if err == nil || !strings.Contains(output, `cursor "c" does not exist`) {
		t.Errorf("%v\n%s", err, output)
	}
	r.waitFor("no subscription", func() bool { return r.subscriptions() == 0 })
}
