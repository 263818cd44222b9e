package registry

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/registry/redistest"
)

// learners teach labels from several processes, every second label twice.
type learners struct {
	committers []*Committer
	next       chan int
	running    sync.WaitGroup
}

func startLearners(t *testing.T, s store, processes int) *learners {
	l := &learners{next: make(chan int)}
	for range processes {
		l.committers = append(l.committers, s.committer(t, CommitterOptions{MaxBatch: 8}))
	}
	for i := range 2 * processes {
		l.running.Go(func() {
			for n := range l.next {
				for again := 1 + n%2; again > 0; {
					if _, err := l.committers[(i+again)%processes].Learn(context.Background(), labelN(n)); err == nil {
						again--
					}
				}
			}
		})
	}
	return l
}

// learn hands over labels, and calls between after each.
func (l *learners) learn(from, to int, between func(n int)) {
	for n := from; n < to; n++ {
		l.next <- n
		if between != nil {
			between(n)
		}
	}
}

// wait returns when what was handed over is learned.
func (l *learners) wait() {
	close(l.next)
	l.running.Wait()
}

// Models move from one server to another and on while learners commit to them
// and others read: nothing is lost, and nothing learned twice.
func TestSlotsMove(t *testing.T) {
	const labels, moves = 400, 8
	cluster := redistest.StartCluster(t, redistest.ClusterOptions{})
	s := store{url: cluster.URL(), cluster: cluster}
	c := s.applied(t, "one", "two")
	l := startLearners(t, s, 3)
	l.learn(0, 1, nil)
	reader := s.reader(t, ReaderOptions{MaxAge: time.Millisecond, MaxWait: 10 * time.Second})
	l.learn(1, labels, func(n int) {
		if n%(labels/moves) != 0 {
			return
		}
		for _, spec := range c.Models {
			// Labels are committed, or wait, while half of the model is elsewhere.
			if err := cluster.Move(t.Context(), headKey(spec.Name), func() { time.Sleep(20 * time.Millisecond) }); err != nil {
				t.Fatal(err)
			}
		}
		models, err := reader.Models(t.Context())
		if err != nil || len(models.Broken) > 0 {
			t.Errorf("models %+v, error %v", models, err)
		}
	})
	l.wait()
	for _, what := range []string{"MOVED", "ASK"} {
		if refused(t, cluster, what) == 0 {
			t.Errorf("nobody was told %s: the test has tested nothing", what)
		}
	}
	for _, spec := range c.Models {
		s.checkLearned(t, spec, labels)
		s.checkTravel(t, spec.Name, labelled(labels))
	}
}

// refused is how many commands the nodes have answered with such an error.
func refused(t *testing.T, cluster *redistest.Cluster, what string) (n int) {
	t.Helper()
	for _, node := range cluster.Nodes {
		client := redis.NewClient(&redis.Options{Addr: node.Addr()})
		defer client.Close()
		info, err := client.Info(t.Context(), "errorstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(info, "errorstat_"+what+":count=")
		count, _ := strconv.Atoi(strings.TrimRight(strings.SplitN(rest, "\n", 2)[0], "\r"))
		n += count
	}
	return n
}

// A node is killed and comes back with what it has acknowledged: labels wait or
// come again, and the models of the other nodes are whole as well.
func TestNodeKilled(t *testing.T) {
	const labels, kills = 300, 2
	cluster := redistest.StartCluster(t, redistest.ClusterOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	s := store{url: cluster.URL(), cluster: cluster}
	c := s.applied(t, "one", "two", "three", "four")
	l := startLearners(t, s, 2)
	l.learn(0, labels, func(n int) {
		if n%(labels/kills) != labels/kills/2 {
			return
		}
		node := cluster.Nodes[n*kills/labels]
		node.Kill(t)
		time.Sleep(50 * time.Millisecond) // commits run into the closed port
		node.Restart(t)
	})
	l.wait()
	for _, spec := range c.Models {
		s.checkLearned(t, spec, labels)
	}
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		url   string
		addrs string // of a cluster, or of one
		says  string // in the error
	}{
		{url: "redis://localhost", addrs: "localhost:6379"},
		{url: "redis://user:pass@a:1/3", addrs: "a:1"},
		{url: "redis://a:1?cluster=false&pool_size=7", addrs: "a:1"},
		{url: "redis://user:pass@a:1?addr=b:2&addr=c:3", addrs: "a:1 b:2 c:3"},
		{url: "rediss://user:pass@a:1/0?addr=b:2&dial_timeout=3s", addrs: "a:1 b:2"},
		{url: "rediss://a?cluster=true", addrs: "a:6379"},
		{url: "redis://a:1?cluster=true&addr=b:2", addrs: "a:1 b:2"},
		{url: "redis://a:1?cluster=perhaps", says: "neither true nor false"},
		{url: "redis://a:1?cluster=false&addr=b:2", says: "further nodes"},
		{url: "redis://a:1/2?addr=b:2", says: `no database "2"`},
		{url: "redis://a:1/2", addrs: "a:1"},
		{url: "redis://a:1?addr=b:2&magic=1", says: "magic"},
		{url: "redis://a:1?magic=1", says: "magic"},
		{url: "http://a:1?cluster=true", says: "scheme"},
		{url: "redis://user:secret@a:port", says: "port"},
	} {
		client, err := Open(tt.url)
		if err != nil {
			if tt.says == "" || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error %v, want %q in it", tt.url, err, tt.says)
			}
			continue
		}
		defer client.Close()
		if tt.says != "" {
			t.Errorf("%s: no error, want %q", tt.url, tt.says)
			continue
		}
		var addrs string
		var tls, bounded bool
		switch client := client.(type) {
		case *redis.Client:
			o := client.Options()
			addrs, tls, bounded = o.Addr, o.TLSConfig != nil, o.ContextTimeoutEnabled
		case *redis.ClusterClient:
			o := client.Options()
			addrs, tls, bounded = strings.Join(o.Addrs, " "), o.TLSConfig != nil, o.ContextTimeoutEnabled
			if o.MaxRedirects < 2 || o.ClusterStateReloadInterval != topologyAge {
				t.Errorf("%s: %d redirects, topology of %s", tt.url, o.MaxRedirects, o.ClusterStateReloadInterval)
			}
		}
		if addrs != tt.addrs || tls != strings.HasPrefix(tt.url, "rediss:") || !bounded {
			t.Errorf("%s: %s, TLS %t, deadlines of contexts %t", tt.url, addrs, tls, bounded)
		}
	}
}

// Nobody answers at any node.
func TestClusterUnavailable(t *testing.T) {
	s := store{url: "redis://127.0.0.1:1?addr=127.0.0.1:2"}
	committer := s.committer(t, CommitterOptions{MaxWait: 200 * time.Millisecond})
	if _, err := committer.Learn(t.Context(), labelN(0)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if err := committer.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ready: %v, want ErrUnavailable", err)
	}
	if _, err := s.reader(t, ReaderOptions{MaxWait: 200 * time.Millisecond}).Models(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("models: %v, want ErrUnavailable", err)
	}
}
