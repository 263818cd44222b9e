package browser

import (
	"errors"
	"net"
	"strings"
	"testing"

	_ "tripcast.dev/functions/monitor" // what is tested, as processes: a result of go test depends on it
	"tripcast.dev/functions/simulate"
)

const (
	mainJob = "tripcast.dev/local"
	monitor = "tripcast.dev/functions/cmd/monitor"
)

// token is what lets a person act on the page of the system's monitor.
const token = "known-to-the-browser-test-alone"

// system is the main job as it runs for everybody, whose dashboard nobody has
// given a token, and a monitor as it is deployed, where people may act and whose
// servers can be taken away.
type system struct {
	kafka, redis, sql string
	database, models  *proxy // of Materialize's stand-in and of Redis
	web               *proxy // of the monitor that has a token
	page              string // URL of that one
	readOnly          string // and of the main job's own
	binary            string // of monitors
}

func startSystem(t *testing.T, arguments ...string) *system {
	t.Helper()
	folder := t.TempDir()
	main, binary := build(t, folder, mainJob), build(t, folder, monitor)
	job := spawn(t, main, nil, append([]string{"--free-ports"}, arguments...)...)
	s := &system{kafka: job.says(t, "Kafka "), redis: job.says(t, "Redis redis://"), sql: job.says(t, "SQL "), readOnly: job.says(t, "Dashboard "), binary: binary}
	s.database, s.models = startProxy(t, s.sql), startProxy(t, s.redis)

	acting := startMonitor(t, s.binary, s.kafka, s.models.address, s.database.address, "MONITOR_TOKEN="+token)
	s.web = startProxy(t, strings.TrimPrefix(acting, "http://"))
	s.page = "http://" + s.web.address
	return s
}

func startMonitor(t *testing.T, binary, kafka, redis, sql string, env ...string) (url string) {
	t.Helper()
	address := freeAddress(t)
	p := spawn(t, binary, append(env,
		"LISTEN_ADDRESS="+address, "KAFKA_BROKERS="+kafka, "REDIS_URL=redis://"+redis,
		"MATERIALIZE_URL=postgres://materialize@"+sql+"/materialize?sslmode=disable"))
	url = "http://" + address
	p.serves(t, url+"/health/readiness")
	return url
}

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// publisher plays trips of the test's own, as the main job plays its.
type publisher struct{ *simulate.Producer }

func (s *system) publisher(t *testing.T) publisher {
	t.Helper()
	producer, err := simulate.NewProducer(t.Context(), simulate.ProducerConfig{Brokers: []string{s.kafka}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	return publisher{producer}
}

// start publishes a trip's pick-up.
func (p publisher) start(t *testing.T, trip simulate.Trip) {
	t.Helper()
	if err := errors.Join(p.PickUp(t.Context(), trip), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// end publishes its drop-off.
func (p publisher) end(t *testing.T, trip simulate.Trip) {
	t.Helper()
	if err := errors.Join(p.DropOff(t.Context(), trip), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
}
