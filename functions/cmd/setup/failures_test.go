package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tripcast.dev/events"
	"tripcast.dev/sql"
	"tripcast.dev/sql/sqltest"
)

// TestFailures has what a user sees: one line, without a password, that names
// the server and the way out.
func TestFailures(t *testing.T) {
	e, cluster, store, server := servers(t)
	broker := cluster.ListenAddrs()[0]
	if code, _, errs := e.run(t, "topics"); code != exitOK {
		t.Fatal(errs)
	}
	away := nobody(t)
	starting := sqltest.Start(t, "127.0.0.1:0")
	starting.Set(func(o *sqltest.Options) {
		o.Starting = &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the system is starting up"}
	})
	noDatabase := sqltest.Start(t, "127.0.0.1:0")
	noDatabase.Set(func(o *sqltest.Options) {
		o.Starting = &pgproto3.ErrorResponse{Severity: "FATAL", Code: "3D000", Message: "unknown database 'trips'"}
	})
	loading := miniredis.RunT(t)
	loading.SetError("LOADING Redis is loading the dataset in memory")
	for _, c := range []struct {
		name string
		step string
		env  environment
		want string
	}{
		{"Kafka unreachable", "topics", e.with("KAFKA_BROKERS", away), "kafka: nobody listens at " + away + ": connect: connection refused"},
		{"Kafka's password", "topics", e.with("KAFKA_PASSWORD", "wrong"), "kafka: " + broker + " hangs up on user app with this password (SCRAM-SHA-256)"},
		{"Kafka's password, for Materialize", "sql", e.with("KAFKA_PASSWORD", "wrong"), "kafka: " + broker + " hangs up on user app with this password (SCRAM-SHA-256)"},
		{"Kafka and TLS", "topics", e.with("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), "kafka: " + broker + " speaks plaintext, but KAFKA_SECURITY_PROTOCOL is SASL_SSL: it should be SASL_PLAINTEXT"},
		{"Redis unreachable", "models", e.with("REDIS_URL", "redis://:"+secret+"@"+away), "redis: nobody listens at " + away + ": connect: connection refused"},
		{"Redis's host", "models", e.with("REDIS_URL", "redis://redis.invalid:6379"), "redis: nobody listens at redis.invalid:6379: lookup redis.invalid"},
		{"Redis without a password", "models", e.with("REDIS_URL", "redis://"+store.Addr()), "redis: " + store.Addr() + " wants a password: REDIS_URL would be redis://:PASSWORD@HOST:PORT (NOAUTH Authentication required"},
		{"Redis's password", "models", e.with("REDIS_URL", "redis://app:wrong@"+store.Addr()), "redis: " + store.Addr() + " refuses the user or the password of REDIS_URL (WRONGPASS "},
		{"Redis loading", "models", e.with("REDIS_URL", "redis://"+loading.Addr()), "redis: " + loading.Addr() + " is not ready: LOADING Redis is loading"},
		{"Redis is Materialize", "models", e.with("REDIS_URL", "redis://"+server.Address), "redis: what listens at " + server.Address + " does not answer as it should: "},
		{"Materialize unreachable", "sql", e.with("MATERIALIZE_URL", "postgres://app:"+secret+"@"+away+"/db"), "materialize: nobody listens at " + away + ": connect: connection refused"},
		{"Materialize's host", "sql", e.with("MATERIALIZE_URL", "postgres://materialize.invalid:6875/db"), "materialize: nobody listens at materialize.invalid:6875: lookup materialize.invalid"},
		{"Materialize's password", "sql", e.with("MATERIALIZE_URL", "postgres://app:wrong@"+server.Address+"/db"), "materialize: " + server.Address + " refuses user app with the password of MATERIALIZE_URL: invalid password"},
		{"Materialize's database", "sql", e.with("MATERIALIZE_URL", "postgres://app@"+noDatabase.Address+"/trips"), "materialize: " + noDatabase.Address + " has no database trips, which MATERIALIZE_URL names: unknown database 'trips'"},
		{"Materialize starting", "sql", e.with("MATERIALIZE_URL", "postgres://app@"+starting.Address), "materialize: " + starting.Address + " is not ready: the system is starting up"},
		{"Materialize and TLS", "sql", e.with("MATERIALIZE_URL", e["MATERIALIZE_URL"]+"?sslmode=require"), "materialize: " + server.Address + " has no TLS, which MATERIALIZE_URL wants: sslmode=disable goes without"},
		{"Materialize is Redis", "sql", e.with("MATERIALIZE_URL", "postgres://"+store.Addr()+"?sslmode=disable"), "materialize: what listens at " + store.Addr() + " does not answer as it should: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := c.env.run(t, "--wait", "0s", c.step)
			if code != exitFail || out != "" || !strings.HasPrefix(errs, "setup: "+c.want) {
				t.Errorf("exit code %d: %q\n%s\nwant setup: %s", code, out, errs, c.want)
			}
			if strings.Count(errs, "\n") != 1 || strings.Contains(errs, secret) {
				t.Errorf("%q is not one line without the password", errs)
			}
		})
	}
}

// A server that is not there is given up on with the reason, one that refuses at once.
func TestWaitEnds(t *testing.T) {
	e, cluster, _, _ := servers(t)
	away := nobody(t)
	code, out, errs := e.with("REDIS_URL", "redis://"+away).run(t, "--wait", "300ms", "models")
	reason := "redis: nobody listens at " + away + ": connect: connection refused\n"
	if code != exitFail || out != "waiting up to 300ms for Redis: "+reason || errs != "setup: "+reason {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	// With the default of two minutes, this test would not end in time.
	code, out, errs = e.with("KAFKA_PASSWORD", "wrong").run(t)
	if code != exitFail || out != "" {
		t.Errorf("exit code %d: %s%s, want no wait", code, out, errs)
	}
	if cluster.TopicInfo(events.TopicPickUps) != nil {
		t.Error("a topic was made")
	}
}

func TestMissingTopicsForMaterialize(t *testing.T) {
	cluster := startKafka(t, kfake.SeedTopics(3, events.TopicPickUps, events.TopicDropOffs, events.TopicPredictions, events.TopicFeatures, events.TopicChampions))
	server := sqltest.Start(t, "127.0.0.1:0")
	e := environment{"KAFKA_BROKERS": cluster.ListenAddrs()[0], "MATERIALIZE_URL": "postgres://app@" + server.Address}
	code, out, errs := e.run(t, "sql")
	want := "setup: kafka: topic labels does not exist on Kafka at " + cluster.ListenAddrs()[0] + ": `setup topics` creates it\n"
	if code != exitFail || out != "" || errs != want || len(server.Changes()) > 0 {
		t.Errorf("exit code %d: %s%s, want %s", code, out, errs, want)
	}
}

func TestTopicThatMayNotBeCreated(t *testing.T) {
	var acls []kfake.ACL
	for _, topic := range events.Topics() {
		acls = append(acls, kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true,
		})
	}
	cluster := startKafka(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "app", secret, acls...), kfake.SeedTopics(3, events.TopicPickUps))
	broker := cluster.ListenAddrs()[0]
	e := environment{
		"KAFKA_BROKERS": broker, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN",
		"KAFKA_USERNAME": "app", "KAFKA_PASSWORD": secret,
	}
	code, out, errs := e.run(t, "topics")
	if want := "setup: topics on Kafka at " + broker + ": create features: TOPIC_AUTHORIZATION_FAILED"; code != exitFail || !strings.HasPrefix(errs, want) {
		t.Errorf("exit code %d: %s%s, want %s", code, out, errs, want)
	}
}

