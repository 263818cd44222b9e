package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	tripsql "tripcast.dev/sql"
)

// sources a, b and c have a small range of values, so that keys meet, and every
// column may be NULL.
func smallSources() string {
	var s strings.Builder
	for _, name := range []string{"a", "b", "c"} {
		fmt.Fprintf(&s, "CREATE SOURCE %[1]s_raw FROM KAFKA CONNECTION k (TOPIC '%[1]s') VALUE FORMAT JSON INCLUDE OFFSET AS off, TIMESTAMP AS ts ENVELOPE NONE;\n", name)
		fmt.Fprintf(&s, `CREATE VIEW %[1]s AS SELECT off, ts, data->>'k' AS k, (data->>'n')::int8 AS n, (data->>'m')::int8 AS m,
			(data->>'f')::float8 AS f, (data->>'f')::numeric AS d, data->'j' AS j FROM %[1]s_raw WHERE mz_now() <= ts + INTERVAL '1 minute';
		`, name)
	}
	return s.String()
}

func smallRecord(random *rand.Rand) string {
	field := func(name string, values ...string) string {
		if random.IntN(5) == 0 {
			return ""
		}
		return fmt.Sprintf("%q:%s,", name, values[random.IntN(len(values))])
	}
	s := field("k", `"x"`, `"y"`, `""`, `"é"`) + field("n", "0", "1", "2", "-1") + field("m", "1", "2", "9223372036854775") +
		field("f", "0.0", "-0.0", "1.5", "2", "0.1") + field("j", "null", `{"p":1,"q":[2]}`, "[]", "3")
	return "{" + strings.TrimSuffix(s, ",") + "}"
}

