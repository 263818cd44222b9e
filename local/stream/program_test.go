package stream

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseProgram(t *testing.T) {
	oneSource := func(p *program) *source {
		for _, s := range p.sources {
			return s
		}
		return nil
	}
	for _, c := range []struct{ name, text string }{
		{"format on the source", `CREATE SOURCE IF NOT EXISTS Trips_Raw IN CLUSTER ingest FROM KAFKA CONNECTION redpanda (TOPIC 'trips')
			KEY FORMAT TEXT VALUE FORMAT JSON INCLUDE KEY AS key, PARTITION AS part, OFFSET AS off, TIMESTAMP AS ts ENVELOPE NONE`},
		{"format on a table", `CREATE SOURCE s FROM KAFKA CONNECTION "redpanda" (TOPIC = 'trips');
			CREATE TABLE trips_raw FROM SOURCE s (REFERENCE "trips") KEY FORMAT TEXT VALUE FORMAT JSON
			INCLUDE KEY AS key, PARTITION AS part, OFFSET AS off, TIMESTAMP AS ts ENVELOPE NONE`},
		{"format on a table, without a reference", `CREATE SOURCE s FROM KAFKA CONNECTION redpanda (TOPIC 'trips');
			CREATE TABLE trips_raw FROM SOURCE s FORMAT JSON INCLUDE KEY, PARTITION AS part, OFFSET AS off, TIMESTAMP AS ts`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parseProgram(script(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			s := oneSource(p)
			if len(p.sources) != 1 || s.name != "trips_raw" || s.topic != "trips" {
				t.Fatalf("got %+v", p.sources)
			}
			want := []column{{"data", kindJSON}, {"key", kindText}, {"part", kindInt}, {"off", kindInt}, {"ts", kindTime}}
			if !slices.Equal(s.columns, want) {
				t.Errorf("columns %v, want %v", s.columns, want)
			}
		})
	}
}

func TestParseSink(t *testing.T) {
	p, err := parseProgram(script(t, `
		CREATE CONNECTION k TO KAFKA (BROKER 'b');
		CREATE MATERIALIZED VIEW IF NOT EXISTS V IN CLUSTER c AS SELECT 1 AS id;
		CREATE SINK IF NOT EXISTS s IN CLUSTER c FROM v INTO KAFKA CONNECTION k
			(TOPIC 'out', TOPIC PARTITION COUNT 3, TOPIC CONFIG MAP['cleanup.policy' => 'delete', 'retention.ms' => '1'], LEGACY IDS)
			KEY (Id) NOT ENFORCED HEADERS h KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT WITH (SNAPSHOT = false, COMMIT INTERVAL '1s');
		CREATE INDEX i ON v (id)`))
	if err != nil {
		t.Fatal(err)
	}
	got := *p.sinks[0]
	got.at = p.views[0].at
	want := sinkDefinition{
		at: p.views[0].at, name: "s", from: "v", topic: "out", partitions: 3,
		config: map[string]string{"cleanup.policy": "delete", "retention.ms": "1"}, key: []string{"id"}, headers: "h",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

const aSource = "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') VALUE FORMAT JSON INCLUDE OFFSET AS off, TIMESTAMP AS ts ENVELOPE NONE;\n"

const aView = "CREATE VIEW v AS SELECT data->>'id' AS id, (data->>'n')::int8 AS n, ts, MAP['a' => 'b'] AS h FROM a;\n"

// sunk puts a sink under a view, so that the view has to be maintained.
func sunk(view string) string {
	return fmt.Sprintf("\nCREATE SINK s FROM %s INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) NOT ENFORCED KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT", view)
}

// What is not supported is refused at the start, with the place and what it is.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, text string
		at         string // file:line
		want       string
	}{
		{"DROP", aSource + "DROP VIEW a", "test.sql:2", "only CREATE statements are supported"},
		{"unknown CREATE", "CREATE FUNCTION f()", "test.sql:1", "CREATE FUNCTION is not supported"},
		{"nothing after CREATE", "CREATE", "test.sql:1", "CREATE end of statement is not supported"},
		{"load generator", "CREATE SOURCE a FROM LOAD GENERATOR COUNTER", "test.sql:1", `KAFKA expected, not "LOAD"`},
		{"no topic", "CREATE SOURCE a FROM KAFKA CONNECTION k (START OFFSET (1))", "test.sql:1", `a value expected, not "("`},
		{"empty topic", "CREATE SOURCE a FROM KAFKA CONNECTION k () FORMAT JSON", "test.sql:1", "the source names no TOPIC"},
		{"unknown envelope", "\nCREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') FORMAT JSON\nENVELOPE DEBEZIUM", "test.sql:2", `line 3: NONE expected, not "DEBEZIUM"`},
		{"unknown format", "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') FORMAT AVRO", "test.sql:1", `JSON expected, not "AVRO"`},
		{"no format", "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') ENVELOPE NONE", "test.sql:1", "the source needs VALUE FORMAT JSON"},
		{"headers of a source", "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') FORMAT JSON INCLUDE HEADERS", "test.sql:1", "INCLUDE headers is not supported"},
		{"unknown clause", "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a') FORMAT JSON EXPOSE PROGRESS AS p", "test.sql:1", `"EXPOSE" is not supported here`},
		{"source twice", aSource + aSource, "test.sql:2", "a is defined twice"},
		{"source without format twice", "CREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a');\nCREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'b')", "test.sql:2", "a is defined twice"},
		{"view twice", aSource + aView + aView, "test.sql:3", "v is defined twice"},
		{"table from nothing", "CREATE TABLE t FROM SOURCE a FORMAT JSON", "test.sql:1", "source a does not exist"},
		{"table of columns", "CREATE TABLE t (id int)", "test.sql:1", `FROM expected, not "("`},
		{"view without SELECT", "CREATE VIEW v AS TABLE a", "test.sql:1", "a view needs a SELECT"},
		{"view without body", "CREATE VIEW v AS", "test.sql:1", "a view needs a SELECT"},
		{"sink from unknown", aSource + aView + "CREATE SINK s FROM w INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) ENVELOPE UPSERT", "test.sql:3", "w does not exist"},
		{"sink without key", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') FORMAT JSON ENVELOPE UPSERT", "test.sql:3", "a sink needs a KEY of one column, not 0"},
		{"sink with two keys", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (id, n) FORMAT JSON ENVELOPE UPSERT", "test.sql:3", "a sink needs a KEY of one column, not 2"},
		{"sink without topic", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (PARTITION COUNT 3) KEY (id) ENVELOPE UPSERT", "test.sql:3", "the sink names no TOPIC"},
		{"sink without envelope", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) FORMAT JSON", "test.sql:3", "a sink needs ENVELOPE UPSERT"},
		{"sink with envelope debezium", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) ENVELOPE DEBEZIUM", "test.sql:3", `UPSERT expected, not "DEBEZIUM"`},
		{"sink with no partitions", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't', TOPIC PARTITION COUNT 0) KEY (id) ENVELOPE UPSERT", "test.sql:3", `TOPIC PARTITION COUNT: "0"`},
		{"sink of a source", aSource + "CREATE SINK s FROM a INTO KAFKA CONNECTION k (TOPIC 't') KEY (off) ENVELOPE UPSERT", "test.sql:2", "a is a source: only views can be sunk here"},
		{"sink by an unknown key", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (x) ENVELOPE UPSERT", "test.sql:3", "v has no column x"},
		{"headers that are no map", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) HEADERS n ENVELOPE UPSERT", "test.sql:3", "HEADERS n is not a map[text=>text] column of v"},
		{"headers that are not there", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't') KEY (id) HEADERS x ENVELOPE UPSERT", "test.sql:3", "HEADERS x is not a map[text=>text] column of v"},
		{"option without an end", "CREATE CONNECTION c TO KAFKA (BROKER 'b');\nCREATE SOURCE a FROM KAFKA CONNECTION k (TOPIC 'a'", "test.sql:2", ", or ) expected"},
		{"map of numbers", aSource + aView + "CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 't', TOPIC CONFIG MAP['a' => 1]) KEY (id) ENVELOPE UPSERT", "test.sql:3", "a MAP of text is expected"},

		{"mz_now() in SELECT", aSource + "CREATE VIEW w AS SELECT data->>'id' AS id, mz_now() AS t FROM a;" + sunk("w"), "test.sql:2", "mz_now() is supported in WHERE only"},
		{"mz_now() on the wrong side", aSource + "CREATE VIEW w AS SELECT data->>'id' AS id FROM a WHERE mz_now() >= ts;" + sunk("w"), "test.sql:2", "mz_now() is supported as mz_now() <= expression only"},
		{"mz_now() in arithmetic", aSource + "CREATE VIEW w AS SELECT data->>'id' AS id FROM a WHERE mz_now() - INTERVAL '1 hour' <= ts;" + sunk("w"), "test.sql:2", "mz_now() is supported as mz_now() <= expression only"},
		{"mz_now() under OR", aSource + "CREATE VIEW w AS SELECT data->>'id' AS id FROM a WHERE off > 1 OR mz_now() <= ts;" + sunk("w"), "test.sql:2", "mz_now() is supported as mz_now() <= expression only"},
		{"mz_now() twice", aSource + "CREATE VIEW w AS SELECT data->>'id' AS id FROM a WHERE mz_now() <= ts AND mz_now() <= ts;" + sunk("w"), "test.sql:2", "two temporal filters are not supported"},
		{"mz_now() beside an aggregate", aSource + aView + "CREATE VIEW w AS SELECT id, count(*) AS c FROM v WHERE mz_now() <= ts GROUP BY id;" + sunk("w"), "test.sql:3", "put the temporal filter into a view below"},
		{"mz_now() beside DISTINCT", aSource + aView + "CREATE VIEW w AS SELECT DISTINCT ON (id) id FROM v WHERE mz_now() <= ts ORDER BY id;" + sunk("w"), "test.sql:3", "put the temporal filter into a view below"},
		{"mz_now() and a number", aSource + aView + "CREATE VIEW w AS SELECT id FROM v WHERE mz_now() <= n;" + sunk("w"), "test.sql:3", "mz_now() is compared with a timestamp only here, not with bigint"},
		{"join of a source", aSource + aView + "CREATE VIEW w AS SELECT v.id FROM v JOIN a ON a.off = v.n;" + sunk("w"), "test.sql:3", "it joins or groups the source a"},
		{"DISTINCT ON over a source", aSource + "CREATE VIEW w AS SELECT DISTINCT ON (off) data->>'id' AS id, off FROM a ORDER BY off;" + sunk("w"), "test.sql:2", "it joins or groups the source a"},
		{"DISTINCT over a source", aSource + "CREATE VIEW w AS SELECT DISTINCT data->>'id' AS id FROM a;" + sunk("w"), "test.sql:2", "it reads the source a, whose records are not kept"},
		{"minimum over a source", aSource + "CREATE VIEW w AS SELECT off AS id, min(ts) AS t FROM a GROUP BY off;" + sunk("w"), "test.sql:2", "it joins or groups the source a"},
		{"unknown column", aSource + aView + "CREATE VIEW w AS SELECT id, nix FROM v;" + sunk("w"), "test.sql:3", `"nix" not found`},
		{"unknown relation", aSource + "CREATE VIEW w AS SELECT id FROM nix;" + sunk("w"), "test.sql:2", "nix is not maintained"},
		{"a view of later", aSource + "CREATE VIEW w AS SELECT id FROM v;\n" + aView + sunk("w"), "test.sql:2", "v is not maintained"},
		{"malformed SQL", aSource + aView + "CREATE VIEW w AS SELECT id FROM v WHERE;" + sunk("w"), "test.sql:3", "syntax error"},
		{"parenthesis without an end", aSource + aView + "CREATE VIEW w AS (SELECT id FROM v", "test.sql:3", "syntax error"},
		{"type that is not supported", aSource + aView + "CREATE VIEW w AS SELECT id, ts::date AS d FROM v;" + sunk("w"), "test.sql:3", "column d: type DATE is not supported"},
		{"operator that is not supported", aSource + aView + "CREATE VIEW w AS SELECT id FROM v\nWHERE id @> 'a';" + sunk("w"), "test.sql:3", "line 4: operator @> is not supported"},
		{"function that is not supported", aSource + aView + "CREATE VIEW w AS SELECT id, now() AS t FROM v;" + sunk("w"), "test.sql:3", "function now is not supported"},
		{"unknown function", aSource + aView + "CREATE VIEW w AS SELECT id, nix(n) AS t FROM v;" + sunk("w"), "test.sql:3", "nix does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := newEngine(t.Context(), script(t, c.text), slog.Default())
			if err == nil {
				_ = e.close()
				t.Fatal("it is accepted")
			}
			if !strings.Contains(err.Error(), c.at+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got   %v\nwant %s … %s", err, c.at, c.want)
			}
		})
	}
}

func TestRefusalsShowTheStatement(t *testing.T) {
	_, err := parseProgram(script(t, "DROP   VIEW\n\"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé\""))
	if err == nil || !strings.Contains(err.Error(), `test.sql:1: DROP VIEW "ééé`) || !strings.Contains(err.Error(), "é…: only") {
		t.Error(err)
	}
}

// A view that nothing needs is not worth a refusal: it is computed when asked.
func TestViewsThatNoSinkNeedsAreAsked(t *testing.T) {
	e, err := newEngine(t.Context(), script(t, aSource+aView+"CREATE VIEW w AS SELECT count(*) AS n FROM v HAVING count(*) > 1"), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	if w := e.byName["w"]; w.strategy != asked || w.reason == "" {
		t.Errorf("it is %s because %q", w.strategy, w.reason)
	}
}
