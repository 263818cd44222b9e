package replay

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Settler knows when all that a record causes has happened: the views have taken
// it in, the functions have been told what came of it, and what they answered has
// been taken in as well.
type Settler struct {
	// Sync returns when all that is in the topics of the views' sources has been
	// taken in and all that it changed is in the topics of the sinks.
	Sync func(ctx context.Context) error
	// Sources are those topics. Of what comes out, only these can cause more.
	Sources []string
	// Told are the topics whose records are delivered to functions.
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
		for more := true; more; {
			came, err := s.Collector.ReadAll(ctx)
			if err != nil {
				return err
			}
			if err := s.Deliveries.await(ctx, came, s.Told); err != nil {
				return err
			}
			// Who was told may have answered into the topics that were read before.
			more = len(came) > 0
			again = again || slices.ContainsFunc(came, func(r *kgo.Record) bool { return slices.Contains(s.Sources, r.Topic) })
		}
		if !again {
			return nil
		}
	}
}

// Deliveries are the records that have been delivered to a function, or to the
// dead letters in its place. The zero value is ready.
type Deliveries struct {
	mu      sync.Mutex
	ended   map[place]bool // and not awaited yet
	changed chan struct{}  // closed when another has ended, if somebody waits
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
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// await returns when the deliveries of these records, where they are of these
// topics, have ended. It forgets them: each is awaited once.
func (d *Deliveries) await(ctx context.Context, records []*kgo.Record, topics []string) error {
	for _, r := range records {
		if !slices.Contains(topics, r.Topic) {
			continue
		}
		for {
			ended, changed := d.look(placeOf(r))
			if ended {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return fmt.Errorf("replay: waiting for the delivery of %s, partition %d, offset %d: %w", r.Topic, r.Partition, r.Offset, context.Cause(ctx))
			}
		}
	}
	return nil
}

// look reports whether a delivery has ended, and forgets it, or else what is
// closed once another has.
func (d *Deliveries) look(at place) (bool, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended[at] {
		delete(d.ended, at)
		return true, nil
	}
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return false, d.changed
}
