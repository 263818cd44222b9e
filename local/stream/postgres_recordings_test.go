package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/events/recordings"
	tripsql "tripcast.dev/sql"
)

// sourceOf are the topics of a recording that the program reads.
var sourceOf = map[string]string{events.TopicPickUps: "pick_ups_raw", events.TopicDropOffs: "drop_offs_raw"}

// recorded are the pick-ups and drop-offs of a recording, in the order in which
// they arrived.
func recorded(t *testing.T, name string) []recordings.Record {
	t.Helper()
	file, err := recordings.Files().Open(name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := recordings.NewReader(file, name)
	if err != nil {
		t.Fatal(err)
	}
	var all []recordings.Record
	for record, err := range reader.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if sourceOf[record.Topic] != "" {
			all = append(all, record)
		}
	}
	return all
}

// forecast stands in for predict: what it says of a trip, how often and when,
// depends on nothing but its id. Some trips get no prediction, some two that differ.
type forecast struct{ hash uint64 }

func forecastOf(trip string) forecast {
	sum := sha256.Sum256([]byte(trip))
	return forecast{binary.BigEndian.Uint64(sum[:])}
}

func (f forecast) times() int { return []int{0, 1, 1, 1, 1, 1, 1, 2, 2, 2}[f.hash%10] }

// after is by how many ticks one comes later than the features.
func (f forecast) after(again int) int { return int(f.hash>>8%5) + 2*again }

// odd are durations that are none, but for the last.
var odd = []any{
	"600",
	map[string]any{"duration_s": "600"},
	map[string]any{"duration_s": -1},
	map[string]any{"duration_s": 1e21},
	map[string]any{"version": 3},
	map[string]any{"duration_s": nil},
	map[string]any{"duration_s": 1.25e-7},
}

func (f forecast) data(trip string, features json.RawMessage, again int) string {
	models := map[string]any{
		"linear":   map[string]any{"duration_s": float64(f.hash>>16%3_000_000)/1000 + float64(again), "version": f.hash % 7},
		"tree":     map[string]any{"duration_s": float64(f.hash>>20%1500) / 7, "version": 1},
		"constant": map[string]any{"duration_s": 600, "version": 0},
	}
	var predictions any = models
	switch n := int(f.hash >> 24 % 16); {
	case n < len(odd):
		models["odd"] = odd[n]
	case n == len(odd):
		predictions = []any{models}
	}
	return encoded(map[string]any{"trip_id": trip, "champion": "linear", "features": features, "predictions": predictions})
}

// played is a recording that an engine and PostgreSQL are given side by side, with
// predictions of what the engine sinks.
type played struct {
	*compared
	t      *testing.T
	random *rand.Rand
	most   int // records in a tick
	now    time.Time
	late   time.Duration // by how much it is later than in the recording
	due    map[int][]row // predictions, by the tick that they come in
	made   int64
	rows   map[string]int // taken in, by source
	// Records that were left out, for what they are.
	notJSON, tooLong int
	// labels are rows of that view that were sunk.
	labels int
}

func play(t *testing.T, server *postgres, ofEngine []tripsql.Statement) *played {
	t.Helper()
	return playBeside(t, server, ofEngine, tripcast(t))
}

// playBeside is play with a program of PostgreSQL's own.
func playBeside(t *testing.T, server *postgres, ofEngine, ofPostgres []tripsql.Statement) *played {
	t.Helper()
	e, err := newEngine(t.Context(), ofEngine, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	q, err := newQueries(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.close() })
	p := &played{
		compared: newCompared(e, q, newPostgresOracle(t, server.database(t, t.Name()), ofPostgres)),
		t:        t, random: rand.New(rand.NewPCG(1, 6)), most: 11, due: map[int][]row{}, rows: map[string]int{},
	}
	if testing.Short() || raceEnabled {
		p.most = 40
	}
	return p
}

// row reads a record as the stream does. What it leaves out as no JSON, PostgreSQL
// must refuse; a number of 40 digits or more, which Materialize refuses
// (test/sqllogictest/jsonb.slt: "exceeds maximum precision 39"), it writes out.
func (p *played) row(source string, r *kgo.Record) (row, bool) {
	p.t.Helper()
	decoded, err := rowOf(p.engine.program.sources[source], r)
	if err == nil {
		return decoded, true
	}
	if !errors.Is(err, errNotJSON) {
		p.tooLong++
		return row{}, false
	}
	p.notJSON++
	if _, refused := p.oracle.conn.Exec(p.t.Context(), "SELECT $1::text::jsonb", string(r.Value)); refused == nil {
		p.t.Errorf("PostgreSQL reads what the stream leaves out (%v): %s", err, r.Value)
	}
	return row{}, false
}

