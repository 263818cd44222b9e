package stream

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	tripsql "tripcast.dev/sql"
)

// The oracle keeps every record in plain tables and computes every view from
// scratch. What the engine keeps tick by tick has to be the same rows, to the
// last bit of every float.
type oracle struct {
	db      *sql.DB
	session *duck
	program *program
}

func newOracle(t *testing.T, statements []tripsql.Statement) *oracle {
	t.Helper()
	ctx := t.Context()
	p, err := parseProgram(statements)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openDuck(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newDuck(ctx, db, "unused")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(s.conn.Close(), db.Close()) })
	o := &oracle{db: db, session: s, program: p}
	types := map[kind]string{kindJSON: "JSON", kindText: "VARCHAR", kindInt: "BIGINT", kindTime: "TIMESTAMP"}
	for name, source := range p.sources {
		var columns []string
		for _, c := range source.columns {
			columns = append(columns, quoteName(c.name)+" "+types[c.kind])
		}
		o.exec(t, "CREATE TABLE "+quoteName(name)+" ("+strings.Join(columns, ", ")+")")
	}
	for _, v := range p.views {
		body, err := duckSQL(v.body)
		if err != nil {
			t.Fatalf("%s: %v", v.at, err)
		}
		o.exec(t, "CREATE VIEW "+quoteName(v.name)+" AS "+body)
	}
	return o
}

func (o *oracle) exec(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	if _, err := o.session.conn.ExecContext(t.Context(), statement, arguments...); err != nil {
		t.Fatalf("oracle: %s: %v", statement, err)
	}
}

func (o *oracle) insert(t *testing.T, in map[string][]row) {
	t.Helper()
	for _, name := range sortedKeys(in) {
		columns := o.program.sources[name].columns
		values := make([]value, len(columns))
		for _, r := range in[name] {
			decodeRow(r.data, columns, values)
			arguments := make([]any, len(columns))
			places := make([]string, len(columns))
			for i, c := range columns {
				places[i] = "?"
				switch v := values[i]; {
				case v.null:
				case c.kind == kindTime:
					arguments[i] = time.UnixMicro(v.int()).UTC()
				case c.kind == kindInt:
					arguments[i] = v.int()
				default:
					arguments[i] = v.text
				}
			}
			o.exec(t, "INSERT INTO "+quoteName(name)+" VALUES ("+strings.Join(places, ", ")+")", arguments...)
		}
	}
}

// at sets the time that mz_now() tells.
func (o *oracle) at(t *testing.T, now time.Time) {
	t.Helper()
	o.exec(t, fmt.Sprintf("CREATE OR REPLACE MACRO mz_now() AS make_timestamp(%d)", now.UnixMicro()))
}

// rows are a view's rows, encoded and sorted.
func (o *oracle) rows(ctx context.Context, name string, columns []column) ([]string, error) {
	p, err := o.session.prepare(ctx, "SELECT * FROM "+quoteName(name), columns)
	if err != nil {
		return nil, err
	}
	defer p.statement.Close()
	var rows []string
	err = p.run(ctx, nil, func(values []value) error {
		rows = append(rows, string(appendRow(nil, columns, oneZero(columns, values))))
		return nil
	})
	slices.Sort(rows)
	return rows, err
}

// harness runs an engine beside the oracle.
type harness struct {
	t       *testing.T
	engine  *engine
	oracle  *oracle
	offsets map[string]int64
	// sunk are the rows of the sunk views as the deltas so far say.
	sunk map[string]map[string]int
}

