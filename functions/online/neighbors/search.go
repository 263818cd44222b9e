package neighbors

import "math"

// search is the scratch of one search: what is searched for, and the nearest
// that were found so far, in order. Nearer is at a smaller distance or, at the
// same one, older.
type search struct {
	x    []float64
	k    int
	dist []float64
	rank []int32   // by age, as the window counts it
	y    []float64 // the labels, once all are found

	weights []float64
	bounds  []float64 // of the blocks of an index
}

func newSearch(width, k int) *search {
	return &search{x: make([]float64, width), k: k}
}

func (s *search) reset() {
	s.dist, s.rank, s.y, s.weights = s.dist[:0], s.rank[:0], s.y[:0], s.weights[:0]
}

// limit is the distance above which nothing is among the nearest any more.
func (s *search) limit() float64 {
	if len(s.dist) < s.k {
		return math.Inf(1)
	}
	return s.dist[len(s.dist)-1]
}

// add takes what is at distance d among the nearest if it is nearer than the last of them.
func (s *search) add(d float64, rank int32) {
	i := len(s.dist)
	if i < s.k {
		s.dist, s.rank = append(s.dist, d), append(s.rank, rank)
	} else if i--; !nearer(d, rank, s.dist[i], s.rank[i]) {
		return
	}
	for ; i > 0 && nearer(d, rank, s.dist[i-1], s.rank[i-1]); i-- {
		s.dist[i], s.rank[i] = s.dist[i-1], s.rank[i-1]
	}
	s.dist[i], s.rank[i] = d, rank
}

func nearer(d float64, rank int32, than float64, thanRank int32) bool {
	return d < than || d == than && rank < thanRank
}

// metric is the p of the distance.
type metric int

const (
	manhattan metric = 1
	euclidean metric = 2 // squared
)

// distance is the sum of |a-b|**p in the order of the vector.
func (m metric) distance(a, b []float64) (d float64) {
	b = b[:len(a)]
	if m == manhattan {
		for i, v := range a {
			d += math.Abs(v - b[i])
		}
		return d
	}
	for i, v := range a {
		diff := v - b[i]
		d += float64(diff * diff)
	}
	return d
}

// scan adds the rows of points, the first of which has this rank and every
// other the next one.
func (m metric) scan(s *search, points []float64, rank int32) {
	x, limit := s.x, s.limit()
	for ; len(points) >= len(x) && len(x) > 0; rank++ {
		if d := m.distance(points[:len(x)], x); d <= limit {
			s.add(d, rank)
			limit = s.limit()
		}
		points = points[len(x):]
	}
}
