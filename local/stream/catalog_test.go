package stream

import (
	"fmt"
	"testing"
)

func TestDescribeStatement(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{"CREATE VIEW IF NOT EXISTS v AS SELECT 1 AS a", "v VIEW cluster= from= topic= on= key=[] SELECT 1 AS a"},
		{"CREATE MATERIALIZED VIEW v IN CLUSTER big AS SELECT 1", "v MATERIALIZED VIEW cluster=big from= topic= on= key=[] SELECT 1"},
		{"CREATE SOURCE s FROM KAFKA CONNECTION k (TOPIC 't') VALUE FORMAT JSON ENVELOPE NONE", "s SOURCE cluster=local from=k topic=t on= key=[] "},
		{"CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC = 't') KEY (id) KEY FORMAT TEXT VALUE FORMAT JSON ENVELOPE UPSERT", "s SINK cluster=local from=k topic=t on= key=[] "},
		{"CREATE INDEX i ON v (a, B)", "i INDEX cluster=local from= topic= on=v key=[a b] "},
		{"CREATE INDEX i IN CLUSTER big ON v (lower(a))", "i INDEX cluster=big from= topic= on=v key=[] "},
		{"CREATE INDEX ON v (a, b)", "v_a_b_idx INDEX cluster=local from= topic= on=v key=[a b] "},
		{"CREATE DEFAULT INDEX IN CLUSTER big ON v", "v_primary_idx INDEX cluster=big from= topic= on=v key=[] "},
		{"CREATE SECRET s AS 'x'", "s SECRET cluster= from= topic= on= key=[] "},
	} {
		o, err := describeStatement(script(t, c.statement)[0])
		if err != nil {
			t.Errorf("%s: %v", c.statement, err)
		}
		got := fmt.Sprintf("%s %s cluster=%s from=%s topic=%s on=%s key=%v %s", o.name, o.kind, o.cluster, o.connection, o.topic, o.on, o.key, o.definition)
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.statement, got, c.want)
		}
		if hidden := o.kind == "SECRET"; hidden != (o.statement == "") {
			t.Errorf("%s: the statement is told as %q", c.statement, o.statement)
		}
	}
}
