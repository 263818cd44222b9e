package neighbors

import (
	"cmp"
	"slices"
)

const (
	minIndexed = 2_048 // events from which on a window has an index
	maxTail    = 1_024 // events that an index may lack
	blockSize  = 32
)

// blocks is an index of a large window as it once was: its events in blocks of
// near ones, each with the box around it. A search passes over the blocks whose
// box is farther than the nearest it has, and that loses nothing: a distance to
// a box is summed in the order in which that to a point is, term by term not
// larger, and rounding keeps the order.
//
// It is made again every maxTail events; those that came since are searched one
// by one and those that left are passed over. That takes less than searching a
// window of thousands one by one, and a few milliseconds now and then.
type blocks struct {
	base, end int       // the numbers of the oldest event and of the first that is not in it
	points    []float64 // the rows, block by block
	ranks     []int32   // of the rows, from base
	boxes     []float64 // of every block, the smallest values and the largest
}

// key is a row by one of its features.
type key struct {
	value float64
	rank  int32
}

// newBlocks makes an index of w in the memory of an old one, which may be nil.
func newBlocks(w *window, b *blocks) *blocks {
	if b == nil {
		b = &blocks{}
	}
	b.base, b.end = w.oldest(), w.next
	keys := make([]key, w.len())
	for i := range keys {
		keys[i].rank = int32(i)
	}
	divide(w, keys)
	b.points, b.ranks, b.boxes = b.points[:0], b.ranks[:0], b.boxes[:0]
	for block := range slices.Chunk(keys, blockSize) {
		for _, k := range block {
			b.points = append(b.points, w.row(b.base+int(k.rank))...)
			b.ranks = append(b.ranks, k.rank)
		}
		b.bound(w.width, len(block))
	}
	return b
}

// bound appends the box around the last n points.
func (b *blocks) bound(width, n int) {
	points := b.points[len(b.points)-n*width:]
	b.boxes = append(b.boxes, points[:width]...)
	b.boxes = append(b.boxes, points[:width]...)
	box := b.boxes[len(b.boxes)-2*width:]
	low, high := box[:width], box[width:]
	for row := range slices.Chunk(points, width) {
		for j, v := range row {
			low[j], high[j] = min(low[j], v), max(high[j], v)
		}
	}
}

// divide orders keys so that every block of them is of near events: it halves
// them across the feature of the widest range until there is one block left.
func divide(w *window, keys []key) {
	for len(keys) > blockSize {
		feature := widest(w, keys)
		for i := range keys {
			keys[i].value = w.row(w.oldest() + int(keys[i].rank))[feature]
		}
		n := (len(keys)/blockSize + 1) / 2 * blockSize
		part(keys, n)
		divide(w, keys[:n])
		keys = keys[n:]
	}
}

// widest is the feature of the widest range.
func widest(w *window, keys []key) (feature int) {
	var limits [2][]float64
	for i := range limits {
		limits[i] = slices.Clone(w.row(w.oldest() + int(keys[0].rank)))
	}
	low, high := limits[0], limits[1]
	for _, k := range keys {
		for j, v := range w.row(w.oldest() + int(k.rank)) {
			low[j], high[j] = min(low[j], v), max(high[j], v)
		}
	}
	for j := range low {
		if high[j]-low[j] > high[feature]-low[feature] {
			feature = j
		}
	}
	return feature
}

// part orders keys so that no value in the first n is larger than one after
// them: Hoare's selection, or a sort where the values defeat that.
func part(keys []key, n int) {
	for tries := 0; len(keys) > blockSize/2; tries++ {
		if tries == 64 {
			break
		}
		pivot := middle(keys[0].value, keys[len(keys)/2].value, keys[len(keys)-1].value)
		i, j := 0, len(keys)-1
		for i <= j {
			for keys[i].value < pivot {
				i++
			}
			for keys[j].value > pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i++
				j--
			}
		}
		switch { // up to j none is larger than the pivot, from i on none smaller
		case n <= j:
			keys = keys[:j+1]
		case n >= i:
			keys, n = keys[i:], n-i
		default:
			return
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(a.value, b.value) })
}

func middle(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }

// search adds to s what is near, of those that are not older than oldest.
func (b *blocks) search(s *search, m metric, oldest int32) {
	width := len(s.x)
	first := 0
	s.bounds = s.bounds[:0]
	for i := 0; i < len(b.boxes); i += 2 * width {
		bound := m.toBox(s.x, b.boxes[i:i+2*width])
		if len(s.bounds) > 0 && bound < s.bounds[first] {
			first = len(s.bounds)
		}
		s.bounds = append(s.bounds, bound)
	}
	// From the nearest block outwards: those beside it tend to be near, too.
	limit := s.limit()
	for left, right := first, first+1; left >= 0 || right < len(s.bounds); left, right = left-1, right+1 {
		if left >= 0 && s.bounds[left] <= limit {
			limit = b.scan(s, m, left, oldest)
		}
		if right < len(s.bounds) && s.bounds[right] <= limit {
			limit = b.scan(s, m, right, oldest)
		}
	}
}

// scan adds a block's events and returns the limit after it.
func (b *blocks) scan(s *search, m metric, block int, oldest int32) float64 {
	limit, width := s.limit(), len(s.x)
	for i := block * blockSize; i < min((block+1)*blockSize, len(b.ranks)); i++ {
		if d := m.distance(b.points[i*width:(i+1)*width], s.x); d <= limit && b.ranks[i] >= oldest {
			s.add(d, b.ranks[i])
			limit = s.limit()
		}
	}
	return limit
}

// toBox is the distance from x to the nearest point of a box.
func (m metric) toBox(x, box []float64) (d float64) {
	low, high := box[:len(x)], box[len(x):]
	high = high[:len(low)]
	for i, v := range x {
		diff := max(low[i]-v, v-high[i], 0)
		if m == euclidean {
			diff *= diff
		}
		d += diff
	}
	return d
}
