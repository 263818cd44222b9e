package registry

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/registry/redistest"
)

var (
	benchLabels = flag.Int("registry.labels", 0, "measure with so many `labels`: see TestThroughput")
	update      = flag.Bool("update", false, "write the golden files, or what was measured into docs/bench-registry.md")
)

const (
	// grown is how many labels models have learned before anything is measured:
	// then those that keep neighbours have as many as they ever will.
	grown = 5_000

	// inFlight is how many labels the KafkaSource of infra/knative has under way.
	inFlight = 150

	benchDocument = "../../docs/bench-registry.md"
)

// benchCatalogue is the shipped one, or the demo's three models of it.
func benchCatalogue(t *testing.T, demo bool) *online.Catalogue {
	t.Helper()
	data, err := os.ReadFile("../../infra/models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := online.ParseCatalogue(data, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if demo {
		c.Models = c.Models[:3]
		c.Champion = c.Models[0].Name
	}
	return c
}

// bench is a redis-server that syncs every second, as one is deployed, and
// learners of grown models, each with connections of its own.
type bench struct {
	store     store
	catalogue *online.Catalogue
	labels    []Label // grown first, and then those to measure with
	learners  []*Committer
	execs     atomic.Int64 // commits that were tried
}

func newBench(t *testing.T, c *online.Catalogue, labels []Label, learners int) *bench {
	t.Helper()
	b := &bench{store: store{url: redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec").URL()}, catalogue: c, labels: labels}
	if err := Apply(t.Context(), b.store.client(t), c); err != nil {
		t.Fatal(err)
	}
	for range learners {
		client := b.store.client(t)
		client.AddHook(atExec(func() { b.execs.Add(1) }))
		b.learners = append(b.learners, committerOn(t, client, CommitterOptions{MaxWait: time.Minute}))
	}
	learnAll(t, b.learners[0], labels[:grown])
	b.execs.Store(0)
	return b
}

func (b *bench) commits(t *testing.T) (n uint64) {
	t.Helper()
	for _, spec := range b.catalogue.Models {
		n += b.store.head(t, spec.Name).version
	}
	return n
}

// rate is what learners do when labels are waiting all the time.
type rate struct {
	labels, commits, perCommit, conflicts float64 // a second, a second and model, labels, of a commit
}

// learn hands over labels one by one, as KafkaSources do, as many at a time as
// are in flight, to one learner after the other.
func (b *bench) learn(t *testing.T, inFlight int) rate {
	t.Helper()
	before, labels := b.commits(t), b.labels[grown:]
	next := make(chan int)
	var posting sync.WaitGroup
	started := time.Now()
	for range inFlight {
		posting.Go(func() {
			for n := range next {
				if _, err := b.learners[n%len(b.learners)].Learn(context.Background(), labels[n]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range labels {
		next <- n
	}
	close(next)
	posting.Wait()
	took := time.Since(started).Seconds()
	commits, models := float64(b.commits(t)-before), float64(len(b.catalogue.Models))
	for _, spec := range b.catalogue.Models {
		if n := b.store.head(t, spec.Name).count; n != uint64(len(b.labels)) {
			t.Errorf("%s has learned %d labels, want %d", spec.Name, n, len(b.labels))
		}
	}
	return rate{
		labels: float64(len(labels)) / took, commits: commits / models / took,
		perCommit: float64(len(labels)) * models / commits, conflicts: (float64(b.execs.Load()) - commits) / commits,
	}
}

// TestThroughput measures how many labels learners commit a second. Every label
// is learned once, or it fails. It takes a minute, and runs only if asked:
//
//	go test -run 'TestThroughput|TestStaleness' -v ./functions/registry -registry.labels 20000
func TestThroughput(t *testing.T) {
	if *benchLabels == 0 {
		t.Skip("NOT MEASURED: -registry.labels says with how many labels")
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| models | learners | in flight | labels/s | commits/s of a model | labels a commit | conflicts a commit |\n|---|---|---|---|---|---|---|\n")
	for _, demo := range []bool{true, false} {
		c := benchCatalogue(t, demo)
		labels := shippedLabels(t, benchCatalogue(t, false), grown+*benchLabels)
		for _, load := range []int{inFlight, 4 * inFlight} {
			for _, learners := range []int{1, 2, 4} {
				r := newBench(t, c, labels, learners).learn(t, load)
				fmt.Fprintf(&table, "| %s | %d | %d | %.0f | %.0f | %.0f | %.2f |\n", named(demo), learners, load, r.labels, r.commits, r.perCommit, r.conflicts)
			}
		}
	}
	publish(t, "throughput", table.String())
}

func named(demo bool) string {
	if demo {
		return "the demo's three"
	}
	return "the six of infra/models.yaml"
}

// TestStaleness measures how long it takes from a label's arrival at learn until
// every model is served that has learned it.
func TestStaleness(t *testing.T) {
	if *benchLabels == 0 {
		t.Skip("NOT MEASURED: -registry.labels says with how many labels")
	}
	const perSecond = 1_000
	var table strings.Builder
	fmt.Fprintf(&table, "| models | learners | labels/s | learned p50 / p99 | served p50 / p99 |\n|---|---|---|---|---|\n")
	for _, demo := range []bool{true, false} {
		c := benchCatalogue(t, demo)
		labels := shippedLabels(t, benchCatalogue(t, false), grown+*benchLabels)
		for _, learners := range []int{1, 2} {
			learned, served := newBench(t, c, labels, learners).stale(t, perSecond)
			fmt.Fprintf(&table, "| %s | %d | %d | %s | %s |\n", named(demo), learners, perSecond, quantiles(learned), quantiles(served))
		}
	}
	publish(t, "staleness", table.String())
}

// stale hands over so many labels a second while a reader is asked for the
// models as often, and returns how long each took to be learned and to be served.
func (b *bench) stale(t *testing.T, perSecond int) (learned, served []time.Duration) {
	t.Helper()
	labels := b.labels[grown:]
	arrived, done := make([]time.Time, len(labels)), make([]time.Time, len(labels))
	versions := make([][]uint64, len(labels)) // that have learned it, of each model
	reader := b.store.reader(t, ReaderOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	firsts := make(chan []first)
	go func() { firsts <- b.serve(ctx, t, reader, time.Second/time.Duration(perSecond)) }()
	var posting sync.WaitGroup
	started := time.Now()
	for n, label := range labels {
		time.Sleep(time.Until(started.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		posting.Go(func() {
			arrived[n] = time.Now()
			outcomes, err := b.learners[n%len(b.learners)].Learn(context.Background(), label)
			if err != nil {
				t.Error(err)
			}
			done[n] = time.Now()
			for _, o := range outcomes {
				versions[n] = append(versions[n], o.Version)
			}
		})
	}
	posting.Wait()
	time.Sleep(2 * time.Second) // so that the last is served
	cancel()
	all := <-firsts
	for n := range labels {
		learned = append(learned, done[n].Sub(arrived[n]))
		i, _ := slices.BinarySearchFunc(all, versions[n], func(f first, want []uint64) int {
			for m, v := range f.versions {
				if v < want[m] {
					return -1
				}
			}
			return 0
		})
		if i == len(all) {
			t.Errorf("versions %v were never served", versions[n])
			continue
		}
		served = append(served, all[i].at.Sub(arrived[n]))
	}
	return learned, served
}

// first is when versions of the models, in the order of the catalogue, were
// served together first.
type first struct {
	versions []uint64
	at       time.Time
}

// serve asks a reader for the models again and again until ctx is done.
func (b *bench) serve(ctx context.Context, t *testing.T, reader *Reader, every time.Duration) (all []first) {
	var last *Models
	for ctx.Err() == nil {
		models, err := reader.Models(ctx)
		if err == nil && models != last && len(models.Healthy) == len(b.catalogue.Models) {
			f := first{at: time.Now()}
			for _, m := range models.Healthy {
				f.versions = append(f.versions, m.Version)
			}
			all, last = append(all, f), models
		} else if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		time.Sleep(every)
	}
	return all
}

// quantiles are the median and the 99th percentile, nearest rank.
func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	rank := func(q float64) int64 { return all[int(math.Ceil(q*float64(len(all))))-1].Milliseconds() }
	return fmt.Sprintf("%d / %d ms", rank(0.5), rank(0.99))
}

// publish logs a table, and puts it between the marks of its name in the document
// if that is asked for.
func publish(t *testing.T, name, table string) {
	t.Helper()
	t.Log("\n" + table)
	if !*update || t.Failed() {
		return
	}
	file := filepath.FromSlash(benchDocument)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table: %q and %q", file, begin, end)
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
