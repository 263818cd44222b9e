package eventing

import (
	"sort"

	"github.com/twmb/franz-go/pkg/kgo"
)

// offsets tells, for one partition, up to where every record is finished: the
// highest contiguous offset, which is what may be committed. Records may finish
// in any order.
//
// What counts are the records that were received, not the numbers between them:
// offsets of aborted transactions and of compacted records never arrive, and
// waiting for them would stall commits for good.
//
// It is not safe for concurrent use.
type offsets struct {
	pending []pending // in offset order, from the first that is not finished
	next    kgo.EpochOffset
	known   bool // next is set: something was received
	moved   bool // next is after a finished record: it says more than where reading began
}

type pending struct {
	offset   int64
	epoch    int32
	finished bool
}

// receive adds a record. Offsets only grow.
func (o *offsets) receive(r *kgo.Record, finished bool) {
	if !o.known {
		o.next, o.known = kgo.EpochOffset{Epoch: -1, Offset: r.Offset}, true
	}
	o.pending = append(o.pending, pending{r.Offset, r.LeaderEpoch, finished})
	if finished {
		o.advance()
	}
}

// finish marks a received record as done with.
func (o *offsets) finish(offset int64) {
	i := sort.Search(len(o.pending), func(i int) bool { return o.pending[i].offset >= offset })
	if i == len(o.pending) || o.pending[i].offset != offset {
		return
	}
	o.pending[i].finished = true
	if i == 0 {
		o.advance()
	}
}

func (o *offsets) advance() {
	n := 0
	for n < len(o.pending) && o.pending[n].finished {
		o.next = kgo.EpochOffset{Epoch: o.pending[n].epoch, Offset: o.pending[n].offset + 1}
		n++
	}
	o.moved = o.moved || n > 0
	o.pending = o.pending[n:]
	if len(o.pending) == 0 {
		o.pending = nil // let go of what a burst has left behind
	}
}

// unfinished is the number of records received and not done with.
func (o *offsets) unfinished() int {
	n := 0
	for _, p := range o.pending {
		if !p.finished {
			n++
		}
	}
	return n
}
