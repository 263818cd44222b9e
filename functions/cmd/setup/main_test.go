package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
	"tripcast.dev/functions/registry"
	"tripcast.dev/sql"
	"tripcast.dev/sql/sqltest"
)

func TestMain(m *testing.M) {
	registry.Silence()
	os.Exit(m.Run())
}

// describe is everything about the topics that setup decides.
func describe(t *testing.T, e environment) map[string]string {
	t.Helper()
	connection, err := kafka.FromEnv(func(name string) string { return e[name] })
	if err != nil {
		t.Fatal(err)
	}
	client, err := connection.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), details.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	topics := map[string]string{}
	for _, c := range configs {
		text := strconv.Itoa(len(details[c.Name].Partitions)) + " partitions"
		slices.SortFunc(c.Configs, func(a, b kadm.Config) int { return strings.Compare(a.Key, b.Key) })
		for _, config := range c.Configs {
			if config.Key == configRetention || config.Key == configCleanup {
				text += " " + config.Key + "=" + config.MaybeValue()
			}
		}
		topics[c.Name] = text
	}
	return topics
}

func TestEverythingTwice(t *testing.T) {
	e, _, store, server := servers(t)
	code, out, errs := e.run(t, "--partitions", "4", "--retention", "24h")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	for _, want := range []string{
		"topics: created pick_ups, features, predictions, drop_offs, labels, champions, dead_letters; 0 were there, on Kafka at " + e["KAFKA_BROKERS"],
		"champion city-grid-neighbors, in Redis at " + store.Addr(),
		fmt.Sprintf("sql: created %d; 0 were there, in Materialize at %s\n", objects(t)+1, server.Address), // and a secret
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	topics := describe(t, e)
	for _, name := range events.Topics() {
		want := "4 partitions cleanup.policy=delete retention.ms=86400000"
		if name == events.TopicDeadLetters {
			want = "1 partitions cleanup.policy=delete retention.ms=-1"
		}
		if name == events.TopicChampions {
			want = "1 partitions cleanup.policy=delete retention.ms=86400000"
		}
		if topics[name] != want {
			t.Errorf("%s has %q, want %q", name, topics[name], want)
		}
	}
	models, statements := store.Dump(), server.Changes()
	if !strings.Contains(models, "city-grid-neighbors") {
		t.Error("the models are not in Redis")
	}

	code, out, errs = e.run(t, "--partitions", "4", "--retention", "24h")
	if code != exitOK || errs != "" || strings.Count(out, "\n") != 3 {
		t.Errorf("again: exit code %d: %s%s, want one line per step", code, out, errs)
	}
	if want := "topics: all 7 are there, on Kafka at " + e["KAFKA_BROKERS"]; !strings.Contains(out, want) {
		t.Errorf("%q is not in\n%s", want, out)
	}
	if again := describe(t, e); !maps.Equal(again, topics) {
		t.Errorf("topics %v became %v", topics, again)
	}
	if again := store.Dump(); again != models {
		t.Errorf("what is in Redis became\n%s", again)
	}
	if want := fmt.Sprintf("sql: created 0; %d were there, in Materialize at %s\n", objects(t)+1, server.Address); !strings.Contains(out, want) {
		t.Errorf("%q is not in\n%s", want, out)
	}
	if again, want := server.Changes()[len(statements):], "ALTER SECRET redpanda_password AS 's3''cret'"; !slices.Equal(again, []string{want}) {
		t.Errorf("again Materialize was told %q, want %q and nothing else", again, want)
	}
}

// objects is how many the program has.
func objects(t *testing.T) int {
	t.Helper()
	program, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return len(program)
}

// made are the statements that were not comments.
func made(server *sqltest.Server) []string {
	return slices.DeleteFunc(server.Changes(), func(s string) bool { return strings.HasPrefix(s, "COMMENT ON ") })
}

// What is there and differs is told of, and stays.
func TestDrift(t *testing.T) {
	e, _, _, server := servers(t)
	if code, _, errs := e.run(t, "topics", "sql"); code != exitOK {
		t.Fatal(errs)
	}
	server.Run(t, "CREATE VIEW forgotten AS SELECT 1")
	before := server.Objects()
	code, out, errs := e.run(t, "--trip-retention", "2 days", "sql")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	for _, want := range []string{
		"sql: WARNING: changed: view pick_ups_typed is not as 10_trips.sql:9 has it now: drop ",
		"sql: WARNING: extra: view forgotten is in no file: DROP VIEW forgotten, if nobody needs it\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if after := server.Objects(); !slices.Equal(after, before) {
		t.Errorf("%q became %q", before, after)
	}
}

func TestCluster(t *testing.T) {
	e, _, _, server := servers(t)
	code, out, errs := e.run(t, "--cluster", "trips", "topics", "sql")
	want := "setup: materialize at " + server.Address + ": sql: there is no cluster trips: there are quickstart, and CREATE CLUSTER makes one\n"
	if code != exitFail || errs != want || len(server.Changes()) > 0 {
		t.Errorf("exit code %d: %s%s, want %s", code, out, errs, want)
	}
	server.Set(func(o *sqltest.Options) { o.Clusters = []string{"quickstart", "trips"} })
	if code, _, errs := e.run(t, "--cluster", "trips", "sql"); code != exitOK || server.Changes()[0] != `SET cluster = "trips"` {
		t.Errorf("exit code %d: %s, and first %q", code, errs, server.Changes())
	}
}

// What Materialize is told depends on what Kafka wants.
func TestConnectionOfMaterialize(t *testing.T) {
	secured, _, _, server := servers(t)
	if code, out, errs := secured.run(t, "--materialize-kafka", "kafka:9092,other:9092", "topics", "sql"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	const password = "'s3''cret'"
	want := []string{
		"CREATE SECRET IF NOT EXISTS redpanda_password AS " + password,
		"ALTER SECRET redpanda_password AS " + password,
		"CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA ( BROKERS ('kafka:9092', 'other:9092'), SECURITY PROTOCOL = 'SASL_PLAINTEXT'," +
			" SASL MECHANISMS = 'SCRAM-SHA-256', SASL USERNAME = 'app', SASL PASSWORD = SECRET redpanda_password )",
	}
	statements := made(server)
	if len(statements) < 3 || !slices.Equal(statements[:3], want) {
		t.Errorf("Materialize was told %q\nwant first %q", statements, want)
	}
	program, err := sql.Load(sql.Files(), sql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(statements) - 3; got != len(program)-1 {
		t.Errorf("%d statements followed, want the %d of the program but for its connection", got, len(program))
	}

	broker := startKafka(t).ListenAddrs()[0]
	server = sqltest.Start(t, "127.0.0.1:0")
	plain := environment{"KAFKA_BROKERS": broker + "," + nobody(t), "MATERIALIZE_URL": "postgres://materialize@" + server.Address}
	if code, out, errs := plain.run(t, "sql", "topics"); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if got, want := server.Changes()[0], "CREATE CONNECTION IF NOT EXISTS redpanda TO KAFKA ( BROKER '"+broker+"', SECURITY PROTOCOL = 'PLAINTEXT' )"; got != want {
		t.Errorf("Materialize was told %q, want %q", got, want)
	}
}

// Topics that exist are told about, and left as they are.
func TestTopicsThatExist(t *testing.T) {
	cluster := startKafka(t, kfake.SeedTopics(5, events.TopicPickUps), kfake.SeedTopics(1, events.TopicDropOffs), kfake.SeedTopics(3, events.TopicLabels))
	e := environment{"KAFKA_BROKERS": cluster.ListenAddrs()[0]}
	configure(t, cluster, events.TopicLabels, map[string]string{configRetention: "3600000", configCleanup: "compact"})
	configure(t, cluster, events.TopicPickUps, map[string]string{configRetention: "-1"})
	before := describe(t, e)

	code, out, errs := e.run(t, "topics")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{
		"topics: pick_ups has 5 partitions, not 3: left as it is\n",
		"topics: WARNING: drop_offs has 1 partitions, fewer than 3: left as it is, because with more the records of a trip would move to another one\n",
		"topics: labels has retention.ms=3600000 (1h0m0s), not retention.ms=604800000 (168h0m0s): left as it is\n",
		"topics: labels has cleanup.policy=compact, not cleanup.policy=delete: left as it is\n",
		"topics: pick_ups has retention.ms=-1 (for ever), not retention.ms=604800000 (168h0m0s): left as it is\n",
		"topics: created features, predictions, champions, dead_letters; 3 were there, on Kafka at ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	after := describe(t, e)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was %q and is %q", name, was, after[name])
		}
	}
}

func configure(t *testing.T, cluster *kfake.Cluster, topic string, configs map[string]string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var changes []kadm.AlterConfig
	for name, value := range configs {
		changes = append(changes, kadm.AlterConfig{Name: name, Value: &value})
	}
	answers, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), changes, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}

