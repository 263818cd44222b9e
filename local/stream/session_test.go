package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestCursorErrors(t *testing.T) {
	r, _ := lettersWith(t)
	const declare = "DECLARE c CURSOR FOR SUBSCRIBE "
	for _, c := range []struct {
		statements string // all but the last succeed
		code, want string
	}{
		{declare + "kept", "25P01", "can only be used in transaction blocks"},
		{"FETCH ALL c", "34000", `cursor "c" does not exist`},
		{"CLOSE c", "34000", `cursor "c" does not exist`},
		{"BEGIN;FETCH ALL other", "34000", `cursor "other" does not exist`},
		{"BEGIN;" + declare + "kept;" + declare + "kept", "42P03", `cursor "c" already exists`},
		{"BEGIN;" + declare + "kept;DECLARE d CURSOR FOR SUBSCRIBE kept", "25000", "must be the only read statement"},
		{"BEGIN;" + declare + "kept;CLOSE c;FETCH ALL c", "34000", "does not exist"},
		{"BEGIN;" + declare + "kept;CLOSE ALL;FETCH ALL c", "34000", "does not exist"},
		{"BEGIN;" + declare + "kept;COMMIT;FETCH ALL c", "34000", "does not exist"},
		{"BEGIN;" + declare + "kept;ROLLBACK;BEGIN;FETCH ALL c", "34000", "does not exist"},
		{"BEGIN;" + declare + "nix", "42P01", "unknown catalog item 'nix'"},
		{"BEGIN;" + declare + "a", "", "does not keep the records of source a"},
		{"BEGIN;" + declare + "(SELECT nix FROM kept)", "", "nix"},
		{"BEGIN;" + declare + "(SELECT id FROM kept WHERE id = $1)", "0A000", "parameters"},
		{"BEGIN;" + declare + "(SELECT id FROM kept", "42601", ") expected"},
		{"BEGIN;" + declare, "42601", "a name expected"},
		{"BEGIN;" + declare + "kept AS OF 1", "0A000", `"AS" is not supported`},
		{"BEGIN;" + declare + "kept ENVELOPE DEBEZIUM (KEY (id))", "0A000", `"ENVELOPE" is not supported`},
		{"BEGIN;" + declare + "kept ENVELOPE UPSERT (KEY (nix))", "42703", "no such column: nix"},
		{"BEGIN;" + declare + "kept ENVELOPE UPSERT", "42601", "( expected"},
		{"BEGIN;" + declare + "kept WITH (SNAPSHOT = perhaps)", "42601", `invalid SNAPSHOT: "perhaps" is neither true nor false`},
		{"BEGIN;" + declare + "kept WITH (NIX)", "42601", "unknown option NIX"},
		{"BEGIN;DECLARE c CURSOR FOR SELECT 1", "0A000", "a cursor for SELECT is not supported: one for SUBSCRIBE is"},
		{"BEGIN;DECLARE c FOR SUBSCRIBE kept", "42601", "CURSOR expected"},
		{"BEGIN;" + declare + "kept;FETCH c WITH (timeout = 'soon')", "42601", `invalid TIMEOUT: "soon" is no interval`},
		{"BEGIN;" + declare + "kept;FETCH c WITH (timeout = '25 hours')", "42601", "timeout out of range"},
		{"BEGIN;" + declare + "kept;FETCH c WITH (patience = '1s')", "42601", "unknown option PATIENCE"},
		{"BEGIN;" + declare + "kept;FETCH 1.5 c", "42601", "a number of rows expected"},
		{"BEGIN;" + declare + "kept;FETCH c d", "42601", "end of statement expected"},
		{"BEGIN;" + declare + "kept;FETCH BACKWARD c", "", "expected"},
		{"BEGIN;CLOSE", "42601", "a name expected"},
		{"SUBSCRIBE kept", "0A000", "SUBSCRIBE is not supported: subscribe with BEGIN, DECLARE c CURSOR"},
		{"COPY (SUBSCRIBE kept) TO STDOUT", "0A000", "COPY is not supported: subscribe with BEGIN"},
	} {
		for name, protocol := range protocols {
			conn := r.connect(t.Context())
			statements := strings.Split(c.statements, ";")
			for i, statement := range statements {
				_, err := conn.Exec(t.Context(), statement, protocol)
				if i < len(statements)-1 {
					if err != nil {
						t.Errorf("%s: %s (%s): %v", c.statements, statement, name, err)
					}
					continue
				}
				t.Run(c.statements+" "+name, func(t *testing.T) { wantError(t, err, c.code, c.want) })
			}
			if err := conn.Ping(t.Context()); conn.PgConn().TxStatus() == 'I' && err != nil {
				t.Errorf("after %s (%s): %v", c.statements, name, err)
			}
			_ = conn.Close(t.Context())
		}
	}
	r.waitFor("no subscription", func() bool { return r.subscriptions() == 0 })
}

