package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
)

// fault is something that goes wrong.
type fault string

const (
	learnerKilled  fault = "learner killed"
	learnersKilled fault = "all learners killed"
	learnerStopped fault = "learner stopped for a while" // and goes on as if nothing had been
	redisKilled    fault = "Redis killed"
	cut            fault = "connections cut"
	cutInAnswer    fault = "connections cut within an answer"
	delayed        fault = "connections delayed"
	frozen         fault = "connections frozen"
)

// weights say how often each comes.
var weights = []struct {
	fault
	weight int
}{
	{learnerKilled, 6},
	{learnersKilled, 1},
	{learnerStopped, 2},
	{redisKilled, 2},
	{cut, 3},
	{cutInAnswer, 4},
	{delayed, 2},
	{frozen, 1},
}

// planned is a fault that is to come.
type planned struct {
	fault
	after int           // so many labels have been acknowledged
	which int           // of the learners, servers or proxies, modulo how many there are
	long  time.Duration // it lasts
	bytes int           // of an answer that still come through
}

// schedule draws faults, spread evenly over the labels so that their number does
// not depend on how fast the machine is. Each kind comes at least once if there
// are as many faults as kinds.
func schedule(seed uint64, faults, labels int) []planned {
	r := rand.New(rand.NewPCG(seed, 0))
	var deck []fault
	for _, w := range weights {
		for range w.weight {
			deck = append(deck, w.fault)
		}
	}
	all := make([]planned, faults)
	for i := range all {
		all[i] = planned{
			fault: deck[r.IntN(len(deck))], after: i * labels / faults, which: r.IntN(1 << 16),
			long: time.Duration(r.IntN(400)) * time.Millisecond, bytes: r.IntN(2_000),
		}
		if i < len(weights) {
			all[i].fault = weights[i].fault
		}
	}
	for i, j := range r.Perm(faults) { // of what and whom, not of when
		all[i].fault, all[j].fault = all[j].fault, all[i].fault
	}
	return all
}

// run lets everything go wrong that is planned, and returns when all of it has.
func (s *system) run(plan []planned) {
	for _, p := range plan {
		s.await(fmt.Sprintf("%s is to come after %d labels", p.fault, p.after), func() bool { return s.acknowledged() >= p.after })
		s.do(p)
		s.done[p.fault]++
	}
}

func (s *system) do(p planned) {
	learner, proxy := s.learners[p.which%len(s.learners)], s.proxies[p.which%len(s.proxies)]
	switch p.fault {
	case learnerKilled:
		learner.kill()
		time.Sleep(p.long)
		learner.start(s.t)
	case learnersKilled:
		for _, l := range s.learners {
			l.kill()
		}
		time.Sleep(p.long)
		for _, l := range s.learners {
			l.start(s.t)
		}
	case learnerStopped:
		s.signal(learner, syscall.SIGSTOP)
		time.Sleep(p.long)
		s.signal(learner, syscall.SIGCONT)
	case redisKilled:
		server := s.servers[p.which%len(s.servers)]
		s.execs += s.transactions(server)
		server.Kill(s.t)
		time.Sleep(p.long)
		server.Restart(s.t)
		s.whole()
	case cut:
		proxy.Stop()
		time.Sleep(p.long / 2)
		if err := proxy.Start(); err != nil {
			s.t.Fatal(err)
		}
	case cutInAnswer:
		s.poison(proxy, fmt.Sprintf(`{"name":"x","type":"limit_data","attributes":{"bytes":%d}}`, p.bytes), p.long/4)
	case delayed:
		s.poison(proxy, `{"name":"x","type":"latency","attributes":{"latency":30,"jitter":30}}`, p.long)
	case frozen:
		s.poison(proxy, `{"name":"x","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`, 2*p.long)
	}
}

// poison lets a proxy do something to the data that goes through it for a while.
func (s *system) poison(p *toxiproxy.Proxy, toxic string, long time.Duration) {
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(long)
	if err := p.Toxics.RemoveToxic(s.t.Context(), "x"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) signal(l *learner, signal syscall.Signal) {
	if err := l.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// transactions is how many EXECs a server has been asked for since it started, 0
// where it does not count them.
func (s *system) transactions(of server) (n int) {
	if _, ok := of.(embedded); ok {
		return 0
	}
	client := redis.NewClient(&redis.Options{Addr: of.Addr()})
	defer client.Close()
	info, err := client.Info(s.t.Context(), "commandstats").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_exec:calls=")
	_, _ = fmt.Sscanf(rest, "%d", &n) // none at all is not there
	return n
}

// report says what has happened.
func (s *system) report(commits int) {
	for _, server := range s.servers {
		s.execs += s.transactions(server)
	}
	var happened []string
	for _, f := range slices.Sorted(maps.Keys(s.done)) {
		happened = append(happened, fmt.Sprintf("%s %d", f, s.done[f]))
	}
	s.t.Logf("%d labels, %d processes, %s\n%s\n%s\n%d commits to %d models",
		s.labels, processes, time.Since(s.started).Round(100*time.Millisecond), strings.Join(happened, ", "), s.tally,
		commits, len(s.catalogue.Models))
	if s.execs > 0 {
		s.t.Logf("%d transactions refused (by what the servers counted before they were killed)", max(0, s.execs-commits))
	}
}
