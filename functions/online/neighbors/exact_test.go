package neighbors

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// A search finds what a stable sort of all distances does, whatever the window
// and however it is indexed.
func TestSearchIsExact(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		width, size, k := 1+r.IntN(7), 1500+r.IntN(4000), 1+r.IntN(40)
		w := newWindow(width, size, 1+r.IntN(2))
		s := newSearch(width, k)
		// Few distinct values make ties, clusters make boxes that matter.
		draw := func(x []float64) {
			center := float64(r.IntN(5))
			for j := range x {
				switch seed % 3 {
				case 0:
					x[j] = float64(r.IntN(4))
				case 1:
					x[j] = center + 0.1*r.NormFloat64()
				default:
					x[j] = r.NormFloat64()
				}
			}
			if r.IntN(500) == 0 {
				x[r.IntN(width)] = math.MaxFloat64
			}
		}
		x := make([]float64, width)
		for i := range 12_000 {
			draw(x)
			w.add(x, float64(i))
			if i%97 != 0 {
				continue
			}
			draw(s.x)
			w.nearest(s)
			dist, labels := bySorting(w, s.x, k)
			if !slices.Equal(s.dist, dist) || !slices.Equal(s.y, labels) {
				t.Fatalf("seed %d, event %d: finds %v at %v, want %v at %v", seed, i, s.y, s.dist, labels, dist)
			}
		}
		if w.blocks == nil && size >= minIndexed {
			t.Error("there is no index")
		}
	}
}

func bySorting(w window, x []float64, k int) (dist, labels []float64) {
	var found []key
	for n := w.oldest(); n < w.next; n++ {
		found = append(found, key{w.metric.distance(w.row(n), x), int32(n)})
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].value < found[j].value })
	for _, f := range found[:min(k, len(found))] {
		dist, labels = append(dist, f.value), append(labels, w.labels[int(f.rank)%w.size])
	}
	return dist, labels
}

func TestPart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		keys := make([]key, 2+r.IntN(200))
		values := 1 + r.IntN(300)
		for i := range keys {
			keys[i] = key{float64(r.IntN(values)), int32(i)}
		}
		n := 1 + r.IntN(len(keys)-1)
		part(keys, n)
		low, high := math.Inf(-1), math.Inf(1)
		seen := map[int32]bool{}
		for i, k := range keys {
			seen[k.rank] = true
			if i < n {
				low = max(low, k.value)
			} else {
				high = min(high, k.value)
			}
		}
		if low > high || len(seen) != len(keys) {
			t.Fatalf("%v is not parted at %d", keys, n)
		}
	}
}
