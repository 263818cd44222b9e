package eventing

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// queueFull is the number of polls' worth of records that an ordered partition
// has waiting before it is not read any further, until half are delivered.
const queueFull = 20

// partition is one tenure of a topic's partition: from its assignment until it
// is taken away. A partition that comes back is a new one, so that what was left
// over from before cannot be mistaken for what is read again.
type partition struct {
	source *source
	client *kgo.Client
	topic  string
	id     int32

	tenure context.Context // ends with the tenure: nobody waits for a retry then
	cancel context.CancelFunc

	mu        sync.Mutex
	offsets   offsets
	committed int64         // what the group has, -1 if this tenure has committed nothing
	inFlight  int           // deliveries under way
	idle      chan struct{} // closed when the last delivery ends, while someone drains
	queue     []*kgo.Record // ordered: received and waiting
	draining  bool          // ordered: someone works on the queue
	paused    bool          // ordered: the queue is long enough
}

func (s *source) newPartition(client *kgo.Client, topic string, id int32) *partition {
	p := &partition{source: s, client: client, topic: topic, id: id, committed: -1}
	p.tenure, p.cancel = context.WithCancel(s.polling)
	return p
}

// receive notes records as read and returns those to be delivered: control
// records, the ends of transactions, are finished as they come.
func (p *partition) receive(records []*kgo.Record) []*kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := records[:0:0]
	for _, r := range records {
		control := r.Attrs.IsControl()
		p.offsets.receive(r, control)
		if !control {
			events = append(events, r)
		}
	}
	return events
}

// stop ends the tenure. Deliveries under way go on: see drain.
func (p *partition) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel()
	p.queue = nil
	p.resume() // the pause would outlast the tenure
}

// resume reads the partition again if its queue had become too long.
func (p *partition) resume() {
	if p.paused {
		p.paused = false
		p.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.id}})
	}
}

// begin starts a delivery, unless the tenure is over.
func (p *partition) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenure.Err() != nil {
		return false
	}
	p.inFlight++
	return true
}

// end ends a delivery that begin started.
func (p *partition) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight--
	if p.inFlight == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// drain waits for the deliveries under way. The tenure has to be over, so that
// no others begin.
func (p *partition) drain(ctx context.Context) error {
	p.mu.Lock()
	if p.inFlight == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish notes a record as done with, whatever became of it.
func (p *partition) finish(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offsets.finish(r.Offset)
}

// committable is the offset to commit, false if the group has it already.
func (p *partition) committable() (kgo.EpochOffset, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offsets.next, p.offsets.moved && p.offsets.next.Offset > p.committed
}

func (p *partition) setCommitted(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = offset
}

// enqueue delivers a record after all of the partition that came before it.
// Other partitions do not wait for this one: when its queue is long enough, it
// is this partition that is not read any further.
func (p *partition) enqueue(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenure.Err() != nil {
		return
	}
	p.queue = append(p.queue, r)
	if !p.paused && len(p.queue) >= queueFull*p.source.cfg.MaxPollRecords {
		p.paused = true
		p.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
	}
	if !p.draining {
		p.draining = true
		go p.deliverInOrder()
	}
}

// deliverInOrder works on the queue until it is empty.
func (p *partition) deliverInOrder() {
	for {
		r := p.dequeue()
		if r == nil {
			return
		}
		if !p.begin() {
			continue
		}
		p.source.deliver(p, r)
		p.end()
	}
}

func (p *partition) dequeue() *kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) <= queueFull/2*p.source.cfg.MaxPollRecords {
		p.resume()
	}
	if len(p.queue) == 0 {
		p.draining = false
		return nil
	}
	r := p.queue[0]
	p.queue = p.queue[1:]
	return r
}

// commitOffsets commits for the member that client is, and reports the first
// partition that was refused.
func commitOffsets(ctx context.Context, client *kgo.Client, offsets map[string]map[int32]kgo.EpochOffset) error {
	var failed error
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil && failed == nil {
					failed = err
				}
			}
		}
	})
	return failed
}
