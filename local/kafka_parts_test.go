package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"tripcast.dev/local/kafkatest"
)

// realUser is the environment of who reaches a real Kafka encrypted and with a
// password.
func realUser(b *kafkatest.Broker) map[string]string {
	return map[string]string{
		"KAFKA_SECURITY_PROTOCOL": string(kafkatest.SASLSSL), "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
		"KAFKA_USERNAME": kafkatest.User, "KAFKA_PASSWORD": kafkatest.Password, "KAFKA_CA_CERT": b.Certificates.CA,
	}
}

// TestKafkaParts is the main job with every part replaced: Apache Kafka over TLS
// and with a password, redis-server, the stream behind --materialize, and the
// functions as they are deployed. What is left is Knative's stand-in.
func TestKafkaParts(t *testing.T) {
	const trips = "3000"
	b, redis := realKafka(t), startRedis(t)
	env := realUser(b)
	variables := []string{"KAFKA_BROKERS=" + b.Addr(kafkatest.SASLSSL)}
	for name, value := range env {
		variables = append(variables, name+"="+value)
	}
	stream := local(t, variables, "stream", "--sql-listen", "127.0.0.1:0").says(t, "SQL ")
	commands := build(t, "predict", "learn", "promote")
	predict, learn, promote, ingress := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	spawn(t, "predict", filepath.Join(commands, "predict"), []string{
		"REDIS_URL=" + redis.url(), "LISTEN_ADDRESS=" + predict, "K_SINK=http://" + ingress + "/tripcast/predictions",
	})
	spawn(t, "learn", filepath.Join(commands, "learn"), []string{"REDIS_URL=" + redis.url(), "LISTEN_ADDRESS=" + learn})
	spawn(t, "promote", filepath.Join(commands, "promote"), []string{"REDIS_URL=" + redis.url(), "LISTEN_ADDRESS=" + promote})

	var out, log output
	in := invoke(&out, &log, "--kafka", b.Addr(kafkatest.SASLSSL), "--redis", redis.url(),
		"--materialize", "postgres://materialize@"+stream+"/materialize?sslmode=disable",
		"--predict", "http://"+predict, "--learn", "http://"+learn, "--promote", "http://"+promote, "--ingress-listen", ingress,
		"--limit", trips, "--speed", "0", "--exit-when-done", "--report", "-")
	in.getenv = func(name string) string { return env[name] }
	if code := run(t.Context(), in); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &log)
	}
	var r Report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatal(err)
	}
	wantAll(t, r, 3000)
	if r.Duplicates != 0 || r.DeadLetters != 0 {
		t.Errorf("duplicates %d, dead letters %d: want none\n%s", r.Duplicates, r.DeadLetters, &log)
	}
	t.Logf("%.0f trips/s, lag %.0f/%.0f ms (p50/p99)", r.TripsPerS, r.Lag.P50, r.Lag.P99)
}