func newHarness(t *testing.T, statements []tripsql.Statement) *harness {
	t.Helper()
	e, err := newEngine(t.Context(), statements, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	// Views that nobody asks about fall asleep soon, and those above them.
	e.maxWaiting, e.drowsy = 12, 0
	return &harness{t: t, engine: e, oracle: newOracle(t, statements), offsets: map[string]int64{}, sunk: map[string]map[string]int{}}
}

// script is a program from text, for tests.
func script(t *testing.T, text string) []tripsql.Statement {
	t.Helper()
	statements, err := tripsql.Split("test.sql", text)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// tripcast is the program of sql/.
func tripcast(t testing.TB) []tripsql.Statement {
	t.Helper()
	statements, err := tripsql.Load(tripsql.Files(), tripsql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// record makes a row of a source. An empty data is a record without a value.
func (h *harness) record(source string, at time.Time, key, data string) row {
	h.t.Helper()
	r := &kgo.Record{Topic: h.engine.program.sources[source].topic, Key: []byte(key), Offset: h.offsets[source], Timestamp: at}
	if data != "" {
		r.Value = []byte(data)
	}
	h.offsets[source]++
	decoded, err := rowOf(h.engine.program.sources[source], r)
	if err != nil {
		h.t.Fatal(err)
	}
	return decoded
}

// tick advances both and says how they differ. Views that feed no sink are only
// looked at if asked, so that their changes pile up as they do when nobody asks.
func (h *harness) tick(now time.Time, in map[string][]row, ask bool) (map[string]delta, error) {
	h.t.Helper()
	ctx := h.t.Context()
	h.oracle.insert(h.t, in)
	h.oracle.at(h.t, now)
	sunk, err := h.engine.advance(ctx, now, in)
	if err != nil {
		h.t.Fatal(err)
	}
	if ask {
		h.engine.mu.Lock()
		err := h.engine.catchUp(ctx, now, h.engine.below(h.engine.views...))
		h.engine.mu.Unlock()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	for _, v := range h.engine.views {
		if v.out == nil || v.deferred && !ask {
			continue
		}
		if err := h.compare(v); err != nil {
			return sunk, err
		}
	}
	return sunk, h.replay(sunk)
}

func (h *harness) compare(v *view) error {
	want, err := h.oracle.rows(h.t.Context(), v.name, v.columns)
	if err != nil {
		h.t.Fatalf("oracle: %s: %v", v.name, err)
	}
	var got []string
	values := make([]value, len(v.columns))
	v.out.each(func(_, data string) {
		decodeRow(data, v.columns, values)
		got = append(got, string(appendRow(nil, v.columns, oneZero(v.columns, values))))
	})
	slices.Sort(got)
	if len(got) != v.out.count {
		return fmt.Errorf("view %s (%s) counts %d rows and has %d", v.name, v.strategy, v.out.count, len(got))
	}
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("view %s (%s): %d rows, from scratch %d\nonly here: %s\nmissing:   %s", v.name, v.strategy,
		len(got), len(want), shown(v.columns, got, want), shown(v.columns, want, got))
}

// oneZero makes -0 0: which of the two stands for the group of both is chance.
func oneZero(columns []column, values []value) []value {
	for i, c := range columns {
		if c.kind == kindFloat && !values[i].null && values[i].float() == 0 {
			values[i] = floatValue(0)
		}
	}
	return values
}

// replay adds up the deltas: they have to give the relation.
func (h *harness) replay(sunk map[string]delta) error {
	for name, d := range sunk {
		rows := h.sunk[name]
		if rows == nil {
			rows = map[string]int{}
			h.sunk[name] = rows
		}
		for _, r := range d.added {
			rows[r.data]++
		}
		for _, r := range d.removed {
			if rows[r.data]--; rows[r.data] < 0 {
				return fmt.Errorf("the delta of %s removes a row that is not there: %s", name, shown(h.engine.byName[name].columns, []string{r.data}, nil))
			}
		}
	}
	for name, rows := range h.sunk {
		v := h.engine.byName[name]
		var replayed, kept []string
		for data, n := range rows {
			replayed = append(replayed, slices.Repeat([]string{data}, n)...)
		}
		v.out.each(func(_, data string) { kept = append(kept, data) })
		slices.Sort(replayed)
		slices.Sort(kept)
		if !slices.Equal(replayed, kept) {
			return fmt.Errorf("the deltas of %s add up to %d rows, it has %d", name, len(replayed), len(kept))
		}
	}
	return nil
}

// shown prints the first rows of a that are not in b.
func shown(columns []column, a, b []string) string {
	have := map[string]int{}
	for _, row := range b {
		have[row]++
	}
	var lines []string
	values := make([]value, len(columns))
	for _, row := range a {
		if have[row]--; have[row] >= 0 {
			continue
		}
		decodeRow(row, columns, values)
		lines = append(lines, string(appendJSONRow(nil, columns, values)))
		if len(lines) == 3 {
			break
		}
	}
	return strings.Join(lines, "\n  ")
}

// strategies are what the planner chose, by view.
func (h *harness) strategies() map[string]strategy {
	all := map[string]strategy{}
	for _, v := range h.engine.views {
		all[v.name] = v.strategy
	}
	return all
}

func (h *harness) wantStrategies(want map[string]strategy) {
	h.t.Helper()
	got := h.strategies()
	if maps.Equal(got, want) {
		return
	}
	for _, v := range h.engine.views {
		if got[v.name] != want[v.name] {
			h.t.Errorf("view %s is %s, not %s: %s", v.name, got[v.name], want[v.name], v.reason)
		}
	}
}
