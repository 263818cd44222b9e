// Package redistest starts redis-servers of a test's own, one alone or a Redis
// Cluster of three. They are real processes that a test may kill and start again
// on what they have kept.
//
// A test is skipped where there is no redis-server on the PATH, and fails if the
// environment has TRIPCAST_REQUIRE_SERVERS.
package redistest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience bounds how long a server may take to start, or a cluster to form.
const patience = 30 * time.Second

// Server is a redis-server on a port of its own. Its methods are for one
// goroutine at a time.
type Server struct {
	path string
	args []string
	addr string

	cmd    *exec.Cmd
	output *output
}

// Start starts a redis-server with these arguments after its own: it keeps
// nothing on disk unless they say so, and then in a folder of the test. It is
// killed when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := prepare(t, args...)
	s.Restart(t)
	return s
}

// prepare is Start, but for the start.
func prepare(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
			t.Fatal("there is no redis-server on the PATH, and TRIPCAST_REQUIRE_SERVERS asks for one")
		}
		t.Skip("NOT TESTED ON A REAL REDIS: there is no redis-server on the PATH (Debian: redis-server)")
	}
	port := FreePort(t)
	s := &Server{
		path: path, addr: net.JoinHostPort("127.0.0.1", port),
		args: append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", ""}, args...),
	}
	t.Cleanup(s.kill)
	return s
}

// Addr is the host:port it listens on, the same after a Restart.
func (s *Server) Addr() string { return s.addr }

// URL is its address as registry.Open takes it.
func (s *Server) URL() string { return "redis://" + s.addr }

// Kill ends it with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		t.Fatal("redis-server does not run")
	}
	s.kill()
}

func (s *Server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // "signal: killed"
	s.cmd = nil
}

// Restart starts it where it was, after Kill, and returns when it has read what
// it has kept and answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.output = &output{}
	s.cmd = exec.Command(s.path, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		t.Fatalf("redis-server: %v", err)
	}
	client := s.client()
	defer client.Close()
	await(t, "redis-server answers", func(ctx context.Context) bool { return client.Ping(ctx).Err() == nil }, s)
}

// client is one that asks once.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
}

// await fails the test with what the servers have said if something does not
// become so.
func await(t testing.TB, what string, is func(context.Context) bool, servers ...*Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !is(ctx) {
		select {
		case <-ctx.Done():
			var said strings.Builder
			for _, s := range servers {
				said.WriteString(s.output.String())
			}
			t.Fatalf("not within %s: %s:\n%s", patience, what, &said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FreePort is a port that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