// oneView is a view over a, b and c under a sink, and the strategy it should get.
var oneView = []struct {
	name string
	body string
	want strategy
}{
	{"filter", "SELECT k, n FROM a WHERE n > 0", keyed},
	{"projection", "SELECT k, n * 2 AS n2, f / 3 AS third, CASE WHEN n > 1 THEN 'many' END AS size, j FROM a", keyed},
	{"table function", "SELECT k, g.g * n AS x FROM a CROSS JOIN generate_series(1, 3) AS g(g)", keyed},
	{"lateral", "SELECT a.k, e.key AS name, e.value AS value FROM a, LATERAL jsonb_each(a.j) AS e(key, value) WHERE jsonb_typeof(a.j) = 'object'", keyed},
	{"same rows twice", "SELECT n FROM a WHERE n IS NOT NULL", keyed},
	{"distinct on", "SELECT DISTINCT ON (k) k, n, f FROM a ORDER BY k, off", keyed},
	{"distinct on two", "SELECT DISTINCT ON (k, n) n, k, m FROM a WHERE f > 0 ORDER BY k, n, off DESC", keyed},
	{"distinct on float", "SELECT DISTINCT ON (f) f, n FROM a ORDER BY f, off", keyed},
	{"distinct on numeric", "SELECT DISTINCT ON (d) d, n FROM a ORDER BY d, off", keyed},
	{"distinct on an output name", "SELECT DISTINCT ON (k) m AS k, n FROM a ORDER BY k, off", whole},
	{"inner join", "SELECT a.k, a.n, b.m FROM a JOIN b ON b.k = a.k", keyed},
	{"join on two columns", "SELECT a.off, b.off AS other FROM a JOIN b ON b.n = a.n AND a.k = b.k", keyed},
	{"join on floats", "SELECT a.off, b.off AS other FROM a JOIN b ON b.f = a.f", keyed},
	{"join on numerics", "SELECT a.off, b.off AS other, b.d FROM a JOIN b ON b.d = a.d", keyed},
	{"join by a comma", "SELECT a.off, b.off AS other FROM a, b WHERE a.n = b.n AND a.m < b.m", keyed},
	{"left join", "SELECT a.off, b.off AS other, COALESCE(b.m, -7) AS m FROM a LEFT JOIN b ON b.k = a.k AND b.n > 0", keyed},
	{"left join with a filter", "SELECT a.off, b.off AS other FROM a LEFT JOIN b ON b.k = a.k WHERE b.n IS NULL", keyed},
	{"self join", "SELECT x.off, y.off AS other FROM a AS x JOIN a AS y ON y.n = x.m", keyed},
	{"chain", "SELECT a.off, b.off AS boff, c.off AS coff FROM a JOIN b ON b.k = a.k JOIN c ON c.m = b.m", keyed},
	{"left chain", "SELECT a.off, b.off AS boff, c.off AS coff FROM a LEFT JOIN b ON b.k = a.k LEFT JOIN c ON c.m = b.m AND c.n = b.n", keyed},
	{"star", "SELECT a.off, b.off AS boff, c.off AS coff FROM a LEFT JOIN b ON b.k = a.k LEFT JOIN c ON a.n = c.n", keyed},
	{"triangle", "SELECT a.off, b.off AS boff, c.off AS coff FROM a JOIN b ON b.k = a.k JOIN c ON c.n = a.n AND c.m = b.m", keyed},
	{
		"condition of an outer join on the left side",
		"SELECT a.off, b.off AS boff, c.off AS coff FROM a JOIN b ON b.k = a.k LEFT JOIN c ON c.n = a.n AND b.m = a.m", keyed,
	},
	{
		"outer join of a join",
		"SELECT a.off, b.off AS boff, c.off AS coff FROM a LEFT JOIN (b JOIN c ON c.m = b.m) ON b.k = a.k", keyed,
	},
	{"sums", "SELECT k, sum(n)::int8 AS s, count(*)::int8 AS c, count(n) AS cn, sum(m) AS big, sum(n)::float8 AS f FROM a GROUP BY k", summed},
	{"sums by expression", "SELECT n % 2 AS odd, k, sum(n) AS s FROM a WHERE m IS NOT NULL GROUP BY 1, k", summed},
	{"sums by float", "SELECT f, count(*) AS c FROM a GROUP BY f", summed},
	{"sums by numeric", "SELECT d, count(*) AS c FROM a GROUP BY d", summed},
	{"sums by the same twice", "SELECT k, k AS again, count(*) AS c FROM a GROUP BY k, n", whole},
	{"sums over a series", "SELECT n + g.g AS w, sum(m)::int8 AS s FROM a CROSS JOIN generate_series(1, 3) AS g(g) GROUP BY 1", summed},
	{"global sums", "SELECT count(*) AS c, sum(n) AS s, count(k) AS ck FROM a", summed},
	{"sum of numerics", "SELECT k, sum(d) AS s FROM a GROUP BY k", keyed},
	{"count as text", "SELECT k, count(*)::text AS c, sum(n)::bool AS b FROM a GROUP BY k", keyed},
	{"min and max", "SELECT k, min(n) AS least, max(f) AS most, count(*) AS c FROM a GROUP BY k", keyed},
	{"expression of aggregates", "SELECT k, sum(n)::float8 / count(*)::float8 AS mean FROM a GROUP BY k", keyed},
	{"groups by float", "SELECT f, min(n) AS least FROM a GROUP BY f", keyed},
	{"count distinct", "SELECT k, count(DISTINCT n) AS c FROM a GROUP BY k", keyed},
	{"filtered", "SELECT k, count(*) FILTER (WHERE n > 0) AS c FROM a GROUP BY k", keyed},
	{"global minimum", "SELECT min(n) AS least FROM a", whole},
	{"having", "SELECT k, count(*) AS c FROM a GROUP BY k HAVING count(*) > 1", whole},
	{"union all", "SELECT k, n FROM a UNION ALL SELECT k, m FROM b", whole},
	{"distinct", "SELECT DISTINCT k FROM a", whole},
	{"window", "SELECT off, sum(n) OVER (ORDER BY off) AS s FROM a", whole},
	{"exists", "SELECT a.off FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k)", whole},
	{"aggregate of a join", "SELECT a.k, count(*) AS c FROM a JOIN b ON b.k = a.k GROUP BY a.k", whole},
	{"inequality", "SELECT a.off, b.off AS boff FROM a JOIN b ON a.n < b.n", whole},
	{"using", "SELECT a.off, b.off AS boff FROM a JOIN b USING (k)", whole},
	{"limit", "SELECT k, n, off FROM a ORDER BY off LIMIT 3", whole},
	{"top of each", "WITH top AS (SELECT k, max(n) AS n FROM a GROUP BY k) SELECT t.k, t.n, b.off FROM top AS t JOIN b ON b.k = t.k", whole},
	{"upper case", "SELECT A.OFF AS Off, B.m FROM A JOIN B ON B.K = A.k", keyed},
	{"temporal over a view", "SELECT k, n FROM a WHERE mz_now() <= ts + INTERVAL '20 seconds' AND n > 0", keyed},
	{"temporal join", "SELECT a.k, b.n FROM a JOIN b ON b.k = a.k WHERE mz_now() <= b.ts + INTERVAL '10 seconds'", keyed},
	{"temporal of a choice", "SELECT k, n FROM last_a WHERE mz_now() <= ts + INTERVAL '45 seconds'", keyed},
	{"temporal over a series", "SELECT a.k FROM a CROSS JOIN generate_series(1, 4) AS g(g) WHERE mz_now() <= a.ts + g.g * INTERVAL '7 seconds'", keyed},
}

// lastA lets a row change its end without changing what a view shows of it.
const lastA = "CREATE VIEW last_a AS SELECT DISTINCT ON (k) k, n, ts FROM a WHERE n = 1 ORDER BY k, off DESC;\n"

func oneViewProgram(body string) string {
	return smallSources() + lastA + "CREATE MATERIALIZED VIEW v AS " + body + `;
		CREATE VIEW keyed_v AS SELECT v.*, 'key' AS sink_key FROM v;
		CREATE SINK s FROM keyed_v INTO KAFKA CONNECTION k (TOPIC 'v') KEY (sink_key) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT;`
}

