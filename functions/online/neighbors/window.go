package neighbors

// window holds the latest events in a ring. An event has a number, which counts
// all that were ever added.
type window struct {
	metric metric
	width  int
	size   int
	points []float64 // event n is in row n % size
	labels []float64
	next   int     // the number of the next event
	blocks *blocks // of the events at some time, in a large window
}

func newWindow(width, size, p int) window {
	return window{metric: metric(p), width: width, size: size}
}

func (w *window) len() int { return len(w.labels) }

// oldest is the number of the oldest event that is still there.
func (w *window) oldest() int { return w.next - len(w.labels) }

func (w *window) row(n int) []float64 {
	at := n % w.size * w.width
	return w.points[at : at+w.width : at+w.width]
}

// add puts an event in, in place of the oldest if the window is full.
func (w *window) add(x []float64, y float64) {
	if len(w.labels) < w.size {
		w.points, w.labels = append(w.points, x...), append(w.labels, y)
	} else {
		copy(w.row(w.next), x)
		w.labels[w.next%w.size] = y
	}
	w.next++
	w.index()
}

// index renews the index of a large window once many events are not in it.
func (w *window) index() {
	if w.len() >= minIndexed && (w.blocks == nil || w.next-w.blocks.end >= maxTail) {
		w.blocks = newBlocks(w, w.blocks)
	}
}

// nearest finds the nearest of all events to s.x, and their labels.
func (w *window) nearest(s *search) {
	s.reset()
	base, from := w.oldest(), w.oldest()
	if w.blocks != nil {
		base, from = w.blocks.base, w.blocks.end
	}
	w.scan(s, from, base)
	if w.blocks != nil {
		w.blocks.search(s, w.metric, int32(w.oldest()-base))
	}
	for _, rank := range s.rank {
		s.y = append(s.y, w.labels[(base+int(rank))%w.size])
	}
}

// scan adds the events from this number on. Ranks count from base.
func (w *window) scan(s *search, from, base int) {
	for from < w.next {
		to := min(w.next, from+w.size-from%w.size) // as far as the ring goes on
		at := from % w.size * w.width
		w.metric.scan(s, w.points[at:at+(to-from)*w.width], int32(from-base))
		from = to
	}
}

// all yields the events from the oldest to the latest.
func (w *window) all(yield func(x []float64, y float64) bool) {
	for n := w.oldest(); n < w.next; n++ {
		if !yield(w.row(n), w.labels[n%w.size]) {
			return
		}
	}
}
