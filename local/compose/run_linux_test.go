package compose

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/monitor/live"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

// TestRun brings compose.yaml up, with what stands in for the images that it
// would pull, and does with it what a user does, and what nobody wishes for.
//
// The engine is the one of DOCKER_HOST, or one that is started for it alone.
func TestRun(t *testing.T) {
	plugin, dir := os.Getenv("TRIPCAST_COMPOSE"), os.Getenv(envInside)
	if plugin == "" {
		t.Skip("TRIPCAST_COMPOSE does not say where the compose plugin is: `task test:compose` builds it, and runs this")
	}
	if dir != "" {
		furnish(t)
		startEngine(t, dir)
		use(t, newStack(t, plugin), true)
		return
	}
	needs := []string{"docker", "redis-server", "redis-cli", "ldd"}
	private := os.Getenv("DOCKER_HOST") == ""
	if private {
		needs = append(needs, "dockerd", "iptables")
	}
	for _, program := range needs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v: apt-get install docker.io redis-server", err)
		}
	}
	if private && os.Geteuid() != 0 {
		t.Skip("only root can start a Docker engine: run it as root, or set DOCKER_HOST to one that runs (unix:///var/run/docker.sock)")
	}
	began := time.Now()
	buildContexts(t)
	t.Logf("built on the host in %v", time.Since(began).Round(time.Second))
	if private {
		runInside(t)
		return
	}
	use(t, newStack(t, plugin), false)
}

// trips of the first run. At this speed they take seconds to begin and end.
const (
	trips = 2000
	speed = "300"
)

// use is the whole story. crash says that the engine's processes are ours.
func use(t *testing.T, s *stack, crash bool) {
	began := time.Now()
	s.compose("build", "--quiet")
	t.Logf("the images were made in %v", time.Since(began).Round(time.Second))
	s.env = append(s.env, "TRIPCAST_LIMIT=2000", "TRIPCAST_SPEED="+speed)
	began = time.Now()
	s.compose("up", "--detach")
	up := time.Since(began)
	consume(t, events.TopicPredictions, 1)
	t.Logf("docker compose up returned after %v, the first prediction was there after %v", up.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))

	killLearn(t, s, crash)
	settled(t, s, trips)
	shown(t, trips)
	if simulate := s.inspect("simulate"); simulate.State.Status != "exited" || simulate.State.ExitCode != 0 {
		t.Errorf("simulate is %+v", simulate.State)
	}
	fromHost(t)
	if log := s.compose("logs", "--no-color", "learn"); strings.Count(log, `"msg":"serving"`) != 2 {
		t.Errorf("docker compose logs learn does not tell of two starts:\n%s", log)
	}
	t.Logf("at rest:\n%s", s.docker("stats", "--no-stream", "--format={{.Name}}\t{{.MemUsage}}\t{{.CPUPerc}}"))
	t.Logf("images:\n%s", s.docker("image", "ls", "--filter=reference=tripcast/*", "--format={{.Repository}}\t{{.Size}}"))

	s.compose("down")
	if left := s.left(); len(left) != 2 {
		t.Errorf("down leaves %v: it wants the volumes of redpanda and redis, and nothing else", left)
	}
	began = time.Now()
	s.compose("up", "--detach", "--wait", "--scale=simulate=0")
	t.Logf("up again after %v", time.Since(began).Round(time.Millisecond))
	for model, n := range learned(t) {
		if n != trips {
			t.Errorf("%s has learned %d labels after a restart, of %d", model, n, trips)
		}
	}
	// The next day: trips of hours that are past would change what was known of them.
	s.compose("run", "--rm", "--no-deps", "-T", "simulate", "--speed=0", "--limit=500", "--seed=2", "--start=2016-01-05T08:00")
	settled(t, s, trips+500)
	shown(t, trips+500)

	s.compose("down", "--volumes")
	if left := s.left(); len(left) != 0 {
		t.Errorf("down --volumes leaves %v", left)
	}
}

