package stream

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A record for which a view cannot be computed is left out and told of with the
// view's place, and the rest goes on: the record's neighbours in the tick, the
// views beside and above, and what comes later.
func TestWhatCannotBeComputed(t *testing.T) {
	for _, c := range []struct {
		name string
		view string // over a, whose n is text
		err  string
		// rows of view after 1, x, 2, 3 and x have come, and after the first three
		// have gone, as id=n
		first, later string
	}{
		{
			"a cast in a projection", "SELECT id, n::int8 AS n FROM a", "Could not convert string 'x' to INT64",
			"a=1 c=2 d=3", "d=3",
		},
		{
			"a division in a filter", "SELECT id, CASE WHEN n = 'x' THEN error('n is x') ELSE n END AS n FROM a", "n is x",
			"a=1 c=2 d=3", "d=3",
		},
		{
			"a cast beside DISTINCT ON", "SELECT DISTINCT ON (id) id, n::int8 AS n FROM a ORDER BY id, off", "Could not convert string 'x' to INT64",
			"a=1 c=2 d=3", "d=3",
		},
		{
			"a cast under a sum", "SELECT 'all' AS id, sum(n::int8)::int8 AS n FROM a GROUP BY 1", "Could not convert string 'x' to INT64",
			"all=6", "all=3",
		},
		{
			"a cast in a join", "SELECT x.id, y.n::int8 AS n FROM a AS x JOIN a AS y ON y.id = x.id", "Could not convert string 'x' to INT64",
			"a=1 c=2 d=3", "d=3",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := `CREATE SOURCE a_raw FROM KAFKA CONNECTION k (TOPIC 'a') VALUE FORMAT JSON INCLUDE OFFSET AS off, TIMESTAMP AS ts ENVELOPE NONE;
				CREATE VIEW a AS SELECT data->>'id' AS id, data->>'n' AS n, off FROM a_raw WHERE mz_now() <= ts + INTERVAL '1 minute';
				CREATE MATERIALIZED VIEW v AS ` + c.view + `;
				CREATE MATERIALIZED VIEW w AS SELECT id, n FROM v;
				CREATE SINK s FROM w INTO KAFKA CONNECTION k (TOPIC 'w') KEY (id) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;`
			var logged bytes.Buffer
			e, err := newEngine(t.Context(), script(t, text), slog.New(slog.NewTextHandler(&logged, nil)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.close() })
			now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
			offset := int64(0)
			in := func(at time.Time, id, n string) row {
				offset++
				r, err := rowOf(e.program.sources["a_raw"], &kgo.Record{Value: fmt.Appendf(nil, `{"id":%q,"n":%q}`, id, n), Offset: offset, Timestamp: at})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			have := func() string {
				var all []string
				columns := e.byName["w"].columns
				values := make([]value, len(columns))
				e.byName["w"].out.each(func(_, data string) {
					decodeRow(data, columns, values)
					all = append(all, values[0].text+"="+textOf(columns[1].kind, values[1]))
				})
				slices.Sort(all)
				return strings.Join(all, " ")
			}
			advance := func(at time.Time, rows ...row) {
				t.Helper()
				if _, err := e.advance(t.Context(), at, map[string][]row{"a_raw": rows}); err != nil {
					t.Fatal(err)
				}
			}
			advance(now, in(now, "a", "1"), in(now, "b", "x"), in(now, "c", "2"))
			late := now.Add(50 * time.Second)
			advance(late, in(late, "d", "3"), in(late, "e", "x"))
			if got := have(); got != c.first {
				t.Errorf("rows %s, want %s", got, c.first)
			}
			advance(now.Add(70 * time.Second))
			if got := have(); got != c.later {
				t.Errorf("later, rows %s, want %s", got, c.later)
			}
			for _, want := range []string{"view=v", "at=test.sql:3", c.err, "so_far=1", "so_far=2"} {
				if !strings.Contains(logged.String(), want) {
					t.Errorf("the log does not say %s:\n%s", want, &logged)
				}
			}
		})
	}
}