// A transaction in which something failed takes its end only.
func TestFailedTransactions(t *testing.T) {
	r, _ := lettersWith(t, `{"id":"x","n":1}`)
	for name, protocol := range protocols {
		s := r.subscribe(protocol, "kept")
		s.await("1 x 1")
		_, err := s.query("SELECT nix")
		wantError(t, err, "", "nix")
		if status := s.conn.PgConn().TxStatus(); status != 'E' {
			t.Errorf("%s: the transaction's status is %c", name, status)
		}
		_, err = s.query("FETCH ALL c WITH (timeout = '0s')")
		wantError(t, err, "25P02", "current transaction is aborted")
		tag, err := s.conn.Exec(t.Context(), "COMMIT", protocol)
		if err != nil || tag.String() != "ROLLBACK" || s.conn.PgConn().TxStatus() != 'I' {
			t.Errorf("%s: COMMIT is answered %q, %v", name, tag, err)
		}
		s.exec("BEGIN")
		tag, err = s.conn.Exec(t.Context(), "COMMIT", protocol)
		if err != nil || tag.String() != "COMMIT" {
			t.Errorf("%s: the next COMMIT is answered %q, %v", name, tag, err)
		}
	}
}

// subscriptions is how many cursors are told of changes.
func (r *running) subscriptions() int {
	r.query.mu.Lock()
	defer r.query.mu.Unlock()
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	n := 0
	for _, v := range r.engine.views {
		if v.out != nil {
			n += len(v.out.cursors)
		}
	}
	for _, o := range r.query.observed {
		n += len(o.out.cursors)
	}
	if n == 0 && len(r.engine.wanted)+len(r.query.observed) > 0 {
		r.t.Errorf("nobody subscribes, but %d views and %d queries are kept up to date", len(r.engine.wanted), len(r.query.observed))
	}
	return n
}

// refreshed says when views are brought up to date again, which moves as long as
// a FETCH waits.
func (r *running) refreshed() time.Time {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	return r.engine.next
}

// Nothing is left of a client that has gone, were it in the middle of a FETCH
// that waits for ever.
func TestClientsThatGo(t *testing.T) {
	for _, what := range []string{"kept", "counted", "largest", "(SELECT n FROM kept WHERE n > 7) WITH (SNAPSHOT = false)"} {
		for name, leave := range map[string]func(s *subscriber){
			"idle": func(s *subscriber) { _ = s.conn.Close(s.t.Context()) },
			"cut":  func(s *subscriber) { _ = s.conn.PgConn().Conn().Close() },
			"in a FETCH": func(s *subscriber) {
				fetched := make(chan error)
				before := s.refreshed()
				go func() {
					_, err := s.query("FETCH ALL c")
					fetched <- err
				}()
				s.waitFor("the FETCH to wait", func() bool { return s.refreshed().After(before) })
				_ = s.conn.PgConn().Conn().Close()
				if err := <-fetched; err == nil {
					s.t.Error("FETCH has ended without a row")
				}
			},
			"ROLLBACK": func(s *subscriber) { s.exec("ROLLBACK") },
			"COMMIT":   func(s *subscriber) { s.exec("COMMIT") },
			"CLOSE":    func(s *subscriber) { s.exec("CLOSE c") },
		} {
			t.Run(what+" "+name, func(t *testing.T) {
				r, _ := lettersWith(t)
				s := r.subscribe(pgx.QueryExecModeCacheStatement, what)
				s.fetch("FETCH ALL c WITH (timeout = '0s')")
				if n := r.subscriptions(); n != 1 {
					t.Fatalf("%d subscriptions", n)
				}
				leave(s)
				r.waitFor("no subscription", func() bool { return r.subscriptions() == 0 })
				r.connect(t.Context()) // it is not the end of Serve that has let go
			})
		}
	}
}

// A FETCH that waits can be cancelled, and ends with Serve.
func TestFetchIsCancelled(t *testing.T) {
	r, _ := lettersWith(t)
	s := r.subscribe(pgx.QueryExecModeSimpleProtocol, "kept")
	fetched := make(chan error)
	fetch := func() {
		_, err := s.query("FETCH ALL c")
		fetched <- err
	}
	go fetch()
	var err error
	r.waitFor("the end of FETCH", func() bool {
		if err := s.conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case err = <-fetched:
			return true
		default:
			return false
		}
	})
	wantError(t, err, "57014", "canceling statement due to user request")
	s.exec("ROLLBACK")
	s.exec("BEGIN")
	s.exec("DECLARE c CURSOR FOR SUBSCRIBE kept")
	s.fetch("FETCH ALL c WITH (timeout = '0s')")
	go fetch()
	before := r.refreshed()
	r.waitFor("the FETCH to wait", func() bool { return r.refreshed().After(before) })
	r.end()
	wantError(t, <-fetched, "57P01", "the stand-in stops")
}