// all plays a recording: a part as it was, a part after what may become features has
// had its time, the rest a day later. In the end nothing is left.
func (p *played) all(records []recordings.Record) error {
	first, second := len(records)*6/10, len(records)*9/10
	start := records[0].At
	if err := p.records(records[:first]); err != nil {
		return err
	}
	// The first pick-up has its last moment, and is gone a microsecond after it.
	if err := p.pass(start.Add(time.Hour).Sub(p.now), time.Microsecond, 70*time.Minute); err != nil {
		return err
	}
	if err := p.records(records[first:second]); err != nil {
		return err
	}
	if err := p.pass(start.Add(25*time.Hour).Sub(p.now), time.Microsecond); err != nil {
		return err
	}
	if err := p.records(records[second:]); err != nil {
		return err
	}
	// Predictions that are still due, and the end of everything.
	if err := p.pass(1, 1, 1, 1, 1, 1, 1, 1); err != nil {
		return err
	}
	return p.pass(26 * time.Hour)
}

// records plays them in ticks of other sizes, some of none.
func (p *played) records(all []recordings.Record) error {
	for len(all) > 0 {
		n := min(p.random.IntN(p.most+1), len(all))
		in := map[string][]row{}
		now := p.now
		for _, r := range all[:n] {
			source, at := sourceOf[r.Topic], r.At.Add(p.late)
			record, ok := p.row(source, &kgo.Record{
				Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: at, Key: r.Key, Value: r.Value,
			})
			if ok {
				in[source] = append(in[source], record)
			}
			if now.Before(at) {
				now = at
			}
		}
		all = all[n:]
		if err := p.next(now.Add(time.Duration(p.random.IntN(20_000))*time.Microsecond), in); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time go by in which nothing arrives, a tick after each.
func (p *played) pass(each ...time.Duration) error {
	for _, d := range each {
		p.late += d
		if err := p.next(p.now.Add(d), map[string][]row{}); err != nil {
			return err
		}
	}
	return nil
}

// next is a tick, with the predictions that are due.
func (p *played) next(now time.Time, in map[string][]row) error {
	p.now = now
	if due := p.due[p.ticks]; len(due) > 0 {
		in["predictions_raw"] = due
	}
	for source, rows := range in {
		p.rows[source] += len(rows)
	}
	sunk, err := p.engine.advance(p.t.Context(), now, in)
	if err != nil {
		return err
	}
	p.labels += len(sunk["labels"].added)
	if err := p.predict(sunk["features"].added); err != nil {
		return err
	}
	return p.tick(p.t.Context(), now, in)
}

func (p *played) predict(features []row) error {
	columns := p.engine.byName["features"].columns
	values := make([]value, len(columns))
	for _, r := range features {
		decodeRow(r.data, columns, values)
		trip := values[0].text
		f := forecastOf(trip)
		for again := range f.times() {
			record, ok := p.row("predictions_raw", &kgo.Record{
				Topic: events.TopicPredictions, Offset: p.made, Timestamp: p.now.Truncate(time.Millisecond),
				Key: []byte(trip), Value: []byte(f.data(trip, json.RawMessage(values[2].text), again)),
			})
			if !ok {
				return fmt.Errorf("the prediction of %s is not JSON", trip)
			}
			at := p.ticks + 1 + f.after(again)
			p.due[at] = append(p.due[at], record)
			p.made++
		}
	}
	return nil
}

// The program of sql/ on recorded events: after every tick, every view has the rows
// that PostgreSQL computes from all records, to the last bit of every float.
func TestRecordingsAgreeWithPostgres(t *testing.T) {
	server := startPostgres(t)
	for _, c := range []struct {
		recording        string
		notJSON, tooLong int
		empty            []string // views that never have a row
	}{
		{recording: "normal-day", empty: []string{"served_predictions", "served_errors"}},
		{recording: "duplicates"},
		{recording: "reordering"},
		{recording: "late-and-missing", empty: []string{"least_errors_1h", "contenders_1h", "best_models", "served_predictions", "served_errors"}},
		{recording: "malformed", notJSON: 7, tooLong: 1},
		{recording: "schema-change"},
		{recording: "snow-day"},
	} {
		t.Run(c.recording, func(t *testing.T) {
			t.Parallel()
			records := recorded(t, c.recording)
			p := play(t, server, tripcast(t))
			if err := p.all(records); err != nil {
				t.Fatal(err)
			}
			if p.notJSON != c.notJSON || p.tooLong != c.tooLong {
				t.Errorf("%d records are not JSON and %d have too long a number, want %d and %d", p.notJSON, p.tooLong, c.notJSON, c.tooLong)
			}
			if p.labels < len(records)/10 {
				t.Errorf("only %d labels of %d records: they do not test much", p.labels, len(records))
			}
			for _, v := range p.engine.views {
				// No recording has a full hour of enough trips: see TestProposalsAgreeWithPostgres.
				if slices.Contains([]string{"closed_errors", "errors_of_hours", "least_error", "champion_proposals"}, v.name) {
					continue
				}
				if !p.filled[v.name] && !slices.Contains(c.empty, v.name) {
					t.Errorf("view %s never has a row", v.name)
				}
			}
			t.Logf("%d ticks, %d rows compared; taken in: %v, labels: %d", p.ticks, p.oracle.seen, p.rows, p.labels)
		})
	}
}

// A champion is proposed from few trips, all of them judged.
func TestProposalsAgreeWithPostgres(t *testing.T) {
	server := startPostgres(t)
	few := mistaken(t, "INTERVAL '${judged_every}'", "INTERVAL '5 minutes'", "e.trips >= 30", "e.trips >= 2")
	for _, recording := range []string{"normal-day", "duplicates", "snow-day"} {
		t.Run(recording, func(t *testing.T) {
			p := playBeside(t, server, few, few)
			if err := p.all(recorded(t, recording)); err != nil {
				t.Fatal(err)
			}
			if !p.filled["champion_proposals"] {
				t.Error("no champion is ever proposed")
			}
		})
	}
}

// An engine with a mistake must not agree with PostgreSQL.
func TestPostgresSeesMistakes(t *testing.T) {
	server := startPostgres(t)
	for _, c := range []struct{ name, recording, right, wrong, view string }{
		{"the last record counts", "duplicates", "ORDER BY trip_id, off", "ORDER BY trip_id, off DESC", "pick_ups"},
		{"another bucket", "duplicates", "date_bin(INTERVAL '5 minutes', d.dropped_off_at", "date_bin(INTERVAL '6 minutes', d.dropped_off_at", "completed"},
		{"rounded down", "duplicates", "(t.distance_km * 1000000 / EXTRACT(EPOCH FROM (d.dropped_off_at - t.picked_up_at))::float8)::int8", "floor(t.distance_km * 1000000 / EXTRACT(EPOCH FROM (d.dropped_off_at - t.picked_up_at))::float8)::int8", "completed"},
		{"another margin", "snow-day", "(1 + '${best_margin}'::float8)", "(2 + '${best_margin}'::float8)", "contenders_1h"},
		{"the next float", "duplicates", "cos(radians(s.hour_of_day * 15))", "cos(s.hour_of_day * 15 * pi() / 180)", "features"},
		{"a trip of days", "late-and-missing", "+ INTERVAL '1 day';", "+ INTERVAL '3 days';", "completed"},
		{"what is no prediction", "duplicates", "AND jsonb_typeof(predictions) = 'object'", "", "predictions"},
		{"a duration in quotes", "duplicates", "WHERE jsonb_typeof(m.value->'duration_s') = 'number'\n  AND", "WHERE", "outcomes"},
		{"a header", "duplicates", "'ce_subject' => p.trip_id", "'ce_subject' => p.champion", "labels"},
		{"too short a time", "late-and-missing", "INTERVAL '${features_retention}'", "INTERVAL '${features_retention}' - INTERVAL '1 microsecond'", "starting"},
		{"an integer that is a numeric", "duplicates", "sum(n)::int8 AS n", "sum(n) AS n", "zone_speed_1h"},
		{"a question", "duplicates", "sum(lag_ms * n)::float8", "sum(lag_ms * n + 1)::float8", "prediction_lag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, server, mistaken(t, c.right, c.wrong))
			err := p.all(recorded(t, c.recording))
			if err == nil {
				t.Fatal("nobody has seen it")
			}
			if !strings.Contains(err.Error(), "view "+c.view+" ") && !strings.Contains(err.Error(), "view "+c.view+":") {
				t.Errorf("it was not seen in view %s: %v", c.view, err)
			}
		})
	}
}

// mistaken is the program of sql/ with something wrong instead of what is right,
// in pairs.
func mistaken(t *testing.T, rightAndWrong ...string) []tripsql.Statement {
	t.Helper()
	files, all := fstest.MapFS{}, ""
	names, err := fs.Glob(tripsql.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(tripsql.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
		files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(rightAndWrong...).Replace(string(text)))}
	}
	for i := 0; i < len(rightAndWrong); i += 2 {
		if !strings.Contains(all, rightAndWrong[i]) {
			t.Fatalf("sql/ has no %q", rightAndWrong[i])
		}
	}
	variables, err := tripsql.Variables(files, tripsql.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := tripsql.Load(files, variables)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}
