package stream

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	tripsql "tripcast.dev/sql"
)

// Applying the program to what runs it changes nothing, as applying it again to
// Materialize does; nor does the connection of a secured Kafka before it.
func TestApplyTheProgram(t *testing.T) {
	k := startKafka(t, "pick_ups", "drop_offs", "predictions")
	conn := k.stream(tripcast(t)).connect(k.ctx)
	secured := tripsql.Connection{Brokers: []string{"redpanda:9092"}, Protocol: "SASL_SSL", Mechanism: "PLAIN", Username: "ann", Password: "secret", CACert: "pem", ClientCert: "pem", ClientKey: "pem"}
	connection, err := secured.Statements()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, s := range append(connection, tripcast(t)...) {
			if _, err := conn.Exec(k.ctx, s.Text); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	changed, err := tripsql.Split("50_new.sql", "CREATE VIEW IF NOT EXISTS trips AS SELECT 1;\nCREATE VIEW IF NOT EXISTS trips_by_zone AS SELECT 1;")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tripsql.Deployment{Statements: changed}.Apply(k.ctx, conn)
	if err == nil || !strings.Contains(err.Error(), "50_new.sql:2") || !strings.Contains(err.Error(), "view trips_by_zone does not exist") {
		t.Errorf("%v: want the place and the name of the view that is new", err)
	}
	var n int64
	if err := conn.QueryRow(context.Background(), "SELECT pick_ups FROM trip_counts").Scan(&n); err != nil || n != 0 {
		t.Errorf("after all that: %d, %v", n, err)
	}
}

func TestCreate(t *testing.T) {
	_, conn := typed(t)
	for _, c := range []struct{ statement, says string }{
		{"CREATE VIEW IF NOT EXISTS types AS SELECT 1", ""},
		{"create view if not exists Types as select 1", ""},
		{`CREATE VIEW IF NOT EXISTS "types" AS SELECT 1`, ""},
		{"CREATE MATERIALIZED VIEW IF NOT EXISTS kept IN CLUSTER c AS SELECT 1", ""},
		{"CREATE SOURCE IF NOT EXISTS a FROM KAFKA CONNECTION other (TOPIC 'x')", ""},
		{"CREATE SINK IF NOT EXISTS s FROM kept INTO KAFKA CONNECTION k (TOPIC 'x')", ""},
		{"CREATE DEFAULT INDEX IF NOT EXISTS ON counted", ""},
		{"CREATE DEFAULT INDEX IF NOT EXISTS IN CLUSTER c ON a", ""},
		{"CREATE SECRET IF NOT EXISTS kafka_password AS 'x'", ""},
		{"CREATE CONNECTION IF NOT EXISTS secured TO KAFKA (BROKER 'b')", ""},
		{"ALTER SECRET kafka_password AS 'y'", ""},

		{"ALTER VIEW types RENAME TO nix", "ALTER is not supported, but for SECRET"},
		{"CREATE VIEW IF NOT EXISTS nix AS SELECT 1", "view nix does not exist: the stand-in runs the sql/ it was started with"},
		{"CREATE VIEW nix AS SELECT 1", "view nix does not exist: the stand-in runs"},
		{"CREATE INDEX IF NOT EXISTS nix ON counted (n)", "index nix does not exist"},
		{"CREATE DEFAULT INDEX IF NOT EXISTS ON nix", "relation nix does not exist"},
		{"CREATE SINK IF NOT EXISTS nix FROM kept", "sink nix does not exist"},
		{"CREATE VIEW types AS SELECT 1", "view types already exists: say IF NOT EXISTS"},
		{"CREATE DEFAULT INDEX ON counted", "default index counted already exists"},
		{"CREATE SECRET kafka_password AS 'x'", "the stand-in keeps no secrets: say CREATE SECRET IF NOT EXISTS"},
		{"CREATE VIEW IF NOT EXISTS kept AS SELECT 1", "kept is a materialized view, not a view"},
		{"CREATE SECRET IF NOT EXISTS kept AS 'x'", "kept is a materialized view, not a secret"},
		{"CREATE CLUSTER IF NOT EXISTS c", "CREATE CLUSTER is not supported"},
		{"CREATE VIEW IF NOT EXISTS", "a name expected"},
		{"CREATE DEFAULT INDEX IF NOT EXISTS counted", "ON expected"},
		{"CREATE", "CREATE end of statement is not supported"},
	} {
		for name, protocol := range protocols {
			_, err := conn.Exec(t.Context(), c.statement, protocol)
			var pg *pgconn.PgError
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%s (%s): %v", c.statement, name, err)
			case c.says != "" && (!errors.As(err, &pg) || !strings.Contains(pg.Message, c.says)):
				t.Errorf("%s (%s): %v, want %s", c.statement, name, err, c.says)
			}
		}
	}
}
