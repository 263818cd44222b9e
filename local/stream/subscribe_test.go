package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// client is a connection in a transaction with a cursor c.
type subscriber struct {
	*running
	conn     *pgx.Conn
	protocol pgx.QueryExecMode
}

func (r *running) subscribe(protocol pgx.QueryExecMode, what string) *subscriber {
	r.t.Helper()
	s := &subscriber{running: r, conn: r.connect(r.t.Context()), protocol: protocol}
	s.exec("BEGIN")
	s.exec("DECLARE c CURSOR FOR SUBSCRIBE " + what)
	return s
}

func (s *subscriber) exec(statement string) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), statement, s.protocol); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// fetch gives the rows without their timestamps, sorted.
func (s *subscriber) fetch(statement string) []string {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), statement, s.protocol)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		if err != nil {
			return "", err
		}
		return fmt.Sprint(values[1:]...), nil
	})
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	slices.Sort(lines)
	return lines
}

// await fetches until it has got these rows, in any number of pieces.
func (s *subscriber) await(want ...string) {
	s.t.Helper()
	var got []string
	s.waitFor(fmt.Sprintf("%q", want), func() bool {
		got = append(got, s.fetch("FETCH ALL c WITH (timeout = '20ms')")...)
		return len(got) >= len(want)
	})
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("fetched %q, want %q", got, want)
	}
}

func TestSubscribe(t *testing.T) {
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			k := startKafka(t, "a")
			r := k.stream(script(t, types))
			k.produce("a", "x", `{"id":"one","i":1}`)
			r.waitFor("a row", func() bool { return r.Stats().Rows == 1 })
			s := r.subscribe(protocol, "kept")
			s.await("1one1")
			k.produce("a", "x", `{"id":"two","i":2}`)
			s.await("1two2")
		})
	}
}

var _ = strings.Contains
