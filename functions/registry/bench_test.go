package registry

import (
	"bytes"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/linear"
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
		{"miniredis", func(b *testing.B) store { return store{miniredis.RunT(b).Addr()} }},
		{"redis-server", func(b *testing.B) store { return store{startRedisServer(b)} }},
	}
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) {
			store := s.open(b)
			for _, kind := range []string{"LinearRegression", "Heavy"} {
				b.Run(kind, func(b *testing.B) {
					if err := store.client(b).FlushAll(b.Context()).Err(); err != nil {
						b.Fatal(err)
					}
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
