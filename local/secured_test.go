package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/local/broker"
)

func users(password string) map[string]string {
	return map[string]string{
		"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_USERNAME": "ann", "KAFKA_PASSWORD": password,
	}
}

func secured(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0", Users: []broker.User{{Mechanism: "SCRAM-SHA-512", Name: "ann", Password: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// TestSecuredKafka is the main job on a broker that wants a user: every client
// of the system has to be one, and Materialize is told first whom to be.
func TestSecuredKafka(t *testing.T) {
	b := secured(t)
	var env []string
	for name, value := range users("secret") {
		env = append(env, name+"="+value)
	}
	stream := local(t, env, "stream", "--kafka", b.Addr(), "--sql-listen", "127.0.0.1:0").says(t, "SQL ")
	var out, log output
	in := invoke(&out, &log, "--free-ports", "--kafka", b.Addr(), "--materialize", "postgres://materialize@"+stream+"/materialize",
		"--limit", "300", "--speed", "0", "--exit-when-done", "--report", "-", "--samples", t.TempDir()+"/samples.csv")
	in.getenv = func(name string) string { return users("secret")[name] }
	if code := run(t.Context(), in); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &log)
	}
	if !strings.Contains(log.String(), "SCRAM-SHA-512 as ann") || strings.Contains(log.String(), "secret") {
		t.Errorf("it should say as whom it connects, and not the password:\n%s", &log)
	}
	if !strings.Contains(out.String(), `"labels":300`) {
		t.Errorf("the report is %s", &out)
	}
}

// TestKafkaRefuses shows what a user sees who cannot get into Kafka: one line
// that names the place, and nothing after it.
func TestKafkaRefuses(t *testing.T) {
	b := secured(t)
	nobody := freeAddress(t)
	redis := "redis://" + miniredis.RunT(t).Addr()
	functions := []string{"--predict", "http://127.0.0.1:1", "--learn", "http://127.0.0.1:1", "--promote", "http://127.0.0.1:1"}
	commands := map[string][]string{
		"whole":    {"--free-ports"},
		"stream":   {"stream", "--sql-listen", "127.0.0.1:0"},
		"eventing": append([]string{"eventing", "--ingress-listen", "127.0.0.1:0"}, functions...),
		"watch":    {"watch", "--redis", redis, "--expect", "1"},
	}
	for name, command := range commands {
		for _, c := range []struct {
			what, at string
			env      map[string]string
			code     int
			says     []string
		}{
			{"wrong password", b.Addr(), users("wrong"), exitLost, []string{b.Addr(), "user ann with this password"}},
			{"no user", b.Addr(), nil, exitLost, []string{b.Addr(), "KAFKA_USERNAME"}},
			{"nobody there", nobody, users("secret"), exitLost, []string{nobody, "refused"}},
			{"half a user", b.Addr(), map[string]string{"KAFKA_USERNAME": "ann"}, exitUsage, []string{"KAFKA_USERNAME"}},
			{"no port", "127.0.0.1", nil, exitUsage, []string{"--kafka", "127.0.0.1"}},
		} {
			t.Run(name+" "+c.what, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var log output
				in := invoke(io.Discard, &log, append(command, "--kafka", c.at)...)
				in.getenv = func(name string) string { return c.env[name] }
				if code := run(ctx, in); code != c.code {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				if strings.Count(log.String(), "\n") != 1 {
					t.Errorf("want one line:\n%s", &log)
				}
				for _, word := range c.says {
					if !strings.Contains(log.String(), word) {
						t.Errorf("want %q in\n%s", word, &log)
					}
				}
			})
		}
	}
}

func TestHealth(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	redis := miniredis.RunT(t)
	stream := local(t, nil, "stream", "--kafka", b.Addr(), "--sql-listen", "127.0.0.1:0").says(t, "SQL ")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" {
			http.Error(w, "the models are not loaded yet\nat all", http.StatusServiceUnavailable)
		}
	}))
	defer web.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	nobody := freeAddress(t)
	alone := local(t, nil, "health", "redis://"+nobody)
	if err := alone.wait(t); err == nil || strings.Count(alone.log.String(), "\n") != 1 {
		t.Errorf("%v, want one line of a process on its own:\n%s", err, &alone.log)
	}
	for _, c := range []struct {
		target string
		code   int
		says   string
	}{
		{"tcp://" + silent.Addr().String(), exitOK, "tcp answers"},
		{"http://" + web.Listener.Addr().String() + "/ready", exitOK, "http answers"},
		{"kafka://" + b.Addr(), exitOK, "kafka answers"},
		{"kafka://" + b.Addr() + "/features,labels", exitOK, "kafka answers"},
		{"redis://" + redis.Addr(), exitOK, "redis answers"},
		{"postgres://materialize@" + stream + "/materialize", exitOK, "postgres answers"},

		{"tcp://" + nobody, exitLost, "refused"},
		{"http://" + nobody, exitLost, "refused"},
		{"http://" + web.Listener.Addr().String() + "/", exitLost, "503 Service Unavailable: the models are not loaded yet"},
		{"kafka://" + nobody, exitLost, "refused"},
		{"kafka://" + b.Addr() + "/features,nix", exitLost, "topic nix does not exist"},
		{"redis://" + nobody, exitLost, "refused"},
		{"postgres://materialize:secret@" + nobody + "/materialize", exitLost, "refused"},
		{"postgres://materialize@" + silent.Addr().String() + "/materialize", exitLost, "timeout"},

		// pgx tells every address on a line of its own.
		{"postgres://materialize@localhost:1/materialize", exitLost, "refused"},

		{"nix", exitUsage, "is not like tcp://HOST:PORT"},
		{"ftp://" + nobody, exitUsage, "none of tcp"},
	} {
		var out output
		code := run(t.Context(), invoke(&out, &out, "health", "--within", "2s", c.target))
		if code != c.code || !strings.Contains(out.String(), c.says) || strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "secret") {
			t.Errorf("%s: exit code %d, want %d and one line with %q:\n%s", c.target, code, c.code, c.says, &out)
		}
	}
}