// killLearn kills learn while it learns, and sees it come back.
func killLearn(t *testing.T, s *stack, crash bool) {
	await(t, "label learned", time.Minute, func() bool {
		for _, n := range learned(t) {
			if n >= trips/10 {
				return true
			}
		}
		return false
	})
	before := s.inspect("learn")
	if crash {
		// Not docker kill: whoever uses it does not want a restart, says the engine.
		if err := syscall.Kill(before.State.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	} else {
		s.docker("kill", "--signal=KILL", before.ID)
		s.docker("start", before.ID)
	}
	known := slices.Max(slices.Collect(maps.Values(learned(t))))
	if known >= trips {
		t.Errorf("all %d labels were learned before learn was killed", known)
	}
	var after state
	await(t, "learn that serves again", time.Minute, func() bool {
		after = s.inspect("learn")
		return after.State.Pid != before.State.Pid && after.State.Health.Status == "healthy"
	})
	if crash && after.RestartCount != before.RestartCount+1 {
		t.Errorf("learn was restarted %d times", after.RestartCount-before.RestartCount)
	}
	t.Logf("learn was killed with about %d of %d labels learned, and is back", known, trips)
}

// settled waits until every trip is accounted for: predicted once, learned once
// by every model, and none refused.
func settled(t *testing.T, s *stack, want int64) {
	t.Helper()
	text := s.compose("run", "--rm", "--no-deps", "-T", "emulator",
		"watch", "--redis=redis://redis:6379", "--report=-", "--expect", strconv.FormatInt(want, 10))
	var report struct {
		Trips       int64
		PickUps     int64 `json:"pick_ups"`
		DropOffs    int64 `json:"drop_offs"`
		Features    int64
		Predictions int64
		Labels      int64
		Learned     map[string]int64
		Duplicates  int64
		DeadLetters int64 `json:"dead_letters"`
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("the report: %v\n%s", err, text)
	}
	for _, n := range append(slices.Collect(maps.Values(report.Learned)),
		report.Trips, report.PickUps, report.DropOffs, report.Features, report.Predictions, report.Labels) {
		if n != want {
			t.Errorf("%d is not %d", n, want)
		}
	}
	if len(report.Learned) == 0 || report.Duplicates != 0 || report.DeadLetters != 0 {
		t.Errorf("%d models, %d duplicates, %d dead letters", len(report.Learned), report.Duplicates, report.DeadLetters)
	}
	t.Logf("report: %s", text)
}

// shown waits until the dashboard counts what watch has counted.
func shown(t *testing.T, want int64) {
	t.Helper()
	var now live.Now
	await(t, "dashboard that shows all of it", time.Minute, func() bool {
		response, err := http.Get("http://127.0.0.1:8501/api/state")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		now = live.Now{}
		if err := json.NewDecoder(response.Body).Decode(&now); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("/api/state answers %s, %v", response.Status, err)
		}
		return now.Summary.Trips.Labels >= want && labelled(now) >= want
	})
	if got, all := now.Summary.Trips, (live.Counts{PickUps: want, Predictions: want, Completed: want, Labels: want}); got != all {
		t.Errorf("the dashboard counts %+v, want %+v", got, all)
	}
	for name, source := range map[string]live.Source{"database": now.Summary.Database, "redis": now.Summary.Redis, "kafka": now.Summary.Kafka} {
		if source.State != live.Live {
			t.Errorf("the dashboard says of %s: %+v", name, source)
		}
	}
	for _, m := range now.Models.Models {
		if m.Labels != uint64(want) || m.Trips != want || m.MAE <= 0 {
			t.Errorf("the dashboard says of a model: %+v", m)
		}
	}
	if now.Summary.DeadLetters != 0 {
		t.Errorf("the dashboard counts %d dead letters", now.Summary.DeadLetters)
	}
}

// labelled is how many labels the model has learned that has learned the fewest.
func labelled(now live.Now) int64 {
	fewest := uint64(math.MaxInt64)
	for _, m := range now.Models.Models {
		fewest = min(fewest, m.Labels, uint64(m.Trips))
	}
	if len(now.Models.Models) == 0 {
		return 0
	}
	return int64(fewest)
}

// learned is how many labels each model has learned, as the host is told on the
// port of Redis.
func learned(t *testing.T) map[string]int64 {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()
	infos, err := registry.List(t.Context(), client, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, i := range infos {
		counts[i.Name] = int64(i.Count)
	}
	return counts
}

// consume reads so many records of a topic from its beginning, on the port of the
// host.
func consume(t *testing.T, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers("127.0.0.1:9092"), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The embedded broker sends everybody to redpanda:9092.
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.Replace(address, "redpanda:", "127.0.0.1:", 1))
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records of %s within a minute", len(records), n, topic)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// fromHost is what README tells to look at while it runs.
func fromHost(t *testing.T) {
	keys := map[string]bool{}
	for _, r := range consume(t, events.TopicPredictions, trips) {
		keys[string(r.Key)] = true
		if i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_type" }); i < 0 || string(r.Headers[i].Value) != events.TypePrediction {
			t.Fatalf("a record of predictions has the headers %v", r.Headers)
		}
	}
	if len(keys) != trips {
		t.Errorf("predictions of %d trips, want %d", len(keys), trips)
	}

	conn, err := pgx.Connect(t.Context(), "postgres://materialize@127.0.0.1:6875/materialize?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var n int64
	if err := conn.QueryRow(t.Context(), "SELECT n FROM label_count").Scan(&n); err != nil || n != trips {
		t.Errorf("label_count is %d, %v", n, err)
	}

	for url, want := range map[string]int{
		"http://127.0.0.1:8081/health/readiness": http.StatusOK,
		"http://127.0.0.1:8082/health/readiness": http.StatusOK,
		"http://127.0.0.1:8083/tripcast/nowhere": http.StatusNotFound,
		"http://127.0.0.1:8501/":                 http.StatusOK,
	} {
		response, err := http.Get(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if response.Body.Close(); response.StatusCode != want {
			t.Errorf("%s answers %s", url, response.Status)
		}
	}
}