// A statement that Materialize refuses is told with its place, and once.
func TestStatementsThatAreRefused(t *testing.T) {
	e, _, _, server := servers(t)
	if code, _, errs := e.run(t, "topics"); code != exitOK {
		t.Fatal(errs)
	}
	program, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		part   string // of the statement that is refused
		answer pgproto3.ErrorResponse
		want   string
	}{
		{"a view", "CREATE VIEW", pgproto3.ErrorResponse{Code: "42883", Message: "function ln(text) does not exist"}, "function ln(text) does not exist (SQLSTATE 42883)\n"},
		{
			"headers of sinks", "HEADERS headers",
			pgproto3.ErrorResponse{Code: "0A000", Message: "the HEADERS option for Kafka sinks is not supported"},
			"the HEADERS option for Kafka sinks is not supported (SQLSTATE 0A000): the headers of sinks are switched off",
		},
		{"a secret", "ALTER SECRET", pgproto3.ErrorResponse{Code: "42601", Message: "unexpected 's3''cret'"}, "unexpected … (SQLSTATE 42601)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.answer.Severity = "ERROR"
			server.Set(func(o *sqltest.Options) {
				o.Refuse = func(statement string) *pgproto3.ErrorResponse {
					if strings.Contains(statement, c.part) {
						return &c.answer
					}
					return nil
				}
			})
			place := "(connection):2"
			if i := slices.IndexFunc(program, func(s sql.Statement) bool { return strings.Contains(s.Text, c.part) }); i >= 0 {
				place = program[i].String()
			}
			want := "setup: materialize at " + server.Address + ": sql: " + place + ": ERROR: " + c.want
			code, out, errs := e.run(t, "sql")
			if code != exitFail || out != "" || !strings.HasPrefix(errs, want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit code %d: %s%s\nwant %s", code, out, errs, want)
			}
			if sink := strings.Contains(c.part, "HEADERS"); sink != strings.Contains(errs, "enable_kafka_sink_headers=true") {
				t.Errorf("the way out of switched-off headers, and of them alone: %s", errs)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  environment
		code int
		want string
	}{
		{"help", []string{"-h"}, nil, exitOK, "usage: setup"},
		{"no such step", []string{"everything"}, nil, exitUsage, `"everything" is no step: topics, models and sql are`},
		{"flag after a step", []string{"topics", "--partitions", "3"}, nil, exitUsage, `"--partitions" is no step`},
		{"no such flag", []string{"--force"}, nil, exitUsage, "-force"},
		{"partitions", []string{"--partitions", "0"}, nil, exitUsage, "--partitions 0: at least 1"},
		{"replicas", []string{"--replication-factor", "0"}, nil, exitUsage, "--replication-factor 0: at least 1, or -1"},
		{"retention", []string{"--retention", "0s"}, nil, exitUsage, "--retention 0s: above 0"},
		{"wait", []string{"--wait", "-1s"}, nil, exitUsage, "--wait -1s: not below 0"},
		{"Materialize's Kafka", []string{"--materialize-kafka", "redpanda"}, nil, exitUsage, `--materialize-kafka: "redpanda" is not host:port`},
		{"Kafka", []string{"sql"}, environment{"KAFKA_SECURITY_PROTOCOL": "TLS"}, exitUsage, `KAFKA_SECURITY_PROTOCOL: "TLS" is none of`},
		{"Redis", []string{"models"}, environment{"REDIS_URL": "http://:" + secret + "@x"}, exitUsage, "REDIS_URL: redis: invalid URL scheme: http"},
		{"Redis, no URL", []string{"models"}, environment{"REDIS_URL": "redis://:" + secret + "%zz@x"}, exitUsage, "REDIS_URL: invalid URL escape"},
		{"retention of trips", []string{"--trip-retention", "25h", "sql"}, nil, exitUsage, `trip_retention: "25h" is no interval above 0, such as 25 hours`},
		{"Materialize", []string{"sql"}, environment{"MATERIALIZE_URL": "postgres://app:" + secret + "@x/db?sslmode=maybe"}, exitUsage, "MATERIALIZE_URL: cannot parse"},
		{"Materialize, no URL", []string{"sql"}, environment{"MATERIALIZE_URL": "postgres://app:" + secret + "%zz@x/db"}, exitUsage, "MATERIALIZE_URL: cannot parse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := c.env.run(t, c.args...)
			if code != c.code || !strings.Contains(out+errs, c.want) {
				t.Errorf("exit code %d: %s%s, want %d and %q", code, out, errs, c.code, c.want)
			}
			if strings.Contains(errs, secret) || code == exitUsage && strings.Count(errs, "\n") != 1 {
				t.Errorf("%q is not one line without the password", errs)
			}
		})
	}
}
