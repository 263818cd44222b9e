package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func noEnv(string) string { return "" }

func broker(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return strings.Join(c.ListenAddrs(), ",")
}

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trips.csv")
	if err := os.WriteFile(file, []byte(`id,vendor_id,pickup_datetime,dropoff_datetime,passenger_count,pickup_longitude,pickup_latitude,dropoff_longitude,dropoff_latitude
a,2,2016-03-14 17:24:55,2016-03-14 17:32:30,1,-73.98,40.76,-73.96,40.75
b,2,2016-03-14 17:24:55,2016-03-14 17:24:55,1,-73.98,40.76,-73.96,40.75
`), 0o644); err != nil {
		t.Fatal(err)
	}
	kafka := broker(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"synthetic", []string{"--limit", "20", "--speed", "0", "--snow", "+1,2016-01-23", "--start", "2016-01-22T09:00"}, exitOK, "trips=20 open=0 pick_ups=20 drop_offs=20 rejected=0"},
		{"file", []string{"--trips", file, "--speed", "0"}, exitOK, "trips=1 open=0 pick_ups=1 drop_offs=1 rejected=1"},
		{"no such file", []string{"--trips", file + ".zip"}, exitFail, "trips.csv.zip"},
		{"negative speed", []string{"--speed", "-1"}, exitFail, "speed of -1"},
		{"no such flag", []string{"--fast"}, exitUsage, "-fast"},
		{"argument", []string{"train.csv"}, exitUsage, `"train.csv"`},
		{"bad snow", []string{"--snow", "tomorrow"}, exitUsage, `"tomorrow"`},
		{"bad start", []string{"--start", "noon"}, exitUsage, `"noon"`},
		{"help", []string{"--help"}, exitOK, "-speed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := run(t.Context(), append(c.args, "--kafka", kafka, "--progress", "0"), noEnv, &stderr)
			// What follows a stray argument is not parsed: fine, it is refused.
			if code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("the exit code is %d, want %d and %q in:\n%s", code, c.code, c.want, stderr.String())
			}
		})
	}
}

// TestKafkaOfTheEnvironment plays to a broker that wants a user, and tells in one
// line what is wrong with others.
func TestKafkaOfTheEnvironment(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "app", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := strings.Join(c.ListenAddrs(), ",")
	user := map[string]string{
		"KAFKA_BROKERS": brokers, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
		"KAFKA_USERNAME": "app", "KAFKA_PASSWORD": "secret",
	}
	with := func(name, value string) map[string]string {
		env := maps.Clone(user)
		env[name] = value
		return env
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		want string
	}{
		{"a user", user, nil, exitOK, "pick_ups=5 drop_offs=5"},
		{"the flag", with("KAFKA_BROKERS", "127.0.0.1:1"), []string{"--kafka", brokers}, exitOK, "pick_ups=5 drop_offs=5"},
		{"wrong password", with("KAFKA_PASSWORD", "wrong"), nil, exitFail, brokers + " hangs up on user app with this password (SCRAM-SHA-512)"},
		{"no user", map[string]string{"KAFKA_BROKERS": brokers}, nil, exitFail, brokers + " wants a user: KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD"},
		{"TLS", with("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), nil, exitFail, brokers + " speaks plaintext, but KAFKA_SECURITY_PROTOCOL is SASL_SSL"},
		{"nobody listens", map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, nil, exitFail, "nobody listens at 127.0.0.1:1: connect: connection refused"},
		{"no such protocol", with("KAFKA_SECURITY_PROTOCOL", "TLS"), nil, exitUsage, `KAFKA_SECURITY_PROTOCOL: "TLS" is none of PLAINTEXT, SSL`},
		{"brokers without a port", nil, []string{"--kafka", "redpanda"}, exitUsage, `--kafka: "redpanda" is not host:port`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := run(t.Context(), append(c.args, "--limit", "5", "--speed", "0"), func(name string) string { return c.env[name] }, &stderr)
			if code != c.code || !strings.Contains(stderr.String(), c.want) || strings.Contains(stderr.String(), "secret") {
				t.Errorf("the exit code is %d, want %d and %q in:\n%s", code, c.code, c.want, stderr.String())
			}
		})
	}
}

// stopAt cancels once the log tells of what it waits for, as a person would.
type stopAt struct {
	bytes.Buffer
	text string
	stop func()
}

func (s *stopAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.stop()
	}
	return s.Buffer.Write(p)
}

func TestSignalEndsCleanly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kafka := broker(t)
	env := func(name string) string {
		if name == "KAFKA_BROKERS" {
			return kafka
		}
		return ""
	}
	log := &stopAt{text: "msg=simulating", stop: cancel}
	if code := run(ctx, []string{"--speed", "0", "--progress", "20ms"}, env, log); code != exitOK {
		t.Errorf("the exit code is %d:\n%s", code, log)
	}
	// What was on its way is waited for: the line before may have counted nothing yet.
	if _, last, ended := strings.Cut(log.String(), "simulation ended"); !ended || strings.Contains(last, "pick_ups=0 ") {
		t.Errorf("the log does not report what was produced:\n%s", log)
	}
}
