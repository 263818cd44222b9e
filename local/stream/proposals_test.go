package stream

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// proposing is the part of sql/ that proposes a champion, over trips and what was
// predicted of them that a test makes up.
func proposing(t *testing.T) *engine {
	t.Helper()
	program := script(t, `CREATE SOURCE trips_raw FROM KAFKA CONNECTION k (TOPIC 'trips') VALUE FORMAT JSON INCLUDE OFFSET AS off ENVELOPE NONE;
		CREATE VIEW completed AS SELECT data->>'trip_id' AS trip_id, (data->>'bucket')::timestamp AS bucket,
			(data->>'duration_s')::float8 AS duration_s FROM trips_raw;
		CREATE VIEW predictions AS SELECT data->>'trip_id' AS trip_id, data->'predictions' AS predictions FROM trips_raw;
		CREATE VIEW city_speed_5m AS SELECT bucket, count(*)::int8 AS n FROM completed GROUP BY 1;`)
	champion := []string{
		"begun_buckets", "judged_buckets", "judged_outcomes", "judged_errors", "judged_trips",
		"hour_closings", "closed_hours", "closed_errors", "errors_of_hours", "least_error", "champion_proposals",
	}
	made := len(program)
	for _, s := range tripcast(t) {
		if what, _, err := creates(s); err == nil && slices.Contains(champion, what.name) {
			program = append(program, s)
		}
	}
	if len(program) != made+len(champion) {
		t.Fatalf("%d statements: sql/ has not all that proposes a champion", len(program)-made)
	}
	e, err := newEngine(t.Context(), program, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	return e
}

// Every trip takes 1000 s. Of a model that has nothing to say of some of the trips
// it is not the others that count.
func TestChampionProposals(t *testing.T) {
	// What a model predicts of each of the 80 trips of an hour: always the same, or
	// something else of a part of them.
	always := func(seconds string) func(int) string { return func(int) string { return seconds } }
	but := func(seconds string, of func(trip int) bool, then string) func(int) string {
		return func(trip int) string {
			if of(trip) {
				return then
			}
			return seconds
		}
	}
	half := func(then string) func(int) string {
		return but("1040", func(trip int) bool { return trip%2 == 0 }, then)
	}
	for _, c := range []struct {
		name   string
		models map[string]func(trip int) string // "" is nothing
		want   string                           // who is proposed, by how many trips, and who was judged
	}{
		{"the least error", map[string]func(int) string{"a": always("1200"), "b": always("1100")}, "b 80 map[a:200 b:100]"},
		{"wild", map[string]func(int) string{"a": always("1200"), "b": half("50000000")}, "a 80 map[a:200]"},
		{"as wild as can be", map[string]func(int) string{"a": always("1200"), "b": half("1e30")}, "a 80 map[a:200]"},
		{"below nothing", map[string]func(int) string{"a": always("1200"), "b": half("-5")}, "a 80 map[a:200]"},
		{"silent", map[string]func(int) string{"a": always("1200"), "b": half("")}, "a 80 map[a:200]"},
		{"far off is an error", map[string]func(int) string{"a": always("1200"), "b": half("9001040")}, "a 80 map[a:200 b:4.50004e+06]"},
		{"a newcomer", map[string]func(int) string{"a": always("1200"), "b": but("1000", func(trip int) bool { return trip < 9 }, "")}, "a 80 map[a:200]"},
		{"nobody has all", map[string]func(int) string{"a": but("1200", func(trip int) bool { return trip == 0 }, ""), "b": half("")}, "a 79 map[a:200]"},
		{"all too few", map[string]func(int) string{"a": but("1200", func(trip int) bool { return trip >= 29 }, "")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := proposing(t)
			start := time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC)
			var in []row
			add := func(bucket time.Time, predictions string) {
				data := fmt.Sprintf(`{"trip_id":"t%d","bucket":%q,"duration_s":1000,"predictions":{%s}}`, len(in), bucket.Format("2006-01-02 15:04:05"), predictions)
				r, err := rowOf(e.program.sources["trips_raw"], &kgo.Record{Value: []byte(data), Offset: int64(len(in))})
				if err != nil {
					t.Fatal(err)
				}
				in = append(in, r)
			}
			for trip := range 80 {
				var said []string
				for model, of := range c.models {
					if seconds := of(trip); seconds != "" {
						said = append(said, fmt.Sprintf(`%q:{"duration_s":%s}`, model, seconds))
					}
				}
				add(start.Add(time.Duration(trip/40)*30*time.Minute), strings.Join(said, ","))
			}
			add(start.Add(75*time.Minute), "") // the hour is over
			if _, err := e.advance(t.Context(), start, map[string][]row{"trips_raw": in}); err != nil {
				t.Fatal(err)
			}
			proposals := e.byName["champion_proposals"]
			if err := e.catchUp(t.Context(), start, e.below(proposals)); err != nil {
				t.Fatal(err)
			}
			var got []string
			values := make([]value, len(proposals.columns))
			for _, f := range proposals.out.all(nil) {
				decodeRow(f.data, proposals.columns, values)
				if at := values[2].text; at != "2016-01-04T09:00:00Z" {
					t.Errorf("it is judged at %s", at)
				}
				errors := map[string]float64{}
				if err := json.Unmarshal([]byte(values[4].text), &errors); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s %d %v", values[1].text, values[3].int(), errors))
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("proposed %q, want %q", got, c.want)
			}
		})
	}
}
