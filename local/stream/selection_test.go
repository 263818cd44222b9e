package stream

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// selection is the part of sql/ that chooses the best model, over errors that a
// test makes up.
func selection(t *testing.T) *engine {
	t.Helper()
	program := script(t, `CREATE SOURCE scores_raw FROM KAFKA CONNECTION k (TOPIC 'scores') VALUE FORMAT JSON INCLUDE OFFSET AS off ENVELOPE NONE;
		CREATE VIEW model_scores_1h AS SELECT data->>'model' AS model, (data->>'window_end')::timestamp AS window_end,
			(data->>'trips')::int8 AS trips, (data->>'mae_s')::float8 AS mae_s FROM scores_raw;`)
	for _, s := range tripcast(t) {
		if what, _, err := creates(s); err == nil && slices.Contains([]string{"least_errors_1h", "contenders_1h", "best_models"}, what.name) {
			program = append(program, s)
		}
	}
	if len(program) != 5 {
		t.Fatalf("%d statements: sql/ has not all that chooses a model", len(program))
	}
	e, err := newEngine(t.Context(), program, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	return e
}

func TestBestModels(t *testing.T) {
	for _, c := range []struct {
		name string
		// errors of the models a, b and c, window by window; - is a window in which a
		// model has not enough trips
		errors string
		want   string // the best, window by window; - is none
	}{
		{"the least error", "100 200 300; 100 200 300", "aa"},
		{"two that take turns", "100 102 200; 103 100 200; 100 104 200; 104 100 200", "aaaa"},
		{"one that falls behind", "100 102 200; 106 100 200; 100 104 200; 104 100 200", "abbb"},
		{"and is no leader when it comes back", "100 300 300; 200 100 300; 100 101 300; 100 104 300; 100 106 300", "abbba"},
		{"of two that overtake, who was first", "100 300 300; 100 104 300; 200 103 100; 200 100 103", "aabb"},
		{"and of equals, who was better then", "100 300 300; 200 104 100; 200 100 104", "acc"},
		{"at the margin", "100 105 200; 100 200 105", "aa"},
		{"exactly within it", "105 100 200; 105 100 200; 105.1 100 200", "bbb"},
		{"too few trips", "- - -; 100 - 90; - 80 100", "-cb"},
		{"a newcomer", "100 - -; 101 100 -; 102 100 -; 106 100 -", "aaab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := selection(t)
			start := time.Date(2016, 1, 4, 8, 0, 0, 0, time.UTC)
			var in []row
			windows := strings.Split(c.errors, ";")
			for w, line := range windows {
				for m, mae := range strings.Fields(line) {
					trips := 30
					if mae == "-" {
						trips, mae = 29, "1"
					}
					data := fmt.Sprintf(`{"model":%q,"window_end":%q,"trips":%d,"mae_s":%s}`, "abc"[m:m+1], start.Add(time.Duration(w)*5*time.Minute).Format(time.RFC3339), trips, mae)
					r, err := rowOf(e.program.sources["scores_raw"], &kgo.Record{Value: []byte(data), Offset: int64(len(in))})
					if err != nil {
						t.Fatal(err)
					}
					in = append(in, r)
				}
			}
			if _, err := e.advance(t.Context(), start, map[string][]row{"scores_raw": in}); err != nil {
				t.Fatal(err)
			}
			best := e.byName["best_models"]
			if err := e.catchUp(t.Context(), start, e.below(best)); err != nil {
				t.Fatal(err)
			}
			got := []byte(strings.Repeat("-", len(windows)))
			values := make([]value, len(best.columns))
			for _, f := range best.out.all(nil) {
				decodeRow(f.data, best.columns, values)
				got[time.UnixMicro(values[0].int()).UTC().Sub(start)/(5*time.Minute)] = values[1].text[0]
			}
			if string(got) != c.want {
				t.Errorf("the best are %s, want %s", got, c.want)
			}
		})
	}
}
