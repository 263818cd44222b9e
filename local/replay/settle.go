package replay

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Settler knows when all that a record causes has happened: the views have taken
// it in, the functions have been told what came of it, and what they answered has
// been taken in as well. Functions are told one thing after another, in an order
// that is the same every time.
type Settler struct {
	// Sync returns when all that is in the topics of the views' sources has been
	// taken in and all that it changed is in the topics of the sinks.
	Sync func(ctx context.Context) error
	// Sources are those topics. Of what comes out, only these can cause more.
	Sources []string
	// Told are the topics whose records are delivered to functions. Where one
	// record causes some of each, those of the first are delivered first.
	Told []string
	// Collector reads the topics of both, as far as they come out.
	Collector *Collector
	// Deliveries hear of the records that were delivered.
	Deliveries *Deliveries
}

// Settle waits until nothing more can come of what is in the topics.
func (s *Settler) Settle(ctx context.Context) error {
	for {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		again := false
		for {
			came, err := s.Collector.ReadAll(ctx)
			if err != nil {
				return err
			}
			if len(came) == 0 {
				break
			}
			for _, r := range s.inOrder(came) {
				if err := s.Deliveries.await(ctx, r); err != nil {
					return err
				}
			}
			// Who was told has perhaps answered into a topic that was read before.
			again = again || slices.ContainsFunc(came, func(r *kgo.Record) bool { return slices.Contains(s.Sources, r.Topic) })
		}
		if !again {
			return nil
		}
	}
}

// inOrder are the records that functions are told of, in the order in which they
// are: partitions are read as it happens.
func (s *Settler) inOrder(came []*kgo.Record) []*kgo.Record {
	told := slices.DeleteFunc(slices.Clone(came), func(r *kgo.Record) bool { return !slices.Contains(s.Told, r.Topic) })
	slices.SortStableFunc(told, func(a, b *kgo.Record) int {
		return cmp.Or(
			cmp.Compare(slices.Index(s.Told, a.Topic), slices.Index(s.Told, b.Topic)),
			bytes.Compare(a.Key, b.Key), cmp.Compare(a.Partition, b.Partition),
		)
	})
	return told
}

// Deliveries are the records that have been delivered to a function, or to the
// dead letters in its place. The zero value is ready.
type Deliveries struct {
	mu      sync.Mutex
	ended   map[place]bool // and not awaited yet
	turn    place          // which is awaited, and may begin
	free    bool           // there are no turns any more
	changed chan struct{}  // closed when any of that is another, if somebody waits
}

type place struct {
	partition
	offset int64
}

func placeOf(r *kgo.Record) place { return place{partition{r.Topic, r.Partition}, r.Offset} }

// Ended notes that the delivery of a record has ended, however.
func (d *Deliveries) Ended(r *kgo.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil {
		d.ended = map[place]bool{}
	}
	d.ended[placeOf(r)] = true
	d.wake()
}

// wake wakes those who wait. d.mu is held.
func (d *Deliveries) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// changes is closed when anything is another. d.mu is held.
func (d *Deliveries) changes() <-chan struct{} {
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

// Turn blocks a function that has been given an event of a topic until it is the
// event's turn. One that no KafkaSource has delivered has no turn to wait for.
func (d *Deliveries) Turn(ctx context.Context, topic string, e event.Event) error {
	number, errNumber := extensionInt(e, kafkaPartition)
	offset, errOffset := extensionInt(e, kafkaOffset)
	if errNumber != nil || errOffset != nil {
		return nil
	}
	at := place{partition{topic, int32(number)}, offset}
	return d.until(ctx, at, func() bool { return d.free || d.turn == at })
}

// Release ends all turns: who stops waits for what is under way.
func (d *Deliveries) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = true
	d.wake()
}

func extensionInt(e event.Event, name string) (int64, error) {
	value, _ := e.Extensions()[name].(string)
	return strconv.ParseInt(value, 10, 64)
}

// await gives a record its turn and returns when its delivery has ended. It
// forgets it: each is awaited once.
func (d *Deliveries) await(ctx context.Context, r *kgo.Record) error {
	at := placeOf(r)
	d.mu.Lock()
	d.turn = at
	d.wake()
	d.mu.Unlock()
	return d.until(ctx, at, func() bool {
		ended := d.ended[at]
		delete(d.ended, at)
		return ended
	})
}

// until waits for what is asked of it with d.mu held.
func (d *Deliveries) until(ctx context.Context, at place, is func() bool) error {
	for {
		d.mu.Lock()
		if is() {
			d.mu.Unlock()
			return nil
		}
		changed := d.changes()
		d.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("replay: waiting for the delivery of %s, partition %d, offset %d: %w", at.topic, at.number, at.offset, context.Cause(ctx))
		}
	}
}
