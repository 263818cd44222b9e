package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
	"tripcast.dev/functions/registry/redistest"
	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
)

const (
	processes  = 4  // learners
	partitions = 12 // of the topic, three for each

	// patience is how long nothing may move: longer than the longest pause
	// between a KafkaSource's retries.
	patience = 3 * time.Minute
)

// setup says what to start.
type setup struct {
	labels int
	learn  string // the binary
	redis  string // one of the three below
}

// What the models are in.
const (
	onMiniredis   = "miniredis"
	onRedisServer = "redis-server"
	onCluster     = "cluster" // of three masters
)

// server is a Redis that can be killed, and started again on what it has kept.
type server interface {
	Addr() string
	Kill(testing.TB)
	Restart(testing.TB)
}

// embedded is the Redis of `go run ./local`, in this process. What it has taken
// it keeps.
type embedded struct {
	*miniredis.Miniredis
	addr string
}

func (e embedded) Addr() string    { return e.addr }
func (e embedded) Kill(testing.TB) { e.Close() }

func (e embedded) Restart(t testing.TB) {
	t.Helper()
	if err := e.Miniredis.Restart(); err != nil {
		t.Fatal(err)
	}
}

// system is all that learns, with what stands between.
type system struct {
	*tally
	t         *testing.T
	labels    int
	catalogue *online.Catalogue
	learners  []*learner
	servers   []server
	whole     func() // returns when a restarted server is one of a whole cluster
	proxies   []*toxiproxy.Proxy
	client    redis.UniversalClient
	sources   *eventing.Eventing
	started   time.Time

	done  map[fault]int // how often
	execs int           // transactions that servers had been asked for when they were killed
}

// start starts everything, with all labels in their topic.
func start(t *testing.T, o setup) *system {
	t.Helper()
	t.Logf("seed %d (-faults.seed)", *seed)
	s := &system{t: t, tally: newTally(o.labels), labels: o.labels, whole: func() {}, done: map[fault]int{}}
	urls := s.startRedis(o.redis)
	var err error
	if s.catalogue, err = online.ParseCatalogue(infra.Models(), kinds.All()); err != nil {
		t.Fatal(err)
	}
	if s.client, err = registry.Open(urls[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	if err := registry.Apply(t.Context(), s.client, s.catalogue); err != nil {
		t.Fatal(err)
	}
	for i := range processes {
		l := &learner{binary: o.learn, addr: "127.0.0.1:" + redistest.FreePort(t), log: &said{}}
		l.env = []string{
			"REDIS_URL=" + urls[i%len(urls)], "LISTEN_ADDRESS=" + l.addr,
			// The whole order is to be known in the end, and some states between.
			"LINEAGE_LENGTH=10000000", "SNAPSHOT_EVERY=2s", "SNAPSHOT_COUNT=10",
		}
		l.start(t)
		t.Cleanup(func() {
			l.kill()
			if t.Failed() {
				t.Logf("learner %d has said:\n%s", i, l.log)
			}
		})
		s.learners = append(s.learners, l)
	}
	s.startSources(s.startKafka())
	s.started = time.Now()
	return s
}

// startRedis returns the URLs that learners are given: with one server each has
// a proxy of its own, with a cluster each node has.
func (s *system) startRedis(on string) (urls []string) {
	keeps := []string{"--appendonly", "yes", "--appendfsync", "always"}
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	between := func(addr string) string {
		p := toxiproxy.NewProxy(proxies, fmt.Sprint(len(s.proxies)), "127.0.0.1:0", addr)
		if err := p.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(p.Stop)
		s.proxies = append(s.proxies, p)
		return p.Listen
	}
	switch on {
	case onCluster:
		c := redistest.StartCluster(s.t, redistest.ClusterOptions{Announce: between, Args: keeps})
		for _, node := range c.Nodes {
			s.servers = append(s.servers, node)
		}
		s.whole = func() { c.Await(s.t) }
		return []string{c.URL()}
	case onMiniredis:
		m := miniredis.RunT(s.t)
		s.servers = []server{embedded{m, m.Addr()}}
	default:
		s.servers = []server{redistest.Start(s.t, keeps...)}
	}
	for range processes {
		urls = append(urls, "redis://"+between(s.servers[0].Addr()))
	}
	return urls
}

// startKafka returns the address of a Kafka that has the labels.
func (s *system) startKafka() string {
	t := s.t
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, nil, events.TopicLabels); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), records(t, s.labels, partitions)...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return b.Addr()
}

// startSources lets the KafkaSource of infra/knative deliver the labels, as one
// for each learner: in a cluster it is Knative Serving that spreads them.
func (s *system) startSources(kafka string) {
	t := s.t
	manifests, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{}
	all := manifests.Sources
	manifests.Sources = nil
	for _, m := range all {
		if m.Name != events.TopicLabels {
			continue
		}
		for i, l := range s.learners {
			one := *m
			one.Name = fmt.Sprintf("%s-%d", m.Name, i)
			to := *m.Spec.Sink.Ref
			to.Name = fmt.Sprintf("%s-%d", to.Name, i)
			one.Spec.Sink.Ref = &to
			urls[to.Name] = "http://" + l.addr
			manifests.Sources = append(manifests.Sources, &one)
		}
	}
	s.sources, err = eventing.Start(t.Context(), eventing.Config{
		Manifests: manifests, Brokers: []string{kafka}, IngressAddr: "127.0.0.1:0",
		Services: func(name string) (string, bool) { u, ok := urls[name]; return u, ok },
		Observer: eventing.Observer{Delivered: s.hear},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.sources.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := s.sources.StartSources(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// await waits until something is so, as long as labels are delivered.
func (s *system) await(what string, is func() bool) {
	s.t.Helper()
	for !is() {
		if s.quiet() > patience {
			s.t.Fatalf("nothing has been delivered for %s: %s: %s", patience, what, s.tally)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// buildLearn builds the command that is deployed, with a mistake if there is one.
func buildLearn(t *testing.T, m *mistake) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "learn")
	args := []string{"build", "-o", binary}
	if m != nil {
		args = append(args, "-overlay", m.overlay(t))
	}
	if out, err := exec.Command("go", append(args, "../../functions/cmd/learn")...).CombinedOutput(); err != nil {
		t.Fatalf("building learn: %v\n%s", err, out)
	}
	return binary
}

// overlay returns the file that tells go build of a mistake.
func (m *mistake) overlay(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", "functions", "registry", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s has %q %d times, want once", m.file, m.old, n)
	}
	changed, overlay := filepath.Join(t.TempDir(), m.file), filepath.Join(t.TempDir(), "overlay.json")
	said, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{changed: strings.Replace(string(text), m.old, m.new, 1), overlay: string(said)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

// learner is a learn process.
type learner struct {
	binary, addr string
	env          []string
	log          *said
	cmd          *exec.Cmd // nil while it does not run
}

// start returns when it listens.
func (l *learner) start(t *testing.T) {
	t.Helper()
	l.cmd = exec.Command(l.binary)
	l.cmd.Env, l.cmd.Stderr = l.env, l.log
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", l.addr, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("learn does not listen: %v\n%s", err, l.log)
		}
	}
}

// kill ends it with SIGKILL.
func (l *learner) kill() {
	if l.cmd != nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait() // "signal: killed"
		l.cmd = nil
	}
}

// said is the end of what a process has said.
type said struct {
	mu   sync.Mutex
	text []byte
}

func (s *said) Write(p []byte) (int, error) {
	const most = 16 << 10
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	s.text = s.text[max(0, len(s.text)-most):]
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}
