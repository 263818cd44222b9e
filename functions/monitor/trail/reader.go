package trail

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// reading is a walk through spans.
type reading struct {
	trail   *Trail
	left    *int64 // bytes of the budget
	visit   func(*kgo.Record) bool
	stopped bool  // visit has seen enough
	partial bool  // something could not be read
	failure error // why the last try of a broker failed, nil if it did not
}

// read visits the committed records of spans, until visit has seen enough, the
// context ends or the bytes that are left are read. It reports whether it has
// read everything, and an error if Kafka was why it has not.
func (t *Trail) read(ctx context.Context, spans []*span, left *int64, visit func(*kgo.Record) bool) (bool, error) {
	r := &reading{trail: t, left: left, visit: visit}
	spans = slices.Clone(spans)
	for {
		spans = slices.DeleteFunc(spans, func(s *span) bool { return s.next >= s.end })
		switch {
		case r.stopped:
			return false, nil
		case len(spans) == 0:
			return !r.partial, nil
		case *left <= 0 || ctx.Err() != nil:
			return false, r.failure
		}
		if r.round(ctx, spans) {
			continue
		}
		if err := r.findLeaders(ctx, spans); err != nil {
			return false, err
		}
	}
}

// round asks every leader for more once, and reports whether all led what they
// were asked for.
func (r *reading) round(ctx context.Context, spans []*span) bool {
	var asked []*request
	for leader, led := range byLeader(spans) {
		asked = append(asked, &request{leader: leader, spans: led})
	}
	var group errgroup.Group
	for _, q := range asked {
		// Who has been read least comes first: the first gets an answer, whatever
		// the size of its records.
		slices.SortStableFunc(q.spans, func(a, b *span) int { return cmp.Compare(a.read, b.read) })
		group.Go(func() error {
			q.send(ctx, r.trail.client, *r.left)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	led := true
	for _, q := range asked {
		led = r.take(ctx, q) && led
	}
	return led
}

// findLeaders asks who leads the partitions now.
func (r *reading) findLeaders(ctx context.Context, spans []*span) error {
	select {
	case <-time.After(retryAfter):
	case <-ctx.Done():
		return r.failure
	}
	current, err := r.trail.leaders(ctx, topicsOf(spans))
	if err != nil {
		return cmp.Or(r.failure, err)
	}
	for _, s := range spans {
		i := slices.IndexFunc(current, func(c *span) bool { return c.topic == s.topic && c.partition == s.partition })
		if i < 0 {
			s.next = s.end // the topic is gone
			continue
		}
		s.leader = current[i].leader
	}
	return nil
}
