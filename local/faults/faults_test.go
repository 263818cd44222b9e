// Package faults holds learning to its promise while everything that can break
// does: four learn processes, the embedded Redis, a real redis-server or a Redis
// Cluster, the embedded Kafka, and KafkaSources that deliver every label at least twice. In
// the end each model has learned each label once, and its state is, bit for bit,
// that of learning the committed order once in one process.
//
// The short run is among the tests. `task test:faults` is the long one: so many
// labels, the cluster, and mistakes in the code that have to be found.
package faults

import (
	"cmp"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/registry"
)

var (
	labels = flag.Int("faults.labels", 0, "run with so many `labels`: see TestLong")
	faults = flag.Int("faults.count", 200, "so many `faults` in the long run")
	seed   = flag.Uint64("faults.seed", 0, "the `seed` of the faults, 0 draws one")
)

func TestMain(m *testing.M) {
	flag.Parse()
	registry.Silence() // the tests' own clients see the faults, too
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	os.Exit(m.Run())
}

// TestShort is what the others are, with few labels.
func TestShort(t *testing.T) {
	if *labels != 0 {
		t.Skip("the long run was asked for")
	}
	learn := buildLearn(t, nil)
	for _, on := range []string{onMiniredis, onRedisServer} {
		t.Run(on, func(t *testing.T) {
			s := start(t, setup{labels: 2_000, learn: learn, redis: on})
			s.run(schedule(*seed, 10, s.labels))
			s.finish(t)
		})
	}
}

// TestLong runs with the embedded Redis, with a redis-server and with a Redis
// Cluster of three masters, only if asked:
//
//	go test -run TestLong -v ./local/faults -faults.labels 50000
func TestLong(t *testing.T) {
	if *labels == 0 {
		t.Skip("NOT TESTED: -faults.labels says with how many labels")
	}
	learn := buildLearn(t, nil)
	for _, on := range []string{onMiniredis, onRedisServer, onCluster} {
		t.Run(on, func(t *testing.T) {
			s := start(t, setup{labels: *labels, learn: learn, redis: on})
			s.run(schedule(*seed, *faults, s.labels))
			s.finish(t)
		})
	}
}

// mistake is one that somebody could make in functions/registry: a text that
// occurs once in a file, and what stands there instead.
type mistake struct {
	name, file, old, new string
	says                 string // what is said of it
	by                   fault  // the one that shows it, "" is each now and then
}

var mistakes = []mistake{
	{
		name: "what was learned is not remembered", file: "head.go",
		old: "pipe.SAdd(ctx, idsKey(model, h.ids), ids...)", new: "",
		says: "labels are behind it",
	},
	{
		name: "whoever commits does not look whether others have", file: "worker.go",
		old: `pipe.Do(ctx, "watch", headKey(w.spec.Name), idsKey(w.spec.Name, "a"), idsKey(w.spec.Name, "b"))`, new: "",
		says: "is not the one before",
	},
	{
		name: "a commit is no transaction", file: "worker.go",
		old: "_, err = tx.TxPipelined(", new: "_, err = tx.Pipelined(",
		says: "is not the one before",
	},
	{
		name: "a label is acknowledged whose commit failed", file: "worker.go",
		old:  "time.Sleep(pause(attempt))",
		new:  "for _, j := range batch {\n\t\t\t\tj.results <- Outcome{Model: w.spec.Name}\n\t\t\t}\n\t\t\treturn",
		says: "never learned",
	},
	{
		// The count is right, and each label there once: only the state is not. It
		// shows where a learner is the first to commit again after it could not.
		name: "what was not committed stays learned", file: "worker.go",
		old: "w.pipeline = nil // it may have learned what was not committed", new: "",
		says: "not that of its labels in their order", by: redisKilled,
	},
}

// TestMistakes makes mistakes, one at a time, which the run has to find: a run
// that finds nothing wrong says something only if it would have.
func TestMistakes(t *testing.T) {
	if *labels == 0 {
		t.Skip("NOT TESTED: only in the long run, see TestLong")
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			s := start(t, setup{labels: 2_000, learn: buildLearn(t, &m), redis: onRedisServer})
			plan := schedule(*seed, 30, s.labels)
			for i := range plan {
				plan[i].fault = cmp.Or(m.by, plan[i].fault)
			}
			s.run(plan)
			s.await("every label is delivered", s.delivered)
			err := s.verify(t.Context())
			if err == nil || !strings.Contains(err.Error(), m.says) {
				t.Errorf("not found, want %q in: %v", m.says, err)
			}
			t.Logf("found: %.2000v", err)
		})
	}
}
