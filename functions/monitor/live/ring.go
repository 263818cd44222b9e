package live

// ring is the newest trips, by id.
type ring struct {
	byID  map[string]*known
	order []*known // a circle once it is full
	next  int      // where the next goes
}

// known is a trip that has started.
type known struct {
	id         string
	dropOff    Point
	pickedUpAt int64 // ms
	predicted  float64
	ended      bool
}

func newRing() ring { return ring{byID: map[string]*known{}} }

// add adds a trip, in place of the oldest. It reports whether it is new.
func (r *ring) add(s start) bool {
	if r.byID[s.id] != nil {
		return false
	}
	k := &known{id: s.id, dropOff: s.dropOff, pickedUpAt: s.pickedUpAt.UnixMilli(), predicted: s.predicted()}
	r.byID[s.id] = k
	if len(r.order) < keptTrips {
		r.order = append(r.order, k)
		r.next = len(r.order) % keptTrips
		return true
	}
	delete(r.byID, r.order[r.next].id)
	r.order[r.next] = k
	r.next = (r.next + 1) % keptTrips
	return true
}

func (r *ring) find(id string) *known { return r.byID[id] }

// back is the trip that came i trips before the newest.
func (r *ring) back(i int) *known {
	return r.order[(r.next-1-i+2*len(r.order))%len(r.order)]
}

// early are the ends of trips whose start is not known: a moment later it may be.
type early struct {
	byID  map[string]end
	order []string
}

// keptEarly bounds them.
const keptEarly = 4096

func newEarly() early { return early{byID: map[string]end{}} }

// keep keeps an end and reports whether it pushed another one out, of a trip
// that nobody will know any more.
func (e *early) keep(ended end) (lost bool) {
	if _, ok := e.byID[ended.id]; ok {
		return false
	}
	e.byID[ended.id] = ended
	e.order = append(e.order, ended.id)
	for len(e.byID) > keptEarly {
		if _, ok := e.byID[e.order[0]]; ok {
			delete(e.byID, e.order[0])
			lost = true
		}
		e.order = e.order[1:]
	}
	return lost
}

func (e *early) take(id string) (end, bool) {
	ended, ok := e.byID[id]
	delete(e.byID, id)
	return ended, ok
}
