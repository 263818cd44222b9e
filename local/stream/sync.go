package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sync returns when every record that is in the sources' topics at the call has
// been taken in, and all that it changed is in the sinks' topics. A topic that
// does not exist yet has no records. It waits for Run to begin, and is an error
// once Run has ended.
func (s *Stream) Sync(ctx context.Context) error {
	if s.progress.hasEnded() {
		return errEnded
	}
	ends, err := s.reader.ends(ctx)
	if err != nil {
		return err
	}
	return s.progress.wait(ctx, ends)
}

var errEnded = errors.New("stream: it runs no longer: what is in the topics now will not be taken in")

// progress says how far the topics have been taken in, and wakes those who wait
// for more.
type progress struct {
	mu      sync.Mutex
	taken   map[topicPartition]int64 // the first offset that is not in the sinks yet
	changed chan struct{}            // closed when taken is another, or the end is reached
	ended   bool
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

// publish tells how far it is now.
func (p *progress) publish(taken map[topicPartition]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(p.taken, taken) {
		return
	}
	p.taken = taken
	p.wake()
}

// end tells that it will not get further.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.wake()
}

func (p *progress) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *progress) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// wait returns once all offsets before the ends have been taken in.
func (p *progress) wait(ctx context.Context, ends map[topicPartition]int64) error {
	for {
		p.mu.Lock()
		reached, ended, changed := true, p.ended, p.changed
		for tp, end := range ends {
			reached = reached && p.taken[tp] >= end
		}
		p.mu.Unlock()
		switch {
		case reached:
			return nil
		case ended:
			return errEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("stream: waiting for records to be taken in: %w", ctx.Err())
		}
	}
}

// taken is, by partition, the first offset that no tick has taken yet.
func (r *reader) taken() map[topicPartition]int64 {
	taken := make(map[topicPartition]int64, len(r.queues))
	for tp, q := range r.queues {
		taken[tp] = q.position
		if len(q.records) > 0 {
			taken[tp] = q.records[0].offset
		}
	}
	return taken
}

// ends are the ends of the partitions that have records, as of now. Unlike the
// rest of the reader it may be called from any goroutine.
func (r *reader) ends(ctx context.Context) (map[topicPartition]int64, error) {
	for {
		ends, err := r.tryEnds(ctx)
		if !kerr.IsRetriable(err) {
			return ends, err
		}
		// A topic so new that it has no leader, or that the client has not heard of.
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, fmt.Errorf("stream: asking for the ends of the topics: %w", err)
		}
	}
}

func (r *reader) tryEnds(ctx context.Context) (map[topicPartition]int64, error) {
	topics, err := r.existing(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: listing topics: %w", err)
	}
	ends := map[topicPartition]int64{}
	if len(topics) == 0 {
		return ends, nil // asked for none, kadm would list all
	}
	listed, err := r.admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("stream: asking for the ends of topics %s: %w", strings.Join(topics, ", "), err)
	}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			ends[topicPartition{o.Topic, o.Partition}] = o.Offset
		}
	})
	return ends, nil
}

// existing are the topics that exist now. A broker is asked: kadm answers with
// what it has heard a moment ago, and who syncs may have made the topic since.
func (r *reader) existing(ctx context.Context) ([]string, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range sortedKeys(r.sources) {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &topic
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(ctx, r.client)
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, t := range response.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
		case err != nil:
			return nil, err
		case t.Topic != nil:
			topics = append(topics, *t.Topic)
		}
	}
	return topics, nil
}
