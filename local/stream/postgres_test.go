package stream

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgres is a PostgreSQL server of the test's own: in a directory that goes with
// it, on a Unix socket, with nothing that makes a database outlive a crash.
type postgres struct{ dir string }

// startPostgres starts one, and stops it when the test ends. Without PostgreSQL the
// test is skipped, or fails where TRIPCAST_REQUIRE_SERVERS is set.
func startPostgres(t *testing.T) *postgres {
	t.Helper()
	bin, err := postgresBinaries()
	if err != nil {
		withoutPostgres(t, err)
	}
	// Not t.TempDir: only its owner may enter what that is in, and the path of a
	// socket has no room for the name of a test.
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as, err := unprivileged(dir)
	if err != nil {
		withoutPostgres(t, err)
	}
	run := func(program string, arguments ...string) error {
		arguments = slices.Concat(as, []string{filepath.Join(bin, program)}, arguments)
		command := exec.Command(arguments[0], arguments[1:]...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", program, err, out)
		}
		return nil
	}
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	// Materialize compares text by its bytes, as the locale C does.
	if err := run("initdb", "-D", data, "-U", "tripcast", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	options := "-k '" + dir + "' -c listen_addresses='' -c timezone=UTC" +
		" -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off -c jit=off"
	if err := run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"); err != nil {
		text, _ := os.ReadFile(log)
		t.Fatalf("%v\n%s", err, text)
	}
	t.Cleanup(func() {
		if err := run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"); err != nil {
			t.Error(err)
		}
	})
	return &postgres{dir}
}

func withoutPostgres(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		t.Fatalf("no PostgreSQL, and TRIPCAST_REQUIRE_SERVERS asks for one: %v", why)
	}
	t.Skipf("NOT CHECKED AGAINST POSTGRESQL: %v", why)
}

// postgresBinaries is where initdb and pg_ctl are: Debian keeps them out of PATH, a
// directory for each version.
func postgresBinaries() (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("install PostgreSQL 14 or later, on Debian the package postgresql: %w", err)
	}
	return filepath.Dir(path), nil
}

// unprivileged makes the directory the server's own, and is what to put before its
// commands: PostgreSQL does not run as root.
func unprivileged(dir string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no setpriv to be somebody else with: %w", err)
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("user %s has no number: %w", u.Username, err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		return nil, fmt.Errorf("giving %s its directory: %w", u.Username, err)
	}
	return []string{setpriv, "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups", "--"}, nil
}

// database makes an empty database and connects to it.
func (p *postgres) database(t *testing.T, name string) *pgx.Conn {
	t.Helper()
	admin := p.connect(t, "postgres")
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+quoteName(name)); err != nil {
		t.Fatalf("creating database %s: %v", name, err)
	}
	return p.connect(t, name)
}

func (p *postgres) connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig("user=tripcast sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.Port, config.Database = p.dir, 5432, database
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