// A catalogue of one's own, and a mistake in it, found before anything is made.
func TestModelsOfAFile(t *testing.T) {
	e, cluster, store, _ := servers(t)
	file := filepath.Join(t.TempDir(), "models.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("champion: x\nmodels:\n  - {name: x, features: [a], model: Oracle}\n")
	code, out, errs := e.run(t, "--models", file)
	if code != exitFail || !strings.Contains(errs, file) || !strings.Contains(errs, "line 3") || out != "" {
		t.Errorf("a mistake: exit code %d: %s%s", code, out, errs)
	}
	if cluster.TopicInfo(events.TopicPickUps) != nil {
		t.Error("the topics were made before the catalogue was read")
	}
	write("champion: x\nmodels:\n  - {name: x, features: [a], model: LinearRegression}\n")
	code, out, errs = e.run(t, "--models", file, "models")
	if want := "models: 1, champion x, in Redis at " + store.Addr() + "\n"; code != exitOK || out != want {
		t.Errorf("exit code %d: %s%s, want %q", code, out, errs, want)
	}
	if code, _, errs := e.run(t, "--models", file+".none", "models"); code != exitFail || !strings.Contains(errs, "models.yaml.none: no such file") {
		t.Errorf("no such file: exit code %d: %s", code, errs)
	}
}

// whenWaiting does something as soon as setup says that it waits for a server.
type whenWaiting struct {
	mu   sync.Mutex
	text bytes.Buffer
	then map[string]func()
}

func (w *whenWaiting) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for server, do := range w.then {
		if bytes.HasPrefix(p, []byte("waiting up to 1m0s for "+server+": ")) {
			do()
			delete(w.then, server)
		}
	}
	return w.text.Write(p)
}

