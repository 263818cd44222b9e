package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"tripcast.dev/local/kafkatest"
)

// realKafka is an Apache Kafka of this test's own.
func realKafka(t *testing.T) *kafkatest.Broker {
	t.Helper()
	if raceEnabled {
		t.Skip("SKIPPED: a real Kafka is tested without the race detector, which sees nothing of it")
	}
	return kafkatest.Start(t)
}

// realRedis is a redis-server that keeps what it has acknowledged, whatever
// happens to it.
type realRedis struct {
	address, dir string
	process      *process
}

func startRedis(t *testing.T) *realRedis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
			t.Fatal("there is no redis-server on the PATH, and TRIPCAST_REQUIRE_SERVERS asks for one")
		}
		t.Skip("NOT TESTED ON A REAL REDIS: there is no redis-server on the PATH (Debian: redis-server)")
	}
	r := &realRedis{address: freeAddress(t), dir: t.TempDir()}
	r.restart(t)
	return r
}

func (r *realRedis) url() string { return "redis://" + r.address }

// restart starts it, after kill, where it was and with what it had.
func (r *realRedis) restart(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.process = spawn(t, "redis-server", "redis-server", nil, "--bind", "127.0.0.1", "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	for deadline := time.Now().Add(30 * time.Second); !r.answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer:\n%s", &r.process.out)
		}
	}
}

// answers reports whether it has loaded what it had.
func (r *realRedis) answers() bool {
	conn, err := net.DialTimeout("tcp", r.address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	answer := make([]byte, 5)
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, answer)
	return err == nil && string(answer) == "+PONG"
}

func (r *realRedis) kill(t *testing.T) {
	t.Helper()
	if err := r.process.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.process.ended
}
