// Package broker is the embedded Kafka of the laptop: one node that speaks the
// Kafka protocol on a real port, so that kcat, rpk, franz-go and everything of
// tripcast use it as they would use Redpanda. It is franz-go's kfake with the
// behaviour of a production cluster chosen where kfake is lenient.
//
// What it is not: it is not replicated, it keeps everything it is given for as
// long as it runs (retention.ms is honoured only where a topic sets it), and
// the whole broker is one goroutine, about 180,000 small records/s in.
//
// Worth knowing about kfake when a test surprises you:
//   - a replication factor above the number of nodes, one here, is refused, as
//     in Kafka; -1 means as many as there are;
//   - topics whose names differ only in '.' and '_' collide, as in Kafka;
//   - a consumer that dies without leaving its group holds its partitions until
//     its session times out, and no session may be shorter than 6 s;
//   - a transaction's commit or abort takes an offset of its own, as in Kafka:
//     the last offset of a topic is not the number of its records.
package broker

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultListen is where Kafka clients look first.
const DefaultListen = "127.0.0.1:9092"

// DefaultPartitions is how many partitions a topic gets that is created
// without saying how many.
const DefaultPartitions = 3

// Options say where a Broker listens and what it keeps. The zero value listens
// on DefaultListen and keeps everything in memory.
type Options struct {
	// Listen is the host:port to listen on, DefaultListen if empty. Port 0
	// picks a free one.
	Listen string

	// Advertise is the host:port that clients are told to come back to, the
	// listening address if empty. It is needed when Listen is not an address
	// clients can reach, such as 0.0.0.0 in a container.
	Advertise string

	// DataDir is a directory that topics, records and committed offsets are
	// kept in and read back from at the next Start. Empty keeps them in memory.
	DataDir string

	// Users may connect, and nobody else may; none lets everybody in. Whoever is
	// in may do everything.
	Users []User

	// Logger gets what the broker itself has to say, at debug level but for
	// errors. Nil discards it.
	Logger *slog.Logger
}

// User is one of SASL.
type User struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name      string
	Password  string
}

// Broker is a running one-node Kafka.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Start listens and serves until Close. Topics are not created by asking for
// them: as on a production cluster, a misspelt topic is an error.
//
// The error of a port in use wraps syscall.EADDRINUSE.
func Start(opts Options) (*Broker, error) {
	listen := opts.Listen
	if listen == "" {
		listen = DefaultListen
	}
	kopts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(DefaultPartitions),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return listenAs(network, listen, opts.Advertise)
		}),
	}
	if opts.DataDir != "" {
		kopts = append(kopts, kfake.DataDir(opts.DataDir))
	} else {
		kopts = append(kopts, kfake.BrokerConfigs(map[string]string{"log.segment.bytes": inMemorySegment}))
	}
	if len(opts.Users) > 0 {
		kopts = append(kopts, kfake.EnableSASL())
	}
	for _, u := range opts.Users {
		kopts = append(kopts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
	}
	if opts.Logger != nil {
		kopts = append(kopts, kfake.WithLogger(logger{opts.Logger}))
	}
	cluster, err := kfake.NewCluster(kopts...)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded Kafka on %s: %w", listen, err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// inMemorySegment is how large a segment gets in memory. One that grows is copied
// into twice the room, and the default of 100 MiB would hold everybody up for
// that long.
const inMemorySegment = "8388608"

// Addr is the host:port clients connect to.
func (b *Broker) Addr() string { return b.addr }

// Close disconnects every client and, with a DataDir, writes what is left to
// write. It may be called more than once.
func (b *Broker) Close() { b.cluster.Close() }

// listenAs listens on addr and answers to the name of advertise. kfake tells
// its clients the listener's own address, so that is where the name has to be.
func listenAs(network, addr, advertise string) (net.Listener, error) {
	ln, err := net.Listen(network, addr)
	if err != nil || advertise == "" {
		return ln, err
	}
	if _, _, err := net.SplitHostPort(advertise); err != nil {
		ln.Close()
		return nil, fmt.Errorf("advertised address: %w", err)
	}
	return advertised{ln, advertise}, nil
}

// advertised is a listener known by another address than the one it is bound to.
type advertised struct {
	net.Listener
	hostport string
}

func (l advertised) Addr() net.Addr { return hostport(l.hostport) }

// hostport is a TCP address that is not resolved: clients do that themselves.
type hostport string

func (hostport) Network() string  { return "tcp" }
func (h hostport) String() string { return string(h) }

// logger hands kfake's log lines to slog.
type logger struct{ to *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	at := slog.LevelDebug
	if level == kfake.LogLevelError {
		at = slog.LevelError
	}
	if ctx := context.Background(); l.to.Enabled(ctx, at) {
		l.to.Log(ctx, at, fmt.Sprintf("kafka: "+format, args...))
	}
}
