package sql

import (
	"slices"
	"testing"
)

func TestSourceTopics(t *testing.T) {
	statements, err := Split("a.sql", `
		CREATE SOURCE b FROM KAFKA CONNECTION k (TOPIC 'second') FORMAT JSON;
		create source if not exists a from kafka connection k (topic = 'first', START OFFSET (0));
		CREATE TABLE t FROM SOURCE a FORMAT JSON;
		CREATE SOURCE again FROM KAFKA CONNECTION k (TOPIC 'second') FORMAT TEXT;
		CREATE SOURCE p FROM POSTGRES CONNECTION pg (PUBLICATION 'x');
		CREATE SINK s FROM v INTO KAFKA CONNECTION k (TOPIC 'sunk', TOPIC PARTITION COUNT = 3) FORMAT JSON ENVELOPE UPSERT`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := SourceTopics(statements), []string{"first", "second"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
