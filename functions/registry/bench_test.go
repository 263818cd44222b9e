package registry

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/registry/redistest"
)

// heavy is a linear regression with the state of a model that keeps much.
type heavy struct {
	*linear.Regression
	ballast []byte
}

func newHeavy(width int) online.Regressor {
	return &heavy{linear.NewRegression(width, linear.DefaultConfig()), bytes.Repeat([]byte("tripcast"), 50_000)}
}

func (m *heavy) AppendBinary(b []byte) ([]byte, error) {
	return m.Regression.AppendBinary(append(b, m.ballast...))
}

func (m *heavy) UnmarshalBinary(data []byte) error {
	return m.Regression.UnmarshalBinary(data[min(len(m.ballast), len(data)):])
}

// BenchmarkCommit is a label at a time: each is one commit, with all that goes
// with it.
func BenchmarkCommit(b *testing.B) {
	stores := []struct {
		name string
		open func(*testing.B) store
	}{
		{"miniredis", func(b *testing.B) store { return storeAt(miniredis.RunT(b).Addr()) }},
		{"redis-server", func(b *testing.B) store { return store{url: redistest.Start(b).URL()} }},
	}
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) {
			store := s.open(b)
			for _, kind := range []string{"LinearRegression", "Heavy"} {
				b.Run(kind, func(b *testing.B) {
					store.flush(b)
					store.applied(b, "one="+kind)
					committer := store.committer(b, CommitterOptions{})
					n := 0
					for b.Loop() {
						learnN(b, committer, n, n+1)
						n++
					}
					b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "commits/s")
				})
			}
		})
	}
}

// BenchmarkHistory is labels in commits of different sizes, and what a label
// costs Redis in the stream that says when it was learned, and a commit in the
// lineage. BenchmarkCommit says what that costs in time.
func BenchmarkHistory(b *testing.B) {
	store := store{url: redistest.Start(b).URL()}
	client := store.client(b)
	bytes := func(key string) float64 {
		n, err := client.MemoryUsage(b.Context(), key, 0).Result()
		if err != nil {
			b.Fatal(err)
		}
		return float64(n)
	}
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d labels", size), func(b *testing.B) {
			store.flush(b)
			store.applied(b, "one=LinearRegression")
			committer := store.committer(b, CommitterOptions{MaxBatch: size, LineageLength: math.MaxInt32})
			commits := 0
			for b.Loop() {
				learnAll(b, committer, labelsN(commits*size, (commits+1)*size))
				commits++
			}
			b.ReportMetric(float64(commits*size)/b.Elapsed().Seconds(), "labels/s")
			b.ReportMetric(bytes(labelsKey("one"))/float64(commits*size), "B/label")
			b.ReportMetric(bytes(lineageKey("one"))/float64(commits), "B/commit")
			b.ReportMetric(bytes(idsKey("one", "a"))/float64(commits*size), "B/id")
		})
	}
}

// BenchmarkRebuild is a journey found and gone, of labels that are at hand.
func BenchmarkRebuild(b *testing.B) {
	const labels = 10_000
	store := store{url: redistest.Start(b).URL()}
	store.applied(b, "one=LinearRegression")
	learnAll(b, store.committer(b, CommitterOptions{MaxBatch: 16}), labelsN(0, labels))
	byID := labelled(labels)
	for b.Loop() {
		rebuild(b, store.travel(b, "one", Destination{}, true), byID)
	}
	b.ReportMetric(labels*float64(b.N)/b.Elapsed().Seconds(), "labels/s")
}

// BenchmarkWarmUp replays labels to each of the shipped models, 256 a commit.
func BenchmarkWarmUp(b *testing.B) {
	s := store{url: redistest.Start(b).URL()}
	data, err := os.ReadFile("../../infra/models.yaml")
	if err != nil {
		b.Fatal(err)
	}
	c, err := online.ParseCatalogue(data, testKinds())
	if err != nil {
		b.Fatal(err)
	}
	const labels = 20_000
	log := writtenTo(4, shippedLabels(b, c, labels)...)
	for _, spec := range c.Models {
		if spec.Name == c.Champion {
			continue
		}
		b.Run(spec.Name, func(b *testing.B) {
			for b.Loop() {
				s.flush(b)
				if err := Apply(b.Context(), s.client(b), c); err != nil {
					b.Fatal(err)
				}
				s.warmUp(b, spec.Name, log, WarmUpOptions{})
			}
			b.ReportMetric(float64(b.N)*labels/b.Elapsed().Seconds(), "labels/s")
		})
	}
}