// Every kind of view that sql/ does not happen to use.
func TestStrategiesAgreeWithTheOracle(t *testing.T) {
	for i, c := range oneView {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, script(t, oneViewProgram(c.body)))
			if v := h.engine.byName["v"]; v.strategy != c.want {
				t.Errorf("it is %s, not %s: %s", v.strategy, c.want, v.reason)
			}
			if err := h.small(uint64(i), 10, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// small runs ticks of random small records. spoil is called after every tick.
func (h *harness) small(seed uint64, ticks int, spoil func()) error {
	random := rand.New(rand.NewPCG(seed, 2))
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for n := range ticks {
		now = now.Add(time.Duration(random.IntN(12000)) * time.Millisecond)
		in := map[string][]row{}
		for range random.IntN(9) {
			source := []string{"a_raw", "a_raw", "b_raw", "c_raw"}[random.IntN(4)]
			in[source] = append(in[source], h.record(source, now.Add(-time.Second), "", smallRecord(random)))
		}
		if _, err := h.tick(now, in, n%2 == 1); err != nil {
			return fmt.Errorf("tick %d: %w", n, err)
		}
		if spoil != nil {
			spoil()
		}
	}
	return nil
}

// An oracle that agrees with everything would be worth nothing: each of these
// breaks one rule of the engine, and it has to see it.
func TestTheOracleSeesMistakes(t *testing.T) {
	for _, c := range []struct {
		name, body string
		spoil      func(v *view)
	}{
		{"rows that stay too long", "SELECT k, n FROM a WHERE mz_now() <= ts + INTERVAL '5 seconds'", func(v *view) { v.out.expiry = nil }},
		{"a lost row", "SELECT k, off FROM a", func(v *view) {
			for n := range v.out.kept.all() {
				v.out.kept.remove(n)
				v.out.count--
				break
			}
		}},
		{"an index that misses rows", "SELECT a.off, b.off AS boff FROM a LEFT JOIN b ON b.k = a.k", func(v *view) { v.inputs[1].index.partitions = numberLists{} }},
		{"a way back that misses rows", "SELECT a.off, b.off AS boff FROM a LEFT JOIN b ON b.k = a.k", func(v *view) { v.inputs[1].parentIndex.partitions = numberLists{} }},
		{"a sum that is off by one", "SELECT k, sum(n)::int8 AS s FROM a GROUP BY k", func(v *view) {
			for _, g := range v.sums.groups {
				g.sums[0]++
			}
		}},
		{"a forgotten group", "SELECT k, min(n) AS least FROM a GROUP BY k", func(v *view) { v.inputs[0].by.partitions = numberLists{} }},
		{"a change that is not taken in", "SELECT k FROM a UNION ALL SELECT k FROM b", func(v *view) { v.inputs[1].relation = newRelation("other", v.inputs[1].relation.columns, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, script(t, oneViewProgram(c.body)))
			v := h.engine.byName["v"]
			if err := h.small(1, 14, func() { c.spoil(v) }); err == nil {
				t.Error("the oracle did not see it")
			}
		})
	}
}

func TestTheOracleSeesWrongDeltas(t *testing.T) {
	h := newHarness(t, script(t, oneViewProgram("SELECT k FROM a")))
	columns := h.engine.byName["keyed_v"].columns
	never := string(appendRow(nil, columns, []value{textValue("x"), textValue("key")}))
	d := map[string]delta{"keyed_v": {removed: []row{{"p", never}}}}
	if err := h.replay(d); err == nil {
		t.Error("a row that was never there is removed, and nobody minds")
	}
}

// The order of the files is the order of dependence; the order of the records
// within a tick must not matter to what a view holds in the end.
func TestTicksDoNotMatterInTheEnd(t *testing.T) {
	final := func(size int) []string {
		statements := script(t, oneViewProgram("SELECT a.k, b.n, count_of.c FROM a JOIN b ON b.k = a.k LEFT JOIN count_of ON count_of.k = a.k"))
		at := slices.IndexFunc(statements, func(s tripsql.Statement) bool { return strings.Contains(s.Text, "MATERIALIZED") })
		statements = slices.Insert(statements, at, script(t, "CREATE VIEW count_of AS SELECT k, count(*) AS c FROM c GROUP BY k")[0])
		h := newHarness(t, statements)
		random := rand.New(rand.NewPCG(3, 3))
		now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		in := map[string][]row{}
		for n := range 60 {
			source := []string{"a_raw", "b_raw", "c_raw"}[random.IntN(3)]
			in[source] = append(in[source], h.record(source, now, "", smallRecord(random)))
			if n%size == size-1 || n == 59 {
				if _, err := h.tick(now, in, true); err != nil {
					t.Fatal(err)
				}
				in = map[string][]row{}
			}
		}
		var rows []string
		h.engine.byName["v"].out.each(func(_, data string) { rows = append(rows, data) })
		slices.Sort(rows)
		return rows
	}
	want := final(60)
	for _, size := range []int{2, 7} {
		if got := final(size); !slices.Equal(got, want) {
			t.Errorf("ticks of %d records: %d rows, one tick: %d", size, len(got), len(want))
		}
	}
}