// Every server comes after setup has begun to wait for it.
func TestWaitsForServers(t *testing.T) {
	kafkaAt, redisAt, materializeAt := nobody(t), nobody(t), nobody(t)
	_, port, _ := strings.Cut(kafkaAt, ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	out := &whenWaiting{then: map[string]func(){
		"Kafka": func() { startKafka(t, kfake.Ports(number)) },
		"Redis": func() {
			store := miniredis.NewMiniRedis()
			if err := store.StartAddr(redisAt); err != nil {
				t.Error(err)
			}
			t.Cleanup(store.Close)
		},
		"Materialize": func() { sqltest.Start(t, materializeAt) },
	}}
	e := environment{"KAFKA_BROKERS": kafkaAt, "REDIS_URL": "redis://" + redisAt, "MATERIALIZE_URL": "postgres://materialize@" + materializeAt}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"--wait", "1m"}, func(name string) string { return e[name] }, out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, &out.text, &errs)
	}
	const refused = ": connect: connection refused\n"
	for _, want := range []string{
		"waiting up to 1m0s for Kafka: kafka: nobody listens at " + kafkaAt + refused,
		"waiting up to 1m0s for Redis: redis: nobody listens at " + redisAt + refused,
		"waiting up to 1m0s for Materialize: materialize: nobody listens at " + materializeAt + refused,
	} {
		if strings.Count(out.text.String(), want) != 1 {
			t.Errorf("%q is not once in\n%s", want, &out.text)
		}
	}
	if n := strings.Count(out.text.String(), "\n"); n != 6 {
		t.Errorf("%d lines, want 3 of waiting and 3 of what was done:\n%s", n, &out.text)
	}
}

// A step that needs two servers tells of both that it waits for.
func TestWaitsForTwoServers(t *testing.T) {
	kafkaAt, materializeAt := nobody(t), nobody(t)
	_, port, _ := strings.Cut(kafkaAt, ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	out := &whenWaiting{then: map[string]func(){
		"Kafka":       func() { startKafka(t, kfake.Ports(number), kfake.SeedTopics(1, events.Topics()...)) },
		"Materialize": func() { sqltest.Start(t, materializeAt) },
	}}
	e := environment{"KAFKA_BROKERS": kafkaAt, "MATERIALIZE_URL": "postgres://materialize@" + materializeAt}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"--wait", "1m", "sql"}, func(name string) string { return e[name] }, out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, &out.text, &errs)
	}
	if n := strings.Count(out.text.String(), "waiting up to"); n != 2 {
		t.Errorf("%d lines of waiting, want 2:\n%s", n, &out.text)
	}
}

// A server that says that it starts is waited for as one that is not there.
func TestWaitsForMaterializeToStart(t *testing.T) {
	e, _, _, server := servers(t)
	server.Set(func(o *sqltest.Options) {
		o.Starting = &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the system is starting up"}
	})
	out := &whenWaiting{then: map[string]func(){"Materialize": func() { server.Set(func(o *sqltest.Options) { o.Starting = nil }) }}}
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"--wait", "1m", "topics", "sql"}, func(name string) string { return e[name] }, out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, &out.text, &errs)
	}
}

func TestSignalEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &whenWaiting{then: map[string]func(){"Kafka": cancel}}
	e := environment{"KAFKA_BROKERS": nobody(t)}
	var errs bytes.Buffer
	if code := run(ctx, []string{"--wait", "1m"}, func(name string) string { return e[name] }, out, &errs); code != exitFail {
		t.Errorf("exit code %d: %s%s", code, &out.text, &errs)
	}
}
