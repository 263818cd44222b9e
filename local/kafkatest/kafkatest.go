// Package kafkatest starts a real Apache Kafka for a test: one node that keeps
// its own metadata (KRaft), with one listener for each way to connect, on free
// ports of this machine. It is what the embedded broker is held against, and the
// only thing that can say what wrong credentials or a restart really look like.
//
// It needs Java 17 and Kafka's jars, which `task test:kafka` copies from Maven
// Central to .task/kafka/libs. A test is skipped unless TRIPCAST_REQUIRE_KAFKA is
// set, and fails then if they are missing.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Protocol is how clients talk to a listener, as Kafka's security.protocol has it.
type Protocol string

// The listeners of a broker.
const (
	Plaintext     Protocol = "PLAINTEXT"
	SSL           Protocol = "SSL"            // asks for a client certificate
	SASLPlaintext Protocol = "SASL_PLAINTEXT" // PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
	SASLSSL       Protocol = "SASL_SSL"       // the same, encrypted
)

var protocols = []Protocol{Plaintext, SSL, SASLPlaintext, SASLSSL}

// The user that PLAIN and SCRAM know.
const (
	User     = "alice"
	Password = "alice-secret"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// Broker is a Kafka at work. Its methods are for the goroutine of the test.
type Broker struct {
	Certificates Certificates

	java, libs string
	dir        string // properties, keys, log: everything of this broker
	addresses  map[Protocol]string
	process    *exec.Cmd
	exited     chan struct{} // closed when the process has ended
}

// Start starts a broker that is stopped at the end of the test.
func Start(t testing.TB) *Broker {
	t.Helper()
	java, libs := installed(t)
	b := &Broker{java: java, libs: libs, dir: t.TempDir(), addresses: map[Protocol]string{}}
	if err := b.prepare(); err != nil {
		t.Fatalf("preparing Apache Kafka: %v", err)
	}
	t.Cleanup(func() {
		if err := b.signal(syscall.SIGKILL); err != nil {
			t.Errorf("stopping Apache Kafka: %v", err)
		}
	})
	b.Restart(t)
	return b
}

// Addr is the host:port of a listener. It is the same after a restart.
func (b *Broker) Addr(p Protocol) string { return b.addresses[p] }

// Stop asks the broker to end, as an orchestrator does, and waits until it has.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	if err := b.signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stopping Apache Kafka: %v", err)
	}
}

// Kill ends the broker with SIGKILL: it can finish nothing.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	if err := b.signal(syscall.SIGKILL); err != nil {
		t.Fatalf("killing Apache Kafka: %v", err)
	}
}

// Restart starts the broker, after Stop or Kill, with the data and the ports that
// it had, and waits until it answers.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.start(t.Context()); err != nil {
		t.Fatalf("starting Apache Kafka: %v\n%s", err, b.said())
	}
}

// installed finds Java and the jars.
func installed(t testing.TB) (java, libs string) {
	t.Helper()
	if os.Getenv("TRIPCAST_REQUIRE_KAFKA") == "" { // it takes minutes: not by the way
		t.Skip("NOT TESTED ON A REAL KAFKA: `task test:kafka` fetches one and runs this")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatal("there is no java on the PATH (Debian: openjdk-17-jre-headless), and TRIPCAST_REQUIRE_KAFKA asks for it")
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	libs = filepath.Join(root, ".task", "kafka", "libs")
	if jars, _ := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar")); len(jars) == 0 {
		t.Fatal("there is no Apache Kafka in .task/kafka/libs, and TRIPCAST_REQUIRE_KAFKA asks for it: `task test:kafka` fetches it")
	}
	return java, libs
}

// moduleRoot is the folder of go.mod, above that of the test.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}

// prepare writes everything that the broker reads, and formats its disk.
func (b *Broker) prepare() (err error) {
	if b.Certificates, err = newCertificates(); err != nil {
		return err
	}
	ports, err := freePorts(len(protocols) + 1)
	if err != nil {
		return err
	}
	for i, p := range protocols {
		b.addresses[p] = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
	}
	controller := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[len(protocols)]))
	for name, text := range map[string]string{
		"server.pem":        b.Certificates.server,
		"ca.pem":            b.Certificates.CA,
		"log4j2.properties": log4j,
		"server.properties": properties(b.dir, b.addresses, controller),
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	format := exec.Command(b.java, b.arguments("kafka.tools.StorageTool", "format",
		"--config", b.path("server.properties"), "--cluster-id", "dHJpcGNhc3QgdGVzdHMuLg",
		"--add-scram", fmt.Sprintf("SCRAM-SHA-256=[name=%s,password=%s]", User, Password),
		"--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", User, Password))...)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("formatting %s: %w\n%s", b.path("data"), err, out)
	}
	return nil
}

func (b *Broker) path(name string) string { return filepath.Join(b.dir, name) }

// arguments are those of a small JVM with Kafka in it.
func (b *Broker) arguments(class string, arguments ...string) []string {
	return append([]string{
		"-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + b.path("log4j2.properties"),
		"-cp", filepath.Join(b.libs, "*"), class,
	}, arguments...)
}

// freePorts are ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them are held until all are found
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func (b *Broker) start(ctx context.Context) error {
	log, err := os.OpenFile(b.path("kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	process := exec.Command(b.java, b.arguments("kafka.Kafka", b.path("server.properties"))...)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = process.Wait() // how it ended, its log says better
	}()
	b.process, b.exited = process, exited
	return b.await(ctx)
}

// await returns when the broker answers.
func (b *Broker) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it does not answer within %s", startTimeout))
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr(Plaintext)))
	if err != nil {
		return err
	}
	defer client.Close()
	for client.Ping(ctx) != nil {
		select {
		case <-b.exited:
			return errors.New("it has ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// signal ends the process, and waits until it has. One that has ended is fine.
func (b *Broker) signal(s syscall.Signal) error {
	if b.process == nil {
		return nil
	}
	if err := b.process.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("it has not ended within %s", stopTimeout), b.process.Process.Kill())
	}
}

// said is the end of what the broker has logged.
func (b *Broker) said() string {
	const most = 4 << 10
	log, err := os.ReadFile(b.path("kafka.log"))
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(log[max(0, len(log)-most):]), "")
}
